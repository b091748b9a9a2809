import type { Batch, Cell, Stall } from '../results.ts'

/** What one cell went through around its longest stall. Times in s after `from`. */
export interface Timeline {
  readonly arm: string
  readonly case: string
  readonly round: number
  /** The longest stall, ms. */
  readonly longestMs: number
  /** The whole cell, then the stall near by. */
  readonly windows: readonly [Window, Window]
}

export interface Window {
  /** s. */
  readonly length: number
  readonly stalls: readonly { readonly from: number; readonly to: number; readonly ms: number }[]
  readonly batches: readonly {
    readonly at: number
    readonly mb: number
    readonly observations: number
  }[]
}

/** The cell with the longest stall of those with batches; undefined when there is none above 10 ms. */
export function timelineOf(cells: readonly Cell[]): Timeline | undefined {
  let best: { cell: Cell; stall: Stall } | undefined
  for (const cell of cells) {
    if (cell.batches.length === 0) continue
    for (const stall of cell.service.stalls) {
      if (best === undefined || stall[1] > best.stall[1]) best = { cell, stall }
    }
  }
  if (best === undefined) return undefined
  const { cell, stall } = best
  const [endedAt, ms] = stall
  // The batch that the stall built is the first to arrive after it; its arrival belongs into the picture.
  const arrival = Math.min(
    ...cell.batches.map(([at]) => at).filter((at) => at >= endedAt),
    endedAt + 2 * ms,
  )
  const margin = Math.max(100, 0.75 * ms)
  const times = [
    ...cell.service.stalls.map(([at, length]) => at - length),
    ...cell.service.stalls.map(([at]) => at),
    ...cell.batches.map(([at]) => at),
  ]
  const first = times.reduce((a, b) => Math.min(a, b))
  const last = Math.min(
    times.reduce((a, b) => Math.max(a, b)),
    first + cell.seconds * 1000 + 5000,
  )
  return {
    arm: cell.arm,
    case: cell.case,
    round: cell.round,
    longestMs: ms,
    windows: [
      cut(cell, first - 200, Math.max(last, arrival) + 200),
      cut(cell, endedAt - ms - margin, arrival + margin),
    ],
  }
}

function cut(cell: Cell, from: number, to: number): Window {
  const seconds = (at: number): number => (at - from) / 1000
  return {
    length: (to - from) / 1000,
    stalls: cell.service.stalls
      .filter(([endedAt, ms]: Stall) => endedAt > from && endedAt - ms < to)
      .toSorted(([a], [b]) => a - b)
      .map(([endedAt, ms]) => ({ from: seconds(endedAt - ms), to: seconds(endedAt), ms })),
    batches: cell.batches
      .filter(([at]: Batch) => at >= from && at <= to)
      .toSorted(([a], [b]) => a - b)
      .map(([at, , bytes, observations]) => ({ at: seconds(at), mb: bytes / 1e6, observations })),
  }
}
