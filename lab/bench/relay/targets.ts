import { atLeast, atMost, figure, type Row, rowOf, type Target } from '../report.ts'

/** What was promised of the relay. */
export function relayTargets(rows: readonly Row[]): Target[] {
  const of = (inCase: string, field: string) => figure(rowOf(rows, inCase, 'offpath'), field)
  const unit = 'per CPU-second'
  return [
    ...atLeast('spool to store', 'small-store', of('small-store', 'per_cpu_second'), 100_000, unit),
    ...atLeast(
      'spool to exporter',
      'small-export',
      of('small-export', 'per_cpu_second'),
      80_000,
      unit,
    ),
    ...atMost('memory over the backlog', '4kb-export', of('4kb-export', 'rss_mb'), 250, 'MB'),
    ...rows.flatMap((row) => atMost('observations lost', row.case, figure(row, 'lost'), 0, '')),
  ]
}
