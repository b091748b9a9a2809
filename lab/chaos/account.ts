/** What became of the observations of a chaos run. */
export interface ChaosResult {
  readonly kills: number
  /** Observations that were in the spool for certain: their flush had returned before the kill. */
  readonly recorded: number
  /** Of these, how many the store holds. */
  readonly stored: number
  readonly lost: number
  /** Observations that the store holds twice. */
  readonly duplicatesInStore: number
  /** Observations that the exporter's target got again. */
  readonly resent: number
  /** Segments that ended in half a frame. */
  readonly tornTails: number
}

interface Trace {
  readonly name: string
  readonly observations: number
}

/** Names of all traces in the store and how many observations each holds, through the relay's API. */
export async function storedTraces(relayUrl: string): Promise<Map<string, number>> {
  const stored = new Map<string, number>()
  for (let before: string | null = ''; before !== null; ) {
    const query = before === '' ? '' : `&before=${encodeURIComponent(before)}`
    const response = await fetch(`${relayUrl}/api/traces?limit=500${query}`)
    const page = (await response.json()) as { traces: Trace[]; next: string | null }
    for (const trace of page.traces) {
      stored.set(trace.name, (stored.get(trace.name) ?? 0) + trace.observations)
    }
    before = page.next
  }
  return stored
}

/** Compares what was acknowledged, by writer, with what the store holds. */
export function account(
  acknowledged: ReadonlyMap<string, number>,
  stored: ReadonlyMap<string, number>,
): Pick<ChaosResult, 'recorded' | 'stored' | 'lost' | 'duplicatesInStore'> {
  let recorded = 0
  let found = 0
  for (const [run, count] of acknowledged) {
    recorded += count
    for (let n = 1; n <= count; n++) if (stored.has(`${run}-${n}`)) found++
  }
  let duplicatesInStore = 0
  for (const observations of stored.values()) duplicatesInStore += observations - 1
  return { recorded, stored: found, lost: recorded - found, duplicatesInStore }
}
