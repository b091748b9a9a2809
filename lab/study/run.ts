import { execFileSync } from 'node:child_process'
import { availableParallelism, cpus, release, type as systemType, totalmem } from 'node:os'
import { startModel } from '../apparatus/processes.ts'
import { UsageError } from '../command-line.ts'
import type { Arm } from './arms.ts'
import { createBesides, whyNot } from './beside.ts'
import { busyShare } from './busy.ts'
import { CASES, type CaseName } from './cases.ts'
import { type CellPlan, runCell, type Stage, type Watch } from './cell.ts'
import { chosenArms, durationOf, planOfCells, type StudyOptions } from './plan.ts'
import type { Attribution, Cell, Results, Study } from './results.ts'

/** What a study in one language brings. */
export interface Language {
  readonly study: Study
  readonly arms: readonly Arm[]
  /** Arms of `--quick`, without those that they are compared with. */
  readonly quickArms: readonly string[]
  /** Makes ready what services of these arms run in. Takes a minute the first time. */
  prepare(arms: readonly Arm[], progress: (text: string) => void): Promise<Prepared>
}

interface Prepared {
  readonly startService: Stage['startService']
  /** Of what is measured, by name. */
  readonly versions: Readonly<Record<string, string>>
  /** Looks into one service: who ran while the loop stood still. */
  profiler(arm: Arm): Profiler
}

export interface Profiler {
  readonly tool: string
  readonly watch: Watch
  /** After the cell: what ran in its stalls, or why that can't be said here. */
  attribute(cell: Cell): Promise<Pick<Attribution, 'stalls' | 'overall'> | { reason: string }>
}

const PROFILED_S = { full: 15, quick: 8 }

/** Runs a study; `keep` is called with all that is measured so far, after each cell. */
export async function runStudy(
  language: Language,
  options: StudyOptions,
  command: string,
  progress: (text: string) => void,
  keep: (results: Results) => void,
): Promise<Results> {
  const startedAt = new Date()
  const newPageUs = Math.round(timeOfNewPage() * 100) / 100
  const chosen = chosenArms(language.arms, language.quickArms, options)
  const skipped = chosen.flatMap((arm) => {
    const reason = whyNot(arm)
    return reason === undefined ? [] : [{ arm: arm.id, reason }]
  })
  const arms = chosen.filter(({ id }) => skipped.every(({ arm }) => arm !== id))
  const plans = planOfCells(arms, options)
  checkAsked(options, chosen, plans, skipped)
  const { startService, versions, profiler } = await language.prepare(arms, progress)
  const profiled = profiledPlans(arms, plans, options)
  const minutes = Math.ceil((durationOf(plans) + durationOf(profiled)) / 60)
  progress(`${plans.length + profiled.length} cells, some ${minutes} minutes`)

  const cells: Cell[] = []
  const attributions: Attribution[] = []
  const results = (): Results => ({
    format: 1,
    study: language.study,
    quick: options.quick,
    command,
    startedAt: startedAt.toISOString(),
    minutes: Math.round((Date.now() - startedAt.getTime()) / 6000) / 10,
    seed: options.seed,
    rounds: Math.max(...plans.map(({ round }) => round)),
    machine: {
      cpu: cpus()[0]?.model ?? '',
      cores: availableParallelism(),
      memoryMb: Math.round(totalmem() / 2 ** 20),
      newPageUs,
      system: `${systemType()} ${release()}`,
    },
    versions: { ...versions, ...sourceVersion() },
    arms: arms.map(({ id, title, what, group, against = 'untraced' }) => ({
      id,
      title,
      what,
      group,
      against,
    })),
    cases: casesOf(plans),
    cells,
    attributions,
    skipped,
  })

  const attempt = async (plan: CellPlan, run: () => Promise<Cell>): Promise<Cell | undefined> => {
    try {
      return await run()
    } catch (error) {
      const reason = `${plan.case}, round ${plan.round}: ${(error as Error).message.slice(0, 300)}`
      skipped.push({ arm: plan.arm.id, reason })
      progress(`${plan.arm.id}: ${reason}`)
      return undefined
    }
  }
  const model = await startModel()
  const besides = createBesides()
  const stage: Stage = { startService, upstream: model.url, besideOf: besides.of }
  const total = plans.length + profiled.length
  try {
    for (const [at, plan] of plans.entries()) {
      // An arm that breaks is told of; it does not take the others with it.
      const cell = await attempt(plan, () => runCell(stage, plan))
      if (cell === undefined) continue
      cells.push(cell)
      progress(`${at + 1} of ${total}: ${shown(cell)}`)
      if (isBusy(cell)) progress('slow for that many requests: take --slow, or --rate')
      keep(results())
    }
    for (const [at, plan] of profiled.entries()) {
      const { tool, watch, attribute } = profiler(plan.arm)
      const cell = await attempt(plan, () => runCell(stage, plan, watch))
      if (cell === undefined) continue
      const found = await attribute(cell)
      const name = `${plan.arm.id} in ${plan.case}`
      if ('reason' in found) {
        skipped.push({ arm: `${plan.arm.id}, profiled`, reason: found.reason })
      } else {
        attributions.push({
          arm: plan.arm.id,
          case: plan.case,
          seconds: plan.seconds,
          tool,
          ...found,
        })
      }
      progress(`${plans.length + at + 1} of ${total}: ${name}, profiled`)
      keep(results())
    }
  } finally {
    await besides.stop()
    await model.stop()
  }
  return results()
}

