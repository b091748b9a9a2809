import { atLeast, atMost, figure, type Row, ratio, rowOf, type Target } from '../report.ts'

/** What was promised of delivery. */
export function deliveryTargets(rows: readonly Row[]): Target[] {
  const of = (inCase: string, field: string, subject: 'offpath' | 'otel' = 'offpath') =>
    figure(rowOf(rows, inCase, subject), field)
  const overOtel = (inCase: string): Target[] =>
    atMost(
      'CPU, of OpenTelemetry’s encoding alone',
      inCase,
      ratio(of(inCase, 'us'), of(inCase, 'us', 'otel')),
      1,
      'ratio',
    )
  const unit = 'per CPU-second'
  const poolOfFour = ratio(of('small-redis-4', 'pool_us'), of('small-redis', 'pool_us'))
  return [
    ...atLeast(
      'store to exporter',
      'small-export',
      of('small-export', 'per_cpu_second'),
      1e5,
      unit,
    ),
    ...atLeast(
      'payload',
      '64kb-export',
      of('64kb-export', 'mb_per_cpu_second'),
      300,
      'MB per CPU-second',
    ),
    ...['small-export', '4kb-export', '64kb-export'].flatMap(overOtel),
    ...atLeast('through Redis', 'small-redis', of('small-redis', 'per_cpu_second'), 40_000, unit),
    ...atMost('CPU of a pool of four, of that of one', 'small-redis-4', poolOfFour, 1.1, 'ratio'),
    ...atMost('memory over the backlog', 'backlog', of('backlog', 'rss_mb'), 300, 'MB'),
    ...atMost('ready', 'restart', of('restart', 'ready_ms'), 2000, 'ms'),
    ...atMost('first request', 'restart', of('restart', 'first_request_ms'), 2000, 'ms'),
    ...rows.flatMap((row) => atMost('spans lost', row.case, figure(row, 'lost'), 0, '')),
  ]
}
