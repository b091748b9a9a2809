// Redis, its replica, and the one address that relays know: a way that leads to whichever is the master.
import { setTimeout as delay } from 'node:timers/promises'
import {
  entriesOf,
  itemsOf,
  mapOf,
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
import { openWay, type Way } from './way.ts'

export interface RedisPair {
  readonly way: Way
  readonly master: RedisServer
  /** Makes the replica the master once it has all (`FAILOVER`), and leads the way there. */
  handOver(): Promise<void>
  /** Entries in the streams. */
  length(): Promise<number>
  /**
   * Deletes all entries of the streams as somebody else's XTRIM would, as soon as there are some and Redis can be asked; names
   * of the observations in them.
   */
  trim(): Promise<string[]>
  /** Names of the observations in the streams, delivered or not. */
  names(): Promise<string[]>
  /** Observations of the dead letters, with their reasons. */
  deadLetters(): Promise<ReadonlyMap<string, string>>
  close(): Promise<void>
}

export const STREAM = 'offpath'
export const PARTITIONS = 4
const STREAMS = streamsOf(STREAM, PARTITIONS)
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

  const entriesIn = async (stream: string): Promise<string[]> =>
    entriesOf(await master.ask('XRANGE', stream, '-', '+')).flatMap(({ bytes }) => namesIn(bytes))

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
      const script = `local all = redis.call('XRANGE', KEYS[1], '-', '+')
redis.call('XTRIM', KEYS[1], 'MAXLEN', '0')
return all`
      await insist(async () => {
        if ((await length()) === 0) throw new Error('there is nothing in the streams')
      })
      const replies = await insist(() =>
        Promise.all(STREAMS.map((stream) => master.ask('EVAL', script, '1', stream))),
      )
      return replies.flatMap((reply) => entriesOf(reply).flatMap(({ bytes }) => namesIn(bytes)))
    },
    names: async () => (await Promise.all(STREAMS.map(entriesIn))).flat(),
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
