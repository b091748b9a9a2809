// Redis, its replica, and the one address that relays know: a way that leads to whichever is the master.
import { setTimeout as delay } from 'node:timers/promises'
import {
  entriesOf,
  itemsOf,
  mapOf,
  type StreamEntry,
  textOf,
} from '../../../packages/relay/src/receivers/redis/group.ts'
import type { Reply } from '../../../packages/relay/src/redis/connection.ts'
import { measureEntry, readEntry } from '../../../packages/relay/src/redis/entry.ts'
import { deadStreamOf, streamsOf } from '../../../packages/relay/src/redis/streams.ts'
import { allocateChunk } from '../../../packages/relay/src/store/chunk.ts'
import {
  type RedisServer,
  startRedisServer,
} from '../../../packages/relay/src/testing/redis-server.ts'
import type { Taken } from './trims.ts'
import { openWay, type Way } from './way.ts'

export interface RedisPair {
  readonly way: Way
  readonly master: RedisServer
  /** Makes the replica the master once it has all (`FAILOVER`), and leads the way there. */
  handOver(): Promise<void>
  /** Entries in the streams. */
  length(): Promise<number>
  /**
   * Deletes all entries of the streams as somebody else's XTRIM would, as soon as there are new ones; meanwhile nobody may read.
   * Null: it did not come to it.
   */
  trim(): Promise<Taken | null>
  /** Another one whenever the master was started again or is another; null: it cannot be asked. */
  reign(): Promise<string | null>
  /** Names of the observations in the streams, delivered or not. */
  names(): Promise<string[]>
  /** Observations of the dead letters, with their reasons. */
  deadLetters(): Promise<ReadonlyMap<string, string>>
  close(): Promise<void>
}

export const STREAM = 'offpath'
export const PARTITIONS = 4
const STREAMS = streamsOf(STREAM, PARTITIONS)
/** Deletes a stream's entries up to one; how many of them no relay had been given, and how many one had and may deliver still. */
const TRIM = `local unread, held = 0, 0
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local of = {}
  for i = 1, #group, 2 do of[group[i]] = group[i + 1] end
  unread = unread + #redis.call('XRANGE', KEYS[1], '(' .. of['last-delivered-id'], ARGV[1])
  held = held + #redis.call('XPENDING', KEYS[1], of.name, '-', ARGV[1], '10000')
end
local taken = #redis.call('XRANGE', KEYS[1], '-', ARGV[1])
redis.call('XTRIM', KEYS[1], 'MAXLEN', redis.call('XLEN', KEYS[1]) - taken)
return {unread, held}`
const INSIST_MS = 10_000
const AGAIN_MS = 20

export async function startRedisPair(): Promise<RedisPair> {
  // What a kill may take is measured by `npm run chaos -- redis`; here it must take nothing.
  const args = ['--appendonly', 'yes', '--appendfsync', 'always', '--repl-diskless-sync-delay', '0']
  const servers = await Promise.all([startRedisServer({ args }), startRedisServer({ args })])
  let [master, replica] = servers
  await replica.ask('REPLICAOF', '127.0.0.1', String(master.port))
  const way = await openWay(master.port)

  const roleOf = async (server: RedisServer): Promise<string> =>
    textOf(itemsOf(await server.ask('ROLE'))[0])

  const reign = async (): Promise<string | null> => {
    const text = textOf(await master.ask('INFO', 'replication').catch(() => null))
    return /master_replid:(\w+)/.exec(text)?.[1] ?? null
  }

  const entriesIn = async (stream: string): Promise<StreamEntry[]> =>
    entriesOf(await master.ask('XRANGE', stream, '-', '+'))

  const length = async (): Promise<number> => {
    const lengths = await Promise.all(STREAMS.map((stream) => master.ask('XLEN', stream)))
    return lengths.reduce<number>((sum, one) => sum + Number(one), 0)
  }

  return {
    way,
    get master() {
      return master
    },
    length,
    async handOver() {
      // The replica of a master that was killed has to come back first.
      await insist(() => master.ask('FAILOVER', 'TO', '127.0.0.1', String(replica.port)))
      await insist(async () => {
        if ((await roleOf(replica)) !== 'master') throw new Error('the replica is one still')
      })
      ;[master, replica] = [replica, master]
      way.lead(master.port)
    },
    async trim() {
      let least: number | null = null
      const before = await insist(async () => {
        least ??= await length()
        if ((await length()) <= least) throw new Error('there are no new entries')
        return { since: await reign(), found: await Promise.all(STREAMS.map(entriesIn)) }
      }).catch(() => null)
      if (before === null) return null
      // Once, for the answer may be lost of what is done; the names are known.
      const counts = await Promise.all(
        before.found.flatMap((entries, i) => {
          const last = entries.at(-1)?.id
          return last === undefined ? [] : master.ask('EVAL', TRIM, '1', STREAMS[i] as string, last)
        }),
      ).catch(() => null)
      const sum = (of: 0 | 1): number =>
        (counts ?? []).reduce<number>((total, each) => total + Number(itemsOf(each)[of]), 0)
      return {
        names: before.found.flat().flatMap(({ bytes }) => namesIn(bytes)),
        reign: counts === null ? null : before.since,
        unread: sum(0),
        held: sum(1),
      }
    },
    reign,
    names: async () => {
      const found = await Promise.all(STREAMS.map(entriesIn))
      return found.flat().flatMap(({ bytes }) => namesIn(bytes))
    },
    async deadLetters() {
      const letters = new Map<string, string>()
      const reply = await master.ask('XRANGE', deadStreamOf(STREAM), '-', '+')
      for (const item of itemsOf(reply)) {
        const fields = mapOf(itemsOf(item)[1] as Reply)
        const reason = textOf(fields.get('reason'))
        const name = textOf(fields.get('name'))
        const bytes = fields.get('s')
        const names = name !== '' ? [name] : namesIn(Buffer.isBuffer(bytes) ? bytes : null)
        for (const one of names) letters.set(one, reason)
      }
      return letters
    },
    async close() {
      await way.close()
      await Promise.all(servers.map((server) => server.close()))
    },
  }
}

/** Again and again, as long as it fails. @throws what it failed with last */
async function insist<T>(work: () => Promise<T>): Promise<T> {
  for (const until = performance.now() + INSIST_MS; ; ) {
    try {
      return await work()
    } catch (error) {
      if (performance.now() > until) throw error
      await delay(AGAIN_MS)
    }
  }
}

function namesIn(bytes: Buffer | null): string[] {
  if (bytes === null) return []
  const aligned = allocateChunk(bytes.length)
  bytes.copy(aligned)
  return readEntry(aligned, measureEntry(aligned)).map(({ name }) => name)
}
