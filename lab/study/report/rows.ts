import { median } from '../../apparatus/statistics.ts'
import type { Cell } from '../results.ts'
import { type Draws, type Estimate, estimate } from './bootstrap.ts'
import { aboveOf, type FigureName } from './figure-names.ts'
import { isTold, type Latencies, readLatencies } from './latencies.ts'

export type Figures = Readonly<Partial<Record<FigureName, Estimate>>>

/** A point of a latency curve. */
export type CurvePoint = readonly [percent: number, ms: number]

const MB = 1e6

/** Figures that each round has one of: the row shows the median. */
const OF_A_ROUND: Readonly<Partial<Record<FigureName, (cell: Cell) => number | undefined>>> = {
  mean_ms: (cell) => cell.meanMs,
  lag_p50_ms: (cell) => cell.service.lag.p50Ms,
  lag_p99_ms: (cell) => cell.service.lag.p99Ms,
  lag_round_max_ms: (cell) => cell.service.lag.maxMs,
  gil_p50_ms: (cell) => cell.service.gil?.p50Ms,
  gil_p99_ms: (cell) => cell.service.gil?.p99Ms,
  gc_full_per_minute: (cell) => (cell.service.gc.full / measuredMs(cell)) * 60_000,
  gc_share: (cell) => cell.service.gc.totalMs / measuredMs(cell),
  stalls_per_minute: (cell) => (cell.service.stalls.length / measuredMs(cell)) * 60_000,
  stalled_share: (cell) => sum(cell.service.stalls.map(([, ms]) => ms)) / measuredMs(cell),
  cpu_main_us: (cell) => cell.service.mainUs,
  cpu_other_us: (cell) => cell.service.processUs - cell.service.mainUs,
  cpu_process_us: (cell) => cell.service.processUs,
  cpu_beside_us: (cell) => cell.besideUs,
  cpu_total_us: (cell) => cell.service.processUs + cell.besideUs,
  rss_mb: (cell) => cell.service.rssMb,
  threads: (cell) => cell.service.threads,
  flush_ms: (cell) => cell.service.flushMs,
  answered_per_second: (cell) => ((cell.requests - cell.failed) / measuredMs(cell)) * 1000,
}

/** Figures of rounds that are compared. */
const COMPARED: readonly FigureName[] = [
  'mean_ms',
  'lag_round_max_ms',
  'cpu_main_us',
  'cpu_process_us',
  'cpu_total_us',
  'rss_mb',
]

/** Where a request's excess goes. What remains of the mean's excess is waiting: for the loop, or for the GIL to run it. */
const SPLIT: Readonly<Partial<Record<FigureName, (cell: Cell) => number>>> = {
  recording_us: (cell) => cell.service.split.recordingUs,
  waiting_us: (cell) => cell.service.split.waitingInCallsUs,
  blocked_us: (cell) => cell.service.split.flushUs,
  network_us: (cell) => cell.service.split.networkUs,
}

const PERCENTILES: readonly (readonly [percent: number, name: FigureName])[] = [
  [50, 'p50_ms'],
  [95, 'p95_ms'],
  [99, 'p99_ms'],
  [99.9, 'p999_ms'],
]

/** Cells of one arm, by round, with what is computed of them once. */
export interface Rounds {
  readonly cells: readonly Cell[]
  readonly latencies: Latencies
}

export function roundsOf(cells: readonly Cell[]): Rounds {
  const sorted = cells.toSorted((a, b) => a.round - b.round)
  return { cells: sorted, latencies: readLatencies(sorted.map((cell) => cell.latency)) }
}

/** All figures of an arm's rounds, and those above `against`, where there is one. */
export function figuresOf(rounds: Rounds, against: Rounds | undefined, draws: Draws): Figures {
  return {
    ...latencyFigures(rounds, draws),
    ...roundFigures(rounds, draws),
    ...deliveryFigures(rounds.cells),
    ...(against === undefined ? {} : excess(rounds, against, draws)),
  }
}

