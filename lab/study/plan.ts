import { seededRandom } from '../../examples/vllm-simulator/text.ts'
import { shuffled } from '../apparatus/statistics.ts'
import type { Arm } from './arms.ts'
import { CASES, type Case, type CaseName } from './cases.ts'
import type { CellPlan } from './cell.ts'

/** What is asked of a run. */
export interface StudyOptions {
  readonly quick: boolean
  /** Sizes and rates in the place of the cases; with `arms` of these, else of those that are marked so. */
  readonly sweeps: boolean
  /** Half the requests a second where a case asks for many, in twice the time; so has a quick run, for any machine. */
  readonly slow: boolean
  /** Undefined: all that belong to the run. */
  readonly arms: readonly string[] | undefined
  readonly cases: readonly CaseName[] | undefined
  /** A file with the user's own requests, in the place of all cases. */
  readonly bodies: string | undefined
  readonly rounds: number | undefined
  /** Measured seconds of a cell; undefined: the case's own. */
  readonly seconds: number | undefined
  /** Requests a second; undefined: the case's own. */
  readonly perSecond: number | undefined
  readonly seed: number
}

const QUICK_CASES: readonly CaseName[] = ['rag', 'longctx']
/** Of the case's own seconds. */
const QUICK_SHARE = 0.35
const QUICK_MOST_S = 10

/** Of these and more a second a slow machine gets half. */
const MANY = 50

/** A batch of Langfuse's goes each 5 s. */
const SWEPT_S = 10
const SIZES = { perSecond: 20, characters: [4, 16, 64, 256].map((kb) => kb * 1024) }
const RATES = { perSecond: [50, 100, 150], characters: 64 * 1024 }

/** The arms of a run: what was asked for, and what they are compared with. */
export function chosenArms(
  all: readonly Arm[],
  quick: readonly string[],
  options: StudyOptions,
): readonly Arm[] {
  const marked = options.sweeps ? all.filter(({ swept }) => swept) : all
  const wished = options.arms ?? (options.quick ? quick : marked.map(({ id }) => id))
  const wanted = new Set(wished)
  for (const arm of all) if (wanted.has(arm.id)) wanted.add(arm.against ?? 'untraced')
  return all.filter(({ id }) => wanted.has(id))
}

/** Cells in the order in which they run: in each round cases in random order, and within a case the arms. */
export function planOfCells(arms: readonly Arm[], options: StudyOptions): CellPlan[] {
  const random = seededRandom(options.seed)
  if (options.sweeps) return sweeps(arms, options, random)
  const rounds = options.rounds ?? (options.quick ? 1 : 2)
  const names = casesOf(options)
  const plans: CellPlan[] = []
  for (let round = 1; round <= rounds; round++) {
    for (const name of shuffled(names, random)) {
      const { path, language, characters } = CASES[name]
      const seed = options.seed * 1000 + round
      const shared = { part: 'cases', case: name, round, path, language, characters } as const
      const lanes = lanesOf(arms, name).map((lane) => {
        const load = lane.arm.load ?? loadOf(CASES[name], options.slow || options.quick)
        const perSecond = options.perSecond ?? load.perSecond
        const seconds = options.seconds ?? usualSeconds(load.seconds, options.quick)
        const bodies = name === 'own' ? options.bodies : undefined
        return { ...shared, ...lane, bodies, perSecond, seconds, seed }
      })
      plans.push(...shuffled(lanes, random))
    }
  }
  const isWhole =
    names.length > 1 && options.arms === undefined && options.cases === undefined && !options.quick
  if (!isWhole) return plans
  const swept = arms.filter((arm) => arm.swept)
  return [...plans, ...sweeps(swept, { ...options, rounds: 1 }, random)]
}

function casesOf({ cases, quick, bodies }: StudyOptions): CaseName[] {
  if (bodies !== undefined) return ['own']
  const wished = cases ?? (quick ? QUICK_CASES : undefined)
  const all = (Object.keys(CASES) as CaseName[]).filter((name) => name !== 'own')
  return all.filter((name) => wished?.includes(name) ?? true)
}

function loadOf({ perSecond, seconds }: Case, slow: boolean): Pick<Case, 'perSecond' | 'seconds'> {
  const isHalved = slow && perSecond >= MANY
  return isHalved ? { perSecond: perSecond / 2, seconds: seconds * 2 } : { perSecond, seconds }
}

function usualSeconds(seconds: number, quick: boolean): number {
  return quick ? Math.min(QUICK_MOST_S, seconds * QUICK_SHARE) : seconds
}

/** Arms of a case; the one without tracing stands there twice. */
function lanesOf(arms: readonly Arm[], name: CaseName): { arm: Arm; again?: true }[] {
  const like = name === 'own' ? 'rag' : name
  const inCase = arms.filter((arm) => arm.cases.includes(like))
  return inCase.flatMap((arm) =>
    arm.id === 'untraced' ? [{ arm }, { arm, again: true as const }] : [{ arm }],
  )
}

/** In each round all sizes, then all rates, each in random order; and so the arms of one. */
function sweeps(arms: readonly Arm[], options: StudyOptions, random: () => number): CellPlan[] {
  const { path, language } = CASES.rag
  const seconds = options.seconds ?? SWEPT_S
  const lanes = lanesOf(arms, 'rag')
  const plans: CellPlan[] = []
  for (let round = 1; round <= (options.rounds ?? 1); round++) {
    const seed = options.seed * 1000 + round
    const shared = { case: 'rag', round, path, language, seconds, seed } as const
    const add = (part: 'sizes' | 'rates', characters: number, perSecond: number): void => {
      const cells = lanes.map((lane) => ({ ...shared, ...lane, part, characters, perSecond }))
      plans.push(...shuffled(cells, random))
    }
    for (const size of shuffled(SIZES.characters, random)) add('sizes', size, SIZES.perSecond)
    const rates = RATES.perSecond.map((rate) => (options.slow ? rate / 2 : rate))
    for (const rate of shuffled(rates, random)) add('rates', RATES.characters, rate)
  }
  return plans
}

/** Seconds that a run of cells takes, about. */
export function durationOf(plans: readonly CellPlan[]): number {
  // Starting, warm-up and delivery.
  return plans.reduce((sum, { seconds }) => sum + seconds + 5, 0)
}