/** Of memory that the process has just got, µs. */
function timeOfNewPage(): number {
  const pages = 65_536
  const memory = Buffer.allocUnsafeSlow(pages * 4096)
  const begun = performance.now()
  for (let at = 0; at < memory.length; at += 4096) memory[at] = 1
  return ((performance.now() - begun) * 1000) / pages
}

/** An arm that was asked for, and has none of the cases, would be missing without a word. */
function checkAsked(
  { arms = [], sweeps }: StudyOptions,
  all: readonly Arm[],
  plans: readonly CellPlan[],
  skipped: Results['skipped'],
): void {
  const found = new Set(
    [...plans, ...skipped].map(({ arm }) => (typeof arm === 'string' ? arm : arm.id)),
  )
  const idle = all.filter(({ id }) => arms.includes(id) && !found.has(id))
  if (idle.length === 0) return
  const told = idle.map(({ id, cases }) => `${id} runs in ${cases.join(', ')}`)
  throw new UsageError(
    `--arm with ${sweeps ? '--sweeps, which are of rag' : '--case'}: ${told.join('; ')}`,
  )
}

function profiledPlans(
  arms: readonly Arm[],
  plans: readonly CellPlan[],
  options: StudyOptions,
): CellPlan[] {
  const seconds = options.seconds ?? (options.quick ? PROFILED_S.quick : PROFILED_S.full)
  const found = arms.flatMap((arm) =>
    (arm.attributed ?? []).flatMap((name) => {
      const plan = plans.find(
        (each) => each.part === 'cases' && each.arm === arm && each.case === name,
      )
      return plan === undefined ? [] : [{ ...plan, round: 1, seconds }]
    }),
  )
  // One is enough to see how it looks.
  return options.quick ? found.slice(0, 1) : found
}

function casesOf(plans: readonly CellPlan[]): Results['cases'] {
  const names = new Set(plans.map((plan) => plan.case))
  return (Object.keys(CASES) as CaseName[])
    .filter((name) => names.has(name))
    .map((name) => ({
      name,
      title: CASES[name].title,
      // Some arms have a rate of their own.
      perSecond:
        plans.find((plan) => plan.case === name && plan.arm.load === undefined)?.perSecond ??
        CASES[name].perSecond,
      observations: CASES[name].observations,
    }))
}

/** The commit that was measured, where there is one. */
function sourceVersion(): Record<string, string> {
  try {
    const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return { offpath: commit.trim() }
  } catch {
    return {}
  }
}

function isBusy({ arm, part, perSecond, service }: Cell): boolean {
  const isOfCase = arm === 'untraced' && part === 'cases'
  return isOfCase && busyShare(service.mainUs, perSecond) !== undefined
}

function shown(cell: Cell): string {
  const { service, delivered } = cell
  const what =
    cell.part === 'cases' ? cell.case : `${cell.characters >> 10} KB, ${cell.perSecond}/s`
  const lag = `mean ${cell.meanMs.toFixed(1)} ms, loop ${service.lag.maxMs.toFixed(0)} ms`
  const cpu = `CPU ${service.mainUs.toFixed(0)} µs main, ${service.processUs.toFixed(0)} µs all`
  return `${cell.arm}${cell.again ? ' again' : ''}, ${what}: ${lag}, ${cpu}, ${delivered} of ${service.recorded} delivered`
}
