// Metrics that are read from statistics at each scrape; those of what happens in between are in metrics.ts.
import { performance } from 'node:perf_hooks'
import { LOSS_REASONS } from '@offpath/sdk/spool-format'
import { Counter, Gauge, type Registry } from 'prom-client'
import type { Way } from '../receivers/otlp/intake.ts'
import { REJECTIONS } from '../receivers/otlp/spans.ts'
import type { RedisGroupStats, RedisListStats } from './redis-stats.ts'
import type { Stats } from './stats.ts'

type Labels = Record<string, string>
type Values = readonly (readonly [labels: Labels, value: number])[]
type ExporterStats = Stats['exporters'][number]
type ApartStats = NonNullable<ExporterStats['scores']>

// Known reasons are there from the start: of a counter that begins with what it counts, Prometheus sees no increase.
const LOSSES: readonly string[] = [...LOSS_REASONS, 'corrupt']
const DROPS = ['backlog_full', 'refused', 'unreadable', 'unstorable', 'segment_gone', 'expired']
const SCORE_DROPS = ['backlog_full', 'expired']
const MEDIA_DROPS = ['backlog_full', 'content_gone', 'expired']
/** Counters of the store, and what a metric calls them. */
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

/** Declares them in the registry; what is returned sets them to what statistics say. */
export function declareTotals(registry: Registry): (stats: Stats) => void {
  const registers = [registry]
  const setters: ((stats: Stats) => void)[] = []

  const counter = (
    name: string,
    help: string,
    of: (stats: Stats) => number | Values,
    labelNames: string[] = [],
  ): void => {
    const metric = new Counter({ name, help, labelNames, registers })
    setters.push((stats) => {
      // Set to the totals: inc() of what grew would need a memory of its own.
      metric.reset()
      for (const [labels, value] of valuesOf(of(stats))) metric.inc(labels, value)
    })
  }
  const gauge = (
    name: string,
    help: string,
    of: (stats: Stats) => number | Values,
    labelNames: string[] = [],
  ): void => {
    const metric = new Gauge({ name, help, labelNames, registers })
    setters.push((stats) => {
      metric.reset()
      for (const [labels, value] of valuesOf(of(stats))) metric.set(labels, value)
    })
  }

  counter(
    'offpath_observations_accepted_total',
    'Observations whose start was read from the spool, or that came whole by OTLP or from a file',
    ({ accepted }) => accepted,
  )
  counter(
    'offpath_observations_stored_total',
    'Observations put into the store, ended or closed as interrupted',
    ({ counters }) => counters.stored ?? 0,
  )
  counter(
    'offpath_observations_interrupted_total',
    'Observations closed because their process had ended, or seemed to have',
    ({ interrupted }) => interrupted,
  )
  counter(
    'offpath_observations_lost_total',
    'Observations that were never read, by reason',
    ({ lost }) => byReason(lost, LOSSES),
    ['reason'],
  )
  counter(
    'offpath_observations_unstorable_total',
    'Observations that could not be stored; the log says why',
    ({ counters }) => counters.unstorable ?? 0,
  )
  counter(
    'offpath_receiver_spans_total',
    'Spans taken in by OTLP or from a file, by receiver, that were new',
    byWay('spans'),
    ['receiver'],
  )
  counter(
    'offpath_receiver_revised_spans_total',
    'Further versions of spans that were taken in before',
    byWay('revised'),
    ['receiver'],
  )
  counter(
    'offpath_receiver_known_spans_total',
    'Spans that came again, just as they are stored, and were left out',
    byWay('known'),
    ['receiver'],
  )
  counter(
    'offpath_receiver_rejected_spans_total',
    'Spans that were not taken in, by reason',
    ({ counters }) =>
      WAYS.flatMap((receiver) =>
        REJECTIONS.map((reason): Values[number] => [
          { receiver, reason },
          counters[`received.${receiver}.rejected.${reason}`] ?? 0,
        ]),
      ),
    ['receiver', 'reason'],
  )
  counter(
    'offpath_receiver_left_out_links_total',
    'Links without valid ids, without which their spans were taken in',
    byWay('linksLeftOut'),
    ['receiver'],
  )
  gauge('offpath_observations_open', 'Observations started and not ended', ({ open }) => open)

  counter(
    'offpath_spool_records_total',
    'Records read from the spool',
    ({ counters }) => counters.records ?? 0,
  )
  counter(
    'offpath_spool_read_bytes_total',
    'Bytes of the spool that were read, or passed over',
    ({ counters }) => counters.readBytes ?? 0,
  )
  counter(
    'offpath_spool_damaged_bytes_total',
    'Bytes of the spool that were passed over, for they were no good frames',
    ({ counters }) => counters.corruptBytes ?? 0,
  )
  counter(
    'offpath_spool_faults_total',
    'What was wrong with what was read from the spool, by kind: frames, records, fields, references, files',
    ({ counters }) => Object.entries(FAULTS).map(([name, kind]) => [{ kind }, counters[name] ?? 0]),
    ['kind'],
  )
  gauge(
    'offpath_spool_bytes',
    'Bytes of segments',
    byTier(({ bytes }) => bytes),
    ['tier'],
  )
  gauge(
    'offpath_spool_limit_bytes',
    'Most that segments may take; beyond it the next tier is used, then observations are lost',
    byTier(({ limitBytes }) => limitBytes),
    ['tier'],
  )
  gauge(
    'offpath_spool_segments',
    'Segments',
    byTier(({ segments }) => segments),
    ['tier'],
  )
  gauge(
    'offpath_spool_unread_bytes',
    'Bytes not in the store yet',
    byTier(({ unreadBytes }) => unreadBytes),
    ['tier'],
  )
  gauge(
    'offpath_writers',
    'Processes and threads that record',
    ({ writers }) =>
      [...Map.groupBy(writers, ({ alive }) => lifeName(alive))].map(([life, of]) => [
        { life },
        of.length,
      ]),
    ['life'],
  )

  gauge('offpath_store_bytes', 'Bytes of the store', ({ store }) => store?.bytes ?? [])
  gauge(
    'offpath_store_cap_bytes',
    'Most that delivered traces may take; a tenth above it, reading waits',
    ({ store }) => store?.capBytes ?? [],
  )
  gauge('offpath_store_full', '1: nothing is read until there is room', ({ relay }) =>
    relay?.storeFull ? 1 : 0,
  )
  counter(
    'offpath_store_expired_chunks_total',
    'Chunks of observations that retention has removed',
    ({ counters }) => counters.expiredChunks ?? 0,
  )

  counter(
    'offpath_exporter_accepted_total',
    'Observations meant for the exporter: delivered + dead-lettered + dropped + held',
    byExporter(({ accepted }) => accepted),
    ['exporter'],
  )
  counter(
    'offpath_exporter_delivered_total',
    'Observations delivered',
    byExporter(({ delivered }) => delivered),
    ['exporter'],
  )
  counter(
    'offpath_exporter_dead_lettered_total',
    'Observations that the server rejected one by one, or that could not be encoded',
    byExporter(({ deadLettered }) => deadLettered),
    ['exporter'],
  )
  counter(
    'offpath_exporter_dead_dropped_total',
    'Dead letters of observations that somebody took off the list',
    byExporter(({ deadDropped }) => deadDropped),
    ['exporter'],
  )
  counter(
    'offpath_exporter_dropped_total',
    'Observations dropped, by reason',
    byDrop((exporter) => exporter, DROPS),
    ['exporter', 'reason'],
  )
  gauge(
    'offpath_exporter_held',
    'Observations open or waiting',
    byExporter(({ held }) => held),
    ['exporter'],
  )
  gauge(
    'offpath_exporter_waiting_bytes',
    'Bytes of what waits, before compression; of what is delivered in part, all',
    byExporter(({ waitingBytes }) => waitingBytes),
    ['exporter'],
  )
  gauge(
    'offpath_exporter_backlog_cap_bytes',
    'Most that may wait; beyond it the oldest is dropped',
    byExporter(({ delivery, backlogCapBytes }) => (delivery === null ? null : backlogCapBytes)),
    ['exporter'],
  )
  gauge(
    'offpath_exporter_oldest_waiting_seconds',
    'Time since the oldest of what waits was stored; 0: nothing waits',
    byExporter(({ delivery, oldestWaiting }) => (delivery === null ? null : age(oldestWaiting))),
    ['exporter'],
  )
  counter(
    'offpath_exporter_resent_total',
    'Observations delivered again: they had changed, or were sent again by hand',
    byExporter(({ resent }) => resent),
    ['exporter'],
  )
  counter(
    'offpath_exporter_not_resent_total',
    'Observations that had changed, or were sent again by hand, and were rejected or dropped',
    byExporter(({ notResent }) => notResent),
    ['exporter'],
  )
  counter(
    'offpath_exporter_retries_total',
    'Retries since the relay started',
    byExporter(({ delivery }) => delivery?.retries ?? 0),
    ['exporter'],
  )
  gauge(
    'offpath_exporter_requests_in_flight',
    'Requests that are sent or wait to be sent again',
    byExporter(({ delivery }) => delivery?.inFlight ?? null),
    ['exporter'],
  )
  gauge(
    'offpath_exporter_state',
    'The state that the exporter is in is 1',
    byState((exporter) => exporter),
    ['exporter', 'state'],
  )

  counter(
    'offpath_scores_accepted_total',
    'Scores read from the spool',
    ({ counters }) => counters.scores ?? 0,
  )
  counter(
    'offpath_scores_lost_total',
    'Scores that their writer could not record, by reason',
    ({ lostScores }) => byReason(lostScores, LOSS_REASONS),
    ['reason'],
  )
  counter(
    'offpath_scores_without_exporter_total',
    'Scores that no exporter takes',
    ({ counters }) => counters.scoresWithoutExporter ?? 0,
  )
  /** The law of what is delivered beside observations. */
  const apart = (what: 'scores' | 'media', title: string, drops: readonly string[]): void => {
    const prefix = `offpath_exporter_${what}`
    const each = (of: (one: ApartStats) => number | null) =>
      byExporter(({ [what]: one }) => (one === null ? null : of(one)))
    counter(
      `${prefix}_accepted_total`,
      `${title} meant for the exporter: delivered + dead-lettered + dropped + held`,
      each(({ accepted }) => accepted),
      ['exporter'],
    )
    counter(
      `${prefix}_delivered_total`,
      `${title} delivered`,
      each((one) => one.delivered),
      ['exporter'],
    )
    counter(
      `${prefix}_dead_lettered_total`,
      `${title} rejected`,
      each((one) => one.deadLettered),
      ['exporter'],
    )
    counter(
      `${prefix}_retried_total`,
      `${title} that were dead letters and were accepted once more`,
      each(({ retried }) => retried),
      ['exporter'],
    )
    counter(
      `${prefix}_dead_dropped_total`,
      `Dead letters of ${what} that somebody took off the list`,
      each(({ deadDropped }) => deadDropped),
      ['exporter'],
    )
    counter(
      `${prefix}_dropped_total`,
      `${title} dropped, by reason`,
      byDrop((exporter) => exporter[what], drops),
      ['exporter', 'reason'],
    )
    gauge(
      `${prefix}_held`,
      `${title} waiting`,
      each(({ held }) => held),
      ['exporter'],
    )
    gauge(
      `${prefix}_held_bytes`,
      `Bytes of ${what} waiting`,
      each((one) => one.heldBytes),
      ['exporter'],
    )
    gauge(
      `${prefix}_oldest_waiting_seconds`,
      `Time since the oldest of the ${what} that wait came; 0: none waits`,
      each(({ delivery, oldestHeld }) => (delivery === null ? null : age(oldestHeld))),
      ['exporter'],
    )
    counter(
      `${prefix}_retries_total`,
      `Retries of ${what} since the relay started`,
      each(({ delivery }) => delivery?.retries ?? 0),
      ['exporter'],
    )
    gauge(
      `${prefix}_state`,
      `The state that delivery of ${what} is in is 1`,
      byState((exporter) => exporter[what]),
      ['exporter', 'state'],
    )
  }
  apart('scores', 'Scores', SCORE_DROPS)
  apart('media', 'Media', MEDIA_DROPS)

  counter(
    'offpath_redis_entries_total',
    'Entries read from Redis since the relay started',
    byGroup(({ entries }) => entries),
    ['exporter'],
  )
  counter(
    'offpath_redis_taken_over_total',
    'Entries taken over from relays that had not renewed them, since the relay started',
    byGroup(({ takenOver }) => takenOver),
    ['exporter'],
  )
  counter(
    'offpath_redis_dead_entries_total',
    'Whole entries that went to the dead letters since the relay started, by reason',
    ({ redis }) =>
      (redis?.groups ?? []).flatMap(
        ({ name, damaged, condemned }): Values => [
          [{ exporter: name, reason: 'damaged' }, damaged],
          [{ exporter: name, reason: 'ended_relays' }, condemned],
        ],
      ),
    ['exporter', 'reason'],
  )
  counter(
    'offpath_redis_lost_entries_total',
    'Entries trimmed before they were delivered, as far as this relay saw it since it started',
    byGroup(({ lost }) => lost),
    ['exporter'],
  )
  gauge(
    'offpath_redis_stream_length',
    'Entries in a stream',
    ({ redis }) => (redis?.streams ?? []).map(({ stream, length }) => [{ stream }, length]),
    ['stream'],
  )
  gauge(
    'offpath_redis_stream_max_length',
    'Entries of a stream from which on nothing is added to it',
    ({ redis }) => redis?.maxLength ?? [],
  )
  gauge(
    'offpath_redis_dead_length',
    'Dead letters in their stream',
    ({ redis }) => {
      const { stream = '', length = null } = redis?.dead ?? {}
      return length === null ? [] : [[{ stream }, length]]
    },
    ['stream'],
  )
  gauge(
    'offpath_redis_dead_max_length',
    'Dead letters beyond which the oldest are dropped',
    ({ redis }) => redis?.dead.maxLength ?? [],
  )
  counter(
    'offpath_redis_dead_trimmed_total',
    'Dead letters that this relay dropped since it started, for there were too many',
    ({ redis }) => redis?.dead.trimmed ?? [],
  )
  gauge(
    'offpath_redis_held_entries',
    'Entries that this relay holds',
    byGroup(({ heldEntries }) => heldEntries),
    ['exporter'],
  )
  gauge(
    'offpath_redis_shelved_entries',
    'Of these, entries of projects whose keys are refused: they wait in Redis, and hold up no others',
    byGroup(({ shelvedEntries }) => shelvedEntries),
    ['exporter'],
  )
  gauge(
    'offpath_redis_pending',
    'Entries that relays of the pool hold',
    byGroup(({ pending }) => pending),
    ['exporter'],
  )
  gauge(
    'offpath_redis_lag',
    'Entries that no relay has read yet',
    byGroup(({ lag }) => lag),
    ['exporter'],
  )
  gauge(
    'offpath_redis_reading',
    '1: Redis is read; 0: a stream of it cannot be, the log says why',
    byGroup(({ trouble }) => (trouble === null ? 1 : 0)),
    ['exporter'],
  )

  counter(
    'offpath_redis_list_taken_total',
    'Elements taken from the list since the relay started',
    ofList(({ taken }) => taken),
  )
  counter(
    'offpath_redis_list_malformed_total',
    'Elements that were no record, and went to the dead ones, since the relay started',
    ofList(({ malformed }) => malformed),
  )
  counter(
    'offpath_redis_list_given_back_total',
    'Elements given back for relays that had died, since the relay started',
    ofList(({ givenBack }) => givenBack),
  )
  gauge(
    'offpath_redis_list_length',
    'Elements that no relay has taken',
    ofList(({ length }) => length),
  )
  gauge(
    'offpath_redis_list_processing',
    'Elements that this relay has taken, and that are not on its disk yet',
    ofList(({ processing }) => processing),
  )
  gauge(
    'offpath_redis_list_dead_length',
    'Elements in the stream of dead ones',
    ofList(({ deadLength }) => deadLength),
  )
  gauge(
    'offpath_redis_list_unread_bytes',
    "Bytes in the list's spool that are not in the store yet",
    ofList(({ unreadBytes }) => unreadBytes),
  )
  gauge(
    'offpath_redis_list_taking',
    '1: elements are taken; 0: they cannot be, or there is no room for them, status says why',
    ofList(({ trouble, waiting }) => (trouble === null && waiting === null ? 1 : 0)),
  )

  gauge(
    'offpath_recording_seconds_per_observation',
    "Time that recording and writing took on the application's thread, lately",
    byService(({ microsecondsPerObservation }) => microsecondsPerObservation / 1e6),
    ['service'],
  )
  gauge(
    'offpath_application_loop_delay_max_seconds',
    "Longest delay of the application's event loop, lately",
    byService(({ loopDelayMaxMs }) => loopDelayMaxMs / 1000),
    ['service'],
  )

  gauge(
    'offpath_relay_info',
    'Always 1: the version of the relay, and of the Node that it runs on',
    ({ relay }) =>
      relay === null ? [] : [[{ version: relay.version, node: process.versions.node }, 1]],
    ['version', 'node'],
  )
  gauge('offpath_relay_start_time_seconds', 'When the relay started, since 1970', ({ relay }) =>
    relay === null ? [] : Date.parse(relay.startedAt) / 1000,
  )
  counter('offpath_relay_cpu_seconds_total', 'CPU time of all threads of the relay', () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  })
  gauge('offpath_relay_resident_memory_bytes', 'Resident memory of the relay', () =>
    process.memoryUsage.rss(),
  )
  counter(
    'offpath_relay_loop_active_seconds_total',
    "Time that the relay's event loop was busy; its rate says how near the relay is to its capacity",
    () => performance.eventLoopUtilization().active / 1000,
  )

  return (stats) => {
    for (const set of setters) set(stats)
  }
}

