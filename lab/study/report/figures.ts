import { UsageError } from '../../command-line.ts'
import type { Found } from './addresses.ts'
import type { Estimate } from './bootstrap.ts'
import { digits, shown, type Unit, unitOf, withInterval } from './format.ts'

// Documents don't hold figures of their own: a figure stands between two marks and is written anew from the results.
//
//     p99 <!--= python/rag/langfuse-5/p99_ms -->155 ms<!--/--> against <!--= python/rag/untraced/p99_ms -->33.8 ms<!--/-->,
//     <!--= python/rag/langfuse-5/p99_ms ÷ python/rag/untraced/p99_ms as x -->4.6×<!--/-->
//
// An expression is an address (addresses.ts, with the study before it), or addresses and numbers with ÷ × + − between
// them, spaces around each, computed from left to right. Behind `as` (or `|`, which would end a cell in a table) stand
// formats, spaces between them:
//
//     plain     without the unit
//     interval  with the interval of the figure
//     x         as a factor: 4.6×
//     %         a share as percent: 12 %
//     ms, s     converted from µs or ms
//     .0 .1 .2  so many decimals

/** Finds a figure by its address. @throws FigureError when there is none */
export type LookUp = (address: string) => Found

/** A mark that can't be filled. */
export class FigureError extends UsageError {}

const MARK = /<!--=(.*?)-->([\s\S]*?)<!--\/-->/g

/**
 * The document with what stands between its marks written anew.
 *
 * @throws FigureError, with the line, the address and what there is
 */
export function fillFigures(markdown: string, lookUp: LookUp): string {
  const opened = markdown.match(/<!--=/g)?.length ?? 0
  const closed = [...markdown.matchAll(MARK)]
  const nested = closed.find((match) => match[2]?.includes('<!--='))
  if (nested !== undefined || opened !== closed.length) {
    const at = nested?.index ?? markdown.lastIndexOf('<!--=')
    throw new FigureError(`line ${lineAt(markdown, at)}: a mark <!--= … --> without its <!--/-->`)
  }
  return markdown.replace(MARK, (whole, inner: string, _, at: number) => {
    try {
      const inTable = /^\s*\|/.test(markdown.slice(markdown.lastIndexOf('\n', at - 1) + 1, at))
      if (inTable && inner.includes('|')) {
        throw new FigureError(`${inner.trim()}: in a table write “as”, for | ends the cell`)
      }
      return `${whole.slice(0, whole.indexOf('-->') + 3)}${figureText(inner, lookUp)}<!--/-->`
    } catch (error) {
      if (!(error instanceof FigureError)) throw error
      throw new FigureError(`line ${lineAt(markdown, at)}: ${error.message}`)
    }
  })
}

/** Looks up in the addresses of each study: the first part of an address names it. */
export function lookUpIn(studies: (study: string) => ReadonlyMap<string, Found>): LookUp {
  return (address) => {
    const slash = address.indexOf('/')
    const all = studies(address.slice(0, slash))
    const inStudy = address.slice(slash + 1)
    const found = all.get(inStudy)
    if (found === undefined) {
      throw new FigureError(`no ${address}; ${whatThereIs(inStudy, [...all.keys()])}`)
    }
    return found
  }
}

interface Term {
  readonly estimate: Estimate
  readonly unit: Unit
}

/** What an expression with its formats comes to, as text. */
export function figureText(mark: string, lookUp: LookUp): string {
  const [expression = '', formatText = ''] = mark.split(/ \| | as /).map((part) => part.trim())
  const formats = formatText.split(' ').filter((format) => format !== '')
  const [first = '', ...rest] = expression.split(/ ([÷×+−]) /)
  if (rest.length === 0) {
    const found = lookUp(first.trim())
    if (typeof found === 'string') {
      if (formats.length > 0) throw new FigureError(`${first}: a text has no formats`)
      return found
    }
  }
  let term = termOf(first.trim(), lookUp)
  for (let at = 0; at < rest.length; at += 2) {
    term = computed(term, rest[at] as string, termOf((rest[at + 1] as string).trim(), lookUp))
  }
  return formatted(term, formats)
}

function termOf(text: string, lookUp: LookUp): Term {
  if (/^\d+(\.\d+)?$/.test(text)) return { estimate: { value: Number(text) }, unit: 'number' }
  const found = lookUp(text)
  if (typeof found === 'string') throw new FigureError(`${text} is a text, no number`)
  const name = text.replace(/\/(low|high)$/, '')
  return { estimate: found, unit: unitOf(name.slice(name.lastIndexOf('/') + 1)) }
}

/** The interval ends here: that of a ratio or a difference isn't made of those of its parts. */
function computed(left: Term, sign: string, right: Term): Term {
  const a = left.estimate.value
  const b = right.estimate.value
  const [value, unit]: [number, Unit] =
    sign === '÷'
      ? [a / b, right.unit === 'number' ? left.unit : 'number']
      : sign === '×'
        ? [a * b, left.unit === 'number' ? right.unit : left.unit]
        : [sign === '+' ? a + b : a - b, left.unit]
  const factor = unit === 'count' && !Number.isInteger(value)
  return { estimate: { value }, unit: factor ? 'number' : unit }
}

function formatted({ estimate, unit }: Term, formats: readonly string[]): string {
  let decimals: number | undefined
  let to = unit
  let scale = 1
  let write = (value: Estimate): string => shown(value.value * scale, to, decimals)
  for (const format of formats) {
    if (/^\.\d$/.test(format)) decimals = Number(format[1])
    else if (format === 'plain') write = ({ value }) => digits(value * scale, to, decimals)
    else if (format === 'x') write = ({ value }) => `${digits(value, 'number', decimals)}×`
    else if (format === '%') to = 'share'
    else if (format === 'ms' && unit === 'us') [to, scale] = ['ms', 1e-3]
    else if (format === 's' && unit === 'ms') [to, scale] = ['s', 1e-3]
    else if (format === 's' && unit === 'us') [to, scale] = ['s', 1e-6]
    else if (format === 'interval' && estimate.low !== undefined) {
      write = ({ value, low, high }) =>
        withInterval(
          { value: value * scale, low: (low ?? 0) * scale, high: (high ?? 0) * scale },
          to,
          decimals,
        )
    } else if (format !== 'interval') {
      throw new FigureError(`format ${format}: it can't be, for a figure in ${unit}`)
    }
  }
  return write(estimate)
}

/** Names the next parts after as much of the address as is right. */
function whatThereIs(address: string, all: readonly string[]): string {
  for (let right = address; ; right = right.slice(0, Math.max(0, right.lastIndexOf('/')))) {
    const prefix = right === '' ? '' : `${right}/`
    const below = all.filter((each) => each.startsWith(prefix))
    if (below.length > 0) {
      const next = new Set(below.map((each) => each.slice(prefix.length).split('/')[0]))
      return `${prefix === '' ? '' : `in ${right} `}there is ${[...next].join(', ')}`
    }
    if (right === '') return 'there are no results'
  }
}

function lineAt(text: string, at: number): number {
  return text.slice(0, at).split('\n').length
}
