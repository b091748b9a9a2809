import { seededRandom } from '../../../examples/vllm-simulator/text.ts'

/** What was measured, and where 95 of 100 repetitions would find it; no interval of one round. */
export interface Estimate {
  readonly value: number
  readonly low?: number
  readonly high?: number
}

const RESAMPLES = 1000

const LEAST_ROUNDS = 2

/** Draws of `n` out of `n` with replacement, as lists of indices; the same for the same seed. */
export type Draws = (n: number) => readonly (readonly number[])[]

/** Draws for a report: those of one `n` are made once, so that what is compared is drawn alike. */
export function drawsOf(seed: number): Draws {
  const made = new Map<number, readonly (readonly number[])[]>()
  return (n) => {
    let draws = made.get(n)
    if (draws === undefined) {
      const random = seededRandom(seed + n)
      const index = (): number => Math.floor(random() * n)
      draws = Array.from({ length: RESAMPLES }, () => Array.from({ length: n }, index))
      made.set(n, draws)
    }
    return draws
  }
}

/**
 * The statistic of `n` items, with the 95 % interval of its values over draws of them (percentile bootstrap). With two or
 * three rounds that is the range of the rounds: it then tells apart what differs in every round, and no more.
 *
 * @param statistic of the items with these indices; each as often as it is there
 */
export function estimate(
  n: number,
  draws: Draws,
  statistic: (indices: readonly number[]) => number,
  least: number = LEAST_ROUNDS,
): Estimate {
  const value = statistic(Array.from({ length: n }, (_, index) => index))
  if (n < least || !Number.isFinite(value)) return { value }
  const values = Float64Array.from(draws(n), statistic).filter(Number.isFinite).sort()
  const low = values[Math.floor(0.025 * (values.length - 1))]
  const high = values[Math.ceil(0.975 * (values.length - 1))]
  return low === undefined || high === undefined ? { value } : { value, low, high }
}