function valuesOf(found: number | Values): Values {
  return typeof found === 'number' ? [[{}, found]] : found
}

const WAYS: readonly Way[] = ['otlp', 'import']

function byWay(what: string): (stats: Stats) => Values {
  return ({ counters }) =>
    WAYS.map((receiver) => [{ receiver }, counters[`received.${receiver}.${what}`] ?? 0])
}

/** Those of which `of` is null have none. */
function byExporter(of: (exporter: ExporterStats) => number | null): (stats: Stats) => Values {
  return ({ exporters }) =>
    exporters.flatMap((exporter): Values => {
      const value = of(exporter)
      return value === null ? [] : [[{ exporter: exporter.name }, value]]
    })
}

function byDrop(
  of: (exporter: ExporterStats) => { readonly dropped: ExporterStats['dropped'] } | null,
  known: readonly string[],
): (stats: Stats) => Values {
  return ({ exporters }) =>
    exporters.flatMap((exporter): Values => {
      const dropped = of(exporter)?.dropped
      if (dropped === undefined) return []
      return byReason(dropped, known).map(([labels, count]) => [
        { exporter: exporter.name, ...labels },
        count,
      ])
    })
}

function byState(
  of: (exporter: ExporterStats) => Pick<ExporterStats, 'delivery'> | null,
): (stats: Stats) => Values {
  return ({ exporters }) =>
    exporters.flatMap((exporter): Values => {
      const state = of(exporter)?.delivery?.state
      return state === undefined ? [] : [[{ exporter: exporter.name, state }, 1]]
    })
}

