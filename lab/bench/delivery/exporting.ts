// A relay and its exporter: how fast does a backlog in the store leave?
import { cpSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { makePlace, type Place, startRelay } from '../../apparatus/processes.ts'
import type { SpanKind } from '../relay/spans.ts'
import { arrival, fill, peakRssMb, placeFor, type Standing, UNBOUNDED } from './standing.ts'

/** A store with spans that wait, to be copied for each round. */
export interface Backlog {
  readonly kind: SpanKind
  readonly spans: number
  readonly place: Place
  /** On the disk. */
  readonly storeBytes: number
}

export interface ExportSample {
  readonly spans: number
  readonly delivered: number
  /** Those that came more than once. */
  readonly again: number
  readonly cpuUs: number
  /** Of the requests, uncompressed, and as sent. */
  readonly bytes: number
  readonly wireBytes: number
  /** Of the store, before. */
  readonly storeBytes: number
  readonly rssMb: number | null
}

/** Records spans into a store while the server refuses them. */
export async function makeBacklog(
  standing: Standing,
  kind: SpanKind,
  spans: number,
): Promise<Backlog> {
  const { sink } = standing
  await sink.say('refuse')
  const place = placeFor(kind, spans, standing)
  const relay = await startRelay(place, sink.url, UNBOUNDED)
  await fill(place, relay, kind, spans, standing)
  await relay.stop()
  await sink.say('take')
  return { kind, spans, place, storeBytes: bytesIn(place.store) }
}

/**
 * Delivers a copy of the backlog by a new relay: its CPU from its first instruction on, less `startUs`, until all is
 * acknowledged.
 */
export async function drainCopy(
  { sink, disk }: Standing,
  backlog: Backlog,
  startUs: number,
  settings: NodeJS.ProcessEnv = {},
): Promise<ExportSample> {
  const place = makePlace(false, disk)
  try {
    cpSync(backlog.place.store, place.store, { recursive: true })
    await sink.say('clear')
    const relay = await startRelay(place, sink.url, { ...UNBOUNDED, ...settings })
    const delivered = await arrival(sink, backlog.spans)
    const { cpu } = await relay.usage()
    const rssMb = peakRssMb(relay.pid)
    const { spans, bytes, wireBytes } = await sink.say('stats')
    await relay.stop()
    return {
      spans: backlog.spans,
      delivered,
      again: spans - delivered,
      cpuUs: cpu - startUs,
      bytes,
      wireBytes,
      storeBytes: backlog.storeBytes,
      rssMb,
    }
  } finally {
    place.remove()
  }
}

/** CPU that a relay takes until it stands, with nothing to do. */
export async function startingCost({ sink, disk }: Standing): Promise<number> {
  const place = makePlace(false, disk)
  try {
    const relay = await startRelay(place, sink.url, UNBOUNDED)
    const { cpu } = await relay.usage()
    await relay.stop()
    return cpu
  } finally {
    place.remove()
  }
}

function bytesIn(directory: string): number {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true })
  return files
    .filter((file) => file.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0)
}
