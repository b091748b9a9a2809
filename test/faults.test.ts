// Faults that take a whole system to see: real relays, a real Redis, a disk that is full, a network that is cut, a clock that steps.
// docs/faults.md says which test is of which fault; `npm run chaos -- soak` mixes them.
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeClock } from '../lab/chaos/soak/clock.ts'
import { type Disk, mountDisk } from '../lab/chaos/soak/disk.ts'
import { openWay, type Way } from '../lab/chaos/soak/way.ts'
import {
  deliveringTo,
  type Running,
  type Sandbox,
  sandbox,
} from '../packages/relay/src/cli/cli.fixture.ts'
import type { Stats } from '../packages/relay/src/http/stats.ts'
import { textOf } from '../packages/relay/src/receivers/redis/group.ts'
import {
  type RedisServer,
  startRedisServer,
  startSentinel,
} from '../packages/relay/src/testing/redis-server.ts'
import { startLangfuseServer } from './langfuse-server/server.ts'
import type { LangfuseServer } from './langfuse-server/types.ts'

let langfuse: LangfuseServer
let ends: (() => unknown)[]
beforeEach(async () => {
  ends = []
  langfuse = await startLangfuseServer()
  atEnd(() => langfuse.close())
})
afterEach(async () => {
  for (const end of ends.reverse()) await end()
})

function atEnd(end: () => unknown): void {
  ends.push(end)
}

function boxOf(env: Record<string, string>): Sandbox {
  const box = sandbox(env)
  atEnd(() => box.remove())
  return box
}

interface Up {
  readonly relay: Running
  stats(): Promise<Stats>
}

async function up(box: Sandbox): Promise<Up> {
  const relay = box.start('up', '--json')
  // An end in order would wait for what is troubled.
  atEnd(() => relay.end('SIGKILL'))
  const { url } = JSON.parse(await relay.line()) as { url: string }
  return {
    relay,
    stats: async () => (await (await fetch(`${url}/api/stats`)).json()) as Stats,
  }
}

