// Dead letters of a pool from the command line: Redis, the server and the relays are real.
import { FIELD } from '@offpath/sdk/spool-format'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { startLangfuseServer } from '../../../../test/langfuse-server/server.ts'
import type { LangfuseServer } from '../../../../test/langfuse-server/types.ts'
import { field, load, makeSpan, text } from '../export/fixtures.ts'
import type { DeadLetterList, WholeDeadLetter } from '../http/shapes.ts'
import { itemsOf } from '../receivers/redis/group.ts'
import { entryEncoder } from '../redis/entry.ts'
import type { StoredSpan } from '../store/span.ts'
import { type RedisServer, startRedisServer } from '../testing/redis-server.ts'
import { type Running, type Sandbox, sandbox } from './cli.fixture.ts'

const STREAM = 'offpath:{0}'
const SCORE = '{"id":"score-1","traceId":"abc","name":"quality","value":0.5}'

let redis: RedisServer
let langfuse: LangfuseServer
let box: Sandbox
let relay: Running | undefined
beforeAll(async () => {
  redis = await startRedisServer()
})
afterAll(() => redis.close())
beforeEach(async () => {
  await redis.ask('FLUSHALL')
  langfuse = await startLangfuseServer()
  box = sandbox({
    LANGFUSE_BASE_URL: langfuse.url,
    LANGFUSE_PUBLIC_KEY: 'pk-lf-test',
    LANGFUSE_SECRET_KEY: 'sk-lf-test',
    OFFPATH_OTLP_URL: langfuse.otlpUrl,
    OFFPATH_REDIS_URL: redis.url,
    OFFPATH_REDIS_RECEIVE: 'true',
    OFFPATH_REDIS_PARTITIONS: '1',
  })
})
afterEach(async () => {
  await relay?.end('SIGTERM')
  relay = undefined
  await langfuse.close()
  box.remove()
})

async function up(): Promise<void> {
  relay = box.start('up', '--json')
  await relay.line()
}

async function down(): Promise<void> {
  await relay?.end('SIGTERM')
  relay = undefined
}

async function json<T>(...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await box.offpath(...args, '--json')
  expect([code, stderr]).toEqual([0, ''])
  return JSON.parse(stdout) as T
}

const encoder = entryEncoder({ load, maxSpanBytes: 1e9 })
const add = (...spans: StoredSpan[]) =>
  redis.ask('XADD', STREAM, '*', 'v', '1', 's', encoder.encode(spans))

async function letters(count: number): Promise<void> {
  while (Number(await redis.ask('XLEN', 'offpath:dead')) < count) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Rejected by langfuse alone: a span, a score and a whole entry, which otlp rejects too. */
async function reject(span: StoredSpan): Promise<void> {
  langfuse.rejectSpan = ({ spanId, project }) =>
    spanId === span.spanId.toString('hex') && project !== '' ? 'bad span' : undefined
  langfuse.scores.reject = () => 'no such config'
  await up()
  await add(makeSpan(), span)
  await redis.ask('XADD', 'offpath:scores', '*', 'v', '1', 'scores', SCORE)
  await redis.ask('XADD', STREAM, '*', 'v', '1', 's', 'nothing')
  await letters(4)
}

test('they are listed, shown, exported, sent again to the one that rejected them, and dropped', async () => {
  const span = makeSpan({ name: 'poison', fields: [field(FIELD.input, text('a question'))] })
  const spanId = span.spanId.toString('hex')
  await reject(span)
  const list = await json<DeadLetterList>('dead', 'ls')
  expect(list.total).toBe(4)
  expect(list.deadLetters.map(({ what, exporter }) => `${what} ${exporter}`).sort()).toEqual([
    'entry langfuse',
    'entry otlp',
    'score langfuse',
    'span langfuse',
  ])
  const dead = list.deadLetters.find(({ what }) => what === 'span')!
  expect(dead).toMatchObject({
    id: expect.stringMatching(/^span:\d+-\d+$/),
    traceId: span.traceId.toString('hex'),
    observationId: spanId,
    name: 'poison',
    reason: expect.stringContaining('bad span'),
  })
  const table = await box.offpath('dead', 'ls', '--exporter', 'langfuse', '--reason', 'bad span')
  expect(table.stdout).toContain('poison')
  expect(table.stdout).not.toContain('quality')

  const whole = await json<WholeDeadLetter>('dead', 'show', dead.id)
  expect(whole.observation).toMatchObject({ id: spanId, input: 'a question' })
  await down()
  const exported = (await box.offpath('dead', 'export')).stdout.trim().split('\n')
  const lines = exported.map((line) => JSON.parse(line) as WholeDeadLetter)
  expect(lines.find(({ id }) => id === dead.id)).toEqual(whole)
  expect(lines.find(({ what }) => what === 'score')?.score).toEqual(JSON.parse(SCORE))

  // No relay of the pool needs to run, and its keys are not needed.
  const arrived = langfuse.spans('').length
  langfuse.rejectSpan = undefined
  langfuse.scores.reject = undefined
  for (const name of Object.keys(box.env)) {
    if (/LANGFUSE|OTLP|REDIS/.test(name)) delete box.env[name]
  }
  const there = ['--redis-url', redis.url]
  const retried = await box.offpath('dead', 'retry', '--all', '--reason', 'answered 4', ...there)
  expect(retried).toMatchObject({
    stdout: '2 dead letters will be sent again, by the relays of the pool\n',
    stderr: '',
  })
  expect(await json('dead', 'drop', '--all', ...there)).toEqual({ dropped: 2, unknown: [] })
  Object.assign(box.env, {
    LANGFUSE_BASE_URL: langfuse.url,
    LANGFUSE_PUBLIC_KEY: 'pk-lf-test',
    LANGFUSE_SECRET_KEY: 'sk-lf-test',
    OFFPATH_OTLP_URL: langfuse.otlpUrl,
    OFFPATH_REDIS_URL: redis.url,
    OFFPATH_REDIS_RECEIVE: 'true',
    OFFPATH_REDIS_PARTITIONS: '1',
  })
  await up()
  await langfuse.waitFor(() => langfuse.spans('pk-lf-test').some((one) => one.spanId === spanId))
  expect(await langfuse.scores.waitFor(1)).toEqual([JSON.parse(SCORE)])
  for (const name of ['langfuse', 'otlp']) {
    const pending = async () => itemsOf(await redis.ask('XPENDING', STREAM, name))[0]
    while (Number(await pending()) > 0);
  }
  expect(langfuse.spans('')).toHaveLength(arrived)
  expect(langfuse.duplicates).toEqual({ identical: 0, changed: 0 })
  expect(await redis.ask('XLEN', 'offpath:dead')).toBe(0)
}, 60_000)

test('says what is wrong: an id, an exporter, a Redis that is not there', async () => {
  await redis.ask('XGROUP', 'CREATE', STREAM, 'langfuse', '0', 'MKSTREAM')
  expect(await box.offpath('dead', 'show', 'span:12')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("is no dead letter's id of a pool, such as span:1764"),
  })
  const unknown = await box.offpath('dead', 'ls', '--exporter', 'langfuze')
  expect(unknown.code).toBe(1)
  expect(unknown.stderr).toContain('the pool knows no exporter langfuze; there are langfuse, otlp')
  const away = await box.offpath('dead', 'ls', '--redis-url', 'redis://:secret-word@127.0.0.1:1')
  expect(away.code).toBe(1)
  expect(away.stderr).toMatch(/^offpath: redis:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/)
  expect(away.stderr).not.toContain('secret-word')
})
