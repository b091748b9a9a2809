import type { Findings } from '../analysis.ts'
import type { Attributed, Part } from '../attribution.ts'
import { digits, shown } from '../format.ts'
import { armTitleOf } from '../words.ts'
import { type Bar, type BarPart, barChart } from './bars.ts'
import type { Chart } from './svg.ts'

/** Of what the parts are, and by what. */
interface View {
  readonly id: string
  readonly name: string
  readonly by: 'package' | 'thread'
  readonly of: string
  readonly parts: (each: Attributed) => readonly Part[]
  readonly total: (each: Attributed) => string
}

const stalled = {
  of: 'of the stalled time',
  total: (each: Attributed): string =>
    `${digits(each.stalls, 'count')} stalls, ${shown(each.stalledMs, 'ms')}`,
}

const PACKAGES: View = {
  ...stalled,
  id: 'stalled-packages',
  name: 'stalls, packages',
  by: 'package',
  parts: (each) => each.packages,
}

const THREADS: View = {
  ...stalled,
  id: 'stalled-threads',
  name: 'stalls, threads',
  by: 'thread',
  parts: (each) => each.threads,
}

const OVERALL: View = {
  id: 'overall-packages',
  name: 'all the time',
  by: 'package',
  of: 'of all that was sampled',
  parts: (each) => each.overall,
  total: (each) => `${digits(each.seconds, 'count')} s`,
}

const COLOURS = ['one', 'two', 'three', 'four', 'five', 'six', 'seven']

/** Who had the time of the stalls: by package, by thread where there are several, and by package all the time. */
export function attributionCharts(findings: Findings): Chart[] {
  const { attributed } = findings
  const held = attributed.filter((each) => each.stalls > 0)
  const threads = new Set(held.flatMap((each) => each.threads.map(({ name }) => name)))
  const sampled = attributed.filter((each) => each.overall.length > 0)
  return [
    ...(held.length > 0 ? [partsChart(findings, held, PACKAGES)] : []),
    ...(threads.size > 1 ? [partsChart(findings, held, THREADS)] : []),
    ...(sampled.length > 0 ? [partsChart(findings, sampled, OVERALL)] : []),
  ]
}

function partsChart(findings: Findings, attributed: readonly Attributed[], view: View): Chart {
  const colours = coloursOf(attributed.flatMap(view.parts))
  // A saturated cell says what piled up.
  const told = attributed.filter((each) => !each.isSaturated)
  const one = (told.length > 0 ? told : attributed).reduce((a, b) =>
    a.stalledMs >= b.stalledMs ? a : b,
  )
  const largest = view.parts(one)[0]
  const others = attributed.some((each) => view.parts(each).some(({ name }) => !colours.has(name)))
  return {
    id: view.id,
    name: view.name,
    title: `${largest?.name ?? 'Nothing'} has ${shown(largest?.share ?? 0, 'share')} ${view.of} with ${armTitleOf(findings, one.arm)} in the case ${one.case}`,
    how: `By ${view.by}, in cells of their own under a profiler. What is missing from 100 % no sample explains.${attributed.some((each) => each.isSaturated) ? ' Saturated: the loop was held for more than half of the time, and its stalls are what piled up.' : ''}`,
    legend: [...colours, ...(others ? [['others', 'eight'] as const] : [])].map(([text, mark]) => ({
      text,
      mark,
      kind: 'box',
    })),
    svg: barChart(
      attributed.map(
        (each): Bar => ({
          label: `${armTitleOf(findings, each.arm)}, ${each.case}${each.isSaturated ? ', saturated' : ''}`,
          parts: barParts(view.parts(each), colours),
          total: view.total(each),
        }),
      ),
      `% ${view.of}`,
      undefined,
      100,
    ),
  }
}

/** One colour a name in all bars, for the largest seven. */
function coloursOf(parts: readonly Part[]): ReadonlyMap<string, string> {
  const sums = new Map<string, number>()
  for (const { name, share } of parts) sums.set(name, (sums.get(name) ?? 0) + share)
  const names = [...sums].toSorted(([, a], [, b]) => b - a).map(([name]) => name)
  return new Map(
    COLOURS.flatMap((colour, at) => (at < names.length ? [[names[at] as string, colour]] : [])),
  )
}

function barParts(parts: readonly Part[], colours: ReadonlyMap<string, string>): BarPart[] {
  const part = (name: string, share: number, mark: string): BarPart => ({
    ...{ name, mark, value: share * 100 },
    shown: shown(share, 'share'),
  })
  const shareOf = (isOwn: (part: Part) => boolean): number =>
    parts.filter(isOwn).reduce((sum, { share }) => sum + share, 0)
  return [
    ...[...colours].map(([name, mark]) =>
      part(
        name,
        shareOf((one) => one.name === name),
        mark,
      ),
    ),
    part(
      'others',
      shareOf((one) => !colours.has(one.name)),
      'eight',
    ),
  ]
}
