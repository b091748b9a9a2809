// Claims of one relay, with a real Redis; others act between what it lists and what it claims.
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest'
import { load, makeSpan } from '../../export/fixtures.ts'
import { createLog } from '../../log.ts'
import { connectRedis, type RedisConnection } from '../../redis/connection.ts'
import { entryEncoder } from '../../redis/entry.ts'
import { type RedisServer, startRedisServer } from '../../testing/redis-server.ts'
import { type Claims, startClaims } from './claims.ts'
import { pendingOf, textOf } from './group.ts'
import { RedisOutbox } from './outbox.ts'

const STREAM = 'offpath:{0}'
const NAME = 'langfuse'
const CLAIM_IDLE_MS = 60_000

const encoder = entryEncoder({ load, maxSpanBytes: 1e9 })

let redis: RedisServer
let connection: RedisConnection
beforeAll(async () => {
  redis = await startRedisServer()
  connection = connectRedis({ target: redis.target })
})
afterAll(async () => {
  await connection.close()
  await redis.close()
})
beforeEach(async () => {
  await redis.ask('FLUSHALL')
  await redis.ask('XGROUP', 'CREATE', STREAM, NAME, '0', 'MKSTREAM')
})

/** Adds entries that a consumer is given. */
async function give(consumer: string, count: number): Promise<string[]> {
  const ids: string[] = []
  for (let i = 0; i < count; i++) {
    const entry = encoder.encode([makeSpan()])
    ids.push(textOf(await redis.ask('XADD', STREAM, '*', 'v', '1', 's', entry)))
  }
  await redis.ask('XREADGROUP', 'GROUP', NAME, consumer, 'STREAMS', STREAM, '>')
  return ids
}

/** @param meanwhile is done once, when what is idle has been listed */
function start(meanwhile = async (): Promise<void> => {}): {
  claims: Claims
  outbox: RedisOutbox
} {
  let isDone = false
  const between: RedisConnection = {
    async call(key, args) {
      const reply = await connection.call(key, args)
      const isList = args[0] === 'XPENDING' && args[5] === '-' && args.length === 8
      if (isList && !isDone) {
        isDone = true
        await meanwhile()
      }
      return reply
    },
    async close() {},
  }
  const group = { connection: between, streams: [STREAM], name: NAME, consumer: 'ours' }
  const outbox = new RedisOutbox(NAME, 1e6, () => {})
  const log = createLog(() => {}, 'error')
  const options = { group, outbox, claimIdleMs: CLAIM_IDLE_MS, log, wake: () => {} }
  return { claims: startClaims(options), outbox }
}

const pending = () =>
  pendingOf({ connection, streams: [STREAM], name: NAME, consumer: '' }, STREAM, {
    idleMs: 0,
    count: 10,
  })

it.each([
  ['taken over', '1'],
  ['condemned', '5'],
])(
  'of what is to be %s, that is lost which is gone, not what another one has delivered meanwhile',
  async (_, deliveries) => {
    const ids = await give('dead', 3)
    const [first, second, third] = ids
    const as = ['IDLE', String(2 * CLAIM_IDLE_MS), 'RETRYCOUNT', deliveries, 'JUSTID']
    await redis.ask('XCLAIM', STREAM, NAME, 'dead', '0', ...ids, ...as)
    await redis.ask('XDEL', STREAM, second!)
    const { claims, outbox } = start(async () => {
      await redis.ask('XCLAIM', STREAM, NAME, 'rival', '0', first!, 'JUSTID')
      await redis.ask('XACK', STREAM, NAME, first!)
      await redis.ask('XDEL', STREAM, first!)
    })
    await vi.waitFor(() => expect(outbox.isHeld(STREAM, third!)).toBe(true), 5000)
    await vi.waitFor(() => expect(outbox.counters.lost).toBe(1), 5000)
    await claims.stop()
    expect(outbox.counters.lost).toBe(1)
    const { takenOver, condemned } = claims.counters
    expect([takenOver, condemned]).toEqual(deliveries === '5' ? [0, 1] : [1, 0])
    expect((await pending()).map(({ id }) => id)).toEqual([third])
  },
)

it('counts what is gone when it hands back, also of an answer that never came', async () => {
  const ids = await give('ours', 3)
  const { claims, outbox } = start()
  outbox.add(STREAM, { id: ids[0]!, bytes: encoder.encode([makeSpan()]) })
  await redis.ask('XDEL', STREAM, ids[0]!, ids[1]!)
  await claims.stop()
  await claims.handBack()
  expect(outbox.counters.lost).toBe(2)
  expect(await pending()).toMatchObject([{ id: ids[2], deliveries: 0 }])
})
