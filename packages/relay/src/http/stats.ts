import { statfsSync } from 'node:fs'
import type { Config } from '../config/options.ts'
import type { DeliveryStatus } from '../export/progress.ts'
import { directoryBytes } from '../private-directory.ts'
import { listSpoolOf } from '../receivers/redis-list/spool.ts'
import type { ApartRow, StoreReader, VitalsRow } from '../store/read.ts'
import type { RedisListStats, RedisStats } from './redis-stats.ts'
import { listSegments, type Segment, type Tier } from './segments.ts'

/** What /api/stats answers and `offpath status --json` prints. */
export interface Stats extends Omit<StoreStats, 'exporters' | 'writers' | 'cursors'> {
  /** Null: no relay runs, or none that answers. */
  readonly relay: RelayStats | null
  /** Null: a relay of a pool keeps nothing. */
  readonly store: {
    readonly dir: string
    readonly bytes: number
    /** retention.size */
    readonly capBytes: number
  } | null
  /** Null: it reads a spool. */
  readonly redis: RedisStats | null
  /** Null: it takes from no list, or no relay runs. */
  readonly redisList: RedisListStats | null
  readonly spool: readonly SpoolStats[]
  readonly writers: readonly (WriterStats & {
    /** Null: not to be told from here. */
    readonly alive: boolean | null
    readonly segments: number
  })[]
  readonly exporters: readonly (Omit<ExporterStats, 'scores' | 'media'> & {
    /** export.backlog-cap; null: what there is no room for stays in Redis. */
    readonly backlogCapBytes: number | null
    readonly delivery: DeliveryStats | null
    /** Null: it takes none. */
    readonly scores: (ApartStats & { readonly delivery: DeliveryStats | null }) | null
    /** Likewise. */
    readonly media: (ApartStats & { readonly delivery: DeliveryStats | null }) | null
  })[]
}

export interface RelayStats {
  readonly version: string
  readonly pid: number
  readonly url: string
  /** ISO 8601. */
  readonly startedAt: string
  /** Nothing is read from the spool until exporters or retention have made room. */
  readonly storeFull: boolean
}

/** A spool directory. */
interface SpoolStats {
  readonly dir: string
  readonly tier: Tier
  /** Null: 64 MB or half of what is free, whichever is less. */
  readonly capBytes: number | null
  /** The cap in force: what an unset one comes to now. Null: there is no such directory. */
  readonly limitBytes: number | null
  readonly bytes: number
  readonly segments: number
  /** Not in the store yet: how far the relay lags behind. */
  readonly unreadBytes: number
  /** Files that are left alone, and why: no segments, or of another version of the format. The first ones. */
  readonly leftAlone: readonly { readonly path: string; readonly fault: string }[]
}

/** How an exporter gets on; `state` ok, retrying, unauthorized, misconfigured or no-keys. Times ISO 8601. */
export interface DeliveryStats
  extends Omit<DeliveryStatus, 'name' | 'since' | 'lastError' | 'lanes'> {
  readonly since: string
  readonly lastError: { readonly at: string; readonly message: string } | null
  readonly lanes: readonly (Omit<DeliveryStatus['lanes'][number], 'since'> & { since: string })[]
}

/** What the store knows: the same whether or not a relay runs. Counts are of observations. */
export interface StoreStats {
  /** Started by applications and read from the spool. */
  readonly accepted: number
  /** Started and not ended yet, as of the last commit. */
  readonly open: number
  readonly interrupted: number
  /** Never read: by the reason that writers gave, and `corrupt` from damaged frames. */
  readonly lost: Readonly<Record<string, number>>
  /** Scores that writers could not record, by reason. */
  readonly lostScores: Readonly<Record<string, number>>
  readonly exporters: readonly ExporterStats[]
  readonly writers: readonly WriterStats[]
  /** The newest ones. */
  readonly deadLetters: readonly DeadLetterStats[]
  readonly deadScores: readonly DeadScoreStats[]
  readonly deadMedia: readonly DeadMediaStats[]
  readonly vitals: readonly VitalsStats[]
  /** Further counters: damaged frames, torn tails, records without a start, … */
  readonly counters: Readonly<Record<string, number>>
  /** How far segments are read, by path. */
  readonly cursors: Readonly<Record<string, number>>
}

