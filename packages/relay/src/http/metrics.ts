import { Counter, Histogram, Registry } from 'prom-client'
import type { Attempt } from '../export/http.ts'
import { watchLoopDelay } from './loop-delay.ts'
import { REFUSALS } from './otlp.ts'
import type { Stats } from './stats.ts'
import { declareTotals } from './totals.ts'

export interface Metrics {
  /** A request to an exporter's server was answered, or failed. */
  onAttempt(exporter: string, attempt: Attempt): void
  /** The same for a request with scores. */
  onScoreAttempt(exporter: string, attempt: Attempt): void
  /** The same for one that has to do with media. */
  onMediaAttempt(exporter: string, attempt: Attempt): void
  /** A request with observations has arrived, so long after the earliest of their ends. */
  onDelivered(exporter: string, lagSeconds: number): void
  /** A request with spans was refused as a whole. */
  onRefused(reason: string): void
  /** The store has taken a commit in, or refused it. */
  onCommit(seconds: number, failed: boolean): void
  render(stats: Stats): Promise<{ readonly type: string; readonly text: string }>
  /** Ends the watch over the event loop. */
  close(): void
}

/**
 * Prometheus metrics on a registry of their own: what docs/metrics.md says. Totals come from the store where they can, and
 * so survive restarts of the relay. None of prom-client's default metrics: thirty names of which an operator needs three.
 */
export function createMetrics(): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const setTotals = declareTotals(registry)

  // What happens between scrapes: once a commit or a request, never for each observation.
  const loopDelay = new Histogram({
    name: 'offpath_relay_loop_delay_seconds',
    help: "Longest delay of the relay's event loop in each second, since the relay started",
    buckets: [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers,
  })
  const commits = new Histogram({
    name: 'offpath_store_commit_seconds',
    help: 'Time that a commit took, since the relay started',
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    registers,
  })
  const commitErrors = new Counter({
    name: 'offpath_store_commit_errors_total',
    help: 'Commits that the store refused since the relay started; they are tried again',
    registers,
  })
  const requests = new Counter({
    name: 'offpath_exporter_requests_total',
    help: 'Requests since the relay started, by HTTP status (0: no answer)',
    labelNames: ['exporter', 'status'],
    registers,
  })
  const sentBytes = new Counter({
    name: 'offpath_exporter_sent_bytes_total',
    help: 'Bytes of request bodies since the relay started, as sent',
    labelNames: ['exporter'],
    registers,
  })
  const seconds = new Histogram({
    name: 'offpath_exporter_request_seconds',
    help: 'Time from a request to the last byte of its answer, since the relay started',
    labelNames: ['exporter'],
    buckets: [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  })
  const bytes = new Histogram({
    name: 'offpath_exporter_request_bytes',
    help: 'Bytes of a request body as sent, since the relay started',
    labelNames: ['exporter'],
    buckets: [1, 4, 16, 64, 256, 1024, 4096, 16_384].map((kilobytes) => kilobytes * 1024),
    registers,
  })
  const observations = new Histogram({
    name: 'offpath_exporter_request_observations',
    help: 'Observations in a request, since the relay started',
    labelNames: ['exporter'],
    buckets: [1, 4, 16, 64, 256, 1024, 4096, 16_384],
    registers,
  })
  const lag = new Histogram({
    name: 'offpath_exporter_lag_seconds',
    help: 'Time from the earliest end of an observation in a request to its delivery, since the relay started',
    labelNames: ['exporter'],
    buckets: [0.5, 1, 2, 3, 5, 10, 30, 60, 300, 1800, 7200, 43_200],
    registers,
  })
  const scoreRequests = new Counter({
    name: 'offpath_exporter_score_requests_total',
    help: 'Requests with scores since the relay started, by HTTP status (0: no answer)',
    labelNames: ['exporter', 'status'],
    registers,
  })
  const mediaRequests = new Counter({
    name: 'offpath_exporter_media_requests_total',
    help: 'Requests for media since the relay started, by HTTP status (0: no answer)',
    labelNames: ['exporter', 'status'],
    registers,
  })
  const refused = new Counter({
    name: 'offpath_receiver_refused_requests_total',
    help: 'Requests with spans that were refused as a whole since the relay started, by reason',
    labelNames: ['reason'],
    registers,
  })
  for (const reason of REFUSALS) refused.inc({ reason }, 0)
  const unwatch = watchLoopDelay((delay) => loopDelay.observe(delay))

  return {
    onAttempt(exporter, attempt) {
      requests.inc({ exporter, status: String(attempt.status) })
      sentBytes.inc({ exporter }, attempt.bytes)
      seconds.observe({ exporter }, attempt.seconds)
      bytes.observe({ exporter }, attempt.bytes)
      observations.observe({ exporter }, attempt.spans)
    },
    onScoreAttempt(exporter, attempt) {
      scoreRequests.inc({ exporter, status: String(attempt.status) })
    },
    onMediaAttempt(exporter, attempt) {
      mediaRequests.inc({ exporter, status: String(attempt.status) })
    },
    onDelivered(exporter, lagSeconds) {
      lag.observe({ exporter }, lagSeconds)
    },
    onRefused(reason) {
      refused.inc({ reason })
    },
    onCommit(took, failed) {
      if (failed) commitErrors.inc()
      else commits.observe(took)
    },
    async render(stats) {
      setTotals(stats)
      return { type: registry.contentType, text: await registry.metrics() }
    },
    close: unwatch,
  }
}
