import type { ArmFacts } from '../../results.ts'
import type { Findings, SweepRow } from '../analysis.ts'
import type { FigureName } from '../figure-names.ts'
import type { FittedLine } from '../fit.ts'
import { digits, shown, withInterval } from '../format.ts'
import { armTitleOf } from '../words.ts'
import { linePanel } from './lines.ts'
import { stepScale } from './scales.ts'
import { scatterPanel } from './scatter.ts'
import { stallChart } from './stall.ts'
import { type Chart, escapeText } from './svg.ts'

// Charts over all cases of a study.

const PANEL_WIDTH = 546
const PANEL_HEIGHT = 320
const PANEL_LABELS = 232

/** One real stall; none when no SDK as installed held the loop above 10 ms. */
export function stallCharts(findings: Findings): Chart[] {
  const { timeline } = findings
  if (timeline === undefined) return []
  const [whole, near] = timeline.windows
  const title = armTitleOf(findings, timeline.arm)
  const inCase = findings.cases.find(({ name }) => name === timeline.case)?.title ?? timeline.case
  const longest = near.stalls.reduce((a, b) => (a.ms >= b.ms ? a : b))
  const next = near.batches.find(({ at }) => at >= longest.to)
  const held = whole.stalls.reduce((sum, { ms }) => sum + ms, 0)
  const then = next === undefined ? '' : `, then a batch of ${shown(next.mb, 'mb')} arrives`
  const about = `${title} in the case ${inCase}, round ${timeline.round}.`
  return [
    {
      id: 'stall',
      name: 'near',
      title: `One stall: ${title} holds the loop for ${shown(timeline.longestMs, 'ms')}${then}`,
      how: `${about} Above, for how long the loop has been held by then: every request that arrives within waits for the end. Below, the batches at the server.`,
      legend: [],
      svg: stallChart(near, true),
    },
    {
      id: 'stall-cell',
      name: 'whole cell',
      title: `In the same cell the loop was held above 10 ms ${digits(whole.stalls.length, 'count')} times, for ${shown(held / 1000, 's')} of ${shown(whole.length, 's')}`,
      how: `${about} The whole cell, as above; after the load no stalls are noted.`,
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
  const title = armTitleOf(findings, first.arm)
  return [
    {
      id: 'fit',
      name: 'lines',
      title:
        (first.longest.slopeMsPerMb.low ?? 0) > 0
          ? `With ${title} each MB of a batch makes its longest stall ${perMb(first.longest)} longer${first.together === undefined ? '' : `, and all its stalls together ${perMb(first.together)}`}`
          : `With ${title} the bytes of a batch don’t explain how long it holds the loop`,
      how: 'Each batch, by its decompressed bytes: ● its longest stall, ○ all its stalls above 10 ms together. Least squares lines: full and dashed. Linear axes, of each panel’s own length.',
      legend: [],
      svg: fits
        .map((fit) =>
          panel(
            `${armTitleOf(findings, fit.arm)}, ${digits(fit.points.length, 'count')} batches. Longest: ${lineText(fit.longest)}${fit.together === undefined ? '' : `. Together: ${lineText(fit.together)}`}`,
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
      name: 'growth',
      title: `With ${installed?.title} the longest loop lag goes from ${point(own[0])} to ${point(own.at(-1))}`,
      how: 'Shorter cells than those of the cases: they show directions. Logarithmic axes: a straight line up by one decade for each to the right is growth in proportion.',
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
              (from, to) =>
                stepScale(
                  own.map((row) => row.at),
                  from,
                  to,
                ),
            ),
          ),
        )
        .join(''),
    },
  ]
}

function perMb({ slopeMsPerMb }: FittedLine): string {
  return withInterval(slopeMsPerMb, 'ms')
}

function lineText(line: FittedLine): string {
  return `${perMb(line)}/MB, r² ${digits(line.r2, 'number', 2)}`
}

function panel(caption: string, svg: string): string {
  return `<div class="panel">${caption === '' ? '' : `<p>${escapeText(caption)}</p>`}${svg}</div>`
}

function groupOf(arms: readonly ArmFacts[], id: string): ArmFacts['group'] {
  return arms.find((arm) => arm.id === id)?.group ?? 'baseline'
}