function latencyFigures({ cells, latencies }: Rounds, draws: Draws): Figures {
  const figures: Partial<Record<FigureName, Estimate>> = {
    requests: { value: latencies.requests },
    failed: { value: sum(cells.map((cell) => cell.failed)) },
    max_ms: { value: latencies.maxMs },
  }
  for (const [percent, name] of PERCENTILES) {
    if (!isTold(percent, startedIn(cells))) continue
    figures[name] = estimate(cells.length, draws, (indices) =>
      latencies.percentileMs(percent, indices),
    )
  }
  return figures
}

function roundFigures({ cells }: Rounds, draws: Draws): Figures {
  const figures: Partial<Record<FigureName, Estimate>> = {
    lag_max_ms: { value: Math.max(...cells.map((cell) => cell.service.lag.maxMs)) },
  }
  for (const [name, of] of Object.entries(OF_A_ROUND)) {
    const values = cells.map(of).filter((value) => value !== undefined)
    if (values.length > 0) figures[name as FigureName] = medianOf(values, draws)
  }
  figures.gc_full_max_ms = { value: Math.max(...cells.map((cell) => cell.service.gc.fullMaxMs)) }
  const gil = cells.map((cell) => cell.service.gil?.maxMs).filter((ms) => ms !== undefined)
  if (gil.length > 0) figures.gil_max_ms = { value: Math.max(...gil) }
  return figures
}

function deliveryFigures(cells: readonly Cell[]): Figures {
  const recorded = sum(cells.map((cell) => cell.service.recorded))
  const delivered = sum(cells.map((cell) => cell.delivered))
  const batches = cells.flatMap((cell) => cell.batches)
  const traced = cells.filter((cell) => cell.traces !== undefined)
  const figures: Partial<Record<FigureName, Estimate>> = {
    recorded: { value: recorded },
    delivered: { value: delivered },
    lost: { value: recorded - delivered },
    given_up: { value: cells.filter(isGivenUp).length },
    batches: { value: batches.length },
    wire_mb: { value: sum(batches.map(([, wire]) => wire)) / MB },
  }
  if (recorded > 0) figures.delivered_share = { value: delivered / recorded }
  const held = cells.map(heldIn)
  if (held.every((count) => count !== undefined)) {
    figures.held = { value: sum(held) }
    figures.dropped = { value: Math.max(0, recorded - delivered - sum(held)) }
  }
  const late = cells.flatMap(({ batches: own, measured: [, loadedAt] }) =>
    own.filter(([at]) => at > loadedAt),
  )
  figures.delivered_after_load = { value: sum(late.map((batch) => batch[3])) }
  if (batches.length > 0) {
    const bytes = batches.map(([, , decompressed]) => decompressed)
    const lastMs = cells.flatMap(({ batches: own, measured: [, loadedAt] }) =>
      own.length === 0 ? [] : [Math.max(...own.map(([at]) => at)) - loadedAt],
    )
    figures.last_arrival_ms = { value: Math.max(...lastMs) }
    figures.batch_mean_mb = { value: sum(bytes) / bytes.length / MB }
    figures.batch_max_mb = { value: bytes.reduce((a, b) => Math.max(a, b), 0) / MB }
    figures.batch_observations = { value: sum(batches.map((batch) => batch[3])) / batches.length }
  }
  if (traced.length > 0) {
    const traces = sum(traced.map((cell) => cell.traces as number))
    const requests = sum(traced.map((cell) => cell.requests - cell.failed))
    figures.traces_per_request = { value: traces / requests }
  }
  return figures
}

