import { seededRandom } from '../../../examples/vllm-simulator/text.ts'

/** What was measured, and where 95 of 100 repetitions would find it; no interval of one round. */
export interface Estimate {
  readonly value: number
  readonly low?: number
  readonly high?: number
}

const RESAMPLES = 1000

/** Draws of `n` out of `n` with replacement; the same for the same seed. */
export type Draws = (n: number) => readonly Draw[]

interface Draw {
  /** Ascending. */
  readonly indices: readonly number[]
  /** The first draw of the same items: of three there are but ten, and a percentile takes its time. */
  readonly same: number
}

/** Draws for a report: those of one `n` are made once, so that what is compared is drawn alike. */
export function drawsOf(seed: number): Draws {
  const made = new Map<number, readonly Draw[]>()
  return (n) => {
    const draws = made.get(n) ?? drawn(n, seededRandom(seed + n))
    made.set(n, draws)
    return draws
  }
}

function drawn(n: number, random: () => number): Draw[] {
  const first = new Map<string, number>()
  return Array.from({ length: RESAMPLES }, (_, at) => {
    const indices = Array.from({ length: n }, () => Math.floor(random() * n)).sort((a, b) => a - b)
    const key = indices.join()
    const same = first.get(key) ?? at
    first.set(key, same)
    return { indices, same }
  })
}

/**
 * The statistic of `n` items, with the 95 % interval of its values over draws of them (percentile bootstrap). With two or
 * three rounds that is the range of the rounds: it then tells apart what differs in every round, and no more.
 *
 * @param statistic of the items with these indices, each as often as it is there; their order means nothing
 */
export function estimate(
  n: number,
  draws: Draws,
  statistic: (indices: readonly number[]) => number,
): Estimate {
  const value = statistic(Array.from({ length: n }, (_, index) => index))
  if (n < 2 || !Number.isFinite(value)) return { value }
  const drawnValues: number[] = []
  for (const [at, { indices, same }] of draws(n).entries()) {
    drawnValues.push(same < at ? (drawnValues[same] as number) : statistic(indices))
  }
  const values = Float64Array.from(drawnValues).filter(Number.isFinite).sort()
  const low = values[Math.floor(0.025 * (values.length - 1))]
  const high = values[Math.ceil(0.975 * (values.length - 1))]
  return low === undefined || high === undefined ? { value } : { value, low, high }
}