async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  for (const deadline = Date.now() + 20_000; !(await condition()); ) {
    if (Date.now() > deadline) throw new Error('it never came')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

async function redisServer(): Promise<RedisServer> {
  const redis = await startRedisServer({ args: ['--repl-diskless-sync-delay', '0'] })
  atEnd(() => redis.close())
  return redis
}

async function wayTo(port: number): Promise<Way> {
  const way = await openWay(port)
  atEnd(() => way.close())
  return way
}

/** One that forwards to Redis, and one of a pool that delivers from there. */
function boxes(forwardsTo: string, receivesFrom: string = forwardsTo): [Sandbox, Sandbox] {
  return [
    boxOf({ OFFPATH_REDIS_URL: forwardsTo, OFFPATH_REDIS_FORWARD: 'true' }),
    boxOf({
      ...deliveringTo(langfuse),
      OFFPATH_REDIS_URL: receivesFrom,
      OFFPATH_REDIS_RECEIVE: 'true',
      OFFPATH_REDIS_CLAIM_IDLE: '600ms',
    }),
  ]
}

/** Five observations, one of them interrupted. */
const record = (box: Sandbox): Promise<void> => box.killedApp()

const different = (): number => new Set(langfuse.spans().map(({ spanId }) => spanId)).size

test('the disk of the store is full and has room again: what was recorded meanwhile waits in the spool', async (context) => {
  const box = boxOf(deliveringTo(langfuse))
  const disk: Disk = mountDisk(join(box.dir, 'small'), 16)
  atEnd(() => disk.remove())
  if (!disk.isSmall) context.skip('a tmpfs cannot be mounted here')
  box.env.OFFPATH_STORE_DIR = join(disk.directory, 'store')
  const { stats } = await up(box)
  await record(box)
  await langfuse.waitForSpans(5)
  const giveBack = disk.fill()
  for (let i = 0; i < 4; i++) await record(box)
  // It answers, and has thrown nothing away.
  await until(async () => (await stats()).spool.some(({ unreadBytes }) => unreadBytes > 0))
  giveBack()
  await langfuse.waitForSpans(25, 20_000)
  await until(async () => (await stats()).exporters[0]?.held === 0)
  const { accepted, lost, exporters } = await stats()
  expect({ accepted, lost }).toEqual({ accepted: 25, lost: {} })
  expect(exporters[0]).toMatchObject({ delivered: 25, deadLettered: 0, dropped: {} })
})

test('a relay ends when it is told to, also while the disk of its store is full; the next one goes on', async (context) => {
  const box = boxOf(deliveringTo(langfuse))
  const disk: Disk = mountDisk(join(box.dir, 'small'), 16)
  atEnd(() => disk.remove())
  if (!disk.isSmall) context.skip('a tmpfs cannot be mounted here')
  box.env.OFFPATH_STORE_DIR = join(disk.directory, 'store')
  const { relay, stats } = await up(box)
  const giveBack = disk.fill()
  await record(box)
  await until(async () => (await stats()).spool.some(({ unreadBytes }) => unreadBytes > 0))
  expect(await relay.end('SIGTERM')).toBe(0)
  giveBack()
  await up(box)
  await langfuse.waitForSpans(5, 20_000)
})

test('a sentinel lets a replica take over: both kinds of relay follow it', async () => {
  const [master, replica] = [await redisServer(), await redisServer()]
  await replica.ask('REPLICAOF', '127.0.0.1', String(master.port))
  await until(async () => textOf(await replica.ask('INFO', 'replication')).includes('status:up'))
  const sentinel = await startSentinel(master, { downAfterMs: 300 })
  atEnd(() => sentinel.close())
  const [host, center] = boxes(sentinel.url)
  await up(host)
  await up(center)
  await record(host)
  await langfuse.waitForSpans(5, 20_000)
  await master.kill()
  await record(host)
  await langfuse.waitForSpans(10, 40_000)
  expect(textOf(await replica.ask('INFO', 'replication'))).toContain('role:master')
}, 90_000)

test('answers of Redis are lost on their way to who forwards: what was added is added again, the same', async () => {
  const redis = await redisServer()
  const way = await wayTo(redis.port)
  const [host, center] = boxes(`redis://127.0.0.1:${way.port}`, redis.url)
  await up(host)
  way.trouble('reset', 'XADD')
  await record(host)
  await until(() => way.lostAnswers > 0)
  way.trouble(null)
  await up(center)
  await until(() => different() === 5 && langfuse.duplicates.identical > 0)
  expect(langfuse.duplicates.changed).toBe(0)
})

test.each([
  ['is cut', 'cut'],
  ['brings nothing', 'hang'],
] as const)(
  'the network to Redis %s after a pool has delivered: another relay delivers once more, the same',
  async (_, trouble) => {
    const redis = await redisServer()
    const way = await wayTo(redis.port)
    const [host, center] = boxes(redis.url, `redis://127.0.0.1:${way.port}`)
    await up(host)
    await up(center)
    // It is stored and not yet answered when the network goes: nothing is acknowledged.
    langfuse.latencyMs = 3000
    await record(host)
    await langfuse.waitForSpans(5, 20_000)
    way.trouble(trouble)
    center.env.OFFPATH_REDIS_URL = redis.url
    langfuse.latencyMs = 0
    await up(center)
    await until(() => langfuse.duplicates.identical >= 5)
    expect(different()).toBe(5)
    expect(langfuse.duplicates.changed).toBe(0)
    way.trouble(null)
  },
)

test('a network that brings little at a time: a request that takes too long is sent again, and arrives in the end', async () => {
  const way = await wayTo(langfuse.port)
  const box = boxOf({
    ...deliveringTo({ url: `http://127.0.0.1:${way.port}` }),
    OFFPATH_EXPORT_TIMEOUT: '150ms',
  })
  const { stats } = await up(box)
  way.trouble('slow')
  await record(box)
  await until(async () => (await stats()).exporters[0]?.delivery?.state === 'retrying')
  expect((await stats()).exporters[0]?.delivery?.lastError?.message).toBe('no answer within 150 ms')
  way.trouble(null)
  await langfuse.waitForSpans(5, 20_000)
  await until(async () => (await stats()).exporters[0]?.delivered === 5)
  expect(different()).toBe(5)
})

test('the clock of relay and application steps by a day, back and forth: nothing is lost, and nothing given up', async (context) => {
  const box = boxOf(deliveringTo(langfuse))
  const clock = makeClock(join(box.dir, 'clock'))
  if (!clock.canStep) context.skip('there is no libfaketime (apt-get install faketime)')
  Object.assign(box.env, clock.env)
  const { stats } = await up(box)
  const app = box.app('--open')
  atEnd(() => app.end('SIGKILL'))
  await app.line()
  await langfuse.waitForSpans(4)
  for (const [hours, spans] of [
    [-24, 9],
    [24, 14],
  ] as const) {
    clock.step(hours * 3600)
    // It is asked for once a second at most.
    await new Promise((resolve) => setTimeout(resolve, 1200))
    await record(box)
    await langfuse.waitForSpans(spans, 20_000)
  }
  // The application lives, whatever its clock says, and its open observation with it.
  expect(await stats()).toMatchObject({ accepted: 15, open: 1, interrupted: 2, lost: {} })
  app.child.kill('SIGKILL')
  await langfuse.waitForSpans(15, 20_000)
  expect(langfuse.duplicates).toEqual({ identical: 0, changed: 0 })
})
