import { median, rounded } from '../../apparatus/statistics.ts'
import type { Row } from '../report.ts'
import type { ChainSample, RedisFigures } from './chain.ts'
import type { EncodingResult } from './encoding.ts'
import type { ExportSample } from './exporting.ts'
import type { DrainSample, OutageSample, RestartSample } from './outage.ts'

// Lines of the result; medians of their samples, but counts, which are sums, and memory, which is the most.

const MB = 2 ** 20

interface Arrived {
  readonly spans: number
  readonly delivered: number
  readonly again: number
}

function counts(samples: readonly Arrived[]): { delivered: number; lost: number; again: number } {
  const sum = (count: (sample: Arrived) => number): number =>
    samples.reduce((total, sample) => total + count(sample), 0)
  return {
    delivered: sum(({ delivered }) => delivered),
    lost: sum(({ spans, delivered }) => spans - delivered),
    again: sum(({ again }) => again),
  }
}

function most(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null)
  return known.length === 0 ? null : rounded(Math.max(...known), 0)
}

function middle<T>(
  samples: readonly T[],
  figure: (sample: T) => number,
  digits = 2,
): number | null {
  return rounded(median(samples.map(figure)), digits)
}

export function exportRow(name: string, samples: readonly ExportSample[]): Row {
  return {
    case: name,
    subject: 'offpath',
    us: middle(samples, ({ cpuUs, spans }) => cpuUs / spans, 3),
    per_cpu_second: middle(samples, ({ cpuUs, spans }) => (spans / cpuUs) * 1e6, 0),
    mb_per_cpu_second: middle(samples, ({ cpuUs, bytes }) => bytes / MB / (cpuUs / 1e6), 0),
    span_bytes: middle(samples, ({ spans, bytes }) => bytes / spans, 0),
    store_bytes: middle(samples, ({ spans, storeBytes }) => storeBytes / spans, 0),
    wire_bytes: middle(samples, ({ spans, wireBytes }) => wireBytes / spans, 0),
    rss_mb: most(samples.map(({ rssMb }) => rssMb)),
    ...counts(samples),
  }
}

export function encodingRow(name: string, samples: readonly EncodingResult[]): Row {
  return {
    case: name,
    subject: 'otel',
    us: middle(samples, ({ cpuUs, spans }) => cpuUs / spans, 3),
    per_cpu_second: middle(samples, ({ cpuUs, spans }) => (spans / cpuUs) * 1e6, 0),
    mb_per_cpu_second: middle(samples, ({ cpuUs, bytes }) => bytes / MB / (cpuUs / 1e6), 0),
    span_bytes: middle(samples, ({ spans, bytes }) => bytes / spans, 0),
  }
}

export function chainRow(name: string, samples: readonly ChainSample[]): Row {
  const poolUs = (sample: ChainSample): number => sample.poolUs.reduce((sum, us) => sum + us, 0)
  const allUs = (sample: ChainSample): number => sample.firstUs + poolUs(sample)
  const redis = samples.flatMap((sample) => (sample.redis === null ? [] : [sample as WithRedis]))
  return {
    case: name,
    subject: 'offpath',
    us: middle(samples, (sample) => allUs(sample) / sample.spans, 3),
    per_cpu_second: middle(samples, (sample) => (sample.spans / allUs(sample)) * 1e6, 0),
    ...(redis.length > 0 && {
      forward_us: middle(samples, ({ firstUs, spans }) => firstUs / spans, 3),
      pool_us: middle(samples, (sample) => poolUs(sample) / sample.spans, 3),
      forward_per_cpu_second: middle(samples, ({ firstUs, spans }) => (spans / firstUs) * 1e6, 0),
      pool_per_cpu_second: middle(samples, (sample) => (sample.spans / poolUs(sample)) * 1e6, 0),
      ...redisFigures(redis),
    }),
    idle_share: middle(samples, ({ idleUs }) => idleUs / 1e6, 4),
    rss_mb: most(samples.map(({ rssMb }) => rssMb)),
    ...counts(samples),
  }
}

type WithRedis = ChainSample & { readonly redis: RedisFigures }

function redisFigures(samples: readonly WithRedis[]): Record<string, number | null> {
  const perSpan = (figure: (redis: RedisFigures) => number, digits: number): number | null =>
    middle(samples, ({ redis, spans }) => figure(redis) / spans, digits)
  return {
    redis_us: perSpan(({ forwardUs, deliverUs }) => forwardUs + deliverUs, 3),
    redis_forward_us: perSpan(({ forwardUs }) => forwardUs, 3),
    redis_per_cpu_second: middle(
      samples,
      ({ redis, spans }) => (spans / (redis.forwardUs + redis.deliverUs)) * 1e6,
      0,
    ),
    redis_memory_bytes: perSpan(({ memoryBytes }) => memoryBytes, 0),
    redis_in_bytes: perSpan(({ inBytes }) => inBytes, 0),
    redis_out_bytes: perSpan(({ outBytes }) => outBytes, 0),
    redis_commands: perSpan(({ commands }) => commands, 5),
  }
}

export function drainRow(sample: DrainSample): Row {
  const { spans, cpuUs, seconds, backlogBytes, fillRssMb, rssMb } = sample
  return {
    case: 'backlog',
    subject: 'offpath',
    us: rounded(cpuUs / spans, 3),
    per_cpu_second: rounded((spans / cpuUs) * 1e6, 0),
    mb_per_cpu_second: rounded(backlogBytes / MB / (cpuUs / 1e6), 0),
    backlog_mb: rounded(backlogBytes / MB, 0),
    span_bytes: rounded(backlogBytes / spans, 0),
    seconds: rounded(seconds, 1),
    fill_rss_mb: rounded(fillRssMb ?? Number.NaN, 0),
    rss_mb: rounded(rssMb ?? Number.NaN, 0),
    ...counts([sample]),
  }
}

export function restartRow(sample: RestartSample): Row {
  const { backlogBytes, readyMs, firstRequestMs } = sample
  return {
    case: 'restart',
    subject: 'offpath',
    us: null,
    backlog_mb: rounded(backlogBytes / MB, 0),
    // The slowest of them: all have to be.
    ready_ms: rounded(Math.max(...readyMs), 0),
    first_request_ms: rounded(Math.max(...firstRequestMs), 0),
    ...counts([sample]),
  }
}

export function outageRow(sample: OutageSample): Row {
  const { spans, backlogBytes, dropped, resumedMs, seconds, rssMb } = sample
  return {
    case: 'outage',
    subject: 'offpath',
    us: null,
    backlog_mb: rounded(backlogBytes / MB, 0),
    span_bytes: rounded(backlogBytes / spans, 0),
    dropped,
    resumed_ms: rounded(resumedMs, 0),
    seconds: rounded(seconds, 1),
    rss_mb: rounded(rssMb ?? Number.NaN, 0),
    ...counts([sample]),
  }
}
