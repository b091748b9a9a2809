import type { Config } from '../config/options.ts'
import type { ListStatus } from '../receivers/redis-list/receiver.ts'

/** Of a relay of a pool: what it has read from Redis, since it started, and how much waits there. */
export interface RedisStats {
  /** Without user and password. */
  readonly url: string
  /** As of some seconds ago. */
  readonly streams: readonly { readonly stream: string; readonly length: number }[]
  /** Entries of a stream from which on nothing is added to it. */
  readonly maxLength: number
  readonly dead: RedisDeadStats
  readonly groups: readonly RedisGroupStats[]
}

/** Of the stream of dead letters. */
export interface RedisDeadStats {
  readonly stream: string
  /** As of some seconds ago; null: Redis has not said. */
  readonly length: number | null
  /** About: beyond it the oldest are dropped. */
  readonly maxLength: number
  /** That this relay dropped. */
  readonly trimmed: number
}

/** A consumer group, which is one exporter's. Counts are of entries. */
export interface RedisGroupStats {
  readonly name: string
  /** This relay in it. */
  readonly consumer: string
  /** Why nothing is read, of one stream at least; null: it is. */
  readonly trouble: string | null
  readonly entries: number
  readonly heldEntries: number
  /** Of these, on the shelf: the server refuses the keys of their project. */
  readonly shelvedEntries: number
  /** From relays that had not renewed them. */
  readonly takenOver: number
  /** That were none, and went to the dead letters. */
  readonly damaged: number
  /** That ended relays, and went to the dead letters. */
  readonly condemned: number
  /** Trimmed by somebody else, so that nobody can deliver them any more; as far as this relay saw it. */
  readonly lost: number
  /** Of the whole group: held by relays; waiting to be read, null: Redis does not know. As of some seconds ago. */
  readonly pending: number
  readonly lag: number | null
}

/** Of a list that applications push to. Counts are of elements, since the relay started. */
export interface RedisListStats extends Omit<ListStatus, 'lastMalformed'> {
  /** Of the Redis, without user and password. */
  readonly url: string
  /** Why the newest one was no record, and when, ISO 8601. */
  readonly lastMalformed: { readonly at: string; readonly reason: string } | null
}

export function redisListStats(
  config: Config,
  { lastMalformed, ...status }: ListStatus,
): RedisListStats {
  const { at, reason } = lastMalformed ?? { at: 0, reason: '' }
  return {
    url: config['redis.url']?.shown ?? '',
    ...status,
    lastMalformed: lastMalformed && { at: new Date(at).toISOString(), reason },
  }
}
