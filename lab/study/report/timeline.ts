import type { Batch, Cell, Stall } from '../results.ts'
import { SATURATED } from './attribution.ts'

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
  /** When the load ended, after which nothing is noted; it may lie beyond the window. */
  readonly loadedAt: number
  readonly stalls: readonly { readonly from: number; readonly to: number; readonly ms: number }[]
  readonly batches: readonly {
    readonly at: number
    readonly mb: number
    readonly observations: number
  }[]
}

/** Longer than a batch is on its way when it is compressed as well. */
const ARRIVES_WITHIN_MS = 3000

interface Seen {
  readonly cell: Cell
  readonly stall: Stall
  /** Of the batch that the stall built: the first to arrive after it. */
  readonly arrival: number | undefined
}

/**
 * The longest stall after which a batch arrived under load, or else the longest; undefined when there is none above 10 ms. Of
 * services that kept up: in others what piled up is in every stall.
 */
export function timelineOf(cells: readonly Cell[]): Timeline | undefined {
  let best: Seen | undefined
  for (const cell of cells.filter(keptUp)) {
    for (const stall of cell.service.stalls) {
      const arrival = cell.batches
        .map(([at]) => at)
        .filter(
          (at) => at >= stall[0] && at < Math.min(stall[0] + ARRIVES_WITHIN_MS, cell.measured[1]),
        )
        .reduce<number | undefined>((a, b) => Math.min(a ?? b, b), undefined)
      const seen = { cell, stall, arrival }
      if (best === undefined || rank(seen) > rank(best)) best = seen
    }
  }
  if (best === undefined) return undefined
  const { cell, stall } = best
  const [endedAt, ms] = stall
  const arrival = best.arrival ?? endedAt + ms
  const margin = Math.max(100, 0.75 * ms)
  const [begunAt, loadedAt] = cell.measured
  const last = cell.batches.map(([at]) => at).filter((at) => at < loadedAt + 5000)
  return {
    arm: cell.arm,
    case: cell.case,
    round: cell.round,
    longestMs: ms,
    windows: [
      cut(cell, begunAt, Math.max(loadedAt, ...last) + 200),
      cut(cell, endedAt - ms - margin, arrival + margin),
    ],
  }
}

function keptUp({ service, seconds }: Cell): boolean {
  const stalledMs = service.stalls.reduce((sum, [, ms]) => sum + ms, 0)
  return stalledMs <= SATURATED * seconds * 1000
}

function rank({ stall, arrival }: Seen): number {
  return stall[1] + (arrival === undefined ? 0 : 1e9)
}

function cut(cell: Cell, from: number, to: number): Window {
  const seconds = (at: number): number => (at - from) / 1000
  return {
    length: (to - from) / 1000,
    loadedAt: seconds(cell.measured[1]),
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
