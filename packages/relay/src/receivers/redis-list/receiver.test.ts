// A relay that takes from a list of a real Redis.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type RedisServer, startRedisServer } from '../../testing/redis-server.ts'
import { itemsOf, textOf } from '../redis/group.ts'
import { element, many, START, withListOf } from './list.fixture.ts'
import { startListReceiver } from './receiver.ts'
import { SpoolWriter } from './spool-writer.ts'

/** One for all tests; each has a list of its own. */
let redis: RedisServer
beforeAll(async () => {
  redis = await startRedisServer({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
})
afterAll(() => redis.close())

const withList = withListOf(() => redis)

// They mostly wait.
describe.concurrent('a relay that takes from a list', { timeout: 60_000 }, () => {
  test(
    'delivers what was pushed, in its order, and leaves nothing in Redis',
    withList(
      async ({ redis, langfuse, list, start, stop, push, names, status, until, processing }) => {
        const observations = many(400)
        await push(...observations.slice(0, 150))
        const relay = await start()
        await push(...observations.slice(150))
        await until(() => names().length === 400)
        expect(names()).toEqual(observations.map(({ name }) => name))
        expect(langfuse.duplicates).toEqual({ identical: 0, changed: 0 })
        await until(async () => (await processing()).length === 0)
        expect(await status(relay)).toMatchObject({
          list,
          trouble: null,
          waiting: null,
          taken: 400,
          malformed: 0,
        })
        expect((await relay.stats()).accepted).toBe(400)
        await stop(relay)
        expect(itemsOf(await redis.ask('KEYS', `*${list}*`))).toEqual([])
      },
    ),
  )

  test(
    'says whose it is, and what a trace shares',
    withList(async ({ langfuse, start, push }) => {
      await start()
      await push({
        service: 'shop',
        environment: 'live',
        release: '1.2',
        language: 'php',
        host: 'web-1',
        name: 'the trace',
        user_id: 'u1',
        observations: [
          { name: 'root', span_id: '00000000000000f1', start_time: START, end_time: START + 2 },
          {
            name: 'child',
            parent_span_id: '00000000000000f1',
            type: 'generation',
            model: 'm',
            start_time: START,
            end_time: START + 1,
          },
        ],
      })
      await langfuse.waitForSpans(2)
      const [root, child] = langfuse.spans('pk-lf-test')
      expect(child).toMatchObject({ traceId: root!.traceId, parentSpanId: root!.spanId })
      expect(root!.attributes).toMatchObject({
        'user.id': 'u1',
        'langfuse.trace.name': 'the trace',
      })
      expect(root!.resource.attributes).toMatchObject({
        'service.name': 'shop',
        'host.name': 'web-1',
      })
    }),
  )

  test(
    'puts what is no record among the dead, with the reason, and goes on',
    withList(async ({ list, lines, start, push, names, status, until, dead }) => {
      const [before, after] = [element(), element()]
      await push(before, '{"half":', Buffer.from([1, 0xff]), { name: 'no times' }, after)
      const relay = await start()
      await until(() => names().length === 2)
      expect(names()).toEqual([before.name, after.name])
      await until(async () => (await dead()).length === 3)
      const found = await dead()
      expect(found.map((one) => one.get('reason'))).toEqual([
        'is not JSON: it ends too early',
        'is not UTF-8',
        'start_time and end_time are missing, and so is record',
      ])
      expect(found[0]!.get('element')).toBe('{"half":')
      expect(found[0]!.get('list')).toBe(list)
      expect(await status(relay)).toMatchObject({ taken: 2, malformed: 3, trouble: null })
      // The next line comes a minute later.
      const told = lines.filter((line) => line.includes('elements were no record'))
      expect(told.join('')).toMatch(/^[^\n]*the last one is not JSON: it ends too early[^\n]*\n$/)
    }),
  )

  test(
    'takes what comes late to where its own are, from a connection that was given up',
    withList(async ({ redis, keys, start, push, names, until, processing }) => {
      const [late, foreign, last] = [element(), element(), element()]
      const relay = await start()
      await until(async () => itemsOf(await redis.ask('SMEMBERS', keys.relays)).length === 1)
      const [run] = itemsOf(await redis.ask('SMEMBERS', keys.relays)).map(textOf)
      const own = keys.processing(run!)
      await redis.ask('LPUSH', own, JSON.stringify(late))
      await until(() => names().length === 1)
      // And between its own, before these are removed.
      const { write } = SpoolWriter.prototype
      const writing = vi.spyOn(SpoolWriter.prototype, 'write')
      writing.mockImplementation(async function (this: SpoolWriter, groups) {
        if (groups.some(({ lines }) => lines.join().includes(last.span_id))) {
          writing.mockRestore()
          await redis.ask('RPUSH', own, JSON.stringify(foreign))
        }
        await write.call(this, groups)
      })
      await push(last)
      await until(() => names().length === 3)
      expect(names()).toEqual([late, last, foreign].map(({ name }) => name))
      await until(async () => (await processing()).length === 0)
      expect((await relay.stats()).accepted).toBe(3)
    }),
  )

  test(
    'what cannot be put among the dead waits, and stops nobody',
    withList(
      async ({ redis, keys, start, push, names, status, length, until, processing, dead }) => {
        await redis.ask('SET', keys.dead, 'no stream')
        const all = [element(), element(), element()]
        await push(all[0]!, 'no json', all[1]!)
        const relay = await start()
        await until(() => names().length === 2)
        await push(all[2]!)
        await until(() => names().length === 3)
        expect(await status(relay)).toMatchObject({
          trouble: expect.stringContaining('WRONGTYPE'),
          malformed: 0,
        })
        // What cannot be asked for is not known, and that alone.
        await until(async () => (await status(relay)).length === 0)
        expect((await status(relay)).deadLength).toBe(null)
        const [taken = ''] = await processing()
        expect(await length(taken)).toBe(1)
        await redis.ask('DEL', keys.dead)
        await until(async () => (await dead()).length === 1)
        await until(async () => (await status(relay)).trouble === null)
        expect(names()).toHaveLength(3)
      },
    ),
  )

  test(
    'start and end may come apart, also on both sides of a restart of the relay',
    withList(async ({ langfuse, start, stop, push, names, until }) => {
      const relay = await start()
      const { trace_id, span_id, name, start_time, end_time } = element()
      await push({ record: 'start', trace_id, span_id, name, start_time, service: 's' })
      await until(async () => (await relay.stats()).open === 1)
      await stop(relay)
      await push({ record: 'update', span_id, output: 'x', service: 's' })
      await push({ record: 'end', span_id, end_time, service: 's' })
      await start()
      await until(() => names().length === 1)
      const [span] = langfuse.spans('pk-lf-test')
      expect(span).toMatchObject({ name, endTimeUnixNano: BigInt(end_time) * 10n ** 9n })
      expect(span!.attributes['langfuse.observation.output']).toBe('x')
    }),
  )

  test(
    'a key that is no list is told, and nothing is done to it',
    withList(async ({ redis, list, start, push, names, status, until }) => {
      await redis.ask('SET', list, 'a string')
      const relay = await start()
      await until(async () => (await status(relay)).trouble?.startsWith('WRONGTYPE') === true)
      expect(textOf(await redis.ask('GET', list))).toBe('a string')
      await redis.ask('DEL', list)
      await push(element())
      await until(() => names().length === 1)
    }),
  )

  test(
    'many senders are many writers, and none of them is kept for ever',
    withList(async ({ directory, start, push, names, until }) => {
      const relay = await start()
      await push(...Array.from({ length: 150 }, (_, n) => element({ service: `s${n}` })))
      await until(() => names().length === 150)
      await until(async () => (await relay.stats()).writers.length <= 64)
      const files = readdirSync(join(directory, 'store', 'redis-list'))
      expect(files.filter((name) => name.endsWith('.seg')).length).toBeLessThanOrEqual(64)
      const { counters, lost, interrupted } = await relay.stats()
      expect({ lost, interrupted }).toEqual({ lost: {}, interrupted: 0 })
      expect(counters.corruptFrames ?? 0).toBe(0)
      // One of them comes back.
      await push(element({ service: 's0' }), element({ service: 's149' }))
      await until(() => names().length === 152)
      expect((await relay.stats()).lost).toEqual({})
    }),
  )

  test(
    'what there is no room for stays in Redis',
    withList(async ({ redis, directory, list, log, push, length, until }) => {
      let full = false
      let read = new Map<string, number>()
      const spool = join(directory, 'spool')
      const receiver = startListReceiver({
        connection: { target: redis.target },
        list,
        directory: spool,
        claimIdleMs: 60_000,
        log,
        paused: () => (full ? 'the store is full' : null),
        lastRead: () => null,
        offsets: () => read,
        unreadBytes: 20_000,
      })
      try {
        await push(...many(50, { input: 'x'.repeat(10_000) }))
        await until(() => receiver.status().waiting?.includes('bytes are not read yet') === true)
        expect(await length(list)).toBeGreaterThan(40)
        full = true
        read = new Map(readdirSync(spool).map((name) => [join(spool, name), 1e9]))
        await until(() => receiver.status().waiting === 'the store is full')
        const left = await length(list)
        expect(left).toBeGreaterThan(40)
        full = false
        await until(async () => (await length(list)) === 0)
      } finally {
        await receiver.stop()
      }
    }),
  )
})
