import type { Findings, Row } from '../analysis.ts'
import { isWithinNoise } from '../analysis.ts'
import { aboveOf, type FigureName } from '../figure-names.ts'
import { digits, shown, unitOf } from '../format.ts'
import { sum } from '../rows.ts'
import { GROUPS, restOf, titleOf } from '../words.ts'
import { barChart } from './bars.ts'
import { linePanel } from './lines.ts'
import { rangeChart } from './ranges.ts'
import type { Scale } from './scales.ts'
import { type Chart, type LegendEntry, WIDTH } from './svg.ts'

/** The charts of one case. */
export function caseCharts(findings: Findings, inCase: string): Chart[] {
  const rows = findings.rows.filter((row) => row.case === inCase)
  return [
    latencyChart(findings, inCase, rows),
    lagChart(findings, inCase, rows),
    cpuChart(findings, inCase, rows),
    ...splitChart(findings, inCase, rows),
    ...curveChart(findings, inCase, rows),
  ]
}

function latencyChart(findings: Findings, inCase: string, rows: readonly Row[]): Chart {
  const tail = tailOf(rows)
  const name = tail.slice(0, -3)
  return {
    id: `${inCase}-latency`,
    name: 'latency',
    title: comparison(findings, rows, tail, `${name} latency`),
    how: `Latency from the planned start, each arm: ${tail === 'p50_ms' ? '' : '○ p50, '}● ${name}, | longest. The band is the untraced ${name}, give or take the noise floor. Logarithmic.`,
    legend: groupLegend(rows),
    svg: rangeChart(
      rows.map((row) => ({
        label: titleOf(row),
        group: row.arm.group,
        marks: [
          tail === 'p50_ms' ? undefined : row.figures.p50_ms?.value,
          row.figures[tail]?.value,
          row.figures.max_ms?.value,
        ],
      })),
      [tail === 'p50_ms' ? '' : 'p50', name, 'max'],
      'latency, ms (log)',
      'ms',
      noiseBand(findings, rows, inCase, tail),
      0.1,
    ),
  }
}

function lagChart(findings: Findings, inCase: string, rows: readonly Row[]): Chart {
  return {
    id: `${inCase}-lag`,
    name: 'loop lag',
    title: comparison(findings, rows, 'lag_round_max_ms', 'longest loop lag of a round'),
    how: 'Lateness of a 1 ms ticker on the event loop: ○ p99, ● longest of a round (median over rounds), | longest of all. The band is that of the untraced service, give or take the noise floor. Logarithmic; below 0.1 ms nothing is told apart.',
    legend: groupLegend(rows),
    svg: rangeChart(
      rows.map((row) => ({
        label: titleOf(row),
        group: row.arm.group,
        marks: [
          row.figures.lag_p99_ms?.value,
          row.figures.lag_round_max_ms?.value,
          row.figures.lag_max_ms?.value,
        ],
      })),
      ['p99', 'round', 'longest'],
      'lag of the event loop, ms (log)',
      'ms',
      noiseBand(findings, rows, inCase, 'lag_round_max_ms'),
      0.1,
    ),
  }
}

function cpuChart(findings: Findings, inCase: string, rows: readonly Row[]): Chart {
  const parts = [
    ['cpu_main_us', 'main thread', 'one'],
    ['cpu_other_us', 'other threads and children', 'two'],
    ['cpu_beside_us', 'beside (relay, worker)', 'three'],
  ] as const
  const untraced = rows.find((row) => row.arm.group === 'baseline')
  return {
    id: `${inCase}-cpu`,
    name: 'CPU',
    title: comparison(findings, rows, 'cpu_total_us', 'CPU of all processes per request'),
    how: `Until all is delivered, medians over rounds. The dashed line is the untraced service, the band its noise floor: two runs differed by up to ${noiseOf(findings, inCase, 'cpu_total_us')}.`,
    legend: parts.map(([, text, mark]) => ({ text, mark, kind: 'box' })),
    svg: barChart(
      rows.map((row) => ({
        label: titleOf(row),
        parts: parts.map(([figure, name, mark]) => {
          const value = row.figures[figure]?.value ?? 0
          return { name, value, mark, shown: shown(value, 'us') }
        }),
        total: digits(row.figures.cpu_total_us?.value ?? Number.NaN, 'us'),
      })),
      'CPU per request, µs',
      {
        value: untraced?.figures.cpu_total_us?.value ?? 0,
        noise: noiseIn(findings, inCase, 'cpu_total_us') ?? 0,
      },
    ),
  }
}

