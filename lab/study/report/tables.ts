import { type Findings, isWithinNoise, type Row, type SweepRow } from './analysis.ts'
import type { Attributed } from './attribution.ts'
import type { Estimate } from './bootstrap.ts'
import { aboveOf, type FigureName } from './figure-names.ts'
import type { FittedLine } from './fit.ts'
import { digits, intervalOf, shown, unitOf } from './format.ts'
import { armTitleOf, GROUPS, isSampling, titleOf } from './words.ts'

/** A table of plain text: each report escapes and marks it in its own way. */
export interface Table {
  readonly header: readonly string[]
  readonly rows: readonly (readonly TableCell[])[]
  /** So many columns at the left hold text; the others hold figures. */
  readonly texts: number
}

/** In every table: a fast arm that loses observations is not fast. */
const DELIVERED = 'delivered %'

export type TableCell = string | { readonly text: string; readonly as: 'strong' | 'em' | 'code' }

export function latencyTable(findings: Findings, inCase: string): Table {
  const rows = findings.rows.filter((row) => row.case === inCase)
  const hasTraces = rows.some((row) => row.figures.traces_per_request !== undefined)
  const hasP999 = rows.some((row) => row.figures.p999_ms !== undefined)
  return {
    header: [
      ...['arm', 'requests', 'answered a second'],
      ...['p50 ms', 'p95 ms', 'p99 ms', ...(hasP999 ? ['p99.9 ms'] : [])],
      ...['max ms', 'longest lag ms', 'recorded', 'delivered', DELIVERED, 'lost'],
      ...[...(hasTraces ? ['traces a request'] : []), 'last flush ms'],
    ],
    rows: rows.map((row) => [
      armCell(row),
      number(row, 'requests') + failures(row),
      number(row, 'answered_per_second'),
      noted(findings, row, 'p50_ms'),
      noted(findings, row, 'p95_ms'),
      noted(findings, row, 'p99_ms', `${number(row, 'p99_ms')}${interval(row, 'p99_ms')}`),
      ...(hasP999 ? [number(row, 'p999_ms')] : []),
      number(row, 'max_ms'),
      noted(findings, row, 'lag_round_max_ms', number(row, 'lag_max_ms')),
      number(row, 'recorded'),
      number(row, 'delivered'),
      number(row, 'delivered_share'),
      lost(row),
      ...(hasTraces ? [number(row, 'traces_per_request')] : []),
      number(row, 'flush_ms') + ((row.figures.given_up?.value ?? 0) > 0 ? ' (given up)' : ''),
    ]),
    texts: 1,
  }
}

/** CPU above the compared arm; in round brackets that of an arm that is compared with none. */
export function cpuTable(findings: Findings, inCase: string): Table {
  const rows = findings.rows.filter((row) => row.case === inCase)
  const hasBeside = rows.some((row) => (row.figures.cpu_beside_us?.value ?? 0) > 0)
  const above = (row: Row, name: FigureName): string => {
    const figure = aboveOf(name)
    if (row.figures[figure] === undefined) return `(${number(row, name)})`
    return noted(findings, row, name, `${number(row, figure)}${interval(row, figure)}`)
  }
  return {
    header: [
      ...['arm', 'main thread µs', 'whole process µs', ...(hasBeside ? ['beside µs'] : [])],
      ...['sum µs', 'RSS MB', 'threads', DELIVERED],
    ],
    rows: rows.map((row) => [
      armCell(row),
      above(row, 'cpu_main_us'),
      above(row, 'cpu_process_us'),
      ...(hasBeside ? [number(row, 'cpu_beside_us')] : []),
      above(row, 'cpu_total_us'),
      noted(findings, row, 'rss_mb'),
      number(row, 'threads'),
      number(row, 'delivered_share'),
    ]),
    texts: 1,
  }
}

