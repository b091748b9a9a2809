// Streams as all groups see them: what all of them have acknowledged goes (XTRIM MINID, which each relay of a pool may do:
// the second finds nothing), what somebody trimmed before it was read is counted as lost, and how much waits is told.
import type { Log } from '../../log.ts'
import type { RedisConnection, Reply } from '../../redis/connection.ts'
import { goneOf, itemsOf, mapOf, textOf } from './group.ts'
import { each } from './pause.ts'

/** As of the last look, which is seconds ago. */
interface StreamState {
  readonly stream: string
  /** Entries. */
  readonly length: number
  readonly groups: readonly GroupState[]
}

interface GroupState {
  readonly name: string
  /** Entries that relays hold, and that wait to be read; null: Redis does not know. */
  readonly pending: number
  readonly lag: number | null
}

export interface Trimming {
  readonly states: readonly StreamState[]
  /** Entries, by group: trimmed before a relay had read them, as this one saw it. */
  readonly lost: ReadonlyMap<string, number>
  /** The first look is over: what is read from then on cannot hide what was lost before. */
  readonly looked: Promise<void>
  /** What was acknowledged cannot be trimmed, for something before it waits long; and there is but one group that needs it. */
  isPiledUp(stream: string): boolean
  stop(): Promise<void>
}

export interface TrimOptions {
  readonly connection: RedisConnection
  readonly streams: readonly string[]
  /** From so many entries on nothing is added to a stream. */
  readonly maxLength: number
  readonly log: Log
}

const TRIM_MS = 2000
/** Entries behind one that is pending: more than a good look leaves. */
const PILED_UP = 200
/** Every so many looks it is counted what was lost: the answer to that has two entries in it, which may be large. */
const COUNTED_LOOKS = 15

/** A group's answer to XINFO GROUPS. */
interface GroupInfo extends GroupState {
  readonly lastDelivered: string
  readonly entriesRead: number | null
}

export function startTrimming(options: TrimOptions): Trimming {
  const { connection, streams, maxLength, log } = options
  const stopping = new AbortController()
  const { signal } = stopping
  const states = new Map<string, StreamState>()
  const lost = new Map<string, number>()
  const countMore = unreadCounter()

  const groupsOf = async (stream: string): Promise<GroupInfo[]> =>
    itemsOf(await connection.call(stream, ['XINFO', 'GROUPS', stream])).map(groupOf)

  const look = async (stream: string, counts: boolean): Promise<void> => {
    if (counts) await countLost(stream)
    const groups = await groupsOf(stream)
    const length = Number(await connection.call(stream, ['XLEN', stream]))
    states.set(stream, { stream, length, groups })
    if (groups.length === 0 || length === 0) return
    const oldest = await oldestNeeded(stream, groups)
    if (oldest.id !== '0-0') await connection.call(stream, ['XTRIM', stream, 'MINID', oldest.id])
    if (length >= maxLength) {
      log.warn('a stream is full: nothing is added until its slowest group gets on', {
        exporter: oldest.group,
        stream,
        entries: length,
      })
    }
  }

  /** The first entry that some group has not acknowledged, and which group. */
  const oldestNeeded = async (
    stream: string,
    groups: readonly GroupInfo[],
  ): Promise<{ id: string; group: string }> => {
    let least: { id: string; group: string } | undefined
    for (const { name, pending, lastDelivered } of groups) {
      // Asked for after the last id: what is acknowledged meanwhile is behind it in any case.
      const summary = pending > 0 ? await connection.call(stream, ['XPENDING', stream, name]) : null
      const first = textOf(itemsOf(summary)[1])
      const id = first === '' ? after(lastDelivered) : first
      if (least === undefined || isBefore(id, least.id)) least = { id, group: name }
    }
    return least as { id: string; group: string }
  }

  /** Of all that was ever added, what is gone and no relay of the group was given. */
  const countLost = async (stream: string): Promise<void> => {
    // First: what is read and trimmed in between would seem to have been lost.
    const gone = await goneOf(connection, stream)
    const groups = await groupsOf(stream)
    for (const { name, entriesRead } of groups) {
      if (entriesRead === null) continue
      const more = countMore(`${stream} ${name}`, gone, entriesRead)
      if (more === 0) continue
      lost.set(name, (lost.get(name) ?? 0) + more)
      const text = 'entries were lost: the stream was trimmed before they were read'
      log.error(text, { exporter: name, stream, entries: more })
    }
  }

  const lookAt = async (stream: string, counts: boolean): Promise<void> => {
    try {
      await look(stream, counts)
    } catch (error) {
      // The reader tells why Redis does not answer, and makes what is not there.
      log.debug(`cannot trim: ${(error as Error).message}`, { stream })
    }
  }
  // Each on its own: in a cluster another node may have it.
  const first = new Map(streams.map((stream) => [stream, lookAt(stream, true)]))
  const looked = Promise.all(first.values()).then(() => {})
  const running = Promise.all(
    streams.map(async (stream) => {
      await first.get(stream)
      let looks = 0
      await each(TRIM_MS, signal, () => lookAt(stream, ++looks % COUNTED_LOOKS === 0))
    }),
  )

  return {
    get states() {
      return streams.flatMap((stream) => states.get(stream) ?? [])
    },
    lost,
    looked,
    isPiledUp(stream) {
      const { length = 0, groups = [] } = states.get(stream) ?? {}
      const [only, ...others] = groups
      if (only === undefined || others.length > 0 || only.lag === null) return false
      return length - only.pending - only.lag > PILED_UP
    },
    async stop() {
      stopping.abort()
      await running
    },
  }
}

/**
 * Counts what was trimmed before it was read. The returned function takes what is gone of a stream and what a group has read
 * of it, and returns how many entries more are gone unread than at any look before.
 */
export function unreadCounter(): (key: string, gone: number, read: number) => number {
  /** The most that was ever missing: what was read and is still in the stream makes it less for a while. */
  const seen = new Map<string, { gone: number; read: number; missing: number }>()
  return (key, gone, read) => {
    const last = seen.get(key)
    // Less than before: the stream was deleted and made anew, or a failover brought back what was trimmed; they look alike.
    const known = last === undefined || gone < last.gone ? 0 : last.missing
    const missing = Math.max(known, gone - read)
    seen.set(key, { gone, read, missing })
    // Nobody reads less than before: Redis has been started again, and before 7.2.5 it forgets then what was read.
    const isForgotten = last !== undefined && gone >= last.gone && read < last.read
    return isForgotten ? 0 : missing - known
  }
}

function groupOf(reply: Reply): GroupInfo {
  const info = mapOf(reply)
  const numberOf = (key: string): number | null => {
    const value = info.get(key)
    return typeof value === 'number' ? value : null
  }
  return {
    name: textOf(info.get('name')),
    pending: numberOf('pending') ?? 0,
    lag: numberOf('lag'),
    lastDelivered: textOf(info.get('last-delivered-id')),
    entriesRead: numberOf('entries-read'),
  }
}

/** The id that follows, so that the entry itself is trimmed too; nothing was delivered yet: the first one. */
function after(id: string): string {
  const [ms = '0', sequence = '0'] = id.split('-')
  return id === '0-0' ? id : `${ms}-${BigInt(sequence) + 1n}`
}

function isBefore(id: string, than: string): boolean {
  const [ms = 0n, sequence = 0n] = id.split('-').map(BigInt)
  const [thanMs = 0n, thanSequence = 0n] = than.split('-').map(BigInt)
  return ms < thanMs || (ms === thanMs && sequence < thanSequence)
}
