import type { Json, Observation, Trace } from '../http/shapes.ts'
import { tokensOf } from '../store/tokens.ts'
import { count, duration, plural } from './format.ts'
import type { Style, Terminal } from './terminal.ts'
import { columnsOf, fit, pad, printable } from './text.ts'
import { type Branch, branches } from './tree.ts'

const BAR_COLUMNS = 20
/** Narrower terminals have no room for bars. */
const MIN_COLUMNS_FOR_BARS = 110
/** Of a preview where no terminal sets a limit. */
const PREVIEW_COLUMNS = 160
const MAX_NAME_COLUMNS = 60
const LABEL_COLUMNS = 5

/** A trace as a tree, for people. With `full`, values in all their length. */
export function renderTrace(
  { trace, observations, omitted }: Trace,
  terminal: Terminal,
  full: boolean,
): string {
  const head = [
    terminal.style('bold', printable(trace.name ?? '(no root observation yet)')),
    trace.service && printable(trace.service),
    trace.startTime.slice(0, 23).replace('T', ' '),
    duration(trace.durationMs),
    plural(trace.observations, 'observation'),
    trace.errors > 0 && terminal.style('red', plural(trace.errors, 'error')),
    trace.warnings > 0 && terminal.style('yellow', plural(trace.warnings, 'warning')),
    trace.interrupted > 0 && terminal.style('yellow', `${trace.interrupted} interrupted`),
    trace.environment && printable(trace.environment),
    trace.userId && `user ${printable(trace.userId)}`,
    trace.sessionId && `session ${printable(trace.sessionId)}`,
  ]
  const tree = renderObservations(observations, trace.durationMs, terminal, full)
  const lines = [`trace ${trace.id}`, head.filter(Boolean).join('  '), '', ...tree]
  if (omitted > 0) lines.push(terminal.style('dim', `… and ${plural(omitted, 'observation')} more`))
  return `${lines.join('\n')}\n`
}

/** Lines of the tree alone; `total`: what the bars are parts of, in ms. */
export function renderObservations(
  observations: readonly Observation[],
  total: number,
  terminal: Terminal,
  full: boolean,
): string[] {
  const drawn = branches(observations)
  const columns = terminal.columns
  const widest = Math.max(
    0,
    ...drawn.map(({ lead, observation }) => titleColumns(lead, observation)),
  )
  const layout: Layout = {
    name: Math.min(widest, columns === undefined ? MAX_NAME_COLUMNS : Math.floor(columns * 0.4)),
    bars: columns !== undefined && columns >= MIN_COLUMNS_FOR_BARS,
    from: Math.min(...observations.map(({ startTime }) => milliseconds(startTime))),
    total,
    full,
  }
  return drawn.flatMap((branch) => renderBranch(branch, layout, terminal))
}

interface Layout {
  readonly name: number
  readonly bars: boolean
  /** Start of the trace, in milliseconds since 1970. */
  readonly from: number
  readonly total: number
  readonly full: boolean
}

function renderBranch(branch: Branch, layout: Layout, terminal: Terminal): string[] {
  const { observation, lead, below } = branch
  const offset = milliseconds(observation.startTime) - layout.from
  const name = fit(printable(observation.name), Math.max(8, layout.name - columnsOf(lead)))
  const parts = [
    terminal.style('dim', lead) +
      terminal.style(nameStyle(observation), name) +
      ' '.repeat(Math.max(0, layout.name - columnsOf(lead) - columnsOf(name))),
    pad(observation.type, 10),
    pad(`+${duration(Math.max(0, offset))}`, 9, 'start'),
    pad(observation.type === 'event' ? '' : duration(observation.durationMs), 9, 'start'),
  ]
  if (layout.bars)
    parts.push(terminal.style('cyan', bar(offset, observation.durationMs, layout.total)))
  const text = [...parts, facts(branch, terminal).join(' · ')].join('  ').trimEnd()
  return [text, ...details(observation, below, layout.full, terminal)]
}

