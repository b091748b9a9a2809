import { seededRandom } from '../../../examples/vllm-simulator/text.ts'

/** What the schedule has to know of a fault. */
export interface Schedulable {
  readonly name: string
  /** Where it happens: one fault at a time in each place. */
  readonly place: string
  readonly longestMs: number
}

/** A fault from `atMs` to `atMs + forMs` of the run. */
export interface Planned<F> {
  readonly fault: F
  readonly atMs: number
  readonly forMs: number
}

/** Traffic before the first fault. */
const FIRST_MS = 1000
/** What is troubled has so long to recover, and counts as troubled meanwhile. */
const REST_MS = 500
const LEAST_GAP_MS = 300
const MOST_GAP_MS = 3000
/** A run of one moment has each fault in it nevertheless, some of them at the same time. */
const ROUNDS = 2

/**
 * Faults at random, the same for the same seed. They come in rounds of all of them, so that none is left out; two may be at the
 * same time in different places.
 */
export function schedule<F extends Schedulable>(
  faults: readonly F[],
  seed: number,
  totalMs: number,
): readonly Planned<F>[] {
  const random = seededRandom(seed)
  const gapMs = Math.min(MOST_GAP_MS, Math.max(LEAST_GAP_MS, totalMs / (ROUNDS * faults.length)))
  const planned: Planned<F>[] = []
  const free = new Map<string, number>()
  let round: F[] = []
  for (let atMs = FIRST_MS; atMs < totalMs; atMs += gapMs * (0.5 + random())) {
    if (round.length === 0) round = shuffled(faults, random)
    const next = round.findIndex(({ place }) => (free.get(place) ?? 0) <= atMs)
    if (next < 0) continue
    const [fault] = round.splice(next, 1) as [F]
    const mostMs = Math.min(fault.longestMs, totalMs / 4, totalMs - atMs)
    const forMs = Math.round(mostMs * (0.2 + 0.8 * random()))
    planned.push({ fault, atMs: Math.round(atMs), forMs })
    free.set(fault.place, atMs + forMs + REST_MS)
  }
  return planned
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const all = [...items]
  for (let i = all.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[all[i], all[j]] = [all[j] as T, all[i] as T]
  }
  return all
}