export function lagTable(findings: Findings, inCase: string): Table {
  const rows = findings.rows.filter((row) => row.case === inCase)
  const hasGil = rows.some((row) => row.figures.gil_p99_ms !== undefined)
  return {
    header: [
      ...['arm', 'lag p50 ms', 'p99 ms', 'longest of a round ms', 'longest ms'],
      ...['times a minute above 10 ms', 'part of the time'],
      ...['full GCs a minute', 'longest ms'],
      ...(hasGil ? ['GIL wait p50 ms', 'p99 ms', 'longest ms'] : []),
      DELIVERED,
    ],
    rows: rows.map((row) => [
      armCell(row),
      noted(findings, row, 'lag_p50_ms'),
      noted(findings, row, 'lag_p99_ms'),
      noted(
        findings,
        row,
        'lag_round_max_ms',
        `${number(row, 'lag_round_max_ms')}${interval(row, 'lag_round_max_ms')}`,
      ),
      number(row, 'lag_max_ms'),
      number(row, 'stalls_per_minute'),
      `${number(row, 'stalled_share')} %`,
      ...[number(row, 'gc_full_per_minute'), number(row, 'gc_full_max_ms')],
      ...(hasGil
        ? [number(row, 'gil_p50_ms'), number(row, 'gil_p99_ms'), number(row, 'gil_max_ms')]
        : []),
      number(row, 'delivered_share'),
    ]),
    texts: 1,
  }
}

/** Of the mean request, µs above the compared arm. No rows when nothing is compared. */
export function splitTable(findings: Findings, inCase: string): Table {
  return {
    header: [
      ...['arm', 'excess µs', 'recording on the caller', 'waiting in calls'],
      ...['blocked in a flush', 'network', 'the rest', DELIVERED],
    ],
    rows: findings.rows
      .filter((row) => row.case === inCase && row.figures.rest_us !== undefined && !row.again)
      .map((row) => [
        armCell(row),
        noted(
          findings,
          row,
          'mean_ms',
          digits((row.figures.mean_above_ms?.value ?? 0) * 1000, 'us'),
        ),
        number(row, 'recording_us'),
        number(row, 'waiting_us'),
        number(row, 'blocked_us'),
        number(row, 'network_us'),
        number(row, 'rest_us'),
        number(row, 'delivered_share'),
      ]),
    texts: 1,
  }
}

export function fitTable(findings: Findings): Table {
  return {
    header: [
      ...['arm', 'longest stall, ms per MB', 'at 0 MB ms', 'r²'],
      ...['all together, ms per MB', 'at 0 MB ms', 'r²', 'batches', 'without a stall'],
    ],
    rows: findings.fits.map((fit) => [
      armTitleOf(findings, fit.arm),
      ...lineCells(fit.longest),
      ...lineCells(fit.together),
      digits(fit.points.length, 'count'),
      digits(fit.unseen, 'count'),
    ]),
    texts: 1,
  }
}

/** The longest stall of a batch by the kind of its text; no rows where there is one kind. */
export function kindsTable(findings: Findings): Table {
  return {
    header: [
      ...['arm', 'text', 'longest stall for each MB, median ms'],
      ...['by a line, ms per MB', 'at 0 MB ms', 'r²', 'batches'],
    ],
    rows: findings.fits.flatMap((fit) =>
      fit.kinds.map(({ name, msPerMb, longest, batches }) => [
        armTitleOf(findings, fit.arm),
        name === 'english' ? 'English' : 'Vietnamese',
        msPerMb === undefined ? '–' : slope(msPerMb),
        ...lineCells(longest),
        digits(batches, 'count'),
      ]),
    ),
    texts: 2,
  }
}

