import type { Subject } from './subjects.ts'

/** A line of the result. Each bench has fields of its own beside these. */
export interface Row {
  readonly case: string
  readonly subject: Subject
  /** Microseconds above untraced: what of is the bench's to say. Null: not measured. */
  readonly us: number | null
  readonly [field: string]: string | number | boolean | null
}

/** A figure that was promised, and what was measured. */
export interface Target {
  readonly name: string
  readonly case: string
  readonly measured: number
  readonly limit: number
  /** `ratio` to the compared subject, or a unit. */
  readonly unit: string
  readonly ok: boolean
}

export interface Report {
  readonly rows: readonly Row[]
  readonly targets: readonly Target[]
  /** How it was measured: rounds, seconds, seed. */
  readonly method: Readonly<Record<string, number>>
}

/** A target that is met when `measured` does not exceed `limit`; none when something for it was not measured. */
export function atMost(
  name: string,
  inCase: string,
  measured: number | null | undefined,
  limit: number,
  unit: string,
): Target[] {
  if (measured === null || measured === undefined || !Number.isFinite(measured)) return []
  return [{ name, case: inCase, measured, limit, unit, ok: measured <= limit }]
}

/** A target that is met when `measured` reaches `limit`. */
export function atLeast(
  name: string,
  inCase: string,
  measured: number | null | undefined,
  limit: number,
  unit: string,
): Target[] {
  if (measured === null || measured === undefined || !Number.isFinite(measured)) return []
  return [{ name, case: inCase, measured, limit, unit, ok: measured >= limit }]
}

/** `a` divided by `b`; undefined when one of them is missing or `b` is nothing. */
export function ratio(
  a: number | null | undefined,
  b: number | null | undefined,
): number | undefined {
  if (a === null || a === undefined || b === null || b === undefined || b <= 0) return undefined
  return a / b
}

/** The first row of a case and subject: `none` has a second one, the noise. */
export function rowOf(rows: readonly Row[], inCase: string, subject: Subject): Row | undefined {
  return rows.find((row) => row.case === inCase && row.subject === subject)
}

/** Number of a row's field; null where there is none. */
export function figure(row: Row | undefined, field: string): number | null {
  const value = row?.[field]
  return typeof value === 'number' ? value : null
}

/** Rows and verdicts as text, columns aligned. */
export function asText({ rows, targets }: Report): string {
  // Cases that have other figures have a table of their own.
  const alike = Map.groupBy(rows, (row) => Object.keys(row).join())
  const tables = [...alike.values()].map((group) => {
    const columns = Object.keys(group[0] ?? {})
    return table([
      columns,
      ...group.map((row) => columns.map((column) => String(row[column] ?? ''))),
    ])
  })
  const verdicts = table(
    targets.map(({ name, case: inCase, measured, limit, unit, ok }) => [
      ok ? 'ok' : 'MISS',
      inCase,
      name,
      `${shown(measured)} ${unit}`,
      `to reach ${shown(limit)}`,
    ]),
  )
  return [...tables, verdicts].join('\n\n')
}

function shown(value: number): string {
  return value >= 1000
    ? Math.round(value).toLocaleString('en')
    : String(Number(value.toPrecision(3)))
}

function table(lines: readonly (readonly string[])[]): string {
  const widths = (lines[0] ?? []).map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  )
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
