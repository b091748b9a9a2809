import { seededRandom } from '../../../examples/vllm-simulator/text.ts'

/** What the schedule has to know of a fault. */
export interface Schedulable {
  readonly name: string
  /** Where it happens: one fault at a time in each place. */
  readonly place: string
  readonly longestMs: number
  /** It is never shorter; undefined: a short run has short ones. Of one fault of a place at most. */
  readonly leastMs?: number
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
/** Of the run: what one fault takes at most, and all of one that has a least length, but for the first. */
const SHARE = 1 / 4

/**
 * Faults at random, the same for the same seed. They come in rounds of all of them, so that none is left out; two may be at the
 * same time in different places. Those of a least length come apart from that, once at least in a run that has room for them.
 */
export function schedule<F extends Schedulable>(
  faults: readonly F[],
  seed: number,
  totalMs: number,
): readonly Planned<F>[] {
  const random = seededRandom(seed)
  // First of all: the others find their places around them.
  const reserved = faults.flatMap((fault) => reserve(fault, random, totalMs))
  const others = faults.filter(({ leastMs }) => leastMs === undefined)
  const gapMs = Math.min(MOST_GAP_MS, Math.max(LEAST_GAP_MS, totalMs / (ROUNDS * faults.length)))
  const planned: Planned<F>[] = [...reserved]
  const free = new Map<string, number>()
  const isFree = ({ place, longestMs }: F, atMs: number): boolean => {
    const endMs = atMs + Math.min(longestMs, totalMs * SHARE) + REST_MS
    const ofPlace = reserved.filter(({ fault }) => fault.place === place)
    const isReserved = ofPlace.some((one) => {
      return atMs < one.atMs + one.forMs + REST_MS && one.atMs < endMs
    })
    return !isReserved && (free.get(place) ?? 0) <= atMs
  }
  const round: F[] = []
  for (let atMs = FIRST_MS; atMs < totalMs; atMs += gapMs * (0.5 + random())) {
    const canBegin = (fault: F): boolean => isFree(fault, atMs)
    // What is left of a round may all wait for one place, and that for a minute.
    if (!round.some(canBegin)) {
      const more = others.filter((fault) => !round.includes(fault))
      round.push(...shuffled(more, random))
    }
    const next = round.findIndex(canBegin)
    if (next < 0) continue
    const [fault] = round.splice(next, 1) as [F]
    const mostMs = Math.min(fault.longestMs, totalMs * SHARE, totalMs - atMs)
    const forMs = Math.round(mostMs * (0.2 + 0.8 * random()))
    planned.push({ fault, atMs: Math.round(atMs), forMs })
    free.set(fault.place, atMs + forMs + REST_MS)
  }
  return planned.sort((one, other) => one.atMs - other.atMs)
}

/** False: a run of that length is too short for the least length of the fault. */
export function hasRoom({ longestMs, leastMs }: Schedulable, totalMs: number): boolean {
  return leastMs === undefined || FIRST_MS + longestMs + REST_MS <= totalMs
}

/** A fault of a least length, once in each of some equal parts of the run. */
function reserve<F extends Schedulable>(
  fault: F,
  random: () => number,
  totalMs: number,
): Planned<F>[] {
  const { leastMs, longestMs } = fault
  if (leastMs === undefined || !hasRoom(fault, totalMs)) return []
  const times = Math.max(1, Math.floor((totalMs * SHARE) / longestMs))
  const partMs = (totalMs - FIRST_MS) / times
  return Array.from({ length: times }, (_, part) => {
    const atMs = FIRST_MS + part * partMs + random() * (partMs - longestMs - REST_MS)
    const forMs = leastMs + random() * (longestMs - leastMs)
    return { fault, atMs: Math.round(atMs), forMs: Math.round(forMs) }
  })
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const all = [...items]
  for (let i = all.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[all[i], all[j]] = [all[j] as T, all[i] as T]
  }
  return all
}