/** accepted = delivered + deadLettered + dropped + held, in first deliveries. */
interface ExporterStats {
  readonly name: string
  readonly accepted: number
  readonly delivered: number
  readonly deadLettered: number
  readonly dropped: Readonly<Record<string, number>>
  /** Open, or waiting in the outbox. */
  readonly held: number
  readonly waiting: number
  readonly waitingBytes: number
  /** When the oldest that waits for the first time was stored, ISO 8601; null: none does. */
  readonly oldestWaiting: string | null
  /** Delivered again: they had changed, or somebody had them sent again. */
  readonly resent: number
  /** The same, but rejected or dropped: what was there before stands. */
  readonly notResent: number
  /** Dead letters that somebody took off the list. */
  readonly deadDropped: number
  readonly scores: ApartStats | null
  readonly media: ApartStats | null
}

/** accepted = delivered + deadLettered + dropped + held, in scores, or in media: content in a field of an observation. */
interface ApartStats {
  readonly accepted: number
  readonly delivered: number
  readonly deadLettered: number
  readonly dropped: Readonly<Record<string, number>>
  readonly held: number
  readonly heldBytes: number
  /** Since when the oldest is held, ISO 8601; null: none is. */
  readonly oldestHeld: string | null
  /** Dead letters that were accepted once more, and those that somebody took off the list. */
  readonly retried: number
  readonly deadDropped: number
}

interface WriterStats {
  readonly id: string
  readonly service: string | null
  readonly host: string
  readonly pid: number
  readonly open: number
}

interface DeadLetterStats {
  readonly exporter: string
  readonly traceId: string
  readonly observationId: string
  readonly name: string
  readonly reason: string
  /** ISO 8601. */
  readonly time: string
}

interface DeadScoreStats {
  readonly exporter: string
  readonly id: string
  /** Null: it is a session's, or a dataset run's. */
  readonly traceId: string | null
  readonly name: string
  readonly reason: string
  /** ISO 8601. */
  readonly time: string
}

interface DeadMediaStats {
  readonly exporter: string
  readonly traceId: string
  readonly observationId: string
  /** input, output or metadata. */
  readonly field: string
  readonly contentType: string
  readonly reason: string
  /** ISO 8601. */
  readonly time: string
}

/** What recording costs a service, from what its writers said of themselves lately. */
interface VitalsStats {
  readonly service: string | null
  /** Seconds that the figures are of: those in which anything was recorded. */
  readonly seconds: number
  readonly observations: number
  readonly observationsPerTrace: number | null
  /**
   * On the application's thread, recording and writing, by the clock on the wall: half of the observations were
   * recorded in seconds that cost less. In a sum, one sampled call that another process interrupted counts 64 times.
   */
  readonly microsecondsPerObservation: number
  readonly microsecondsPerTrace: number | null
  readonly loopDelayMaxMs: number
  readonly rssBytes: number
  readonly lost: number
}

const MAX_DEAD_LETTERS = 20
const MAX_LEFT_ALONE = 100
const VITALS_READ = 600
const TRACES_READ = 200
/** Of a memory-backed directory; half of what is free there if that is less. */
const DEFAULT_CAP_BYTES = 64 * 1024 * 1024

export function storeStats(reader: StoreReader): StoreStats {
  return reader.snapshot(() => statsOf(reader))
}

