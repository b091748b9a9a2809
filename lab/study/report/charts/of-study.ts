import type { ArmFacts } from '../../results.ts'
import type { Findings, SweepRow } from '../analysis.ts'
import type { Attributed, Part } from '../attribution.ts'
import type { FigureName } from '../figure-names.ts'
import { digits, shown, withInterval } from '../format.ts'
import { type Bar, barChart } from './bars.ts'
import { linePanel } from './lines.ts'
import { scatterPanel } from './scatter.ts'
import { stallChart } from './stall.ts'
import { type Chart, escapeText } from './svg.ts'

// Charts over all cases of a study.

const PANEL_WIDTH = 472
const PANEL_HEIGHT = 320
const PANEL_LABELS = 150

/** One real stall; none when no SDK as installed held the loop above 10 ms. */
export function stallCharts(findings: Findings): Chart[] {
  const { timeline } = findings
  if (timeline === undefined) return []
  const [whole, near] = timeline.windows
  const title = armTitle(findings, timeline.arm)
  const inCase = findings.cases.find(({ name }) => name === timeline.case)?.title ?? timeline.case
  const next = near.batches.find(
    ({ at }) => at >= Math.max(...near.stalls.map(({ to }) => to)) - 0.05,
  )
  const then =
    next === undefined ? '' : `, and a batch of ${shown(next.mb, 'mb')} arrives at the end of it`
  const about = `${title} in the case ${inCase}, round ${timeline.round}.`
  return [
    {
      id: 'stall',
      title: `One stall: ${title} holds the loop for ${shown(timeline.longestMs, 'ms')}${then}`,
      how: `${about} Above, for how long the loop has been held by then: every request that arrives within waits for the end. Below, the batches at the server.`,
      legend: [],
      svg: stallChart(near, true),
    },
    {
      id: 'stall-cell',
      title: `In the same cell the loop was held above 10 ms ${digits(whole.stalls.length, 'count')} times`,
      how: `${about} The whole cell, as above.`,
      legend: [],
      svg: stallChart(whole, false),
    },
  ]
}

/** Bytes of a batch against the stall, a panel for each arm with a line. */
export function fitCharts(findings: Findings): Chart[] {
  const { fits, arms } = findings
  if (fits.length === 0) return []
  const installed = fits.filter((fit) => groupOf(arms, fit.arm) === 'installed')
  const first = (installed.length > 0 ? installed : fits).reduce((a, b) =>
    a.points.length >= b.points.length ? a : b,
  )
  return [
    {
      id: 'fit',
      title: `Each MB of a batch holds the loop for ${withInterval(first.slopeMsPerMb, 'ms_per_mb').replace('/MB', '')} more with ${armTitle(findings, first.arm)}`,
      how: 'Each dot is a batch with its stall, decompressed bytes; the line is that of least squares. Linear axes, of each panel’s own length.',
      legend: [],
      svg: fits
        .map((fit) =>
          panel(
            `${armTitle(findings, fit.arm)}: ${withInterval(fit.slopeMsPerMb, 'ms_per_mb')}, r² ${digits(fit.r2, 'number', 2)}, ${digits(fit.points.length, 'count')} batches`,
            scatterPanel(fit, groupOf(arms, fit.arm), PANEL_WIDTH, PANEL_HEIGHT),
          ),
        )
        .join(''),
    },
  ]
}

/** How figures grow along a sweep, a panel each. */
export function sweepCharts(findings: Findings, part: SweepRow['part']): Chart[] {
  const rows = findings.sweeps.filter((row) => row.part === part && !row.again)
  if (rows.length === 0) return []
  const arms = [...new Set(rows.map((row) => row.arm))]
  const tail = (['p99_ms', 'p95_ms', 'p50_ms'] as const).find((name) =>
    rows.every((row) => row.figures[name] !== undefined),
  )
  const figures: [FigureName, string, number][] = [
    ...(tail === undefined
      ? []
      : [[tail, `${tail.slice(0, -3)} latency, ms (log)`, 0.1] as [FigureName, string, number]]),
    ['lag_max_ms', 'longest loop lag, ms (log)', 0.1],
    ['cpu_main_us', 'CPU of the main thread per request, µs (log)', 1],
    ['cpu_total_us', 'CPU of all processes per request, µs (log)', 1],
  ]
  const xName = part === 'sizes' ? 'characters of a request (log)' : 'requests a second (log)'
  const installed = arms.find((arm) => arm.group === 'installed') ?? arms.at(-1)
  const own = rows.filter((row) => row.arm === installed)
  const lag = (row: SweepRow | undefined): string =>
    shown(row?.figures.lag_max_ms?.value ?? Number.NaN, 'ms')
  const unit = part === 'sizes' ? 'characters' : 'requests a second'
  const point = (row: SweepRow | undefined): string =>
    `${lag(row)} at ${digits(row?.at ?? Number.NaN, 'count')} ${unit}`
  return [
    {
      id: part,
      title: `With ${installed?.title} the longest loop lag goes from ${point(own[0])} to ${point(own.at(-1))}`,
      how: 'Logarithmic axes: a straight line up by one decade for each to the right is growth in proportion.',
      legend: [],
      svg: figures
        .map(([figure, name, floor]) =>
          panel(
            '',
            linePanel(
              {
                name,
                lines: arms.map((arm) => ({
                  label: arm.title,
                  group: arm.group,
                  points: rows
                    .filter((row) => row.arm === arm && row.figures[figure] !== undefined)
                    .map((row) => [row.at, row.figures[figure]?.value ?? 0] as const),
                })),
              },
              PANEL_WIDTH,
              PANEL_HEIGHT,
              PANEL_LABELS,
              xName,
              floor,
            ),
          ),
        )
        .join(''),
    },
  ]
}

