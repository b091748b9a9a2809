import type { ArmGroup } from '../../arms.ts'
import { digits, type Unit } from '../format.ts'
import { logScale, xAxis } from './scales.ts'
import { box, dot, fitting, line, svgOf, textAt, WIDTH } from './svg.ts'

/** A row of a range chart: three marks on a line. */
export interface Range {
  readonly label: string
  readonly group: ArmGroup
  /** Open mark, full mark, end of the line; in this order, none below the one before. Missing: not told. */
  readonly marks: readonly [number | undefined, number | undefined, number | undefined]
}

const LABELS = 216
const COLUMN = 62
const ROW = 22
const TOP = 24

/**
 * A line for each row with two marks and an end, on a logarithmic axis, and the three numbers at the right. A band shows
 * where the full mark of what is compared lies, give or take the noise. A mark whose name is empty has no column.
 */
export function rangeChart(
  rows: readonly Range[],
  names: readonly [string, string, string],
  axis: string,
  unit: Unit,
  band: readonly [number, number] | undefined,
  floor: number,
): string {
  const right = WIDTH - 3 * COLUMN - 12
  const bottom = TOP + rows.length * ROW
  const values = rows.flatMap((row) => row.marks).filter((value) => value !== undefined)
  const scale = logScale([...values, ...(band ?? [])], LABELS, right, floor)
  const parts: string[] = []
  if (band !== undefined) {
    const [from, to] = band.map(scale.at) as [number, number]
    parts.push(box(from, TOP, Math.max(2, to - from), rows.length * ROW, 'band', 'noise floor'))
  }
  parts.push(...xAxis(scale, LABELS, right, TOP, bottom, axis))
  for (const [at, name] of names.entries()) {
    if (name === '') continue
    parts.push(textAt(right + (at + 1) * COLUMN + 8, TOP - 8, name, 'end', 'axis'))
  }
  for (const [index, row] of rows.entries()) {
    const y = TOP + (index + 0.5) * ROW
    parts.push(textAt(LABELS - 10, y + 4, fitting(row.label, LABELS - 14), 'end'))
    const [open, full, end] = row.marks
    const tip = `${row.label}: ${names.flatMap((name, at) => (name === '' ? [] : [`${name} ${shownMark(row.marks[at], unit)}`])).join(', ')}`
    const known = row.marks.filter((value) => value !== undefined)
    if (known.length > 0) {
      parts.push(
        line(
          scale.at(known[0] as number),
          y,
          scale.at(known.at(-1) as number),
          y,
          `stem ${row.group}`,
        ),
      )
    }
    if (end !== undefined) {
      parts.push(line(scale.at(end), y - 5, scale.at(end), y + 5, `stem ${row.group}`))
    }
    if (open !== undefined) parts.push(dot(scale.at(open), y, 4, `open ${row.group}`, tip))
    if (full !== undefined) parts.push(dot(scale.at(full), y, 4.5, `fill ${row.group}`, tip))
    for (const [at, value] of row.marks.entries()) {
      if (names[at] === '') continue
      parts.push(
        textAt(right + (at + 1) * COLUMN + 8, y + 4, shownMark(value, unit), 'end', 'tick'),
      )
    }
  }
  return svgOf(WIDTH, bottom + 44, axis, parts)
}

function shownMark(value: number | undefined, unit: Unit): string {
  return value === undefined ? '–' : digits(value, unit)
}
