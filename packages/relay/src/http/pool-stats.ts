import type { Delivery } from '../export/progress.ts'
import type { Claims } from '../receivers/redis/claims.ts'
import type { DeadStream } from '../receivers/redis/dead-stream.ts'
import type { HeldEntries } from '../receivers/redis/held-entries.ts'
import type { RedisOutbox } from '../receivers/redis/outbox.ts'
import type { Reader } from '../receivers/redis/reader.ts'
import type { RedisScoreOutbox } from '../receivers/redis/score-outbox.ts'
import type { Trimming } from '../receivers/redis/trim.ts'
import { MAX_DEAD_LETTERS } from '../redis/dead-letters.ts'
import type { RedisGroupStats } from './redis-stats.ts'
import { deliveryStats, type RelayStats, type Stats } from './stats.ts'

/** What a relay of a pool has for one exporter. */
export interface Member {
  readonly name: string
  readonly spans: Part<RedisOutbox> & { readonly delivery: Delivery }
  /** Null: it takes none. */
  readonly scores: (Part<RedisScoreOutbox> & { readonly delivery: Delivery }) | null
  /** Of the scores that nobody takes, the group that acknowledges them. */
  readonly unwanted: Part<HeldEntries> | null
}

/** What reads streams for a group, and what of it has been read. */
export interface Part<Outbox extends HeldEntries = HeldEntries> {
  readonly outbox: Outbox
  readonly reader: Reader
  readonly claims: Claims
}

interface Pool {
  readonly relay: RelayStats
  readonly url: string
  readonly consumer: string
  readonly maxLength: number
  readonly members: readonly Member[]
  readonly trimming: Trimming
  readonly dead: DeadStream
}

/** /api/stats of a relay of a pool. Counts are since it started: it keeps none. */
export function poolStats(pool: Pool): Stats {
  const { relay, url, consumer, maxLength, members, trimming, dead } = pool
  const { states } = trimming
  return {
    relay,
    store: null,
    redis: {
      url,
      streams: states.map(({ stream, length }) => ({ stream, length })),
      maxLength,
      dead: {
        stream: dead.stream,
        length: dead.length,
        maxLength: MAX_DEAD_LETTERS,
        trimmed: dead.trimmed,
      },
      groups: members.map((member) => groupStats(member, consumer, trimming)),
    },
    redisList: null,
    spool: [],
    accepted: 0,
    open: 0,
    interrupted: 0,
    lost: {},
    lostScores: {},
    exporters: members.map(exporterStats),
    writers: [],
    deadLetters: members
      .flatMap(({ spans }) => spans.outbox.deadLetters)
      .map(({ exporter, stream, entry, traceId, spanId, name, reason, time }) => ({
        exporter,
        traceId: traceId ?? '',
        observationId: spanId ?? '',
        name: name ?? `entry ${entry} of ${stream}`,
        reason,
        time: new Date(time).toISOString(),
      })),
    deadScores: members
      .flatMap(({ scores }) => scores?.outbox.deadLetters ?? [])
      .map(({ exporter, stream, entry, traceId, name, reason, time }) => ({
        exporter,
        id: entry,
        traceId,
        name: name ?? `entry ${entry} of ${stream}`,
        reason,
        time: new Date(time).toISOString(),
      })),
    deadMedia: [],
    vitals: [],
    counters: {
      scoresWithoutExporter: sum(members, ({ unwanted }) => unwanted?.outbox.counters.read),
    },
  }
}

/** read = delivered + deadLettered + dropped + held */
function exporterStats({ name, spans: part, scores }: Member): Stats['exporters'][number] {
  const { outbox, delivery } = part
  const { read, delivered, dead, dropped, resent, notResent } = outbox.counters
  const { spans, bytes } = outbox.backlog()
  const oldest = outbox.oldest()
  return {
    name,
    accepted: read,
    delivered,
    deadLettered: dead,
    dropped,
    held: spans,
    waiting: spans,
    waitingBytes: bytes,
    oldestWaiting: oldest === null ? null : new Date(oldest).toISOString(),
    backlogCapBytes: null,
    resent,
    notResent,
    deadDropped: 0,
    delivery: deliveryStats(delivery.status()),
    scores: scores && scoreStats(scores),
    media: null,
  }
}

function scoreStats({
  outbox,
  delivery,
}: NonNullable<Member['scores']>): NonNullable<Stats['exporters'][number]['scores']> {
  const { read, delivered, dead, dropped } = outbox.counters
  const { scores, bytes } = outbox.backlog()
  const oldest = outbox.oldest()
  return {
    accepted: read,
    delivered,
    deadLettered: dead,
    dropped,
    held: scores,
    heldBytes: bytes,
    oldestHeld: oldest === null ? null : new Date(oldest).toISOString(),
    retried: 0,
    deadDropped: 0,
    delivery: deliveryStats(delivery.status()),
  }
}

function groupStats(
  { name, spans, scores, unwanted }: Member,
  consumer: string,
  { states, lost }: Trimming,
): RedisGroupStats {
  const seen = states.flatMap(({ groups }) => groups.filter((group) => group.name === name))
  const lags = seen.map(({ lag }) => lag)
  const parts: readonly Part[] = [spans, scores, unwanted].filter((part) => part !== null)
  return {
    name,
    consumer,
    trouble: parts.map(({ reader }) => reader.trouble).find((why) => why !== null) ?? null,
    entries: sum(parts, ({ outbox }) => outbox.counters.entries),
    heldEntries: spans.outbox.backlog().chunks + (scores?.outbox.backlog().chunks ?? 0),
    shelvedEntries: sum(parts, ({ outbox }) => outbox.shelved),
    takenOver: sum(parts, ({ claims }) => claims.counters.takenOver),
    damaged: sum(parts, ({ outbox }) => outbox.counters.damaged),
    condemned: sum(parts, ({ claims }) => claims.counters.condemned),
    lost: sum(parts, ({ outbox }) => outbox.counters.lost) + (lost.get(name) ?? 0),
    pending: seen.reduce((sum, { pending }) => sum + pending, 0),
    lag: lags.every((lag) => lag !== null) ? lags.reduce((sum, lag) => sum + lag, 0) : null,
  }
}

function sum<T>(of: readonly T[], value: (one: T) => number | undefined): number {
  return of.reduce((total, one) => total + (value(one) ?? 0), 0)
}
