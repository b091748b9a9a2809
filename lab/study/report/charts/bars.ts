import { linearScale, xAxis } from './scales.ts'
import { box, fitting, line, svgOf, textAt, textWidth, WIDTH } from './svg.ts'

export interface Bar {
  readonly label: string
  readonly parts: readonly BarPart[]
  /** At the right of the bar. */
  readonly total: string
}

export interface BarPart {
  readonly name: string
  readonly value: number
  /** Class of its colour. */
  readonly mark: string
  readonly shown: string
}

const LEAST_LABELS = 216
const MOST_LABELS = 340
const ROW = 24
const TOP = 12

/**
 * Horizontal bars of parts, on a linear axis from 0. Parts below zero are not drawn; the total says them.
 *
 * @param reference a line over all bars, and how far to its sides nothing is told apart
 * @param most end of the axis; that of the bars when not given
 */
export function barChart(
  bars: readonly Bar[],
  axis: string,
  reference?: { readonly value: number; readonly noise: number },
  most?: number,
): string {
  const wanted = Math.max(...bars.map((bar) => textWidth(bar.label))) + 18
  const labels = Math.min(MOST_LABELS, Math.max(LEAST_LABELS, wanted))
  const right = WIDTH - 16 - Math.max(...bars.map((bar) => textWidth(bar.total)))
  const bottom = TOP + bars.length * ROW
  const lengths = bars.map((bar) =>
    bar.parts.reduce((sum, part) => sum + Math.max(0, part.value), 0),
  )
  const scale = linearScale(most === undefined ? lengths : [most], labels, right - 8)
  const parts = xAxis(scale, labels, right, TOP, bottom, axis)
  if (reference !== undefined && reference.noise > 0) {
    const from = scale.at(reference.value - reference.noise)
    const to = scale.at(reference.value + reference.noise)
    parts.push(box(from, TOP, to - from, bottom - TOP, 'band', 'noise floor'))
  }
  for (const [index, bar] of bars.entries()) {
    const y = TOP + index * ROW
    parts.push(textAt(labels - 10, y + ROW / 2 + 4, fitting(bar.label, labels - 14), 'end'))
    let from = 0
    for (const part of bar.parts) {
      if (part.value <= 0) continue
      const left = scale.at(from)
      from += part.value
      const width = scale.at(from) - left
      parts.push(
        box(
          left,
          y + 4,
          width,
          ROW - 8,
          `part ${part.mark}`,
          `${bar.label}: ${part.name} ${part.shown}`,
        ),
      )
    }
    // Of shares the totals stand below one another, where no bar reaches.
    const end = most === undefined ? Math.min(right, scale.at(from)) : right
    parts.push(textAt(end + 6, y + ROW / 2 + 4, bar.total, 'start', 'tick'))
  }
  if (reference !== undefined) {
    const x = scale.at(reference.value)
    parts.push(line(x, TOP - 6, x, bottom, 'reference'))
  }
  return svgOf(WIDTH, bottom + 44, axis, parts)
}
