import { median } from '../../apparatus/statistics.ts'
import { CASES, type CaseName } from '../cases.ts'
import { isCollection, STALL_MS } from '../delays.ts'
import type { Cell } from '../results.ts'
import { type Draws, type Estimate, estimate } from './bootstrap.ts'

/** A batch, and how long it held the loop. */
export interface BatchStall {
  readonly case: string
  /** Decompressed. */
  readonly mb: number
  readonly longestMs: number
  /**
   * Of all stalls above 10 ms that go with the batch: where a GIL is handed to and fro, one batch holds the loop many times.
   * 0 when the longest was shorter.
   */
  readonly togetherMs: number
}

/** An arm's batches, and the lines through them. */
export interface Fit {
  readonly arm: string
  readonly points: readonly BatchStall[]
  /** Batches without a stall that was noted (above 10 ms, in JavaScript above 2): they have no place on the lines. */
  readonly unseen: number
  readonly longest: FittedLine
  /** Through batches with a stall above 10 ms; undefined: too few, or too much alike. */
  readonly together: FittedLine | undefined
  /** Batches by the kind of text that they hold: a letter of two bytes may cost more than two letters. Of a single kind: none. */
  readonly kinds: readonly KindOfText[]
}

/** An arm's batches of one kind of text. */
interface KindOfText {
  readonly name: 'english' | 'vietnamese'
  readonly batches: number
  /** Undefined of batches too few or too much alike: they have the longest stall for each MB, in the median. */
  readonly longest: FittedLine | undefined
  readonly msPerMb: Estimate | undefined
}

/** Stall = intercept + slope × size. */
export interface FittedLine {
  readonly slopeMsPerMb: Estimate
  readonly interceptMs: number
  /** Part of the variance that the line explains. */
  readonly r2: number
}

const LEAST_POINTS = 10

/**
 * Each batch with the stalls that ended after the batch before it had arrived and before it had itself: it is built,
 * serialised and only then sent. In JavaScript, where most batches hold the loop for less than 10 ms, the longest may be a
 * delay of 2 ms and more. Batches without either are counted. Left out: stalls of the garbage collector, which looks at all
 * that the process has; batches that arrived after the load, since nobody has seen how they held the loop; and services
 * that did not deliver all, since stalls of a lost batch would count for the next.
 */
export function pairBatches(cells: readonly Cell[]): { points: BatchStall[]; unseen: number } {
  const points: BatchStall[] = []
  let unseen = 0
  for (const cell of cells) {
    if (cell.delivered < cell.service.recorded) continue
    const { stalls: above, delays = [], gc } = cell.service
    const stalls = [...above, ...delays]
      .filter((stall) => !isCollection(stall, gc.pauses ?? []))
      .toSorted(([a], [b]) => a - b)
    const [, loadedAt] = cell.measured
    let at = 0
    for (const [arrived, , bytes] of cell.batches.toSorted(([a], [b]) => a - b)) {
      if (arrived > loadedAt) break
      let longestMs = 0
      let togetherMs = 0
      for (; at < stalls.length; at++) {
        const [endedAt, ms] = stalls[at] as (typeof stalls)[number]
        if (endedAt > arrived) break
        longestMs = Math.max(longestMs, ms)
        if (ms > STALL_MS) togetherMs += ms
      }
      if (longestMs > 0) points.push({ case: cell.case, mb: bytes / 1e6, longestMs, togetherMs })
      else unseen++
    }
  }
  return { points, unseen }
}

/** Undefined of fewer than ten batches with a stall, or of batches that are all of a size. */
export function fitOf(arm: string, cells: readonly Cell[], draws: Draws): Fit | undefined {
  const { points, unseen } = pairBatches(cells)
  if (!makeLine(points)) return undefined
  const long = points.filter(({ togetherMs }) => togetherMs > 0)
  return {
    ...{ arm, points, unseen },
    longest: fittedLine(
      points.map(({ mb, longestMs }) => ({ mb, ms: longestMs })),
      draws,
    ),
    together: makeLine(long)
      ? fittedLine(
          long.map(({ mb, togetherMs }) => ({ mb, ms: togetherMs })),
          draws,
        )
      : undefined,
    kinds: kindsOf(points, draws),
  }
}

function makeLine(points: readonly BatchStall[]): boolean {
  const sizes = points.map((point) => point.mb)
  return points.length >= LEAST_POINTS && Math.max(...sizes) >= 1.5 * Math.min(...sizes)
}

function kindsOf(points: readonly BatchStall[], draws: Draws): KindOfText[] {
  const kinds = (['english', 'vietnamese'] as const).map((name) => ({
    name,
    own: points.filter((point) => languageOf(point.case) === name),
  }))
  if (kinds.some(({ own }) => own.length === 0)) return []
  return kinds.map(({ name, own }) => {
    const isLine = makeLine(own)
    const line = isLine ? own.map(({ mb, longestMs }) => ({ mb, ms: longestMs })) : []
    return {
      name,
      batches: own.length,
      longest: isLine ? fittedLine(line, draws) : undefined,
      msPerMb: isLine ? undefined : estimate(own.length, draws, ratioOf(own)),
    }
  })
}

function ratioOf(points: readonly BatchStall[]): (indices: readonly number[]) => number {
  const ratios = points.map(({ mb, longestMs }) => longestMs / mb)
  return (indices) => median(indices.map((index) => ratios[index] as number))
}

function languageOf(inCase: string): KindOfText['name'] {
  return CASES[inCase as CaseName]?.language === 'vi' ? 'vietnamese' : 'english'
}

interface Point {
  readonly mb: number
  readonly ms: number
}

function fittedLine(points: readonly Point[], draws: Draws): FittedLine {
  const { intercept, r2 } = leastSquares(points)
  return {
    slopeMsPerMb: estimate(
      points.length,
      draws,
      (indices) => leastSquares(indices.map((index) => points[index] as Point)).slope,
    ),
    interceptMs: intercept,
    r2,
  }
}

export function leastSquares(points: readonly Point[]): {
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
