// What waits on the disk while the server is away: how much memory it takes to get rid of it, how soon a relay stands that
// starts with it, and that none of it is lost.
import { type Place, type Relay, startRelay } from '../../apparatus/processes.ts'
import type { SpanKind } from '../relay/spans.ts'
import {
  arrival,
  fill,
  peakRssMb,
  placeFor,
  type RelayFigures,
  type Standing,
  statsOf,
  UNBOUNDED,
} from './standing.ts'

export interface DrainSample {
  readonly spans: number
  readonly delivered: number
  readonly again: number
  /** As /api/stats counts what waits. */
  readonly backlogBytes: number
  readonly cpuUs: number
  readonly seconds: number
  /** The most memory while the backlog grew, and while it was delivered. */
  readonly fillRssMb: number | null
  readonly rssMb: number | null
}

/** A backlog that a relay has gathered is delivered by a new one. */
export async function drainBacklog(
  standing: Standing,
  kind: SpanKind,
  spans: number,
): Promise<DrainSample> {
  return withBacklog(standing, kind, spans, async (place, filler) => {
    const { sink } = standing
    const backlogBytes = await waitingBytes(filler)
    const fillRssMb = peakRssMb(filler.pid)
    await filler.stop()
    await sink.say('clear')
    await sink.say('take')
    const begun = performance.now()
    const relay = await startRelay(place, sink.url, UNBOUNDED)
    const delivered = await arrival(sink, spans)
    const seconds = (performance.now() - begun) / 1000
    const { cpu } = await relay.usage()
    const rssMb = peakRssMb(relay.pid)
    const again = (await sink.say('stats')).spans - delivered
    await relay.stop()
    return { spans, delivered, again, backlogBytes, cpuUs: cpu, seconds, fillRssMb, rssMb }
  })
}

export interface RestartSample {
  readonly spans: number
  readonly delivered: number
  readonly again: number
  readonly backlogBytes: number
  /** From the start of the process until /health is good, and until its first request arrives; each time. */
  readonly readyMs: readonly number[]
  readonly firstRequestMs: readonly number[]
}

/** A relay that has a backlog is killed and started again, some times; the last one delivers all. */
export async function restartWithBacklog(
  standing: Standing,
  kind: SpanKind,
  spans: number,
  times: number,
): Promise<RestartSample> {
  return withBacklog(standing, kind, spans, async (place, filler) => {
    const { sink } = standing
    const backlogBytes = await waitingBytes(filler)
    const readyMs: number[] = []
    const firstRequestMs: number[] = []
    let running = filler
    for (let i = 0; i < times; i++) {
      await running.kill()
      await sink.say('clear')
      const begun = Date.now()
      running = await startRelay(place, sink.url, UNBOUNDED)
      const health = await fetch(`${running.url}/health`)
      if (!health.ok) throw new Error(`/health answers ${health.status}`)
      readyMs.push(Date.now() - begun)
      firstRequestMs.push((await firstRequest(standing)) - begun)
    }
    await running.kill()
    await sink.say('clear')
    await sink.say('take')
    const relay = await startRelay(place, sink.url, UNBOUNDED)
    const delivered = await arrival(sink, spans)
    const again = (await sink.say('stats')).spans - delivered
    await relay.stop()
    return { spans, delivered, again, backlogBytes, readyMs, firstRequestMs }
  })
}

async function firstRequest({ sink }: Standing): Promise<number> {
  const until = performance.now() + FIRST_REQUEST_MS
  while (performance.now() < until) {
    const { firstAt } = await sink.say('stats')
    if (firstAt !== null) return firstAt
  }
  throw new Error('a relay with a backlog sends nothing')
}

export interface OutageSample {
  readonly spans: number
  readonly delivered: number
  readonly again: number
  readonly dropped: number
  readonly backlogBytes: number
  /** From the server's return to the first request that it takes, and to the last span. */
  readonly resumedMs: number
  readonly seconds: number
  readonly rssMb: number | null
}

/**
 * All spans of the outage are recorded, at full speed, while the server refuses. Then it is back, and the same relay, whose
 * requests wait for their next attempt, delivers them.
 */
export async function sitOut(
  standing: Standing,
  kind: SpanKind,
  spans: number,
): Promise<OutageSample> {
  return withBacklog(standing, kind, spans, async (_, relay) => {
    const { sink } = standing
    const backlogBytes = await waitingBytes(relay)
    await sink.say('clear')
    const back = Date.now()
    await sink.say('take')
    const delivered = await arrival(sink, spans)
    const seconds = (Date.now() - back) / 1000
    const { firstAt, spans: came } = await sink.say('stats')
    const dropped = droppedBy(await statsOf(relay))
    return {
      spans,
      delivered,
      again: came - delivered,
      dropped,
      backlogBytes,
      resumedMs: (firstAt ?? Number.NaN) - back,
      seconds,
      rssMb: peakRssMb(relay.pid),
    }
  })
}

/** How long a relay may take to its first request. */
const FIRST_REQUEST_MS = 30_000

/** A running relay that has stored so many spans, none of which the server takes. */
async function withBacklog<T>(
  standing: Standing,
  kind: SpanKind,
  spans: number,
  use: (place: Place, relay: Relay) => Promise<T>,
): Promise<T> {
  const { sink } = standing
  const place = placeFor(kind, spans, standing)
  let relay: Relay | undefined
  try {
    await sink.say('refuse')
    relay = await startRelay(place, sink.url, UNBOUNDED)
    await fill(place, relay, kind, spans, standing)
    return await use(place, relay)
  } finally {
    await sink.say('take')
    await relay?.stop()
    place.remove()
  }
}

async function waitingBytes(relay: Relay): Promise<number> {
  return (await statsOf(relay)).exporters[0]?.waitingBytes ?? 0
}

function droppedBy({ exporters }: RelayFigures): number {
  const reasons = exporters.flatMap(({ dropped }) => Object.values(dropped))
  return reasons.reduce((sum, count) => sum + count, 0)
}