function splitChart(findings: Findings, inCase: string, all: readonly Row[]): Chart[] {
  const rows = all.filter(
    (row) =>
      !row.again &&
      row.figures.rest_us !== undefined &&
      (row.arm.group !== 'baseline' || !isWithinNoise(findings, row, 'mean_ms')),
  )
  if (rows.length === 0) return []
  const parts = [
    ['recording_us', 'recording on the caller', 'one'],
    ['waiting_us', 'waiting in calls', 'two'],
    ['blocked_us', 'blocked in a flush', 'three'],
    ['network_us', 'network', 'four'],
    ['rest_us', `waiting for ${restOf(findings)} (the rest)`, 'five'],
  ] as const
  const largest = worstOf(rows, 'mean_above_ms') ?? (rows[0] as Row)
  const most = parts
    .map(([figure, name]) => ({ name, value: largest.figures[figure]?.value ?? 0 }))
    .reduce((a, b) => (a.value >= b.value ? a : b))
  const whole = sum(parts.map(([figure]) => Math.max(0, largest.figures[figure]?.value ?? 0)))
  return [
    {
      id: `${inCase}-split`,
      name: 'excess',
      title: isWithinNoise(findings, largest, 'mean_ms')
        ? `What ${titleOf(largest)} adds to a mean request, ${shown(excessOf(largest), 'ms')}, is within the noise`
        : `Most of what ${titleOf(largest)} adds to a mean request is ${most.name.replace(' (the rest)', '')}: ${shown(whole === 0 ? 0 : most.value / whole, 'share')} of ${shown(excessOf(largest), 'ms')}`,
      how: `The mean request above the compared arm, by where the time goes. Parts below zero are noise and not drawn; the number is the whole excess. The band is the noise floor: two runs of the same differed by up to ${noiseOf(findings, inCase, 'mean_ms')}.`,
      legend: parts.map(([, text, mark]) => ({ text, mark, kind: 'box' })),
      svg: barChart(
        rows.map((row) => ({
          label: titleOf(row),
          parts: parts.map(([figure, name, mark]) => {
            const value = (row.figures[figure]?.value ?? 0) / 1000
            return { name, value, mark, shown: shown(value, 'ms') }
          }),
          total: `${isWithinNoise(findings, row, 'mean_ms') ? '≈ ' : ''}${shown(excessOf(row), 'ms')}`,
        })),
        'ms of a mean request above the compared arm',
        { value: 0, noise: noiseIn(findings, inCase, 'mean_ms') ?? 0 },
      ),
    },
  ]
}

function curveChart(findings: Findings, inCase: string, rows: readonly Row[]): Chart[] {
  const usual = rows.filter((row) => isMain(findings, row))
  // A case of its own, such as audio, has arms of its own.
  const main = usual.some((row) => row.arm.group !== 'baseline') ? usual : rows
  const percents = main.flatMap((row) => row.curve.map(([percent]) => percent))
  const last = Math.max(...percents)
  if (main.length < 2 || !Number.isFinite(last)) return []
  const untraced = main.find((row) => row.arm.group === 'baseline')
  const tail = tailOf(main)
  const worst = worstOf(main, tail)
  // Where requests are too few for more than a median there is the longest.
  const end = tail === 'p50_ms' ? 'max_ms' : tail
  const times = (name: FigureName): string => {
    const a = worst?.figures[name]?.value
    const b = untraced?.figures[name]?.value
    return a === undefined || b === undefined
      ? '–'
      : `${digits(a / b, 'number', a < 2 * b ? 2 : 1)} times`
  }
  return [
    {
      id: `${inCase}-curves`,
      name: 'percentiles',
      title:
        worst === undefined
          ? 'Latency by percentile'
          : `${titleOf(worst)} takes ${times('p50_ms')} as long as the untraced service at the median and ${times(end)} at ${end === 'max_ms' ? 'the longest' : end.slice(0, -3)}${isWithinNoise(findings, worst, tail) ? ', which is within the noise' : ''}`,
      how: `${main === usual ? 'The main arms. ' : ''}To the right each half as many requests are left: the axis is that of the requests beyond. A curve ends where fewer than ten requests lie beyond it.`,
      legend: [],
      svg: linePanel(
        {
          name: 'latency, ms (log)',
          lines: main.map((row) => ({
            label: titleOf(row),
            group: row.arm.group,
            points: row.curve,
          })),
        },
        WIDTH,
        400,
        210,
        'percentile of requests',
        0.1,
        (from, to) => percentileScale(last, from, to),
      ),
    },
  ]
}

