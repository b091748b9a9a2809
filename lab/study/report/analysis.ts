import type { ArmFacts, CaseFacts, Cell, Results } from '../results.ts'
import { type Attributed, attributedOf } from './attribution.ts'
import { type Draws, drawsOf } from './bootstrap.ts'
import { aboveOf, type FigureName } from './figure-names.ts'
import { type Fit, fitOf } from './fit.ts'
import {
  type CurvePoint,
  curveOf,
  type Figures,
  figuresOf,
  noiseOf,
  type Rounds,
  roundsOf,
} from './rows.ts'
import { type Timeline, timelineOf } from './timeline.ts'

/** An arm in a case, all rounds together. */
export interface Row {
  readonly case: string
  /** The arm's; the A/A pair's second run has `-again` behind. */
  readonly id: string
  readonly arm: ArmFacts
  readonly again: boolean
  readonly figures: Figures
  readonly curve: readonly CurvePoint[]
}

/** An arm at one size or rate of a sweep. */
export interface SweepRow extends Row {
  readonly part: 'sizes' | 'rates'
  /** Characters of a request, or requests a second. */
  readonly at: number
}

/** How far apart two runs of the same were, at most, in a round. */
interface Noise {
  readonly case: string
  readonly figures: Readonly<Partial<Record<FigureName, number>>>
}

/** All that reports and documents say, from the raw results of one study. */
export interface Findings {
  readonly about: Omit<Results, 'format' | 'arms' | 'cases' | 'cells' | 'attributions' | 'skipped'>
  readonly cases: readonly CaseFacts[]
  readonly rows: readonly Row[]
  readonly noise: readonly Noise[]
  readonly sweeps: readonly SweepRow[]
  /** By arm, over its cells in cases and in the sweep over sizes. */
  readonly fits: readonly Fit[]
  /** Delays of 2 ms and more were noted, and not stalls alone. */
  readonly hasDelays: boolean
  readonly attributed: readonly Attributed[]
  /** Of the longest stall with an SDK as installed. */
  readonly timeline: Timeline | undefined
  readonly arms: readonly ArmFacts[]
  readonly skipped: Results['skipped']
}

export function findingsOf(results: Results): Findings {
  const { format: _, arms, cases, cells, attributions, skipped, ...about } = results
  const draws = drawsOf(results.seed)
  const inCases = cells.filter((cell) => cell.part === 'cases')
  const rows = cases.flatMap((each) =>
    rowsOf(
      inCases.filter((cell) => cell.case === each.name),
      arms,
      draws,
    ),
  )
  return {
    about,
    cases: cases.filter((each) => rows.some((row) => row.case === each.name)),
    rows,
    noise: cases.flatMap((each) => noiseIn(each.name, inCases)),
    sweeps: [
      ...sweepOf('sizes', (cell) => cell.characters, cells, arms, draws),
      ...sweepOf('rates', (cell) => cell.perSecond, cells, arms, draws),
    ],
    fits: arms.flatMap((arm) => (isFitted(arm) ? fitsOf(arm.id, cells, draws) : [])),
    hasDelays: cells.some(({ service }) => service.delays !== undefined),
    attributed: attributions.map(attributedOf),
    timeline: timelineOf(inCases.filter((cell) => armOf(arms, cell.arm)?.group === 'installed')),
    arms,
    skipped,
  }
}

/** Whether a figure lies so near to that of the compared arm that two runs of the same lie as far apart. */
export function isWithinNoise(findings: Findings, row: Row, name: FigureName): boolean {
  const noise = findings.noise.find((each) => each.case === row.case)?.figures[name]
  const above = row.figures[aboveOf(name)]?.value
  return noise !== undefined && above !== undefined && Math.abs(above) <= noise
}

/** A batch of the relay holds up no service, and the stalls of several workers are told as one list. */
function isFitted(arm: ArmFacts): boolean {
  return arm.group !== 'elsewhere' && !arm.id.includes('workers')
}

function fitsOf(arm: string, cells: readonly Cell[], draws: Draws): Fit[] {
  const own = cells.filter((cell) => cell.arm === arm && cell.part !== 'rates')
  const fit = fitOf(arm, own, draws)
  return fit === undefined ? [] : [fit]
}

function rowsOf(cells: readonly Cell[], arms: readonly ArmFacts[], draws: Draws): Row[] {
  const roundsOfArm = new Map<string, Rounds>()
  for (const id of new Set(cells.map(idOf))) {
    roundsOfArm.set(id, roundsOf(cells.filter((cell) => idOf(cell) === id)))
  }
  return arms.flatMap((arm) =>
    [arm.id, `${arm.id}-again`].flatMap((id) => {
      const rounds = roundsOfArm.get(id)
      if (rounds === undefined) return []
      const again = id !== arm.id
      const against = again ? arm.id : arm.against
      const compared = against === id ? undefined : roundsOfArm.get(against)
      return [
        {
          case: rounds.cells[0]?.case ?? '',
          id,
          arm,
          again,
          figures: figuresOf(rounds, compared, draws),
          curve: curveOf(rounds),
        },
      ]
    }),
  )
}

function sweepOf(
  part: SweepRow['part'],
  by: (cell: Cell) => number,
  cells: readonly Cell[],
  arms: readonly ArmFacts[],
  draws: Draws,
): SweepRow[] {
  const swept = cells.filter((cell) => cell.part === part)
  const steps = [...new Set(swept.map(by))].toSorted((a, b) => a - b)
  return steps.flatMap((at) =>
    rowsOf(
      swept.filter((cell) => by(cell) === at),
      arms,
      draws,
    ).map((row) => ({ ...row, part, at })),
  )
}

function noiseIn(name: string, cells: readonly Cell[]): Noise[] {
  const again = cells.filter((cell) => cell.case === name && cell.again === true)
  const first = cells.filter(
    (cell) => cell.case === name && cell.again !== true && cell.arm === again[0]?.arm,
  )
  if (again.length === 0 || first.length === 0) return []
  return [{ case: name, figures: noiseOf(roundsOf(first), roundsOf(again)) }]
}

function idOf(cell: Cell): string {
  return cell.again === true ? `${cell.arm}-again` : cell.arm
}

function armOf(arms: readonly ArmFacts[], id: string): ArmFacts | undefined {
  return arms.find((arm) => arm.id === id)
}