function statsOf(reader: StoreReader): StoreStats {
  const { accepted = 0, interrupted = 0, ...counters } = reader.counters()
  const exporters = reader.exporters()
  const writers = reader.writers()
  const open = reader.open()
  const lost: Record<string, number> = {}
  const add = (reason: string, count: number): void => {
    if (count > 0) lost[reason] = (lost[reason] ?? 0) + count
  }
  const lostScores: Record<string, number> = {}
  for (const [name, count] of Object.entries(counters)) {
    if (name.startsWith('lostScores.')) {
      lostScores[name.slice('lostScores.'.length)] = count
      delete counters[name]
    }
    if (!name.startsWith('lost.')) continue
    add(name.slice('lost.'.length), count)
    delete counters[name]
  }
  for (const { losses } of writers) for (const [reason, n] of Object.entries(losses)) add(reason, n)
  for (const { name } of exporters) {
    for (const key of Object.keys(counters)) if (key.startsWith(`${name}.`)) delete counters[key]
  }
  return {
    accepted,
    open,
    interrupted,
    lost,
    lostScores,
    exporters: exporters.map(({ dead, scores, media, oldestWaiting, ...row }) => ({
      ...row,
      oldestWaiting: isoOrNull(oldestWaiting),
      deadLettered: dead,
      scores: scores && apartStats(scores),
      media: media && apartStats(media),
    })),
    writers: writers.map(({ id, service, host, pid, unfinished }) => {
      return { id, service, host, pid, open: unfinished }
    }),
    deadLetters: reader.dead.newest('span', {}, MAX_DEAD_LETTERS).map((letter) => ({
      exporter: letter.exporter,
      traceId: letter.traceId,
      observationId: letter.spanId,
      name: letter.name,
      reason: letter.reason,
      time: new Date(letter.time).toISOString(),
    })),
    deadScores: reader.dead.newest('score', {}, MAX_DEAD_LETTERS).map((letter) => ({
      exporter: letter.exporter,
      id: String(letter.score.id),
      traceId: typeof letter.score.traceId === 'string' ? letter.score.traceId : null,
      name: String(letter.score.name),
      reason: letter.reason,
      time: new Date(letter.time).toISOString(),
    })),
    deadMedia: reader.dead.newest('media', {}, MAX_DEAD_LETTERS).map((letter) => ({
      exporter: letter.exporter,
      traceId: letter.traceId,
      observationId: letter.observationId,
      field: letter.field,
      contentType: letter.contentType,
      reason: letter.reason,
      time: new Date(letter.time).toISOString(),
    })),
    vitals: vitalsStats(reader.vitals(VITALS_READ), observationsPerTrace(reader)),
    counters,
    cursors: reader.cursors(),
  }
}

function apartStats({ dead, oldestHeld, ...row }: ApartRow): ApartStats {
  return { ...row, deadLettered: dead, oldestHeld: isoOrNull(oldestHeld) }
}

function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}

/** All of /api/stats: the store's part, what the spool's directories show, and the relay's part if one runs. */
export function fullStats(
  { cursors, exporters, writers, ...stored }: StoreStats,
  config: Config,
  live: Live | null,
): Stats {
  const memory = segmentsIn(config['spool.dir'], 'memory')
  const disk = segmentsIn(config['spool.disk-dir'], 'disk')
  const list = listSpoolOf(config).flatMap((directory) => segmentsIn(directory, 'disk'))
  const byWriter = Map.groupBy([...memory, ...disk, ...list], ({ writer }) => writer)
  return {
    ...stored,
    relay: live?.relay ?? null,
    store: {
      dir: config['store.dir'],
      bytes: directoryBytes(config['store.dir']),
      capBytes: config['retention.size'],
    },
    redis: null,
    redisList: live?.redisList ?? null,
    spool: [
      spoolStats(config['spool.dir'], 'memory', config['spool.cap'], memory, cursors),
      spoolStats(config['spool.disk-dir'], 'disk', config['spool.disk-cap'], disk, cursors),
    ],
    writers: writers.map((writer) => {
      const segments = byWriter.get(writer.id) ?? []
      return { ...writer, alive: segments.at(-1)?.alive ?? null, segments: segments.length }
    }),
    exporters: exporters.map((exporter) => {
      const { name, scores, media } = exporter
      return {
        ...exporter,
        backlogCapBytes: config['export.backlog-cap'],
        delivery: deliveryOf(name, live?.deliveries),
        scores: scores && { ...scores, delivery: deliveryOf(name, live?.scoreDeliveries) },
        media: media && { ...media, delivery: deliveryOf(name, live?.mediaDeliveries) },
      }
    }),
  }
}

/** What a running relay adds. */
interface Live {
  readonly relay: RelayStats
  readonly deliveries: readonly DeliveryStatus[]
  readonly scoreDeliveries: readonly DeliveryStatus[]
  readonly mediaDeliveries: readonly DeliveryStatus[]
  readonly redisList: RedisListStats | null
}

function deliveryOf(
  exporter: string,
  deliveries: readonly DeliveryStatus[] = [],
): DeliveryStats | null {
  const status = deliveries.find(({ name }) => name === exporter)
  return status === undefined ? null : deliveryStats(status)
}

function segmentsIn(directory: string, tier: Tier): Segment[] {
  try {
    return listSegments(directory, tier)
  } catch {
    // Told by the relay's log, and by `offpath spool ls`.
    return []
  }
}