export function sweepTable(findings: Findings, part: SweepRow['part']): Table {
  return {
    header: [
      part === 'sizes' ? 'characters' : 'requests a second',
      ...['arm', 'requests', 'p50 ms', 'p95 ms', 'p99 ms', 'max ms', 'longest lag ms'],
      ...['CPU main µs', 'process µs', 'beside µs', 'largest batch MB', 'recorded'],
      ...[DELIVERED, 'lost'],
    ],
    rows: findings.sweeps
      .filter((row) => row.part === part)
      .map((row) => [
        digits(row.at, 'count'),
        armCell(row),
        number(row, 'requests'),
        number(row, 'p50_ms'),
        number(row, 'p95_ms'),
        number(row, 'p99_ms'),
        number(row, 'max_ms'),
        number(row, 'lag_max_ms'),
        number(row, 'cpu_main_us'),
        number(row, 'cpu_process_us'),
        number(row, 'cpu_beside_us'),
        number(row, 'batch_max_mb'),
        number(row, 'recorded'),
        number(row, 'delivered_share'),
        lost(row),
      ]),
    texts: 2,
  }
}

export function functionsTable({ functions }: Attributed): Table {
  return {
    header: ['function', 'package', 'thread', 'of the stalled time'],
    rows: functions.map((one) => [one.name, one.package, one.thread, shown(one.share, 'share')]),
    texts: 3,
  }
}

export function armsTable({ arms }: Findings): Table {
  return {
    header: ['arm', 'in commands', 'kind', 'what it does', 'compared with'],
    rows: arms.map((each) => [
      each.title,
      { text: each.id, as: 'code' },
      GROUPS[each.group],
      each.what,
      each.against === each.id ? '–' : { text: each.against, as: 'code' },
    ]),
    texts: 5,
  }
}

export function skippedTable({ skipped }: Findings): Table {
  return {
    header: ['arm', 'why'],
    rows: skipped.map((each) => [{ text: each.arm, as: 'code' }, each.reason]),
    texts: 2,
  }
}

function lineCells(line: FittedLine | undefined): string[] {
  if (line === undefined) return ['–', '–', '–']
  return [slope(line.slopeMsPerMb), digits(line.interceptMs), digits(line.r2, 'number', 2)]
}

function slope(estimate: Estimate): string {
  return `${digits(estimate.value)} ${intervalOf(estimate, 'ms_per_mb')}`.trim()
}

function armCell(row: Row): TableCell {
  return row.arm.group === 'baseline' ? { text: titleOf(row), as: 'em' } : titleOf(row)
}

function number(row: Row, name: FigureName): string {
  const figure = row.figures[name]
  return figure === undefined ? '–' : digits(figure.value, unitOf(name))
}

function interval(row: Row, name: FigureName): string {
  const figure = row.figures[name]
  const text = figure === undefined ? '' : intervalOf(figure, unitOf(name))
  return text === '' ? '' : ` ${text}`
}

/** The figure, or what is shown of it, with ≈ before it where it is within the noise floor of the compared arm's. */
function noted(findings: Findings, row: Row, name: FigureName, as = number(row, name)): string {
  return isWithinNoise(findings, row, name) ? `≈ ${as}` : as
}

function failures(row: Row): string {
  const failed = row.figures.failed?.value ?? 0
  return failed === 0 ? '' : ` (${digits(failed, 'count')} failed)`
}

function lost(row: Row): TableCell {
  const count = row.figures.lost?.value ?? 0
  const recorded = row.figures.recorded?.value ?? 0
  if (count === 0 || recorded === 0) return digits(count, 'count')
  const text = `${digits(count, 'count')} (${shown(count / recorded, 'share')})${heldText(row)}`
  return isSampling(row) ? `${text}, sampled` : { text, as: 'strong' }
}

/** What of it was not dropped, but not there in time. */
function heldText({ figures }: Row): string {
  if ((figures.given_up?.value ?? 0) === 0) return ''
  if (figures.dropped === undefined) return ', dropped or still queued'
  const dropped = digits(figures.dropped.value, 'count')
  return `: ${dropped} dropped, ${digits(figures.held?.value ?? 0, 'count')} still queued`
}
