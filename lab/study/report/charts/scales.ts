import { digits } from '../format.ts'
import { line, textAt, textWidth } from './svg.ts'

export interface Scale {
  /** Where a value stands; one beyond the ends stands at the end. */
  at(value: number): number
  readonly ticks: readonly Tick[]
}

interface Tick {
  readonly value: number
  readonly text: string
}

/** From 0 to a round number that holds all the values. */
export function linearScale(values: readonly number[], from: number, to: number): Scale {
  const most = Math.max(...values.filter(Number.isFinite), 0) || 1
  const step = stepOf(most / 5)
  const end = Math.ceil(most / step - 1e-9) * step
  return {
    at: (value) => from + (Math.min(end, Math.max(0, value)) / end) * (to - from),
    ticks: Array.from({ length: Math.round(end / step) + 1 }, (_, index) => tickOf(index * step)),
  }
}

/** The same between two numbers, which need not be round. */
export function spanScale(least: number, most: number, from: number, to: number): Scale {
  const step = stepOf((most - least) / 6)
  const first = Math.ceil(least / step - 1e-9)
  const ticks: Tick[] = []
  for (let index = first; index * step <= most + 1e-9; index++) ticks.push(tickOf(index * step))
  const place = (value: number): number => Math.min(most, Math.max(least, value)) - least
  return { at: (value) => from + (place(value) / (most - least)) * (to - from), ticks }
}

/** Logarithmic; nothing below `floor` is told apart. */
export function logScale(
  values: readonly number[],
  from: number,
  to: number,
  floor: number,
): Scale {
  const seen = values.filter((value) => Number.isFinite(value) && value > 0)
  const least = Math.max(floor, Math.min(...seen, Number.MAX_VALUE)) / 1.1
  const most = Math.max(...seen, least * 1.3) * 1.1
  const start = Math.log10(least)
  const length = Math.log10(most) - start
  const ticks: Tick[] = []
  const decades =
    length > 2.6 ? [1] : length > 1.7 ? [1, 3] : length > 0.8 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 7]
  for (let decade = Math.floor(start); decade <= start + length; decade++) {
    for (const digit of decades) {
      const value = digit * 10 ** decade
      if (value >= least && value <= most) ticks.push(tickOf(value))
    }
  }
  // Within less than a third of a decade these would be one or two.
  if (length < 0.35) ticks.splice(0, ticks.length, ...spanScale(least, most, from, to).ticks)
  return {
    at: (value) => {
      const place = Math.log10(Math.min(most, Math.max(least, value))) - start
      return from + (place / length) * (to - from)
    },
    ticks,
  }
}

/** Logarithmic with ticks at the values themselves; whole multiples of 1024 as K. */
export function stepScale(values: readonly number[], from: number, to: number): Scale {
  const steps = [...new Set(values)].toSorted((a, b) => a - b)
  const ticks = steps.map((value) =>
    value % 1024 === 0 ? { value, text: `${value / 1024} K` } : tickOf(value),
  )
  return { at: logScale(steps, from, to, 0).at, ticks }
}

/** Grid lines over the height, with the numbers below and what they are. */
export function xAxis(
  scale: Scale,
  left: number,
  right: number,
  top: number,
  bottom: number,
  name: string,
): string[] {
  const parts: string[] = []
  let free = Number.NEGATIVE_INFINITY
  for (const { value, text } of scale.ticks) {
    const x = scale.at(value)
    parts.push(line(x, top, x, bottom, 'grid'))
    // A number that would touch the one before it is left out.
    if (x - textWidth(text) / 2 < free) continue
    parts.push(textAt(x, bottom + 16, text, 'middle', 'tick'))
    free = x + textWidth(text) / 2 + 6
  }
  parts.push(textAt((left + right) / 2, bottom + 34, name, 'middle', 'axis'))
  return parts
}

/** Grid lines over the width, with the numbers at the left and what they are above. */
export function yAxis(
  scale: Scale,
  left: number,
  right: number,
  top: number,
  name: string,
): string[] {
  const parts: string[] = []
  let free = Number.POSITIVE_INFINITY
  for (const { value, text } of scale.ticks) {
    const y = scale.at(value)
    parts.push(line(left, y, right, y, 'grid'))
    if (y > free) continue
    parts.push(textAt(left - 6, y + 4, text, 'end', 'tick'))
    free = y - 14
  }
  parts.push(textAt(left - 6, top - 10, name, 'start', 'axis'))
  return parts
}

/** Moves labels apart until each has its line; the order of the wanted places stays. */
export function apart(
  wanted: readonly number[],
  least: number,
  top: number,
  bottom: number,
): number[] {
  const order = wanted
    .map((_, index) => index)
    .toSorted((a, b) => (wanted[a] as number) - (wanted[b] as number))
  const places = [...wanted]
  let free = top
  for (const index of order) {
    places[index] = Math.max(free, wanted[index] as number)
    free = (places[index] as number) + least
  }
  let end = bottom
  for (const index of order.toReversed()) {
    places[index] = Math.min(end, places[index] as number)
    end = (places[index] as number) - least
  }
  return places
}

function stepOf(rough: number): number {
  const decade = 10 ** Math.floor(Math.log10(rough))
  const digit = [1, 2, 5, 10].find((each) => each * decade >= rough - 1e-12) ?? 10
  return digit * decade
}

function tickOf(value: number): Tick {
  const text = Number(value.toPrecision(6))
  return { value, text: text >= 1000 ? digits(text, 'count') : String(text) }
}