function spoolStats(
  dir: string,
  tier: Tier,
  cap: number | undefined,
  segments: readonly Segment[],
  cursors: StoreStats['cursors'],
): SpoolStats {
  const sum = (of: (segment: Segment) => number): number => {
    return segments.reduce((total, segment) => total + of(segment), 0)
  }
  const bytes = sum((segment) => segment.bytes)
  return {
    dir,
    tier,
    capBytes: cap ?? null,
    limitBytes: cap ?? defaultCap(dir, bytes),
    bytes,
    segments: segments.length,
    leftAlone: segments
      .flatMap(({ path, frames, fault }) => (frames === null && fault ? [{ path, fault }] : []))
      .slice(0, MAX_LEFT_ALONE),
    unreadBytes: sum(({ path, written }) => Math.max(0, written - (cursors[path] ?? 0))),
  }
}

/** As the SDKs have it. */
function defaultCap(dir: string, used: number): number | null {
  try {
    const { bsize, bavail } = statfsSync(dir)
    return Math.min(DEFAULT_CAP_BYTES, Math.floor((bsize * bavail + used) / 2))
  } catch {
    return null
  }
}

export function deliveryStats({
  name: _,
  since,
  lastError,
  lanes,
  ...status
}: DeliveryStatus): DeliveryStats {
  const iso = (ms: number): string => new Date(ms).toISOString()
  return {
    ...status,
    since: iso(since),
    lastError: lastError === null ? null : { ...lastError, at: iso(lastError.at) },
    lanes: lanes.map((lane) => ({ ...lane, since: iso(lane.since) })),
  }
}

function vitalsStats(
  rows: readonly VitalsRow[],
  perTrace: ReadonlyMap<string | null, number>,
): VitalsStats[] {
  return [...Map.groupBy(rows, ({ service }) => service)].map(([service, ofService]) => {
    const all = ofService.map(({ vitals }) => vitals)
    const total = (key: string): number => all.reduce((sum, one) => sum + numberOf(one[key]), 0)
    const most = (key: string): number => Math.max(...all.map((one) => numberOf(one[key])))
    const observations = total('observations')
    const each = medianCost(all, observations)
    const many = perTrace.get(service) ?? null
    const newest = new Map(
      ofService.map(({ writer, vitals }) => [writer, vitals]).reverse() as [
        string,
        VitalsRow['vitals'],
      ][],
    )
    return {
      service,
      seconds: all.length,
      observations,
      observationsPerTrace: many,
      microsecondsPerObservation: round(each),
      microsecondsPerTrace: many === null ? null : round(each * many),
      loopDelayMaxMs: round(most('loop_delay_max_ms')),
      rssBytes: most('rss_bytes'),
      lost: [...newest.values()].reduce((sum, one) => sum + numberOf(one.lost), 0),
    }
  })
}

/** Microseconds an observation: half of the observations were recorded in seconds that cost less. */
function medianCost(seconds: readonly VitalsRow['vitals'][], observations: number): number {
  const costs = seconds
    .map((one) => {
      const count = numberOf(one.observations)
      const spent = (numberOf(one.recorder_ms) + numberOf(one.flush_ms)) * 1000
      return { count, each: spent / count }
    })
    .filter(({ count }) => count > 0)
    .sort((a, b) => a.each - b.each)
  let left = observations / 2
  for (const { count, each } of costs) {
    left -= count
    if (left <= 0) return each
  }
  return 0
}

/** By service, of its newest complete traces. */
function observationsPerTrace(reader: StoreReader): Map<string | null, number> {
  // Some observations missed by clocks that disagree are nothing to read ten minutes of chunks for.
  const { traces } = reader.traces({ limit: TRACES_READ, clockSlackMs: 0 })
  const complete = Map.groupBy(
    traces.filter((trace) => trace.complete),
    ({ service }) => service,
  )
  return new Map(
    [...complete].map(([service, ofService]) => {
      const spans = ofService.reduce((sum, trace) => sum + trace.spans, 0)
      return [service, round(spans / ofService.length)]
    }),
  )
}

/** Vitals come from applications: anything may stand in them. */
function numberOf(value: unknown): number {
  const number = typeof value === 'number' || typeof value === 'string' ? Number(value) : 0
  return Number.isFinite(number) ? number : 0
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
