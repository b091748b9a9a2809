import type { Attribution, Share } from '../results.ts'
import { sum } from './rows.ts'

/** Part of a time, 0 to 1, that something had. */
export interface Part {
  readonly name: string
  readonly share: number
}

/** Who ran while the loop stood still, over all stalls of a cell together. */
export interface Attributed {
  readonly arm: string
  readonly case: string
  readonly tool: string
  readonly seconds: number
  readonly stalls: number
  readonly stalledMs: number
  readonly longestMs: number
  /** The loop was held for most of the time: what ran in the stalls is then what ran at all, the work that piled up included. */
  readonly isSaturated: boolean
  /** Parts of the stalled time, largest first. What no sample explains is missing from the sum. */
  readonly threads: readonly Part[]
  readonly packages: readonly Part[]
  readonly functions: readonly (Part & { readonly thread: string; readonly package: string })[]
  /** Parts of what was sampled over the whole cell, by package. */
  readonly overall: readonly Part[]
}

/** Of the time. */
export const SATURATED = 0.5

export function attributedOf(attribution: Attribution): Attributed {
  const { stalls, overall, ...about } = attribution
  const shares = stalls.flatMap((stall) => stall.shares)
  // Samples may add up to a little more than what the ticker saw.
  const stalledMs = Math.max(sum(stalls.map((stall) => stall.ms)), sum(shares.map(({ ms }) => ms)))
  const functions = new Map<string, Share>()
  for (const share of shares) {
    const key = JSON.stringify([share.thread, share.package, share.function])
    functions.set(key, { ...share, ms: share.ms + (functions.get(key)?.ms ?? 0) })
  }
  return {
    arm: about.arm,
    case: about.case,
    tool: about.tool,
    seconds: about.seconds,
    stalls: stalls.length,
    stalledMs,
    longestMs: Math.max(0, ...stalls.map((stall) => stall.ms)),
    isSaturated: stalledMs > SATURATED * about.seconds * 1000,
    threads: partsOf(shares, stalledMs, (share) => share.thread),
    packages: partsOf(shares, stalledMs, (share) => share.package),
    functions: [...functions.values()]
      .toSorted((a, b) => b.ms - a.ms)
      .slice(0, 12)
      .map(({ thread, package: from, function: name, ms }) => ({
        name,
        thread,
        package: from,
        share: ms / stalledMs,
      })),
    overall: partsOf(overall, sum(overall.map(({ ms }) => ms)), (share) => share.package),
  }
}

function partsOf(shares: readonly Share[], wholeMs: number, by: (share: Share) => string): Part[] {
  const sums = new Map<string, number>()
  for (const share of shares) sums.set(by(share), (sums.get(by(share)) ?? 0) + share.ms)
  return [...sums]
    .toSorted(([, a], [, b]) => b - a)
    .map(([name, ms]) => ({ name, share: ms / wholeMs }))
}
