// From an application through a relay that forwards, Redis and a pool to Langfuse: all real, and killed on the way.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Running, type Sandbox, sandbox } from '../packages/relay/src/cli/cli.fixture.ts'
import type { Stats } from '../packages/relay/src/http/stats.ts'
import { crashAt } from '../packages/relay/src/testing/crash-at.ts'
import { writeSegment } from '../packages/relay/src/testing/plain-writer.ts'
import { type RedisServer, startRedisServer } from '../packages/relay/src/testing/redis-server.ts'
import { startLangfuseServer } from './langfuse-server/server.ts'
import type { LangfuseServer } from './langfuse-server/types.ts'

let redis: RedisServer
let langfuse: LangfuseServer
let host: Sandbox
let center: Sandbox
let running: Running[]
beforeAll(async () => {
  redis = await startRedisServer({ args: ['--appendonly', 'yes'] })
})
afterAll(() => redis.close())
beforeEach(async () => {
  await redis.ask('FLUSHALL')
  langfuse = await startLangfuseServer()
  running = []
  host = sandbox({ OFFPATH_REDIS_URL: redis.url, OFFPATH_REDIS_FORWARD: 'true' })
  center = sandbox({
    LANGFUSE_BASE_URL: langfuse.url,
    LANGFUSE_PUBLIC_KEY: 'pk-lf-test',
    LANGFUSE_SECRET_KEY: 'sk-lf-test',
    OFFPATH_REDIS_URL: redis.url,
    OFFPATH_REDIS_RECEIVE: 'true',
    OFFPATH_REDIS_CLAIM_IDLE: '500ms',
  })
})
afterEach(async () => {
  await Promise.all(running.map((relay) => relay.end('SIGTERM')))
  await langfuse.close()
  host.remove()
  center.remove()
})

async function up(box: Sandbox): Promise<string> {
  const relay = box.start('up', '--json')
  running.push(relay)
  return JSON.parse(await relay.line()).url
}

/** Starts relays in a sandbox that end at a point of crash-point.ts, so often. */
async function killed(box: Sandbox, point: Parameters<typeof crashAt>[0], times: number) {
  for (let i = 0; i < times; i++) {
    Object.assign(box.env, crashAt(point))
    const victim = box.start('up', '--json')
    for (const name of ['CRASH_AT', 'NODE_OPTIONS']) delete box.env[name]
    await victim.end()
    expect(victim.child.signalCode).toBe('SIGKILL')
  }
}

/** Five observations, one of them interrupted. */
async function record(): Promise<void> {
  const app = host.app('--open')
  await app.line()
  await app.end('SIGKILL')
}

test('an application’s observations arrive, values and all', async () => {
  const url = await up(host)
  await up(center)
  await record()
  const spans = await langfuse.waitForSpans(5)
  const generation = spans.find(({ name }) => name === 'vllm')
  expect(generation?.attributes).toMatchObject({
    'langfuse.observation.type': 'generation',
    'langfuse.observation.input': 'x'.repeat(10_000),
    'langfuse.observation.usage_details': '{"input":412,"output":128}',
    'user.id': 'người dùng',
  })
  expect(generation?.resource.attributes).toMatchObject({ 'service.name': 'chat-api' })
  expect(langfuse.duplicates).toEqual({ identical: 0, changed: 0 })
  const stats = (await (await fetch(`${url}/api/stats`)).json()) as Stats
  expect(stats.exporters).toMatchObject([{ name: 'redis', accepted: 5, delivered: 5, held: 0 }])
})

test('whoever is killed on the way, they arrive', async () => {
  await record()
  await killed(host, 'send', 1)
  await killed(host, 'acknowledge', 1)
  await up(host)
  await expect
    .poll(async () => (await redis.ask('KEYS', 'offpath:{*}')) as unknown[])
    .not.toEqual([])
  await killed(center, 'send', 1)
  await killed(center, 'acknowledge', 1)
  await up(center)
  await langfuse.waitForSpans(5, 20_000)
  expect(new Set(langfuse.spans().map(({ spanId }) => spanId)).size).toBe(5)
})

test('scores arrive as they were recorded, whoever is killed on the way', async () => {
  const scores = [1, 2, 3].map((index) => ({
    record: 'score',
    id: `score-${index}`,
    trace_id: '0af7651916cd43dd8448eb211c80319c',
    name: 'quality',
    value: index / 10,
    timestamp: '1790000000123456789',
  }))
  writeSegment(host.env.OFFPATH_SPOOL_DIR as string, { frames: [{ json: scores }, { end: true }] })
  await killed(host, 'send', 1)
  await killed(host, 'acknowledge', 1)
  const url = await up(host)
  await expect
    .poll(async () => Number(await redis.ask('XLEN', 'offpath:scores')), { timeout: 10_000 })
    .toBeGreaterThan(1)
  await killed(center, 'send', 1)
  await killed(center, 'acknowledge', 1)
  await up(center)
  const arrived = await langfuse.scores.waitFor(3, 20_000)
  expect(arrived.map(({ id }) => id).sort()).toEqual(['score-1', 'score-2', 'score-3'])
  expect(arrived[0]).toMatchObject({ value: 0.1, timestamp: '2026-09-21T14:13:20.123456Z' })
  const { exporters, counters } = (await (await fetch(`${url}/api/stats`)).json()) as Stats
  expect(exporters[0]).toMatchObject({
    name: 'redis',
    scores: { accepted: 3, delivered: 3, held: 0 },
  })
  expect(counters.scoresWithoutExporter ?? 0).toBe(0)
})