/** Round by round, for the machine's mood changes between them. */
function excess(rounds: Rounds, against: Rounds, draws: Draws): Figures {
  const pairs = pairsOf(rounds.cells, against.cells)
  if (pairs.length === 0) return {}
  const figures: Partial<Record<FigureName, Estimate>> = {}
  const above = (of: (cell: Cell) => number | undefined): Estimate =>
    medianOf(
      pairs.map(([a, b]) => (of(a) ?? Number.NaN) - (of(b) ?? Number.NaN)),
      draws,
    )
  for (const name of COMPARED) {
    figures[aboveOf(name)] = above(OF_A_ROUND[name] as (cell: Cell) => number | undefined)
  }
  for (const [name, of] of Object.entries(SPLIT)) figures[name as FigureName] = above(of)
  figures.rest_us = above(
    (cell) => cell.meanMs * 1000 - sum(Object.values(SPLIT).map((of) => of(cell))),
  )
  const least = Math.min(startedIn(rounds.cells), startedIn(against.cells))
  for (const [percent, name] of PERCENTILES) {
    if (!isTold(percent, least) || name === 'p999_ms') continue
    figures[aboveOf(name)] = estimate(pairs.length, draws, (indices) => {
      const of = ({ cells, latencies }: Rounds, side: 0 | 1): number =>
        latencies.percentileMs(
          percent,
          indices.map((index) => cells.indexOf((pairs[index] as readonly Cell[])[side] as Cell)),
        )
      return of(rounds, 0) - of(against, 1)
    })
  }
  return figures
}

/** The largest difference in a round between two runs of the same: what differs by less is not told apart. */
export function noiseOf(
  first: Rounds,
  again: Rounds,
): Readonly<Partial<Record<FigureName, number>>> {
  const pairs = pairsOf(first.cells, again.cells)
  const noise: Partial<Record<FigureName, number>> = {}
  const largest = (differences: readonly number[]): number =>
    Math.max(...differences.map((difference) => Math.abs(difference)))
  for (const [name, of] of Object.entries(OF_A_ROUND)) {
    const differences = pairs.map(([a, b]) => (of(a) ?? Number.NaN) - (of(b) ?? Number.NaN))
    const value = largest(differences)
    if (Number.isFinite(value)) noise[name as FigureName] = value
  }
  for (const [percent, name] of PERCENTILES) {
    if (!isTold(percent, Math.min(startedIn(first.cells), startedIn(again.cells)))) continue
    noise[name] = largest(
      pairs.map(
        ([a, b]) =>
          first.latencies.percentileMs(percent, [first.cells.indexOf(a)]) -
          again.latencies.percentileMs(percent, [again.cells.indexOf(b)]),
      ),
    )
  }
  return noise
}

/** Percentiles for a curve, up to what the requests can tell. */
export function curveOf({ latencies }: Rounds): readonly CurvePoint[] {
  const steps = [0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.95, 99.99]
  return steps
    .filter((percent) => latencies.requests * (1 - percent / 100) >= 10)
    .map((percent) => [percent, latencies.percentileMs(percent)] as const)
}

/** What the service still held; undefined: its flush was given up, and nobody looked. */
function heldIn(cell: Cell): number | undefined {
  return cell.service.held ?? (isGivenUp(cell) ? undefined : 0)
}

/** Earlier results don't say so: a flush was given up after 30 s. */
function isGivenUp({ service }: Cell): boolean {
  return service.isFlushGivenUp ?? service.flushMs >= 30_000
}

/** Longer than the load when requests queue up. */
function measuredMs({ measured: [from, to] }: Cell): number {
  return to - from
}

/** Failed ones too: a single failure is told beside, and takes no percentile away. */
function startedIn(cells: readonly Cell[]): number {
  return sum(cells.map((cell) => cell.requests))
}

function pairsOf(cells: readonly Cell[], others: readonly Cell[]): (readonly [Cell, Cell])[] {
  return cells.flatMap((cell) => {
    const other = others.find((each) => each.round === cell.round)
    return other === undefined ? [] : [[cell, other] as const]
  })
}

function medianOf(values: readonly number[], draws: Draws): Estimate {
  return estimate(values.length, draws, (indices) =>
    median(indices.map((index) => values[index] as number)),
  )
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