/** As far apart as the logarithm of what lies beyond. */
function percentileScale(last: number, from: number, to: number): Scale {
  const place = (percent: number): number => -Math.log10(1 - Math.min(percent, last) / 100)
  const known = [0, 50, 75, 90, 95, 99, 99.9, 99.99].filter((percent) => percent <= last)
  return {
    at: (percent) => from + (place(percent) / place(last)) * (to - from),
    ticks: known.map((value) => ({ value, text: `${value} %` })),
  }
}

/** Those that run in most cases. */
function isMain({ cases, rows }: Findings, { arm }: Row): boolean {
  const own = new Set(rows.filter((row) => row.arm.id === arm.id).map((row) => row.case))
  return own.size * 2 >= cases.length
}

/** The highest percentile that the requests can tell. */
function tailOf(rows: readonly Row[]): FigureName {
  const told = (['p99_ms', 'p95_ms'] as const).find((name) => rows.some((row) => row.figures[name]))
  return told ?? 'p50_ms'
}

function worstOf(rows: readonly Row[], figure: FigureName): Row | undefined {
  const traced = rows.filter((row) => row.arm.group !== 'baseline')
  const installed = traced.filter((row) => row.arm.group === 'installed')
  const value = (row: Row): number => row.figures[figure]?.value ?? -1
  return (installed.length > 0 ? installed : traced).reduce<Row | undefined>(
    (worst, row) => (worst === undefined || value(row) > value(worst) ? row : worst),
    undefined,
  )
}

/** The untraced service beside the worst SDK as installed (or the worst of all): the sentence above a chart. */
function comparison(
  findings: Findings,
  rows: readonly Row[],
  figure: FigureName,
  words: string,
): string {
  const untraced = rows.find((row) => row.arm.group === 'baseline' && !row.again)
  const worst = worstOf(rows, figure)
  const unit = unitOf(figure)
  const told = (row: Row | undefined): string => {
    const value = row?.figures[figure]?.value
    return value === undefined ? 'not told' : shown(value, unit)
  }
  if (worst === undefined) return `The ${words} of the untraced service is ${told(untraced)}`
  if (isWithinNoise(findings, worst, figure)) {
    return `With ${titleOf(worst)} the ${words} does not differ from the untraced ${told(untraced)} by more than noise`
  }
  return `The ${words} is ${told(untraced)} untraced and ${told(worst)} with ${titleOf(worst)}`
}

function noiseBand(
  findings: Findings,
  rows: readonly Row[],
  inCase: string,
  figure: FigureName,
): [number, number] | undefined {
  const noise = noiseIn(findings, inCase, figure)
  const pair = rows
    .filter((row) => row.again || rows.some((each) => each.again && each.arm.id === row.arm.id))
    .map((row) => row.figures[figure]?.value)
    .filter((value) => value !== undefined)
  if (noise === undefined || pair.length === 0) return undefined
  return [Math.min(...pair) - noise / 2, Math.max(...pair) + noise / 2]
}

function noiseIn(findings: Findings, inCase: string, figure: FigureName): number | undefined {
  return findings.noise.find((each) => each.case === inCase)?.figures[figure]
}

function noiseOf(findings: Findings, inCase: string, figure: FigureName): string {
  const noise = noiseIn(findings, inCase, figure)
  return noise === undefined ? 'an unknown amount (no A/A pair here)' : shown(noise, unitOf(figure))
}

function excessOf(row: Row): number {
  return row.figures[aboveOf('mean_ms')]?.value ?? 0
}

function groupLegend(rows: readonly Row[]): LegendEntry[] {
  const groups = new Set(rows.map((row) => row.arm.group))
  return Object.entries(GROUPS)
    .filter(([group]) => groups.has(group as keyof typeof GROUPS))
    .map(([mark, text]) => ({ text, mark, kind: 'dot' }))
}