/** Who had the time of the stalls: by package, by thread, and by package over the whole cell. */
export function attributionCharts(findings: Findings): Chart[] {
  const stalled = findings.attributed.filter((each) => each.stalls > 0)
  const charts: Chart[] = []
  const threads = new Set(stalled.flatMap((each) => each.threads.map(({ name }) => name)))
  const first = stalled[0]
  if (first !== undefined) {
    charts.push(
      partsChart(
        findings,
        stalled,
        'stalled-packages',
        'package',
        (each) => each.packages,
        'of the stalled time',
      ),
    )
    if (threads.size > 1) {
      charts.push(
        partsChart(
          findings,
          stalled,
          'stalled-threads',
          'thread',
          (each) => each.threads,
          'of the stalled time',
        ),
      )
    }
  }
  if (findings.attributed.some((each) => each.overall.length > 0)) {
    charts.push(
      partsChart(
        findings,
        findings.attributed,
        'overall-packages',
        'package',
        (each) => each.overall,
        'of all that was sampled',
      ),
    )
  }
  return charts
}

const COLOURS = ['one', 'two', 'three', 'four', 'five', 'six', 'seven']

function partsChart(
  findings: Findings,
  attributed: readonly Attributed[],
  id: string,
  what: string,
  partsOf: (each: Attributed) => readonly Part[],
  of: string,
): Chart {
  const sums = new Map<string, number>()
  for (const { name, share } of attributed.flatMap(partsOf)) {
    sums.set(name, (sums.get(name) ?? 0) + share)
  }
  const names = [...sums].toSorted(([, a], [, b]) => b - a).map(([name]) => name)
  const colours = new Map(
    names.slice(0, COLOURS.length).map((name, at) => [name, COLOURS[at] as string]),
  )
  const bars = attributed.map((each): Bar => {
    const parts = partsOf(each)
    const rest = parts
      .filter(({ name }) => !colours.has(name))
      .reduce((sum, { share }) => sum + share, 0)
    const part = (name: string, share: number, mark: string) => ({
      name,
      value: share * 100,
      mark,
      shown: shown(share, 'share'),
    })
    return {
      label: `${armTitle(findings, each.arm)}, ${each.case}`,
      parts: [
        ...[...colours].map(([name, mark]) =>
          part(name, parts.find((one) => one.name === name)?.share ?? 0, mark),
        ),
        part('others', rest, 'eight'),
      ],
      total:
        id === 'overall-packages'
          ? `${digits(each.seconds, 'count')} s`
          : `${digits(each.stalls, 'count')} stalls, ${shown(each.stalledMs, 'ms')}`,
    }
  })
  const one = attributed.reduce((a, b) => (a.stalledMs >= b.stalledMs ? a : b))
  const largest = partsOf(one)[0]
  return {
    id,
    title: `${largest?.name ?? 'Nothing'} has ${shown(largest?.share ?? 0, 'share')} ${of} with ${armTitle(findings, one.arm)} in the case ${one.case}`,
    how: `By ${what}, in cells of their own under a profiler. What is missing from 100 % no sample explains.`,
    legend: [
      ...[...colours].map(([text, mark]) => ({ text, mark, kind: 'box' as const })),
      ...(names.length > COLOURS.length
        ? [{ text: 'others', mark: 'eight', kind: 'box' as const }]
        : []),
    ],
    svg: barChart(bars, `% ${of}`, undefined, 100),
  }
}

function panel(caption: string, svg: string): string {
  return `<div class="panel">${caption === '' ? '' : `<p>${escapeText(caption)}</p>`}${svg}</div>`
}

function armTitle({ arms }: Findings, id: string): string {
  return arms.find((arm) => arm.id === id)?.title ?? id
}

function groupOf(arms: readonly ArmFacts[], id: string): ArmFacts['group'] {
  return arms.find((arm) => arm.id === id)?.group ?? 'baseline'
}
