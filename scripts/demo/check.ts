import type { Sent } from './requests.ts'

const PAGE = 500
const SETTLE_MS = 15_000
const DELIVER_MS = 5_000
/** Root, generation, and the event that splits the request's time. */
const OBSERVATIONS = 3

interface TraceSummary {
  readonly id: string
  readonly userId: string | null
  readonly observations: number
  readonly interrupted: number
  readonly durationMs: number
  readonly errors: number
}

export interface Stats {
  readonly open: number
  readonly accepted: number
  readonly lost: Readonly<Record<string, number>>
  readonly exporters: readonly {
    readonly name: string
    readonly accepted: number
    readonly delivered: number
    readonly deadLettered: number
    readonly dropped: Readonly<Record<string, number>>
    readonly held: number
  }[]
  readonly vitals: readonly {
    readonly service: string | null
    readonly seconds: number
    readonly microsecondsPerTrace: number | null
  }[]
}

export interface Outcome {
  /** What is not as it should be, in words; empty: every trace is complete and the counts agree. */
  readonly faults: readonly string[]
  /** One trace per request that was sent. */
  readonly traces: ReadonlyMap<Sent, TraceSummary>
  readonly stats: Stats
}

/**
 * Waits until the relay's store holds a complete trace for each request, and checks the counting law. For exporters it
 * waits a little longer: one that can't be reached is no fault, what it should get is held.
 */
export async function checkTraces(relayUrl: string, sent: readonly Sent[]): Promise<Outcome> {
  const began = performance.now()
  for (;;) {
    const outcome = await look(relayUrl, sent)
    const waited = performance.now() - began
    const held = outcome.stats.exporters.some((exporter) => exporter.held > 0)
    const waitMs = outcome.faults.length > 0 ? SETTLE_MS : held ? DELIVER_MS : 0
    if (waited >= waitMs) return outcome
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

async function look(relayUrl: string, sent: readonly Sent[]): Promise<Outcome> {
  const { traces: list } = await get<{ traces: TraceSummary[] }>(
    `${relayUrl}/api/traces?limit=${PAGE}`,
  )
  const stats = await get<Stats>(`${relayUrl}/api/stats`)
  const faults: string[] = []
  const traces = new Map<Sent, TraceSummary>()
  for (const request of sent) {
    const mine = list.filter((trace) => trace.userId === request.user)
    if (mine.length !== 1)
      faults.push(`${request.user} (${request.kind}): ${mine.length} traces, not 1`)
    for (const trace of mine) {
      traces.set(request, trace)
      if (trace.observations !== OBSERVATIONS || trace.interrupted > 0) {
        faults.push(
          `${request.user} (${request.kind}): ${trace.observations} observations, ${trace.interrupted} interrupted`,
        )
      }
    }
  }
  for (const exporter of stats.exporters) {
    const dropped = Object.values(exporter.dropped).reduce((total, count) => total + count, 0)
    const accounted = exporter.delivered + exporter.deadLettered + dropped + exporter.held
    if (accounted !== exporter.accepted) {
      faults.push(`${exporter.name}: ${exporter.accepted} accepted, ${accounted} accounted for`)
    }
  }
  for (const [reason, count] of Object.entries(stats.lost)) faults.push(`${count} lost: ${reason}`)
  return { faults, traces, stats }
}

async function get<T>(url: string): Promise<T> {
  const response = await fetch(url)
  if (!response.ok) throw new Error(`${url} answered ${response.status}`)
  return (await response.json()) as T
}
