import type { Config } from './config/options.ts'
import type { RedisTarget } from './config/redis-url.ts'
import { systemClock } from './export/clock.ts'
import type { DeliveryOptions } from './export/delivery.ts'
import {
  type Exporter,
  type HttpExporter,
  langfuseExporter,
  otlpExporter,
} from './export/exporters.ts'
import { redisExporter } from './export/redis.ts'
import type { Metrics } from './http/metrics.ts'
import type { Log } from './log.ts'
import type { ConnectionOptions } from './redis/connection.ts'

/** The exporters that spans are delivered by, at their end: Langfuse where there are keys, OTLP where there is a URL. */
export function configuredExporters(config: Config): HttpExporter[] {
  const exporters: HttpExporter[] = []
  const publicKey = config['langfuse.public-key']
  const secretKey = config['langfuse.secret-key']
  const projects = config['langfuse.projects']
  const keys = publicKey && secretKey ? { publicKey, secretKey } : null
  if (keys !== null || Object.keys(projects).length > 0) {
    exporters.push(
      langfuseExporter({
        baseUrl: config['langfuse.base-url'],
        keys,
        projects,
        uploadMedia: config['langfuse.media-upload'],
      }),
    )
  }
  const url = config['otlp.url']
  if (url !== undefined) exporters.push(otlpExporter({ url, headers: config['otlp.headers'] }))
  return exporters
}

/** Those of a relay that reads a spool: to Redis too, where it forwards. */
export function exportersOf(config: Config): Exporter[] {
  const exporters: Exporter[] = configuredExporters(config)
  if (config['redis.forward']) {
    exporters.push(
      redisExporter({
        ...redisConnection(config),
        stream: config['redis.stream'],
        partitions: config['redis.partitions'],
        maxLength: config['redis.max-length'],
        entryBytes: config['redis.entry-bytes'],
      }),
    )
  }
  return exporters
}

/** A request waits so long to become full: fewer requests are most of what delivery costs less. */
export const LINGER_MS = 1000

/** How spans are delivered, wherever they wait. */
export function configuredDelivery(
  config: Config,
  exporter: Exporter,
  metrics: Metrics,
  log: Log,
): Omit<DeliveryOptions, 'outbox' | 'backlogBytes'> {
  const { name } = exporter
  return {
    exporter,
    clock: systemClock,
    random: Math.random,
    gzip: config['export.gzip'],
    concurrency: config['export.concurrency'],
    requestBytes: exporter.requestBytes ?? config['export.request-bytes'],
    spanBytes: config['export.span-bytes'],
    lingerMs: LINGER_MS,
    timeoutMs: config['export.timeout'],
    onAttempt: (attempt) => metrics.onAttempt(name, attempt),
    onDelivered: (lagSeconds) => metrics.onDelivered(name, lagSeconds),
    log,
  }
}

/** How to connect to Redis; the configuration has been checked to say where it is. */
export function redisConnection(config: Config): ConnectionOptions {
  return {
    target: config['redis.url'] as RedisTarget,
    passwordFile: config['redis.password-file'],
    tlsCa: config['redis.tls-ca'],
  }
}