/** Time to first token, tokens, model, level, and what is unusual. */
function facts({ observation, orphan }: Branch, terminal: Terminal): string[] {
  const { timeToFirstTokenMs, usage, model, level, interrupted } = observation
  const found: string[] = []
  if (model !== null) found.push(printable(model))
  if (timeToFirstTokenMs !== null) found.push(`first token ${duration(timeToFirstTokenMs)}`)
  const tokens = usageText(usage)
  if (tokens !== undefined) found.push(tokens)
  if (level !== 'DEFAULT') found.push(terminal.style(levelStyle(level), printable(level)))
  if (interrupted) found.push(terminal.style('yellow', 'interrupted'))
  if (orphan) found.push(terminal.style('dim', 'parent not here'))
  return found
}

function details(
  { input, output, statusMessage, metadata, level }: Observation,
  below: string,
  full: boolean,
  terminal: Terminal,
): string[] {
  const lines: string[] = []
  const add = (label: string, value: Json, style?: Style): void => {
    const width =
      terminal.columns === undefined
        ? PREVIEW_COLUMNS
        : terminal.columns - columnsOf(below) - LABEL_COLUMNS
    const texts = full ? wholeValue(value) : [fit(preview(value), Math.max(20, width))]
    texts.forEach((text, i) => {
      const title = pad(i === 0 ? label : '', LABEL_COLUMNS)
      lines.push(
        `${terminal.style('dim', below + title)}${style === undefined ? text : terminal.style(style, text)}`.trimEnd(),
      )
    })
  }
  if (statusMessage !== null) add('!', statusMessage, levelStyle(level))
  if (input !== null) add('in', input)
  if (output !== null) add('out', output)
  if (Object.keys(metadata).length > 0) add('meta', metadata as Json, 'dim')
  return lines
}

/** The beginning of a value in one line; a value of megabytes is not read through for it. */
function preview(value: Json): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return printable(text.slice(0, 2000))
}

function wholeValue(value: Json): string[] {
  const text = typeof value === 'string' ? value : JSON.stringify(value, null, 2)
  return text.split(/\r?\n/).map(printable)
}

/** Where in the trace an observation lies, in eighths of a character. */
function bar(offset: number, length: number, total: number): string {
  if (!(total > 0)) return ' '.repeat(BAR_COLUMNS)
  const from = Math.min(BAR_COLUMNS - 1, Math.max(0, Math.floor((offset / total) * BAR_COLUMNS)))
  const eighths = Math.round((length / total) * BAR_COLUMNS * 8)
  const blocks = Math.min(BAR_COLUMNS - from, Math.floor(eighths / 8))
  const rest = blocks + from < BAR_COLUMNS ? ' ▏▎▍▌▋▊▉'[eighths % 8]! : ''
  const drawn = blocks === 0 && rest.trim() === '' ? '▏' : '█'.repeat(blocks) + rest.trim()
  return pad(' '.repeat(from) + drawn, BAR_COLUMNS)
}

/** `412 → 128 tokens`, of usage details as recorded */
export function usageText(usage: Json): string | undefined {
  const { input, output, total } = tokensOf(usage)
  if (input !== null && output !== null) return `${count(input)} → ${count(output)} tokens`
  return total === null ? undefined : plural(total, 'token')
}

export function levelStyle(level: string): Style {
  if (level === 'ERROR') return 'red'
  return level === 'WARNING' ? 'yellow' : 'dim'
}

function nameStyle({ level, interrupted }: Observation): Style {
  if (level === 'ERROR') return ['bold', 'red']
  return interrupted ? ['bold', 'yellow'] : 'bold'
}

function titleColumns(lead: string, { name }: Observation): number {
  return columnsOf(lead) + columnsOf(printable(name.slice(0, 200)))
}

/** Date keeps milliseconds; the fraction's further digits count for offsets of short spans. */
function milliseconds(iso: string): number {
  const further = /\.\d{3}(\d+)Z$/.exec(iso)?.[1] ?? ''
  return Date.parse(iso) + Number(`0.${further || 0}`)
}
