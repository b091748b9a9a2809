import { readdirSync, readFileSync, renameSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  fitsInMemory,
  makePlace,
  type Place,
  type Relay,
  startChild,
  waitForCount,
} from '../../apparatus/processes.ts'
import { UsageError } from '../../command-line.ts'
import type { SpanKind } from '../relay/spans.ts'
import type { SpoolRequest, SpoolResult } from '../relay.ts'
import type { Sink } from './sink.ts'

/** What all cases of the bench have: where things are, and the server that takes what is delivered. */
export interface Standing {
  readonly sink: Sink
  /** Where stores are. */
  readonly disk: string
  readonly seed: number
  progress(line: string): void
}

export const CAPS_GB = 1024
/** Nothing is dropped or expired in a run: what is to fit is said by its cases. */
export const UNBOUNDED: NodeJS.ProcessEnv = {
  OFFPATH_EXPORT_BACKLOG_CAP: `${CAPS_GB}GB`,
  OFFPATH_RETENTION_SIZE: `${CAPS_GB}GB`,
}
/** About what a span takes in a store. */
export const SPAN_BYTES: Readonly<Record<SpanKind, number>> = {
  small: 400,
  '4kb': 4400,
  '64kb': 65_500,
}
/** Recorded in one go. */
const BATCH_BYTES = 256 * 1024 * 1024
/** Nothing moves for so long: it will not. A server that was away is asked again after a minute at the latest. */
const PATIENCE_MS = 70_000
/** After the last answer, for its acknowledgement. */
const SETTLING_MS = 300

/** Directories for so many spans: in memory where there is room for what is staged of them, and half as much again. */
export function placeFor(kind: SpanKind, spans: number, { disk }: Standing): Place {
  const staged = Math.min(spans * SPAN_BYTES[kind], 2 * BATCH_BYTES)
  return makePlace(fitsInMemory(1.5 * staged), disk)
}

/** Records spans into the staging directory; resolves when they are there. */
export async function stage(place: Place, request: SpoolRequest): Promise<void> {
  const child = startChild(join(import.meta.dirname, '../spool.child.ts'), request, {
    ...place.env,
    OFFPATH_SPOOL_DIR: place.staging,
    OFFPATH_SPOOL_CAP: '2GB',
  })
  const { observations, lost } = await child.receive<SpoolResult>()
  await child.ended()
  if (lost > 0 || observations !== request.spans) {
    throw new Error(`the spool holds ${observations - lost} of ${request.spans} spans`)
  }
}

/** Lets the relay find what is staged. */
export function release(place: Place): void {
  for (const name of readdirSync(place.staging).sort()) {
    renameSync(join(place.staging, name), join(place.spool, name))
  }
}

/** Records so many spans and has the relay store them, in parts that memory holds; the next is recorded meanwhile. */
export async function fill(
  place: Place,
  relay: Relay,
  kind: SpanKind,
  spans: number,
  { seed, progress }: Standing,
): Promise<void> {
  const most = Math.ceil(BATCH_BYTES / SPAN_BYTES[kind])
  const before = (await statsOf(relay)).accepted
  let staged = 0
  for (let part = 0; staged < spans; part++) {
    const count = Math.min(most, spans - staged)
    await stage(place, { kind, spans: count, seed: seed + part })
    await reading(place)
    release(place)
    staged += count
    if (spans > 4 * most) progress(`  ${Math.round((100 * staged) / spans)} % recorded`)
  }
  await reading(place)
  const stored = (await statsOf(relay)).accepted - before
  if (stored !== spans) throw new Error(`${stored} of ${spans} spans are stored`)
}

/** What /api/stats says, as far as it is needed here. */
export interface RelayFigures {
  readonly accepted: number
  readonly exporters: readonly {
    readonly name: string
    readonly delivered: number
    readonly held: number
    readonly waitingBytes: number
    readonly dropped: Readonly<Record<string, number>>
  }[]
}

export async function statsOf(relay: Relay): Promise<RelayFigures> {
  return (await (await fetch(`${relay.url}/api/stats`)).json()) as RelayFigures
}

/** Waits until the server has had so many different spans, and their acknowledgement. Returns how many it had. */
export async function arrival(sink: Sink, spans: number): Promise<number> {
  const count = async () => (await sink.say('stats')).unique
  const arrived = await waitForCount(count, spans, PATIENCE_MS)
  await delay(SETTLING_MS)
  return arrived
}

/** Waits until all segments of the spool are read. @throws an Error when it does not get on */
async function reading(place: Place): Promise<void> {
  // Those of a writer that has ended are deleted once they are stored.
  const left = () => readdirSync(place.spool).filter((name) => name.endsWith('.seg')).length
  const last = await waitForCount(() => -left(), 0, PATIENCE_MS)
  if (last < 0) throw new Error(`${-last} segments are not read`)
}

/** The most memory that a process has had, MB; null where the system does not tell. */
export function peakRssMb(pid: number): number | null {
  try {
    const peak = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
    return peak === null ? null : Number(peak[1]) / 1024
  } catch {
    return null
  }
}

/** @throws UsageError when the disk has not so much room */
export function checkRoom(directory: string, bytes: number): void {
  let free: number
  try {
    const { bavail, bsize } = statfsSync(directory)
    free = bavail * bsize
  } catch (error) {
    throw new UsageError(`--dir ${directory}: ${(error as Error).message}`)
  }
  if (free >= bytes) return
  const gb = (count: number): string => `${(count / 2 ** 30).toFixed(1)} GB`
  throw new UsageError(
    `${directory} has ${gb(free)} free, and the stores of this run need ${gb(bytes)}: ` +
      'name another directory with --dir, or less with --backlog-gb or --scale',
  )
}
