// A list in a Redis that goes away, that has no memory left, and in a cluster.
import { expect, test, vi } from 'vitest'
import { startRedisCluster, startRedisServer } from '../../testing/redis-server.ts'
import { element, type ListBench, many, openListBench } from './list.fixture.ts'

vi.setConfig({ testTimeout: 60_000 })

const withRedis = (body: (bench: ListBench) => Promise<void>) => async (): Promise<void> => {
  const redis = await startRedisServer({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  const bench = await openListBench(redis)
  try {
    await body(bench)
  } finally {
    await bench.close()
    await redis.close()
  }
}

test.concurrent(
  'waits for a Redis that is away, and goes on',
  withRedis(async ({ redis, lines, start, push, names, status, until }) => {
    const relay = await start()
    await push(element())
    await until(() => names().length === 1)
    await redis.kill()
    await until(async () => (await status(relay)).trouble !== null)
    await redis.start()
    await push(element())
    await until(() => names().length === 2)
    await until(async () => (await status(relay)).trouble === null)
    expect(lines.join('')).toContain('taking from the list again')
  }),
)

test.concurrent(
  'takes from a Redis that has no memory left',
  withRedis(async ({ redis, list, keys, start, push, names, length, until }) => {
    await start()
    const all = many(300, { input: 'x'.repeat(2000) })
    await until(async () => Number(await redis.ask('SCARD', keys.relays)) === 1)
    await push(...all)
    await redis.ask('CONFIG', 'SET', 'maxmemory', '1')
    try {
      await until(() => names().length === 300)
      await until(async () => (await length(list)) === 0)
    } finally {
      await redis.ask('CONFIG', 'SET', 'maxmemory', '0')
    }
    const one = element()
    await push(one)
    await until(() => names().includes(one.name))
  }),
)

test.concurrent(
  'in a Redis that has no memory left passes over what cannot go to the dead, however much it is',
  withRedis(async ({ redis, keys, start, push, names, until, dead }) => {
    await start()
    await until(async () => Number(await redis.ask('SCARD', keys.relays)) === 1)
    await redis.ask('MULTI')
    await push(...Array.from({ length: 600 }, (_, n) => `no json ${n}`))
    const all = many(5)
    await push(...all)
    await redis.ask('CONFIG', 'SET', 'maxmemory', '1')
    await redis.ask('EXEC')
    try {
      await until(() => names().length === 5)
    } finally {
      await redis.ask('CONFIG', 'SET', 'maxmemory', '0')
    }
    await until(async () => (await dead()).length === 600)
  }),
)

test.concurrent('a cluster has all keys of a list in one slot', async () => {
  const cluster = await startRedisCluster()
  const list = 'app:{one}:traces'
  const { start, names, status, until, close } = await openListBench(cluster.nodes[0]!)
  try {
    const relay = await start({ 'redis.url': cluster.url, 'redis.list': list })
    const values = ['no json', ...many(3).map((one) => JSON.stringify(one))]
    // The others say that it is not theirs.
    for (const node of cluster.nodes) await node.ask('LPUSH', list, ...values).catch(() => {})
    await until(() => names().length === 3)
    await until(async () => (await status(relay)).deadLength === 1)
    expect(await status(relay)).toMatchObject({ trouble: null, malformed: 1 })
  } finally {
    await close()
    await cluster.close()
  }
})
