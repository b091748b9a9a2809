import { FIELD } from '@offpath/sdk/spool-format'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { field, load, makeSpan, text } from '../export/fixtures.ts'
import type { DeadLetterList } from '../http/shapes.ts'
import { itemsOf, mapOf, textOf } from '../receivers/redis/group.ts'
import { connectRedis, type RedisConnection, type Reply } from '../redis/connection.ts'
import { entryEncoder } from '../redis/entry.ts'
import { type RedisServer, startRedisServer } from '../testing/redis-server.ts'
import { isPoolId, PoolDead } from './pool-dead.ts'

const STREAM = 'offpath:{0}'
const DEAD = 'offpath:dead'
const BOUNDS = { valueBytes: 1e6, totalBytes: 1e6 }
const NONE = {
  retried: 0,
  superseded: 0,
  notConfigured: 0,
  gone: 0,
  noRoom: 0,
  unknown: [],
  refused: [],
}

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
beforeEach(() => redis.ask('FLUSHALL'))

const open = (maxLength = 100): PoolDead =>
  new PoolDead({ connection, stream: 'offpath', maxLength, exporters: ['langfuse'] })
const encoder = entryEncoder({ load, maxSpanBytes: 1e9 })
const group = (stream = STREAM, name = 'langfuse') =>
  redis.ask('XGROUP', 'CREATE', stream, name, '0', 'MKSTREAM')

/** A dead letter; returns its number in the stream. */
async function letter(fields: Record<string, string | Buffer>): Promise<string> {
  const all = { exporter: 'langfuse', stream: STREAM, reason: 'why', v: '1', ...fields }
  return textOf(await redis.ask('XADD', DEAD, '*', ...Object.entries(all).flat()))
}

async function added(stream = STREAM): Promise<Map<string, Reply>[]> {
  const reply = await redis.ask('XRANGE', stream, '-', '+')
  return itemsOf(reply).map((item) => mapOf(itemsOf(item)[1] as Reply))
}

it('has one sent again by its exporter alone, the same bytes, and takes it off the list', async () => {
  await group()
  await group('offpath:scores')
  const entry = encoder.encode([makeSpan()])
  const span = await letter({ name: 'a', s: entry })
  await letter({ name: 'b', stream: 'offpath:scores', project: 'p', scores: '{"id":"x"}' })
  expect(await open().retry({ ids: [`span:${span}`] })).toEqual({ ...NONE, retried: 1 })
  expect(await open().retry({ all: true })).toEqual({ ...NONE, retried: 1 })
  const [one] = await added()
  expect([...one!.keys()]).toEqual(['v', 'for', 's'])
  expect(one!.get('s')).toEqual(entry)
  expect(String(one!.get('for'))).toBe('langfuse')
  const [score] = await added('offpath:scores')
  expect([...score!].map(([key, value]) => `${key}=${value}`)).toEqual([
    'v=1',
    'project=p',
    'for=langfuse',
    'scores={"id":"x"}',
  ])
  expect(await redis.ask('XLEN', DEAD)).toBe(0)
})

it('leaves what was cut or not kept, what nobody would deliver, and what has no room', async () => {
  await group()
  const named = { name: 'a', s: encoder.encode([makeSpan()]) }
  const empty = await letter({ s: '' })
  const cut = await letter({ cut: '1', ...named })
  await letter({ ...named, exporter: 'otlp' })
  await letter({ ...named, stream: 'offpath:{1}' })
  await letter({ ...named, stream: 'somebody-elses' })
  const good = await letter(named)
  const refused = [
    { id: `entry:${empty}`, reason: 'its content was not kept: why' },
    { id: `span:${cut}`, reason: 'its longest values were cut: why' },
  ]
  const done = { ...NONE, retried: 1, gone: 2, notConfigured: 3, refused }
  expect(await open().retry({ all: true })).toEqual(done)
  expect(await redis.ask('XLEN', DEAD)).toBe(5)
  expect(await added('somebody-elses')).toEqual([])

  const full = await letter(named)
  expect(await open(1).retry({ ids: [`span:${full}`] })).toEqual({ ...NONE, noRoom: 1 })
  const ids = [`span:${good}`, `score:${full}`, `span:${full}`]
  expect(await open().drop({ ids })).toEqual({ dropped: 1, unknown: ids.slice(0, 2) })
})

it('shows a span, a score, and what can be read of a whole entry', async () => {
  const span = makeSpan({ name: 'poison', fields: [field(FIELD.input, text('a question'))] })
  const s = encoder.encode([span, makeSpan()])
  const at = await letter({ name: 'poison', trace: 'aa', span: 'bb', s })
  expect(await open().get(`span:${at}`, BOUNDS)).toMatchObject({
    traceId: 'aa',
    observationId: 'bb',
    observation: { name: 'poison', input: 'a question' },
  })
  const score = await letter({ name: 'x', scores: '{"id":"y"}' })
  expect((await open().get(`score:${score}`, BOUNDS))?.score).toEqual({ id: 'y' })
  const entry = await letter({ entry: '1-0', s })
  expect(await open().get(`entry:${entry}`, BOUNDS)).toMatchObject({
    name: `entry 1-0 of ${STREAM}`,
    observations: [{ name: 'poison' }, {}],
  })
  const damaged = await letter({ s: 'nothing' })
  expect((await open().get(`entry:${damaged}`, BOUNDS))?.observations).toEqual([])
  expect(await open().get('span:1-1', BOUNDS)).toBeUndefined()
})

it('reads a stream that is longer than a page, in both directions, whoever wrote into it', async () => {
  const reasons = Array.from({ length: 50 }, (_, i) => `r${i}`)
  for (const [i, reason] of reasons.entries()) await letter({ exporter: i % 2 ? 'a' : 'b', reason })
  await redis.ask('XADD', DEAD, '18446744073709551615-1', 'time', 'never', 'of', 'somebody')
  const reasonsOf = ({ deadLetters }: DeadLetterList) => deadLetters.map(({ reason }) => reason)
  const list = await open().list({}, 40)
  expect([list.total, list.deadLetters[0]?.time]).toEqual([51, '1970-01-01T00:00:00.000Z'])
  expect(reasonsOf(list)).toEqual(['', ...reasons.toReversed()].slice(0, 40))
  const some = await open().list({ exporter: 'a', reason: 'r4' }, 3)
  expect([some.total, ...reasonsOf(some)]).toEqual([5, 'r49', 'r47', 'r45'])
  const exported: string[] = []
  for await (const { reason } of open().all({ reason: 'r' }, BOUNDS)) exported.push(reason)
  expect(exported).toEqual(reasons)
  expect(await open().drop({ all: true })).toEqual({ dropped: 51, unknown: [] })
})

it('knows exporters by their groups and its configuration', async () => {
  await group(STREAM, 'otlp')
  for (const exporter of ['langfuse', 'otlp']) {
    expect(await open().list({ exporter }, 5)).toEqual({ deadLetters: [], total: 0 })
  }
  await expect(open().drop({ all: true, exporter: 'langfuze' })).rejects.toThrow(
    'the pool knows no exporter langfuze; there are langfuse, otlp',
  )
  expect(['span:1-0', 'score:1764260000000-12', 'entry:1-0'].every(isPoolId)).toBe(true)
  expect(['span:1', 'media:1-0', '1-0', 'span:1-0 '].some(isPoolId)).toBe(false)
})
