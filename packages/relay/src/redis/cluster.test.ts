// A cluster of three nodes, with a password: each partition's stream lies on the node of its slot.
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, onTestFinished } from 'vitest'
import { startLangfuseServer } from '../../../../test/langfuse-server/server.ts'
import type { LangfuseServer } from '../../../../test/langfuse-server/types.ts'
import { loadConfig } from '../config/config.ts'
import type { OptionName } from '../config/options.ts'
import { load, makeSpan } from '../export/fixtures.ts'
import { startHarness } from '../export/harness.ts'
import { redisExporter } from '../export/redis.ts'
import { createLog } from '../log.ts'
import { startPool } from '../pool.ts'
import type { Relay } from '../relay.ts'
import { type RedisCluster, type RedisServer, startRedisCluster } from '../testing/redis-server.ts'
import { connectRedis } from './connection.ts'
import { entryEncoder } from './entry.ts'

const PARTITIONS = 6

let cluster: RedisCluster
let langfuse: LangfuseServer
let pool: Relay | undefined
beforeAll(async () => {
  cluster = await startRedisCluster({ password: 'the word @ all:' })
}, 30_000)
afterAll(() => cluster.close())
beforeEach(async () => {
  langfuse = await startLangfuseServer()
})
afterEach(async () => {
  await pool?.close()
  pool = undefined
  await langfuse.close()
})

async function start(): Promise<Relay> {
  const flags = new Map<OptionName, string>([
    ['redis.url', cluster.url],
    ['redis.receive', 'true'],
    ['redis.partitions', String(PARTITIONS)],
    ['otlp.url', langfuse.otlpUrl],
    ['http.port', '0'],
  ])
  const { config } = loadConfig({ flags, env: { HOME: '/nowhere' }, cwd: '/' })
  pool = await startPool(
    config,
    createLog(() => {}, 'warn'),
  )
  return pool
}

const encoder = entryEncoder({ load, maxSpanBytes: 1e9 })

/** Adds a span to a stream of a node, as soon as that takes it. */
async function addTo(node: RedisServer): Promise<void> {
  const entry = encoder.encode([makeSpan()])
  const taken = async (): Promise<boolean> => {
    for (let n = 0; n < PARTITIONS; n++) {
      const added = node.ask('XADD', `offpath:{${n}}`, '*', 'v', '1', 's', entry)
      if (await added.then(Boolean, () => false)) return true
    }
    return false
  }
  await expect.poll(taken, { timeout: 10_000 }).toBe(true)
}

it('carries spans from those who forward to a pool', async () => {
  const { stats } = await start()
  const { target } = cluster
  const options = { target, stream: 'offpath', maxLength: 100, entryBytes: 10_000 }
  const exporterOf = () => redisExporter({ ...options, partitions: PARTITIONS })
  const harness = await startHarness({ exporterOf })
  const spans = Array.from({ length: 300 }, (_, i) => {
    const traceId = Buffer.alloc(16, 1)
    traceId.writeUInt32BE(i, 0)
    return makeSpan({ traceId })
  })
  harness.commit(spans)
  await harness.held(0)
  await langfuse.waitForSpans(300)
  expect(langfuse.duplicates).toEqual({ identical: 0, changed: 0 })
  // Streams of all nodes were used, and are trimmed once all is acknowledged.
  const sizes = await Promise.all(cluster.nodes.map((node) => node.ask('DBSIZE')))
  expect(sizes.every((size) => Number(size) > 0)).toBe(true)
  await expect
    .poll(async () => (await stats()).redis?.streams.map(({ length }) => length), {
      timeout: 10_000,
    })
    .toEqual([0, 0, 0, 0, 0, 0, 0])
  await harness.close()
})

it('refuses a wrong password, and goes on saying so', async () => {
  const connection = connectRedis({ target: { ...cluster.target, password: 'another' } })
  onTestFinished(() => connection.close())
  for (let tries = 0; tries < 5; tries++) {
    const error = await connection.call('a', ['PING']).catch((reason: unknown) => reason)
    expect(error).toMatchObject({
      code: 'refused',
      message: expect.stringMatching(/^WRONGPASS/),
    })
    await delay(100)
  }
})

it('delivers what other nodes have while one does not answer', async () => {
  await start()
  const [first, second, third] = cluster.nodes as [RedisServer, RedisServer, RedisServer]
  for (const node of cluster.nodes) await addTo(node)
  await langfuse.waitForSpans(3)
  first.pause()
  await addTo(second)
  await addTo(third)
  await langfuse.waitForSpans(5, 6000)
  await addTo(second)
  await langfuse.waitForSpans(6, 6000)
  first.resume()
  await addTo(first)
  await langfuse.waitForSpans(7, 10_000)
}, 30_000)

it('is not held up for long by a node that does not answer at the start', async () => {
  const [first, second] = cluster.nodes as [RedisServer, RedisServer]
  await start()
  const has = (stream: string) =>
    second.ask('XLEN', stream).then(
      () => true,
      () => false,
    )
  let n = 0
  while (!(await has(`offpath:{${n}}`))) n++
  const stream = `offpath:{${n}}`
  first.pause()
  // Each begins with another node, by chance.
  const asked = Array.from({ length: 6 }, async () => {
    const connection = connectRedis({ target: cluster.target, stallMs: 6000 })
    const answers = () =>
      connection.call(stream, ['XLEN', stream]).then(
        () => true,
        () => false,
      )
    await expect.poll(answers, { timeout: 10_000 }).toBe(true)
    await connection.close()
  })
  const began = performance.now()
  await Promise.all(asked)
  expect(performance.now() - began).toBeLessThan(5000)
  first.resume()
}, 30_000)

it('delivers what other nodes have when it starts while one is down', async () => {
  const [first, second, third] = cluster.nodes as [RedisServer, RedisServer, RedisServer]
  await first.kill()
  await start()
  await addTo(second)
  await addTo(third)
  await langfuse.waitForSpans(2, 8000)
  await first.start()
  await addTo(first)
  await langfuse.waitForSpans(3, 10_000)
}, 30_000)
