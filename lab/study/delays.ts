import type { Batch, Stall } from './results.ts'

/** A longer delay of the loop is a stall, ms. */
export const STALL_MS = 10

/** Whether the garbage collector ran in most of a stall. */
export function isCollection([endedAt, ms]: Stall, pauses: readonly Stall[]): boolean {
  const beganAt = endedAt - ms
  let collectedMs = 0
  for (const [pauseEndedAt, pauseMs] of pauses) {
    const overlap = Math.min(endedAt, pauseEndedAt) - Math.max(beganAt, pauseEndedAt - pauseMs)
    collectedMs += Math.max(0, overlap)
  }
  return collectedMs > ms / 2
}

/** Of the delays between one batch and the next the longest that is no collection: all that a line through batches needs. */
export function longestOfEach(
  batches: readonly Batch[],
  delays: readonly Stall[],
  pauses: readonly Stall[],
): Stall[] {
  const inTime = delays.filter((delay) => !isCollection(delay, pauses)).sort(([a], [b]) => a - b)
  const kept: Stall[] = []
  let at = 0
  for (const [arrived] of batches.toSorted(([a], [b]) => a - b)) {
    let longest: Stall | undefined
    for (; at < inTime.length; at++) {
      const delay = inTime[at] as Stall
      if (delay[0] > arrived) break
      if (longest === undefined || delay[1] > longest[1]) longest = delay
    }
    if (longest !== undefined) kept.push(longest)
  }
  return kept
}
