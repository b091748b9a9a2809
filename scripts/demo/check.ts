import type { Sent } from './requests.ts'

const PAGE = 500
const SETTLE_MS = 15_000
const DELIVER_MS = 5_000
const LEFTOVERS_MS = 5_000
/** Root, generation, and the event that splits the request's time. */
const OBSERVATIONS = 3

interface TraceSummary {
  readonly id: string
  readonly userId: string | null
  readonly observations: number
  readonly interrupted: number
}

export interface Stats {
  readonly open: number
  readonly accepted: number
  readonly lost: Readonly<Record<string, number>>
  readonly spool: readonly { readonly unreadBytes: number }[]
  readonly exporters: readonly {
    readonly name: string
    readonly accepted: number
    readonly delivered: number
    readonly deadLettered: number
    readonly dropped: Readonly<Record<string, number>>
    readonly held: number
    /** Null: it is not configured now. */
    readonly delivery: { readonly state: string; readonly message: string | null } | null
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

/** The relay's counts before the requests: once it has read what an earlier run may have left in the spool. */
export async function countBefore(relayUrl: string): Promise<Stats> {
  const until = performance.now() + LEFTOVERS_MS
  for (;;) {
    const stats = await get<Stats>(`${relayUrl}/api/stats`)
    const read = stats.open === 0 && stats.spool.every(({ unreadBytes }) => unreadBytes === 0)
    if (read || performance.now() > until) return stats
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

/**
 * Waits until the relay's store holds a complete trace for each request, and checks the counting law. For exporters it
 * waits a little longer: one that can't be reached is no fault, what it should get is held.
 */
export async function checkTraces(
  relayUrl: string,
  sent: readonly Sent[],
  before: Stats,
): Promise<Outcome> {
  const began = performance.now()
  for (;;) {
    const outcome = await look(relayUrl, sent, before)
    const waited = performance.now() - began
    const coming = outcome.stats.exporters.some(
      ({ held, delivery }) =>
        held > 0 && (delivery?.state === 'ok' || delivery?.state === 'retrying'),
    )
    const waitMs = outcome.faults.length > 0 ? SETTLE_MS : coming ? DELIVER_MS : 0
    if (waited >= waitMs) return outcome
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

async function look(relayUrl: string, sent: readonly Sent[], before: Stats): Promise<Outcome> {
  const { traces: list } = await get<{ traces: TraceSummary[] }>(
    `${relayUrl}/api/traces?limit=${PAGE}`,
  )
  const stats = await get<Stats>(`${relayUrl}/api/stats`)
  const faults: string[] = []
  const traces = new Map<Sent, TraceSummary>()
  let stored = 0
  for (const request of sent) {
    const mine = list.filter((trace) => trace.userId === request.user)
    if (mine.length !== 1)
      faults.push(`${request.user} (${request.kind}): ${mine.length} traces, not 1`)
    for (const trace of mine) {
      traces.set(request, trace)
      stored += trace.observations
      if (trace.observations !== OBSERVATIONS || trace.interrupted > 0) {
        faults.push(
          `${request.user} (${request.kind}): ${trace.observations} observations, ${trace.interrupted} interrupted`,
        )
      }
    }
  }
  return { faults: [...faults, ...brokenLaw(stats, before, stored)], traces, stats }
}

/** The counting law: of the requests' observations, of which so many are stored, and of each exporter. */
function brokenLaw(stats: Stats, before: Stats, stored: number): string[] {
  const faults: string[] = []
  const accepted = stats.accepted - before.accepted
  const open = stats.open - before.open
  if (accepted !== stored + open) {
    faults.push(`store: ${accepted} accepted, ${stored} stored and ${open} open`)
  }
  for (const exporter of stats.exporters) {
    const dropped = Object.values(exporter.dropped).reduce((total, count) => total + count, 0)
    const accounted = exporter.delivered + exporter.deadLettered + dropped + exporter.held
    if (accounted !== exporter.accepted) {
      faults.push(`${exporter.name}: ${exporter.accepted} accepted, ${accounted} accounted for`)
    }
  }
  for (const [reason, count] of Object.entries(stats.lost)) {
    const now = count - (before.lost[reason] ?? 0)
    if (now > 0) faults.push(`${now} lost: ${reason}`)
  }
  return faults
}

async function get<T>(url: string): Promise<T> {
  const response = await fetch(url)
  if (!response.ok) throw new Error(`${url} answered ${response.status}`)
  return (await response.json()) as T
}
