// `offpath up --once` and Redis: of a relay that forwards, of one that takes from a list, and of one of a pool.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type RedisServer, startRedisServer } from '../testing/redis-server.ts'
import { type Sandbox, sandbox } from './cli.fixture.ts'
import type { Outcome } from './once.ts'

let redis: RedisServer
let box: Sandbox

beforeEach(async () => {
  redis = await startRedisServer()
  box = sandbox({ OFFPATH_REDIS_URL: redis.url, OFFPATH_REDIS_PARTITIONS: '1' })
})

afterEach(async () => {
  await redis.close()
  box.remove()
})

async function forwardOnce(
  ...args: string[]
): Promise<{ code: number | null; outcome: Outcome; stderr: string }> {
  const all = ['up', '--once', '--json', '--redis-forward', 'true', ...args]
  const { code, stdout, stderr } = await box.offpath(...all)
  return { code, outcome: JSON.parse(stdout) as Outcome, stderr }
}

test('what is there is handed over to Redis', async () => {
  await box.killedApp()
  const { code, outcome } = await forwardOnce()
  expect(code).toBe(0)
  expect(outcome).toMatchObject({
    done: true,
    exporters: [
      {
        name: 'redis',
        delivered: 5,
        waiting: 0,
        scores: { delivered: 0, waiting: 0 },
        media: null,
        state: 'ok',
      },
    ],
  })
  expect(await redis.ask('XLEN', 'offpath:{0}')).toBeGreaterThan(0)
})

test('what Redis has no room for waits for the next start, and why is said', async () => {
  await redis.ask('XADD', 'offpath:{0}', '*', 'v', '1')
  await box.killedApp()
  const { code, outcome } = await forwardOnce('--redis-max-length', '1', '--timeout', '3s')
  expect(code).toBe(1)
  expect(outcome).toMatchObject({
    done: false,
    exporters: [{ name: 'redis', delivered: 0, waiting: 5, state: 'retrying' }],
  })
  expect(outcome.exporters[0]?.message).toContain('offpath:{0} is full')
  await redis.ask('DEL', 'offpath:{0}')
  expect((await forwardOnce()).outcome).toMatchObject({
    done: true,
    exporters: [{ name: 'redis', delivered: 5, waiting: 0 }],
  })
})

test('a relay of a pool refuses it, and says what to do instead', async () => {
  box.env.LANGFUSE_PUBLIC_KEY = 'pk-lf-test'
  box.env.LANGFUSE_SECRET_KEY = 'sk-lf-test'
  const { code, stdout, stderr } = await box.offpath('up', '--once', '--redis-receive', 'true')
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).toMatch(/--once is not for a relay of a pool .*--export-drain/)
})

test('what is in a list by then is taken and handed over', async () => {
  const times = { start_time: 1790000000, end_time: 1790000001 }
  const elements = Array.from({ length: 300 }, (_, n) =>
    JSON.stringify({ name: `n${n}`, ...times }),
  )
  await redis.ask('LPUSH', 'app:traces', ...elements, 'no json')
  const { code, outcome } = await forwardOnce('--redis-list', 'app:traces')
  expect(code).toBe(0)
  expect(outcome).toMatchObject({
    done: true,
    redisList: { taken: 300, malformed: 1, trouble: null },
    exporters: [{ name: 'redis', delivered: 300 }],
  })
  expect(await redis.ask('LLEN', 'app:traces')).toBe(0)
})

test('a list that is none is said, and the rest goes out', async () => {
  await redis.ask('SET', 'app:traces', 'x')
  await box.killedApp()
  const { code, outcome } = await forwardOnce('--redis-list', 'app:traces')
  expect(code).toBe(1)
  expect(outcome).toMatchObject({
    done: false,
    redisList: { state: 'refused', trouble: expect.stringMatching(/^WRONGTYPE/) },
    exporters: [{ name: 'redis', delivered: 5 }],
  })
})
