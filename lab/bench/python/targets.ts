import { atMost, figure, type Row, ratio, rowOf, type Target } from '../report.ts'
import type { Subject } from '../subjects.ts'

const SMALL_US = 5
/** Of the compared subject's CPU on the main thread. */
const PROMISED: readonly (readonly [inCase: string, of: Subject, name: string, limit: number])[] = [
  ['small', 'langfuse', 'of Langfuse', 1 / 12],
  ['small', 'otel', 'of OpenTelemetry', 1 / 2],
  ['generation', 'langfuse', 'of Langfuse', 1 / 6],
  ['history', 'langfuse', 'of Langfuse', 1 / 15],
]

/** What was promised of the Python client. */
export function pythonTargets(rows: readonly Row[]): Target[] {
  const of = (inCase: string, subject: Subject, field: string) =>
    figure(rowOf(rows, inCase, subject), field)
  const served = [...new Set(rows.map((row) => row.case))].filter((inCase) =>
    rows.some((row) => row.case === inCase && row.p99_ms !== undefined),
  )
  return [
    ...atMost('main thread', 'small', of('small', 'offpath', 'us'), SMALL_US, 'µs'),
    ...PROMISED.flatMap(([inCase, subject, name, limit]) =>
      atMost(
        name,
        inCase,
        ratio(of(inCase, 'offpath', 'us'), of(inCase, subject, 'us')),
        limit,
        'ratio',
      ),
    ),
    ...served.flatMap((inCase) => [
      ...withinNoise('p99', inCase, rows, 'p99_ms', 'p99_worst_ms'),
      ...withinNoise(
        'longest loop delay',
        inCase,
        rows,
        'loop_delay_max_ms',
        'loop_delay_worst_ms',
      ),
      ...atMost('threads added', inCase, of(inCase, 'offpath', 'threads'), 0, ''),
      ...atMost('observations lost', inCase, of(inCase, 'offpath', 'lost'), 0, ''),
    ]),
  ]
}

/** Offpath's median, to the worst that was measured without tracing: in either of the two rows, in any round. */
function withinNoise(
  name: string,
  inCase: string,
  rows: readonly Row[],
  field: string,
  worst: string,
): Target[] {
  const untraced = rows.filter((row) => row.case === inCase && row.subject === 'none')
  const noise = Math.max(...untraced.flatMap((row) => figure(row, worst) ?? []))
  if (!Number.isFinite(noise)) return []
  const measured = figure(rowOf(rows, inCase, 'offpath'), field)
  return atMost(`${name}, to the worst of untraced`, inCase, measured, noise, 'ms')
}
