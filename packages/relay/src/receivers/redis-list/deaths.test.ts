// Relays that die, or are stopped, while they hold elements of a list; and relays that share one.
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { crashAt } from '../../testing/crash-at.ts'
import { type RedisServer, startRedisServer } from '../../testing/redis-server.ts'
import { element, many, withListOf } from './list.fixture.ts'

/** One for all tests; each has a list of its own. */
let redis: RedisServer
beforeAll(async () => {
  redis = await startRedisServer({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
})
afterAll(() => redis.close())

const withList = withListOf(() => redis)

describe.concurrent('relays that die', { timeout: 120_000 }, () => {
  test.each(['moved', 'written'] as const)(
    'killed when an element was %s: nothing is lost',
    (point) =>
      withList(async ({ list, startProcess, push, names, length, until, processing }) => {
        const all = many(30)
        await push(...all)
        const dying = await startProcess(crashAt(point))
        await dying.end()
        const [taken = ''] = await processing()
        expect(await length(taken)).toBeGreaterThan(0)
        await startProcess({ CRASH_AT: '', NODE_OPTIONS: '' })
        await until(() => names().length === 30)
        await until(async () => (await processing()).length === 0)
        expect(new Set(names())).toEqual(new Set(all.map(({ name }) => name)))
        expect(await length(list)).toBe(0)
      })(),
  )

  test(
    'what one has taken that died for good others take, the oldest first',
    withList(async ({ redis, langfuse, keys, start, startProcess, push, names, status, until }) => {
      const all = many(20)
      await push(...all.slice(0, 10))
      const dying = await startProcess(crashAt('moved'))
      await dying.end()
      await push(...all.slice(10))
      const relay = await start({ 'redis.claim-idle': '2s' })
      await until(() => names().length === 20)
      expect((await status(relay)).givenBack).toBeGreaterThan(0)
      expect(await redis.ask('SMEMBERS', keys.relays)).toHaveLength(1)
      expect(langfuse.duplicates).toEqual({ identical: 0, changed: 0 })
    }),
  )

  test(
    'one that was only stopped leaves to the others what they took over',
    withList(
      async ({
        redis,
        langfuse,
        keys,
        start,
        startProcess,
        push,
        names,
        status,
        until,
        processing,
      }) => {
        const stopped = await startProcess()
        await until(async () => Number(await redis.ask('SCARD', keys.relays)) === 1)
        stopped.child.kill('SIGSTOP')
        // To one that waits for it Redis gives the first, whether or not it can take it.
        const all = many(5)
        await push(...all)
        const relay = await start({ 'redis.claim-idle': '2s' })
        await until(() => names().length === 5)
        stopped.child.kill('SIGCONT')
        const late = element()
        await push(late)
        await until(() => names().length === 6)
        await until(async () => (await processing()).length === 0)
        expect(langfuse.duplicates).toEqual({ identical: 0, changed: 0 })
        expect((await status(relay)).trouble).toBe(null)
        await until(async () => Number(await redis.ask('SCARD', keys.relays)) === 2)
      },
    ),
  )

  test(
    'two of them share a list, and each element comes once',
    withList(async ({ langfuse, directory, start, push, names, status, until }) => {
      const homes = [join(directory, 'a'), join(directory, 'b')]
      // So long that on a busy machine neither thinks the other one dead.
      const flags = { 'redis.claim-idle': '60s' }
      const two = await Promise.all(homes.map((home) => start(flags, home)))
      const all = many(600)
      for (let at = 0; at < 600; at += 20) await push(...all.slice(at, at + 20))
      await until(() => names().length === 600)
      expect(langfuse.duplicates).toEqual({ identical: 0, changed: 0 })
      const taken = await Promise.all(two.map(async (relay) => (await status(relay)).taken))
      expect(taken[0]! + taken[1]!).toBe(600)
    }),
  )
})
