import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Attempt } from '../export/http.ts'
import type { Stats } from './stats.ts'

export interface Metrics {
  /** A request to an exporter's server was answered, or failed. */
  onAttempt(exporter: string, attempt: Attempt): void
  /** The same for a request with scores. */
  onScoreAttempt(exporter: string, attempt: Attempt): void
  /** The same for one that has to do with media. */
  onMediaAttempt(exporter: string, attempt: Attempt): void
  render(stats: Stats): Promise<{ readonly type: string; readonly text: string }>
}

type Labels = Record<string, string>

/** Prometheus metrics on a registry of their own. Totals come from the store: they survive restarts of the relay. */
export function createMetrics(): Metrics {
  const registry = new Registry()
  const registers = [registry]
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
  const seconds = new Histogram({
    name: 'offpath_exporter_request_seconds',
    help: 'Time from a request to the last byte of its answer',
    labelNames: ['exporter'],
    buckets: [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  })

  const counter = (name: string, help: string, labelNames: string[] = []): SetAll => {
    const metric = new Counter({ name, help, labelNames, registers })
    // Set to the store's totals at each scrape: inc() of what grew would need a memory of its own.
    return (values) => {
      metric.reset()
      for (const [labels, value] of values) metric.inc(labels, value)
    }
  }
  const gauge = (name: string, help: string, labelNames: string[] = []): SetAll => {
    const metric = new Gauge({ name, help, labelNames, registers })
    return (values) => {
      metric.reset()
      for (const [labels, value] of values) metric.set(labels, value)
    }
  }

  const accepted = counter(
    'offpath_observations_accepted_total',
    'Observations whose start was read from the spool',
  )
  const interrupted = counter(
    'offpath_observations_interrupted_total',
    'Observations closed because their process had ended, or seemed to have',
  )
  const lost = counter(
    'offpath_observations_lost_total',
    'Observations that were never read, by reason',
    ['reason'],
  )
  const open = gauge('offpath_observations_open', 'Observations started and not ended')
  const unstorable = counter(
    'offpath_observations_unstorable_total',
    'Observations that could not be stored; the log says why',
  )
  const expired = counter(
    'offpath_store_expired_chunks_total',
    'Chunks of observations that retention has removed',
  )
  const records = counter('offpath_spool_records_total', 'Records read from the spool')
  const damagedBytes = counter(
    'offpath_spool_damaged_bytes_total',
    'Bytes of the spool that were passed over, for they were no good frames',
  )
  const faults = counter(
    'offpath_spool_faults_total',
    'What was wrong with what was read from the spool, by kind: frames, records, fields, references, files',
    ['kind'],
  )
  const delivered = counter('offpath_exporter_delivered_total', 'Observations delivered', [
    'exporter',
  ])
  const resent = counter(
    'offpath_exporter_resent_total',
    'Observations delivered again: they had changed, or were sent again by hand',
    ['exporter'],
  )
  const notResent = counter(
    'offpath_exporter_not_resent_total',
    'Observations that had changed, or were sent again by hand, and were rejected or dropped',
    ['exporter'],
  )
  const dead = counter(
    'offpath_exporter_dead_lettered_total',
    'Observations that the server rejected one by one, or that could not be encoded',
    ['exporter'],
  )
  const deadDropped = counter(
    'offpath_exporter_dead_dropped_total',
    'Dead letters of observations that somebody took off the list',
    ['exporter'],
  )
  const dropped = counter('offpath_exporter_dropped_total', 'Observations dropped, by reason', [
    'exporter',
    'reason',
  ])
  const exporterAccepted = counter(
    'offpath_exporter_accepted_total',
    'Observations meant for the exporter: delivered + dead-lettered + dropped + held',
    ['exporter'],
  )
  const held = gauge('offpath_exporter_held', 'Observations open or waiting', ['exporter'])
  const waitingBytes = gauge(
    'offpath_exporter_waiting_bytes',
    'Bytes of what waits, before compression; of what is delivered in part, all',
    ['exporter'],
  )
  const retries = counter('offpath_exporter_retries_total', 'Retries since the relay started', [
    'exporter',
  ])
  const state = gauge('offpath_exporter_state', 'The state that the exporter is in is 1', [
    'exporter',
    'state',
  ])
  const scoresRead = counter('offpath_scores_accepted_total', 'Scores read from the spool')
  const scoresLost = counter(
    'offpath_scores_lost_total',
    'Scores that their writer could not record, by reason',
    ['reason'],
  )
  const scoresUnclaimed = counter(
    'offpath_scores_without_exporter_total',
    'Scores that no exporter takes',
  )
  /** The law of what is delivered beside observations. */
  const apart = (
    what: 'scores' | 'media',
    title: string,
    names: readonly [
      accepted: string,
      delivered: string,
      dead: string,
      dropped: string,
      held: string,
      state: string,
      retried: string,
      deadDropped: string,
    ],
  ): ((stats: Stats) => void) => {
    const accepted = counter(
      names[0],
      `${title} meant for the exporter: delivered + dead-lettered + dropped + held`,
      ['exporter'],
    )
    const delivered = counter(names[1], `${title} delivered`, ['exporter'])
    const dead = counter(names[2], `${title} rejected`, ['exporter'])
    const dropped = counter(names[3], `${title} dropped, by reason`, ['exporter', 'reason'])
    const held = gauge(names[4], `${title} waiting`, ['exporter'])
    const retried = counter(
      names[6],
      `${title} that were dead letters and were accepted once more`,
      ['exporter'],
    )
    const deadDropped = counter(
      names[7],
      `Dead letters of ${what} that somebody took off the list`,
      ['exporter'],
    )
    const state = gauge(names[5], `The state that delivery of ${what} is in is 1`, [
      'exporter',
      'state',
    ])
    return ({ exporters }) => {
      const taking = exporters.flatMap((exporter) => {
        const { name: exporterName, [what]: figures } = exporter
        return figures === null ? [] : [{ exporter: exporterName, ...figures }]
      })
      const each = (value: (one: (typeof taking)[number]) => number): Values =>
        taking.map((one) => [{ exporter: one.exporter }, value(one)])
      accepted(each((one) => one.accepted))
      delivered(each((one) => one.delivered))
      dead(each((one) => one.deadLettered))
      dropped(
        taking.flatMap(({ exporter, dropped }) =>
          Object.entries(dropped).map(([reason, n]): [Labels, number] => [{ exporter, reason }, n]),
        ),
      )
      held(each((one) => one.held))
      retried(each((one) => one.retried))
      deadDropped(each((one) => one.deadDropped))
      state(
        taking.flatMap(({ exporter, delivery }): [Labels, number][] =>
          delivery === null ? [] : [[{ exporter, state: delivery.state }, 1]],
        ),
      )
    }
  }
  const scores = apart('scores', 'Scores', [
    'offpath_exporter_scores_accepted_total',
    'offpath_exporter_scores_delivered_total',
    'offpath_exporter_scores_dead_lettered_total',
    'offpath_exporter_scores_dropped_total',
    'offpath_exporter_scores_held',
    'offpath_exporter_scores_state',
    'offpath_exporter_scores_retried_total',
    'offpath_exporter_scores_dead_dropped_total',
  ])
  const media = apart('media', 'Media', [
    'offpath_exporter_media_accepted_total',
    'offpath_exporter_media_delivered_total',
    'offpath_exporter_media_dead_lettered_total',
    'offpath_exporter_media_dropped_total',
    'offpath_exporter_media_held',
    'offpath_exporter_media_state',
    'offpath_exporter_media_retried_total',
    'offpath_exporter_media_dead_dropped_total',
  ])
  const spoolBytes = gauge('offpath_spool_bytes', 'Bytes of segments', ['tier'])
  const spoolSegments = gauge('offpath_spool_segments', 'Segments', ['tier'])
  const spoolUnread = gauge('offpath_spool_unread_bytes', 'Bytes not in the store yet', ['tier'])
  const writers = gauge('offpath_writers', 'Processes and threads that record', ['life'])
  const storeBytes = gauge('offpath_store_bytes', 'Bytes of the store')
  const storeFull = gauge('offpath_store_full', '1: nothing is read until there is room')
  const cost = gauge(
    'offpath_recording_seconds_per_observation',
    "Time that recording and writing took on the application's thread, lately",
    ['service'],
  )
  const loopDelay = gauge(
    'offpath_application_loop_delay_max_seconds',
    "Longest delay of the application's event loop, lately",
    ['service'],
  )

  return {
    onAttempt(exporter, attempt) {
      requests.inc({ exporter, status: String(attempt.status) })
      sentBytes.inc({ exporter }, attempt.bytes)
      seconds.observe({ exporter }, attempt.seconds)
    },
    onScoreAttempt(exporter, attempt) {
      scoreRequests.inc({ exporter, status: String(attempt.status) })
    },
    onMediaAttempt(exporter, attempt) {
      mediaRequests.inc({ exporter, status: String(attempt.status) })
    },
    async render(stats) {
      const one = (value: number): Values => [[{}, value]]
      const each = <T>(of: readonly T[], labels: (one: T) => Labels, value: (one: T) => number) =>
        of.map((item): [Labels, number] => [labels(item), value(item)])
      const byExporter = (value: (exporter: Stats['exporters'][number]) => number): Values =>
        each(stats.exporters, ({ name }) => ({ exporter: name }), value)
      const byTier = (value: (spool: Stats['spool'][number]) => number): Values =>
        each(stats.spool, ({ tier }) => ({ tier }), value)

      accepted(one(stats.accepted))
      interrupted(one(stats.interrupted))
      lost(Object.entries(stats.lost).map(([reason, value]) => [{ reason }, value]))
      open(one(stats.open))
      const { records: read = 0, corruptBytes = 0, expiredChunks = 0 } = stats.counters
      records(one(read))
      unstorable(one(stats.counters.unstorable ?? 0))
      expired(one(expiredChunks))
      damagedBytes(one(corruptBytes))
      faults(
        Object.entries(FAULTS).map(([counter, kind]) => [{ kind }, stats.counters[counter] ?? 0]),
      )
      exporterAccepted(byExporter((exporter) => exporter.accepted))
      delivered(byExporter((exporter) => exporter.delivered))
      resent(byExporter((exporter) => exporter.resent))
      notResent(byExporter((exporter) => exporter.notResent))
      dead(byExporter((exporter) => exporter.deadLettered))
      deadDropped(byExporter((exporter) => exporter.deadDropped))
      dropped(
        stats.exporters.flatMap(({ name, dropped }) =>
          Object.entries(dropped).map(([reason, value]): [Labels, number] => [
            { exporter: name, reason },
            value,
          ]),
        ),
      )
      held(byExporter((exporter) => exporter.held))
      waitingBytes(byExporter((exporter) => exporter.waitingBytes))
      retries(byExporter((exporter) => exporter.delivery?.retries ?? 0))
      state(
        stats.exporters.flatMap(({ name, delivery }): [Labels, number][] =>
          delivery === null ? [] : [[{ exporter: name, state: delivery.state }, 1]],
        ),
      )
      scoresRead(one(stats.counters.scores ?? 0))
      scoresLost(Object.entries(stats.lostScores).map(([reason, value]) => [{ reason }, value]))
      scoresUnclaimed(one(stats.counters.scoresWithoutExporter ?? 0))
      scores(stats)
      media(stats)
      spoolBytes(byTier((spool) => spool.bytes))
      spoolSegments(byTier((spool) => spool.segments))
      spoolUnread(byTier((spool) => spool.unreadBytes))
      const lives = Map.groupBy(stats.writers, ({ alive }) => lifeName(alive))
      writers([...lives].map(([life, of]) => [{ life }, of.length]))
      storeBytes(one(stats.store.bytes))
      storeFull(one(stats.relay?.storeFull ? 1 : 0))
      cost(
        each(
          stats.vitals,
          ({ service }) => ({ service: service ?? '' }),
          (vitals) => vitals.microsecondsPerObservation / 1e6,
        ),
      )
      loopDelay(
        each(
          stats.vitals,
          ({ service }) => ({ service: service ?? '' }),
          (vitals) => vitals.loopDelayMaxMs / 1000,
        ),
      )
      return { type: registry.contentType, text: await registry.metrics() }
    },
  }
}

/** Counters of the store, and what a metric calls them: each is there from the start, so that rates can be taken. */
const FAULTS: Readonly<Record<string, string>> = {
  corruptFrames: 'damaged_frame',
  tornTails: 'torn_tail',
  malformedRecords: 'malformed_record',
  malformedFields: 'malformed_field',
  unknownRecords: 'unknown_record',
  orphanRecords: 'record_without_start',
  danglingReferences: 'reference_to_lost',
  badSegments: 'file_left_alone',
}

type Values = readonly (readonly [labels: Labels, value: number])[]
type SetAll = (values: Values) => void

function lifeName(alive: boolean | null): string {
  if (alive === null) return 'unknown'
  return alive ? 'alive' : 'dead'
}
