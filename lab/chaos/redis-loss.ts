// What Redis forgets of what it has acknowledged when its process is killed under load.
import { setTimeout as delay } from 'node:timers/promises'
import { seededRandom } from '../../examples/vllm-simulator/text.ts'
import { entriesOf, textOf } from '../../packages/relay/src/receivers/redis/group.ts'
import { connectRedis } from '../../packages/relay/src/redis/connection.ts'
import {
  type RedisServer,
  startRedisServer,
} from '../../packages/relay/src/testing/redis-server.ts'
import type { ChaosOptions } from './applications.ts'
import { openWay } from './soak/way.ts'

interface RedisLoss {
  readonly kills: number
  /** Entries whose id Redis had answered with. */
  readonly acknowledged: number
  /** Of these, how many are not there afterwards. */
  readonly lost: number
  /** By one kill. */
  readonly mostLost: number
}

/**
 * By `appendfsync`; `failover`: the master does not come back, and its replica takes over; `cutOff`: the same, and the replica was
 * out of its reach for the last half of the time.
 */
export type RedisLosses = Readonly<Record<'always' | 'everysec' | 'failover' | 'cutOff', RedisLoss>>

const STREAM = 'chaos'
const ENTRY = Buffer.alloc(4096, 'x')
/** Entries that wait for their answer at a time. */
const CONCURRENCY = 16
const LEAST_MS = 100
const SPREAD_MS = 400

/** Kills Redis `times` times in each of four set-ups, and counts the entries that it had acknowledged and has no more. */
export async function killRedis(options: ChaosOptions): Promise<RedisLosses> {
  const random = seededRandom(options.seed)
  let kills = 0
  const each = async (
    kill: (random: () => number) => Promise<[number, number]>,
  ): Promise<RedisLoss> => {
    let [acknowledged, lost, mostLost] = [0, 0, 0]
    for (let i = 0; i < options.times; i++) {
      const [added, missing] = await kill(random)
      acknowledged += added
      lost += missing
      mostLost = Math.max(mostLost, missing)
      options.onKill(++kills)
    }
    return { kills: options.times, acknowledged, lost, mostLost }
  }
  const restarted = async (fsync: string): Promise<RedisLoss> => {
    const redis = await startRedisServer({ args: ['--appendonly', 'yes', '--appendfsync', fsync] })
    try {
      return await each(async (random) => {
        const ids = await addUntilKilled(redis, random)
        await redis.start()
        return [ids.length, await missingOf(redis, ids)]
      })
    } finally {
      await redis.close()
    }
  }
  return {
    always: await restarted('always'),
    everysec: await restarted('everysec'),
    failover: await each((random) => failOver(random, false)),
    cutOff: await each((random) => failOver(random, true)),
  }
}

async function failOver(random: () => number, cuts: boolean): Promise<[number, number]> {
  const args = ['--appendonly', 'yes', '--repl-diskless-sync-delay', '0']
  const [master, replica] = await Promise.all([
    startRedisServer({ args }),
    startRedisServer({ args }),
  ])
  const way = await openWay(master.port)
  try {
    await replica.ask('REPLICAOF', '127.0.0.1', String(cuts ? way.port : master.port))
    while (!textOf(await replica.ask('INFO', 'replication')).includes('master_link_status:up')) {
      await delay(10)
    }
    const ids = await addUntilKilled(master, random, () => {
      if (cuts) way.trouble('cut')
    })
    await replica.ask('REPLICAOF', 'NO', 'ONE')
    return [ids.length, await missingOf(replica, ids)]
  } finally {
    await way.close()
    await Promise.all([master.close(), replica.close()])
  }
}

/** Adds entries as fast as they are taken, kills Redis after a while, and returns the ids it had answered with. */
async function addUntilKilled(
  redis: RedisServer,
  random: () => number,
  halfway: () => void = () => {},
): Promise<string[]> {
  const connection = connectRedis({ target: redis.target })
  const ids: string[] = []
  let killed = false
  const add = async (): Promise<void> => {
    while (!killed) {
      try {
        ids.push(textOf(await connection.call(STREAM, ['XADD', STREAM, '*', 's', ENTRY])))
      } catch (error) {
        if (!killed) throw error
      }
    }
  }
  const adding = Promise.all(Array.from({ length: CONCURRENCY }, add))
  while (ids.length === 0) await delay(1)
  const half = (LEAST_MS + random() * SPREAD_MS) / 2
  await delay(half)
  halfway()
  await delay(half)
  // What comes from now on was acknowledged too: it had left Redis before it died.
  const dying = redis.kill()
  killed = true
  await Promise.all([dying, adding])
  await connection.close()
  return ids
}

/** How many of the entries are not there; empties the stream. */
async function missingOf(redis: RedisServer, ids: readonly string[]): Promise<number> {
  const there = new Set(entriesOf(await redis.ask('XRANGE', STREAM, '-', '+')).map(({ id }) => id))
  await redis.ask('DEL', STREAM)
  return ids.filter((id) => !there.has(id)).length
}
