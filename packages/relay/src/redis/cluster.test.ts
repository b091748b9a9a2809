// A cluster of three nodes: each partition's stream lies on the node of its slot.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startLangfuseServer } from '../../../../test/langfuse-server/server.ts'
import { loadConfig } from '../config/config.ts'
import type { OptionName } from '../config/options.ts'
import { makeSpan } from '../export/fixtures.ts'
import { startHarness } from '../export/harness.ts'
import { redisExporter } from '../export/redis.ts'
import { createLog } from '../log.ts'
import { startPool } from '../pool.ts'
import { type RedisCluster, startRedisCluster } from '../testing/redis-server.ts'

let cluster: RedisCluster
beforeAll(async () => {
  cluster = await startRedisCluster()
}, 30_000)
afterAll(() => cluster.close())

it('carries spans from those who forward to a pool', async () => {
  const langfuse = await startLangfuseServer()
  const flags = new Map<OptionName, string>([
    ['redis.url', cluster.url],
    ['redis.receive', 'true'],
    ['redis.partitions', '6'],
    ['otlp.url', langfuse.otlpUrl],
    ['http.port', '0'],
  ])
  const { config } = loadConfig({ flags, env: { HOME: '/nowhere' }, cwd: '/' })
  const lines: string[] = []
  const log = createLog((line) => lines.push(line), 'warn')
  const pool = await startPool(config, log)
  const { target } = cluster
  const options = { target, stream: 'offpath', partitions: 6, maxLength: 100, entryBytes: 10_000 }
  const harness = await startHarness({ exporterOf: () => redisExporter(options) })
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
    .poll(async () => (await pool.stats()).redis?.streams.map(({ length }) => length), {
      timeout: 10_000,
    })
    .toEqual([0, 0, 0, 0, 0, 0])
  await harness.close()
  await pool.close()
  await langfuse.close()
})