function byReason(counts: Readonly<Record<string, number>>, known: readonly string[]): Values {
  const none = Object.fromEntries(known.map((reason) => [reason, 0]))
  return Object.entries({ ...none, ...counts }).map(([reason, count]) => [{ reason }, count])
}

/** Of a relay of a pool. */
function byGroup(of: (group: RedisGroupStats) => number | null): (stats: Stats) => Values {
  return ({ redis }) =>
    (redis?.groups ?? []).flatMap((group): Values => {
      const value = of(group)
      return value === null ? [] : [[{ exporter: group.name }, value]]
    })
}

/** None where no list is taken from, or a figure is not known. */
function ofList(of: (list: RedisListStats) => number | null): (stats: Stats) => Values {
  return ({ redisList }) => {
    const value = redisList === null ? null : of(redisList)
    return value === null ? [] : [[{}, value]]
  }
}

function byTier(of: (spool: Stats['spool'][number]) => number | null): (stats: Stats) => Values {
  return ({ spool }) =>
    spool.flatMap((directory): Values => {
      const value = of(directory)
      return value === null ? [] : [[{ tier: directory.tier }, value]]
    })
}

function byService(of: (vitals: Stats['vitals'][number]) => number): (stats: Stats) => Values {
  return ({ vitals }) => vitals.map((one) => [{ service: one.service ?? '' }, of(one)])
}

/** Seconds since then; the wall clock may have been set back. */
function age(iso: string | null): number {
  return iso === null ? 0 : Math.max(0, (Date.now() - Date.parse(iso)) / 1000)
}

function lifeName(alive: boolean | null): string {
  if (alive === null) return 'unknown'
  return alive ? 'alive' : 'dead'
}
