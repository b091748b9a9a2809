import type { Cell } from '../results.ts'
import { type Draws, type Estimate, estimate } from './bootstrap.ts'

/** A batch, and how long it held the loop. */
export interface BatchStall {
  readonly case: string
  /** Decompressed. */
  readonly mb: number
  readonly ms: number
}

/** The line through an arm's batches: stall = intercept + slope × size. */
export interface Fit {
  readonly arm: string
  readonly points: readonly BatchStall[]
  /** Batches without a stall above 10 ms, or after the load: they have no place on the line. */
  readonly unseen: number
  readonly slopeMsPerMb: Estimate
  readonly interceptMs: number
  /** Part of the variance that the line explains. */
  readonly r2: number
}

const LEAST_POINTS = 10

/**
 * Each batch with the longest stall that ended after the batch before it had arrived and before it had itself: it is
 * built, serialised and only then sent. Batches without a stall above 10 ms, which is the least that is noted, are counted.
 */
export function pairBatches(cells: readonly Cell[]): { points: BatchStall[]; unseen: number } {
  const points: BatchStall[] = []
  let unseen = 0
  for (const cell of cells) {
    const stalls = cell.service.stalls.toSorted(([a], [b]) => a - b)
    let at = 0
    for (const [arrived, , bytes] of cell.batches.toSorted(([a], [b]) => a - b)) {
      let longest = 0
      for (; at < stalls.length; at++) {
        const [endedAt, ms] = stalls[at] as (typeof stalls)[number]
        if (endedAt > arrived) break
        longest = Math.max(longest, ms)
      }
      if (longest > 0) points.push({ case: cell.case, mb: bytes / 1e6, ms: longest })
      else unseen++
    }
  }
  return { points, unseen }
}

/** Least squares; undefined of fewer than ten batches with a stall, or of batches that are all of a size. */
export function fitOf(arm: string, cells: readonly Cell[], draws: Draws): Fit | undefined {
  const { points, unseen } = pairBatches(cells)
  if (points.length < LEAST_POINTS) return undefined
  const sizes = points.map((point) => point.mb)
  if (Math.max(...sizes) < 1.5 * Math.min(...sizes)) return undefined
  const { slope, intercept, r2 } = leastSquares(points)
  return {
    arm,
    points,
    unseen,
    slopeMsPerMb: {
      ...estimate(
        points.length,
        draws,
        (indices) => leastSquares(indices.map((index) => points[index] as BatchStall)).slope,
        LEAST_POINTS,
      ),
      value: slope,
    },
    interceptMs: intercept,
    r2,
  }
}

export function leastSquares(points: readonly { readonly mb: number; readonly ms: number }[]): {
  slope: number
  intercept: number
  r2: number
} {
  const n = points.length
  let x = 0
  let y = 0
  for (const point of points) {
    x += point.mb / n
    y += point.ms / n
  }
  let xx = 0
  let xy = 0
  let yy = 0
  for (const { mb, ms } of points) {
    xx += (mb - x) ** 2
    xy += (mb - x) * (ms - y)
    yy += (ms - y) ** 2
  }
  const slope = xy / xx
  return { slope, intercept: y - slope * x, r2: yy === 0 ? 1 : xy ** 2 / (xx * yy) }
}
