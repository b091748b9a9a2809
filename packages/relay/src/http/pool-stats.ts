import type { Delivery } from '../export/progress.ts'
import type { Claims } from '../receivers/redis/claims.ts'
import type { RedisOutbox } from '../receivers/redis/outbox.ts'
import type { Reader } from '../receivers/redis/reader.ts'
import type { Trimming } from '../receivers/redis/trim.ts'
import type { RedisGroupStats } from './redis-stats.ts'
import { deliveryStats, type RelayStats, type Stats } from './stats.ts'

/** What a relay of a pool has for one exporter. */
export interface Member {
  readonly name: string
  readonly outbox: RedisOutbox
  readonly delivery: Delivery
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
}

/** /api/stats of a relay of a pool. Counts are since it started: it keeps none. */
export function poolStats({ relay, url, consumer, maxLength, members, trimming }: Pool): Stats {
  const { states } = trimming
  return {
    relay,
    store: null,
    redis: {
      url,
      streams: states.map(({ stream, length }) => ({ stream, length })),
      maxLength,
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
      .flatMap(({ outbox }) => outbox.deadLetters)
      .map(({ exporter, stream, entry, traceId, spanId, name, reason, time }) => ({
        exporter,
        traceId: traceId ?? '',
        observationId: spanId ?? '',
        name: name ?? `entry ${entry} of ${stream}`,
        reason,
        time: new Date(time).toISOString(),
      })),
    deadScores: [],
    deadMedia: [],
    vitals: [],
    counters: {},
  }
}

/** read = delivered + deadLettered + dropped + held */
function exporterStats({ name, outbox, delivery }: Member): Stats['exporters'][number] {
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
    scores: null,
    media: null,
  }
}

function groupStats(
  { name, outbox, reader, claims }: Member,
  consumer: string,
  { states, lost }: Trimming,
): RedisGroupStats {
  const seen = states.flatMap(({ groups }) => groups.filter((group) => group.name === name))
  const lags = seen.map(({ lag }) => lag)
  return {
    name,
    consumer,
    trouble: reader.trouble,
    entries: outbox.counters.entries,
    heldEntries: outbox.backlog().chunks,
    takenOver: claims.counters.takenOver,
    damaged: outbox.counters.damaged,
    condemned: claims.counters.condemned,
    lost: claims.counters.lost + (lost.get(name) ?? 0),
    pending: seen.reduce((sum, { pending }) => sum + pending, 0),
    lag: lags.every((lag) => lag !== null) ? lags.reduce((sum, lag) => sum + lag, 0) : null,
  }
}
