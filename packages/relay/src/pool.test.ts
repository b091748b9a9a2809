// Relays of a pool between a real Redis and a server that plays Langfuse. What is in Redis was put there as a relay that
// forwards would.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FIELD } from '@offpath/sdk/spool-format'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startLangfuseServer } from '../../../test/langfuse-server/server.ts'
import type { LangfuseServer } from '../../../test/langfuse-server/types.ts'
import { type Running, type Sandbox, sandbox } from './cli/cli.fixture.ts'
import { loadConfig } from './config/config.ts'
import type { OptionName } from './config/options.ts'
import type { Clock } from './export/clock.ts'
import { field, load, makeSpan, startFakeClock, text } from './export/fixtures.ts'
import type { Stats } from './http/stats.ts'
import { createLog } from './log.ts'
import { startPool } from './pool.ts'
import { itemsOf, mapOf, textOf } from './receivers/redis/group.ts'
import type { Reply } from './redis/connection.ts'
import { entryEncoder, measureEntry, readEntry } from './redis/entry.ts'
import type { Relay } from './relay.ts'
import { allocateChunk } from './store/chunk.ts'
import type { StoredSpan } from './store/span.ts'
import { crashAt } from './testing/crash-at.ts'
import { freePort, type RedisServer, startRedisServer } from './testing/redis-server.ts'

const KEYS = { 'langfuse.public-key': 'pk-lf-test', 'langfuse.secret-key': 'sk-lf-test' } as const
const STREAM = 'offpath:{0}'
/** In the log, of what was trimmed. */
const IN_MEMORY = 'they are still in memory here'

let redis: RedisServer
let langfuse: LangfuseServer
let directory: string
let pools: Relay[]
let lines: string[]
let box: Sandbox | undefined
beforeAll(async () => {
  redis = await startRedisServer({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
})
afterAll(() => redis.close())
beforeEach(async () => {
  await redis.ask('FLUSHALL')
  langfuse = await startLangfuseServer()
  directory = mkdtempSync(join(tmpdir(), 'offpath-pool-'))
  pools = []
  lines = []
})
afterEach(async () => {
  redis.resume()
  await Promise.all(pools.map((pool) => pool.close()))
  await langfuse.close()
  rmSync(directory, { recursive: true, force: true })
  box?.remove()
  box = undefined
})

async function pool(
  flags: Partial<Record<OptionName, string>> = {},
  clock?: Clock,
): Promise<Relay> {
  const all = {
    'redis.url': redis.url,
    'redis.receive': 'true',
    'redis.partitions': '2',
    'redis.claim-idle': '5s',
    'langfuse.base-url': langfuse.url,
    'http.port': '0',
    ...(flags['otlp.url'] === undefined && KEYS),
    ...flags,
  }
  const given = new Map(Object.entries(all)) as ReadonlyMap<OptionName, string>
  const { config } = loadConfig({ flags: given, env: { HOME: directory }, cwd: directory })
  const started = await startPool(
    config,
    createLog((line) => lines.push(line), 'debug'),
    clock,
  )
  pools.push(started)
  return started
}

async function stop(one: Relay): Promise<void> {
  pools.splice(pools.indexOf(one), 1)
  await one.close()
}

const encoder = entryEncoder({ load, maxSpanBytes: 1e9 })
const many = (count: number, over: Partial<StoredSpan> = {}): StoredSpan[] =>
  Array.from({ length: count }, () => makeSpan(over))
const idsOf = (spans: readonly { spanId: string | Buffer }[]): string[] =>
  spans.map(({ spanId }) => spanId.toString('hex')).sort()

/** Entries of so many spans each; returns the ids of entries. */
async function forward(spans: readonly StoredSpan[], each = 5, stream = STREAM): Promise<string[]> {
  const ids: string[] = []
  for (let at = 0; at < spans.length; at += each) {
    const entry = encoder.encode(spans.slice(at, at + each))
    ids.push(await add(stream, entry))
  }
  return ids
}

async function add(stream: string, entry: Buffer): Promise<string> {
  return textOf(await redis.ask('XADD', stream, '*', 'v', '1', 's', entry))
}

/** In observations; the law of a relay of a pool holds in each answer. */
async function figures(one: Relay, exporter = 'langfuse'): Promise<Stats['exporters'][number]> {
  const { exporters } = await one.stats()
  const found = exporters.find(({ name }) => name === exporter)!
  const { accepted, delivered, deadLettered, dropped, held } = found
  const lost = Object.values(dropped).reduce((sum, n) => sum + n, 0)
  expect(accepted).toBe(delivered + deadLettered + lost + held)
  return found
}

async function group(one: Relay, name = 'langfuse') {
  return (await one.stats()).redis!.groups.find((group) => group.name === name)!
}

async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + 12_000
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`it never came:\n${lines.join('')}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const pendingIn = async (stream = STREAM, name = 'langfuse'): Promise<number> =>
  Number(itemsOf(await redis.ask('XPENDING', stream, name))[0])

/** What is in the stream of dead letters, newest last. */
async function deadLetters(): Promise<Map<string, Reply>[]> {
  const reply = await redis.ask('XRANGE', 'offpath:dead', '-', '+')
  return itemsOf(reply).map((item) => mapOf(itemsOf(item)[1] as Reply))
}

describe('a pool', () => {
  test('delivers what is in Redis, to each exporter, and trims what all have', async () => {
    const one = await pool({ ...KEYS, 'otlp.url': langfuse.otlpUrl })
    const spans = many(60)
    await forward(spans.slice(0, 30))
    await forward(spans.slice(30), 5, 'offpath:{1}')
    await until(
      () => langfuse.spans('pk-lf-test').length === 60 && langfuse.spans('').length === 60,
    )
    expect(idsOf(langfuse.spans(''))).toEqual(idsOf(spans))
    expect(langfuse.duplicates).toEqual({ identical: 0, changed: 0 })
    await until(async () => Number(await redis.ask('XLEN', STREAM)) === 0)
    await until(async () => Number(await redis.ask('XLEN', 'offpath:{1}')) === 0)
    for (const name of ['langfuse', 'otlp']) {
      expect(await figures(one, name)).toMatchObject({ accepted: 60, delivered: 60, held: 0 })
      expect(await group(one, name)).toMatchObject({ entries: 12, heldEntries: 0, trouble: null })
    }
  })

  test('shares the work: each span goes once', async () => {
    const relays = [await pool(), await pool(), await pool(), await pool()]
    const spans = many(400)
    await Promise.all([
      forward(spans.slice(0, 200), 2),
      forward(spans.slice(200), 2, 'offpath:{1}'),
    ])
    await langfuse.waitForSpans(400)
    await until(async () => (await pendingIn()) + (await pendingIn('offpath:{1}')) === 0)
    expect(langfuse.duplicates).toEqual({ identical: 0, changed: 0 })
    const each = await Promise.all(relays.map((relay) => figures(relay)))
    expect(each.reduce((sum, { delivered }) => sum + delivered, 0)).toBe(400)
    expect(each.filter(({ delivered }) => delivered > 0).length).toBeGreaterThan(1)
  })

  test('holds up no exporter for another one that is down; what that one misses stays in Redis', async () => {
    const one = await pool({ ...KEYS, 'otlp.url': 'http://127.0.0.1:1' })
    await forward(many(50))
    await langfuse.waitForSpans(50)
    await until(async () => (await pendingIn()) === 0)
    expect(await figures(one, 'otlp')).toMatchObject({ accepted: 50, delivered: 0, held: 50 })
    expect(await pendingIn(STREAM, 'otlp')).toBe(10)
    expect(await redis.ask('XLEN', STREAM)).toBe(10)
  })

  test('holds no more than it may, and renews that, while its exporter is down', async () => {
    langfuse.faults = () => ({ type: 'status', status: 503 })
    const flags = {
      'export.request-bytes': '5KB',
      'export.concurrency': '1',
      'redis.claim-idle': '900ms',
    } as const
    const one = await pool(flags)
    const other = await pool(flags)
    const long = { fields: [field(FIELD.input, text('x'.repeat(3000)))] }
    await forward(many(40, long), 1)
    await until(async () => (await group(one)).heldEntries > 1)
    // Several times as long as an entry may go without a sign.
    await new Promise((resolve) => setTimeout(resolve, 2500))
    for (const relay of [one, other]) {
      const { heldEntries, takenOver } = await group(relay)
      expect(takenOver).toBe(0)
      expect(heldEntries).toBeLessThan(6)
    }
    langfuse.faults = undefined
    await langfuse.waitForSpans(40, 15_000)
    expect(langfuse.duplicates).toEqual({ identical: 0, changed: 0 })
  })

  test('asks for no more than it may hold when entries are larger than usual', async () => {
    langfuse.faults = () => ({ type: 'status', status: 503 })
    const large = { fields: [field(FIELD.input, text('x'.repeat(1_500_000)))] }
    await forward(many(8, large), 1)
    const one = await pool({ 'export.request-bytes': '1MB', 'export.concurrency': '1' })
    await until(async () => (await group(one)).heldEntries > 1)
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect((await group(one)).heldEntries).toBeLessThan(4)
    expect(await pendingIn()).toBeLessThan(4)
  })

  test('puts a span that is rejected among the dead letters, with its bytes', async () => {
    const spans = many(20)
    const poison = spans[7]!
    langfuse.rejectSpan = ({ spanId }) =>
      spanId === poison.spanId.toString('hex') ? 'bad span' : undefined
    const one = await pool()
    const ids = await forward(spans)
    await langfuse.waitForSpans(19)
    await until(async () => (await pendingIn()) === 0)
    expect(await figures(one)).toMatchObject({ accepted: 20, delivered: 19, deadLettered: 1 })
    const [letter, ...more] = await deadLetters()
    expect(more).toEqual([])
    const fields = Object.fromEntries([...letter!].map(([key, value]) => [key, String(value)]))
    expect(fields).toMatchObject({
      exporter: 'langfuse',
      stream: STREAM,
      entry: ids[1],
      trace: poison.traceId.toString('hex'),
      span: poison.spanId.toString('hex'),
      name: poison.name,
      reason: expect.stringContaining('bad span'),
    })
    const bytes = allocateChunk((letter!.get('s') as Buffer).length)
    ;(letter!.get('s') as Buffer).copy(bytes)
    const [back] = readEntry(bytes, measureEntry(bytes))
    expect(back!.spanId).toEqual(poison.spanId)
    expect((await one.stats()).deadLetters).toMatchObject([
      { exporter: 'langfuse', name: poison.name },
    ])
  })

  test('acknowledges what has no dead letters while these cannot be written, and the rest once they can', async () => {
    await redis.ask('SET', 'offpath:dead', 'no stream')
    const spans = many(20)
    const poison = spans[2]!.spanId.toString('hex')
    langfuse.rejectSpan = ({ spanId }) => (spanId === poison ? 'bad span' : undefined)
    const one = await pool()
    const [first] = await forward(spans)
    await langfuse.waitForSpans(19)
    await forward(many(5))
    await langfuse.waitForSpans(24)
    await until(async () => (await pendingIn()) === 1)
    const [pending] = itemsOf(await redis.ask('XPENDING', STREAM, 'langfuse', '-', '+', '9'))
    expect(String(itemsOf(pending)[0])).toBe(first)
    expect(await figures(one)).toMatchObject({ delivered: 24, deadLettered: 1, held: 0 })
    await redis.ask('DEL', 'offpath:dead')
    await until(async () => (await pendingIn()) === 0)
    expect(await deadLetters()).toHaveLength(1)
  })

  test('is stopped by no entry that is damaged or somebody else’s', async () => {
    const one = await pool()
    const damaged = Buffer.from(encoder.encode(many(3)))
    damaged.writeUInt8(damaged.readUInt8(0) ^ 1, 0)
    await add(STREAM, damaged)
    await redis.ask('XADD', STREAM, '*', 'event', 'of somebody else')
    await redis.ask('XADD', STREAM, '*', 'v', '1', 's', 'nothing')
    await forward(many(5))
    await langfuse.waitForSpans(5)
    await until(async () => (await pendingIn()) === 0)
    const reasons = (await deadLetters()).map((letter) => String(letter.get('reason')))
    expect(reasons).toEqual([
      expect.stringContaining('CRC'),
      expect.stringContaining('it has no spans'),
      expect.stringContaining('7 bytes are no entry'),
    ])
    expect(await group(one)).toMatchObject({ damaged: 3, condemned: 0 })
    expect(await figures(one)).toMatchObject({ accepted: 5, delivered: 5 })
  })

  test('rejects what it has no keys for, and keeps it among the dead letters', async () => {
    const one = await pool()
    await forward([...many(3), ...many(2, { project: 'unknown' })])
    await langfuse.waitForSpans(3)
    await until(async () => (await pendingIn()) === 0)
    expect(await figures(one)).toMatchObject({ accepted: 5, delivered: 3, deadLettered: 2 })
    expect((await deadLetters()).map((letter) => String(letter.get('reason')))).toEqual([
      'no keys for the project "unknown"',
      'no keys for the project "unknown"',
    ])
  })

  test('hands back what it held when it stops, to be delivered at once and as if for the first time', async () => {
    langfuse.faults = () => ({ type: 'status', status: 503 })
    const first = await pool({ 'redis.claim-idle': '1h' })
    await forward(many(20))
    await until(async () => (await figures(first)).held === 20)
    await stop(first)
    const reply = await redis.ask('XPENDING', STREAM, 'langfuse', '-', '+', '10')
    for (const item of itemsOf(reply)) expect(itemsOf(item)[3]).toBe(0)
    langfuse.faults = undefined
    const second = await pool({ 'redis.claim-idle': '1h' })
    await langfuse.waitForSpans(20)
    expect(await group(second)).toMatchObject({ takenOver: 4 })
    await until(async () => (await pendingIn()) === 0)
    await stop(second)
    // Consumers that hold nothing are gone; the first one had something.
    expect(itemsOf(await redis.ask('XINFO', 'CONSUMERS', 'offpath:{1}', 'langfuse'))).toEqual([])
  })

  test('gives up an entry that ended five relays, and no other', async () => {
    const [id] = await forward(many(3))
    await redis.ask('XGROUP', 'CREATE', STREAM, 'langfuse', '0')
    await redis.ask('XREADGROUP', 'GROUP', 'langfuse', 'dead', 'STREAMS', STREAM, '>')
    const as = ['IDLE', '10000', 'RETRYCOUNT', '5', 'JUSTID']
    await redis.ask('XCLAIM', STREAM, 'langfuse', 'dead', '0', id!, ...as)
    const [suspect] = await forward(many(2))
    await redis.ask('XREADGROUP', 'GROUP', 'langfuse', 'dead', 'STREAMS', STREAM, '>')
    const once = ['IDLE', '10000', 'RETRYCOUNT', '3', 'JUSTID']
    await redis.ask('XCLAIM', STREAM, 'langfuse', 'dead', '0', suspect!, ...once)
    const one = await pool({ 'redis.claim-idle': '300ms' })
    await langfuse.waitForSpans(2)
    await until(async () => (await pendingIn()) === 0)
    expect(await figures(one)).toMatchObject({ accepted: 5, delivered: 2, deadLettered: 3 })
    expect(await group(one)).toMatchObject({ condemned: 1, takenOver: 1 })
    const [letter] = await deadLetters()
    expect(String(letter!.get('reason'))).toBe('its relay crashed or was cut off 5 times')
    expect(String(letter!.get('entry'))).toBe(id)
  })

  test('takes over a backlog that relays ended with one by one, and at once what is no suspect', async () => {
    const ids = await forward(many(5), 1)
    await redis.ask('XGROUP', 'CREATE', STREAM, 'langfuse', '0')
    await redis.ask('XREADGROUP', 'GROUP', 'langfuse', 'dead', 'STREAMS', STREAM, '>')
    const as = (times: string) => ['IDLE', '60000', 'RETRYCOUNT', times, 'JUSTID']
    const suspects = [ids[0]!, ids[2]!, ids[3]!]
    await redis.ask('XCLAIM', STREAM, 'langfuse', 'dead', '0', ids[1]!, ids[4]!, ...as('1'))
    await redis.ask('XCLAIM', STREAM, 'langfuse', 'dead', '0', ...suspects, ...as('3'))
    const one = await pool({ 'redis.claim-idle': '30s' })
    await langfuse.waitForSpans(5)
    await until(async () => (await pendingIn()) === 0)
    expect(await group(one)).toMatchObject({ takenOver: 5, condemned: 0 })
    const takes = lines.filter((line) => line.includes('entries of another relay taken over'))
    expect(takes).toHaveLength(5)
  })

  test('counts what was trimmed from a stream before it was read', async () => {
    const before = await pool()
    await until(
      async () =>
        (await group(before)).pending === 0 && (await before.stats()).redis!.streams.length > 0,
    )
    await stop(before)
    await forward(many(40), 1)
    await redis.ask('XTRIM', STREAM, 'MAXLEN', '20')
    const one = await pool()
    await langfuse.waitForSpans(20)
    await until(async () => (await group(one)).lost === 20)
    expect(lines.join('')).toContain(
      'entries were lost: the stream was trimmed before they were read',
    )
  })

  test('counts what was trimmed while a relay that died had it', async () => {
    const ids = await forward(many(4), 1)
    await redis.ask('XGROUP', 'CREATE', STREAM, 'langfuse', '0')
    await redis.ask('XREADGROUP', 'GROUP', 'langfuse', 'dead', 'STREAMS', STREAM, '>')
    await redis.ask('XDEL', STREAM, ids[0]!, ids[1]!)
    const one = await pool({ 'redis.claim-idle': '300ms' })
    await until(async () => (await group(one)).lost === 2)
    await langfuse.waitForSpans(2)
  })

  test('counts what was trimmed while relays had it, that live or that died of it', async () => {
    langfuse.faults = () => ({ type: 'status', status: 503 })
    const [poison] = await forward(many(1))
    await redis.ask('XGROUP', 'CREATE', STREAM, 'langfuse', '0')
    await redis.ask('XREADGROUP', 'GROUP', 'langfuse', 'dead', 'STREAMS', STREAM, '>')
    const as = ['IDLE', '10000', 'RETRYCOUNT', '5', 'JUSTID']
    await redis.ask('XCLAIM', STREAM, 'langfuse', 'dead', '0', poison!, ...as)
    await redis.ask('XDEL', STREAM, poison!)
    const one = await pool({ 'redis.claim-idle': '600ms' })
    await until(async () => (await group(one)).lost === 1)
    const ids = await forward(many(2), 1)
    await until(async () => (await figures(one)).held === 2)
    await redis.ask('XDEL', STREAM, ids[0]!)
    await until(() => lines.some((line) => line.includes(IN_MEMORY)))
    expect(await group(one)).toMatchObject({ condemned: 0, takenOver: 0 })
    langfuse.faults = undefined
    await langfuse.waitForSpans(2)
    await until(async () => (await figures(one)).held === 0)
    // The one that lives has delivered it: nothing of it is lost.
    expect(await group(one)).toMatchObject({ lost: 1, heldEntries: 0 })
  })

  test('loses nothing of a relay that lives when what lies around it is taken over', async () => {
    langfuse.faults = () => ({ type: 'status', status: 503 })
    const readAsDead = () =>
      redis.ask('XREADGROUP', 'GROUP', 'langfuse', 'dead', 'STREAMS', STREAM, '>')
    await forward(many(2), 1)
    await redis.ask('XGROUP', 'CREATE', STREAM, 'langfuse', '0')
    await readAsDead()
    const lives = await pool({ 'redis.claim-idle': '1h' })
    const [held] = await forward(many(1))
    await until(async () => (await figures(lives)).held === 1)
    await redis.ask('MULTI')
    await forward(many(1))
    await readAsDead()
    await redis.ask('EXEC')
    const reply = await redis.ask('XPENDING', STREAM, 'langfuse', '-', '+', '9', 'dead')
    const abandoned = itemsOf(reply).map((item) => textOf(itemsOf(item)[0]))
    const as = ['IDLE', '60000', 'RETRYCOUNT', '1', 'JUSTID']
    await redis.ask('XCLAIM', STREAM, 'langfuse', 'dead', '0', ...abandoned, ...as)
    await redis.ask('XDEL', STREAM, held!)
    const other = await pool({ 'redis.claim-idle': '30s' })
    await until(async () => (await group(other)).takenOver === 3)
    expect(await pendingIn()).toBe(4)
    langfuse.faults = undefined
    await langfuse.waitForSpans(4)
    await until(async () => (await pendingIn()) === 0)
    for (const relay of [lives, other]) expect(await group(relay)).toMatchObject({ lost: 0 })
  })

  test('counts what was trimmed while a relay had it that stops before it is delivered', async () => {
    langfuse.faults = () => ({ type: 'status', status: 503 })
    const one = await pool({ 'redis.claim-idle': '600ms' })
    const ids = await forward(many(2), 1)
    await until(async () => (await figures(one)).held === 2)
    await redis.ask('XDEL', STREAM, ids[0]!)
    await until(() => lines.some((line) => line.includes(IN_MEMORY)))
    expect((await group(one)).lost).toBe(0)
    await stop(one)
    expect(lines.join('')).toMatch(/ error entries were lost: .* entries=1\n/)
    langfuse.faults = undefined
    await pool({ 'redis.claim-idle': '600ms' })
    await langfuse.waitForSpans(1)
  })

  test('counts what was trimmed just before its relay stops', async () => {
    langfuse.faults = () => ({ type: 'status', status: 503 })
    const one = await pool({ 'redis.claim-idle': '1h' })
    const ids = await forward(many(3), 1)
    await until(async () => (await figures(one)).held === 3)
    await redis.ask('XDEL', STREAM, ids[0]!, ids[2]!)
    await stop(one)
    expect(await group(one)).toMatchObject({ lost: 2 })
    expect(lines.join('')).toMatch(/ error entries were lost: .* delivered .*entries=2\n/)
    langfuse.faults = undefined
    const next = await pool({ 'redis.claim-idle': '1h' })
    await langfuse.waitForSpans(1)
    expect(await group(next)).toMatchObject({ takenOver: 1, lost: 0 })
  })

  test('keeps 10 000 dead letters, and counts those that it drops', async () => {
    const old = "for i = 1, 10200 do redis.call('XADD', KEYS[1], '*', 'reason', 'old') end"
    await redis.ask('EVAL', old, '1', 'offpath:dead')
    langfuse.rejectSpan = () => 'bad span'
    const one = await pool()
    const dead = async () => (await one.stats()).redis!.dead
    await until(async () => (await dead()).length === 10_200)
    expect(await dead()).toMatchObject({ maxLength: 10_000, trimmed: 0 })
    await forward(many(1))
    // Redis takes out nodes of 100 entries.
    await until(async () => (await dead()).trimmed === 200)
    expect(await redis.ask('XLEN', 'offpath:dead')).toBe(10_001)
    await until(async () => (await dead()).length === 10_001)
    expect(await figures(one)).toMatchObject({ deadLettered: 1 })
  })
})

describe('scores', () => {
  const SCORES = 'offpath:scores'
  let serial = 0
  const scores = (count: number, over: object = {}): string[] =>
    Array.from({ length: count }, () => {
      const id = `score-${++serial}`
      return JSON.stringify({ id, traceId: 'ab'.repeat(16), name: 'quality', value: 0.5, ...over })
    })
  const send = async (lines: readonly string[], project?: string): Promise<string> => {
    const named = project === undefined ? [] : ['project', project]
    const fields = ['v', '1', ...named, 'scores', lines.join('\n')]
    return textOf(await redis.ask('XADD', SCORES, '*', ...fields))
  }
  /** The law of scores holds in each answer. */
  const figuresOf = async (one: Relay) => {
    const { exporters } = await one.stats()
    const found = exporters.find(({ name }) => name === 'langfuse')!.scores!
    const { accepted, delivered, deadLettered, dropped, held } = found
    const lost = Object.values(dropped).reduce((sum, n) => sum + n, 0)
    expect(accepted).toBe(delivered + deadLettered + lost + held)
    return found
  }
  const ids = (found: readonly object[]): unknown[] =>
    found.map((score) => (score as { id: string }).id).sort()
  const idsIn = (lines: readonly string[]): unknown[] => ids(lines.map((line) => JSON.parse(line)))

  test('are delivered with the keys of their project, and trimmed', async () => {
    langfuse.projects.set('pk-other', 'sk-other')
    const one = await pool({ 'langfuse.projects': 'other=pk-other:sk-other' })
    const main = scores(150)
    const others = scores(3)
    await send(main.slice(0, 100))
    await send(main.slice(100))
    await send(others, 'other')
    await langfuse.scores.waitFor(153)
    expect(ids(langfuse.scores.all('pk-lf-test'))).toEqual(idsIn(main))
    expect(ids(langfuse.scores.all('pk-other'))).toEqual(idsIn(others))
    await until(async () => (await figuresOf(one)).held === 0)
    expect(await figuresOf(one)).toMatchObject({ accepted: 153, delivered: 153 })
    expect((await figures(one)).accepted).toBe(0)
    expect(await group(one)).toMatchObject({ entries: 3, heldEntries: 0, trouble: null })
    await until(async () => Number(await redis.ask('XLEN', SCORES)) === 0)
  })

  test('that are rejected, or none, go to the dead letters, and the others arrive', async () => {
    langfuse.scores.reject = ({ id }) => (id === 'bad' ? 'value out of range' : undefined)
    const one = await pool()
    const [bad] = scores(1, { id: 'bad' })
    const good = scores(9)
    const entry = await send([...good.slice(0, 4), bad!, ...good.slice(4)])
    await send(['{"id":"x"}', 'no score'])
    await send(scores(2), 'unknown')
    await langfuse.scores.waitFor(9)
    await until(async () => (await pendingIn(SCORES)) === 0)
    const letters = (await deadLetters()).map((letter) =>
      Object.fromEntries([...letter].map(([key, value]) => [key, String(value)])),
    )
    expect(letters.filter(({ project }) => project === 'unknown')).toMatchObject([
      { reason: 'no keys for the project "unknown"', name: 'quality' },
      { reason: 'no keys for the project "unknown"' },
    ])
    expect(letters.filter(({ project }) => project === undefined)).toMatchObject([
      { reason: expect.stringContaining('its line 2 is no score') },
      {
        exporter: 'langfuse',
        stream: SCORES,
        entry,
        trace: 'ab'.repeat(16),
        name: 'quality',
        reason: expect.stringContaining('value out of range'),
        v: '1',
        scores: bad,
      },
    ])
    expect(await figuresOf(one)).toMatchObject({ accepted: 12, delivered: 9, deadLettered: 3 })
    expect(await group(one)).toMatchObject({ damaged: 1 })
    expect((await one.stats()).deadScores).toHaveLength(4)
  })

  test('of a relay that was stopped, or of a Redis that was restarted, arrive', async () => {
    langfuse.scores.faults = () => ({ type: 'status', status: 503 })
    const first = await pool({ 'redis.claim-idle': '1h' })
    const lines = scores(30)
    await send(lines)
    await until(async () => (await figuresOf(first)).held === 30)
    await stop(first)
    await redis.kill()
    await redis.start()
    langfuse.scores.faults = undefined
    const second = await pool({ 'redis.claim-idle': '1h' })
    await langfuse.scores.waitFor(30)
    expect(ids(langfuse.scores.all())).toEqual(idsIn(lines))
    expect(await group(second)).toMatchObject({ takenOver: 1 })
  })

  test('that no exporter takes are acknowledged, and counted', async () => {
    const one = await pool({ 'otlp.url': langfuse.otlpUrl })
    await send(scores(7))
    await until(async () => (await one.stats()).counters.scoresWithoutExporter === 7)
    await until(async () => Number(await redis.ask('XLEN', SCORES)) === 0)
  })

  test('are read by the exporter alone that an entry is for', async () => {
    const one = await pool()
    await redis.ask('XADD', SCORES, '*', 'v', '1', 'for', 'otlp', 'scores', scores(1)[0]!)
    const [mine] = scores(1)
    await redis.ask('XADD', SCORES, '*', 'v', '1', 'for', 'langfuse', 'scores', mine!)
    await langfuse.scores.waitFor(1)
    await until(async () => (await pendingIn(SCORES)) === 0)
    expect(ids(langfuse.scores.all())).toEqual(idsIn([mine!]))
    expect(await figuresOf(one)).toMatchObject({ accepted: 1, delivered: 1 })
  })

  test('of a project whose keys are refused wait in Redis, and the others go on', async () => {
    const clock = startFakeClock(Date.now())
    const one = await pool({ 'langfuse.projects': 'other=pk-other:sk-other' }, clock)
    const waiting = scores(200, { comment: 'x'.repeat(20_000) })
    for (let at = 0; at < 200; at += 10) await send(waiting.slice(at, at + 10), 'other')
    await until(async () => (await group(one)).shelvedEntries > 15)
    await send(scores(5))
    await langfuse.scores.waitFor(5)
    langfuse.projects.set('pk-other', 'sk-other')
    await langfuse.scores.waitFor(205)
    await until(async () => (await figuresOf(one)).held === 0)
    expect(await figuresOf(one)).toMatchObject({ accepted: 205, delivered: 205 })
    expect(await group(one)).toMatchObject({ shelvedEntries: 0, heldEntries: 0 })
    clock.stop()
  })
})

describe('a project whose keys are refused', () => {
  const flags = {
    'langfuse.projects': 'other=pk-other:sk-other,third=pk-third:sk-third',
    'export.request-bytes': '50KB',
    'export.concurrency': '1',
  } as const
  const long = { fields: [field(FIELD.input, text('x'.repeat(3000)))] }

  test('waits in Redis; the others go on, and it arrives when the keys are right again', async () => {
    const clock = startFakeClock(Date.now())
    const one = await pool(flags, clock)
    const refused = [
      ...many(100, { ...long, project: 'other' }),
      ...many(20, { ...long, project: 'third' }),
    ]
    const good: StoredSpan[] = []
    // Several times what a relay may hold, and entries of which a part is refused.
    for (let at = 0; at < refused.length; at += 4) {
      const more = many(2, long)
      good.push(...more)
      await forward([...refused.slice(at, at + 4), ...more], 6)
      await forward(refused.slice(at, at + 1), 1, 'offpath:{1}')
    }
    await until(() => langfuse.spans('pk-lf-test').length === good.length)
    for (let i = 0; i < 20; i++) {
      const more = many(5, long)
      good.push(...more)
      await forward(more)
    }
    await until(() => langfuse.spans('pk-lf-test').length === good.length)
    expect((await group(one)).shelvedEntries).toBeGreaterThan(30)
    const { held, delivered, waitingBytes } = await figures(one)
    expect([held, delivered]).toEqual([150, good.length])
    expect(waitingBytes).toBeLessThan(200_000)
    langfuse.projects.set('pk-other', 'sk-other')
    await until(() => langfuse.spans('pk-other').length === 100)
    langfuse.projects.set('pk-third', 'sk-third')
    await until(() => langfuse.spans('pk-third').length === 20)
    await until(async () => (await pendingIn()) + (await pendingIn('offpath:{1}')) === 0)
    expect(await figures(one)).toMatchObject({ held: 0, deadLettered: 0, dropped: {} })
    expect(await group(one)).toMatchObject({ shelvedEntries: 0, heldEntries: 0, lost: 0 })
    expect(await deadLetters()).toEqual([])
    expect(langfuse.duplicates.changed).toBe(0)
    clock.stop()
  }, 20_000)

  test('fills no stream: what is behind it leaves all the same', async () => {
    const one = await pool({ 'langfuse.projects': 'other=pk-other:sk-other' })
    await forward(many(1, { project: 'other' }))
    await until(async () => (await group(one)).shelvedEntries === 1)
    await forward(many(300), 1)
    await until(async () => ((await one.stats()).redis!.streams[0]?.length ?? 0) > 300)
    await until(async () => (await pendingIn()) === 1)
    // What is known of the stream is two seconds old at most.
    await until(async () => (await group(one)).pending === 1)
    await forward(many(300), 1)
    await langfuse.waitForSpans(600)
    await until(async () => (await pendingIn()) === 1)
    expect(Number(await redis.ask('XLEN', STREAM))).toBeLessThan(310)
    langfuse.projects.set('pk-other', 'sk-other')
    expect(await group(one)).toMatchObject({ lost: 0 })
  })

  test('is handed back when the relay stops, and goes to the next one', async () => {
    const first = await pool({ ...flags, 'redis.claim-idle': '1h' })
    await forward(many(40, { project: 'other' }), 4)
    await until(async () => (await group(first)).shelvedEntries === 10)
    await stop(first)
    const reply = await redis.ask('XPENDING', STREAM, 'langfuse', '-', '+', '20')
    for (const item of itemsOf(reply)) expect(itemsOf(item)[3]).toBe(0)
    langfuse.projects.set('pk-other', 'sk-other')
    const second = await pool({ ...flags, 'redis.claim-idle': '1h' })
    await until(() => langfuse.spans('pk-other').length === 40)
    expect(await group(second)).toMatchObject({ takenOver: 10, shelvedEntries: 0 })
  })

  test('is counted where it is trimmed just before its relay stops', async () => {
    const one = await pool({ ...flags, 'redis.claim-idle': '1h' })
    const ids = await forward(many(4, { project: 'other' }), 1)
    await until(async () => (await group(one)).shelvedEntries === 4)
    await redis.ask('XDEL', STREAM, ids[1]!, ids[2]!)
    await stop(one)
    expect(await figures(one)).toMatchObject({ held: 2, dropped: { trimmed: 2 } })
    expect(await group(one)).toMatchObject({ lost: 2 })
  })

  test('is not blamed for what ends its relay meanwhile', async () => {
    const [id] = await forward(many(1, { project: 'other' }))
    await redis.ask('XGROUP', 'CREATE', STREAM, 'langfuse', '0')
    await redis.ask('XREADGROUP', 'GROUP', 'langfuse', 'dead', 'STREAMS', STREAM, '>')
    const as = ['IDLE', '10000', 'RETRYCOUNT', '2', 'JUSTID']
    await redis.ask('XCLAIM', STREAM, 'langfuse', 'dead', '0', id!, ...as)
    const one = await pool({ ...flags, 'redis.claim-idle': '600ms' })
    await until(async () => (await group(one)).shelvedEntries === 1)
    const deliveries = async () => {
      const reply = await redis.ask('XPENDING', STREAM, 'langfuse', '-', '+', '1')
      return itemsOf(itemsOf(reply)[0])[3]
    }
    // Two relays before this one: that they ended stays known.
    await until(async () => (await deliveries()) === 2)
    await stop(one)
    expect(await deliveries()).toBe(2)
  })

  test('holds up no other that was a dead relay’s, though it is suspected itself', async () => {
    const [id] = await forward(many(1, { project: 'other' }))
    await redis.ask('XGROUP', 'CREATE', STREAM, 'langfuse', '0')
    await redis.ask('XREADGROUP', 'GROUP', 'langfuse', 'dead', 'STREAMS', STREAM, '>')
    const as = ['IDLE', '10000', 'RETRYCOUNT', '3', 'JUSTID']
    await redis.ask('XCLAIM', STREAM, 'langfuse', 'dead', '0', id!, ...as)
    const one = await pool({ ...flags, 'redis.claim-idle': '600ms' })
    await until(async () => (await group(one)).shelvedEntries === 1)
    await redis.ask('MULTI')
    await forward(many(3), 1, 'offpath:{1}')
    await redis.ask('XREADGROUP', 'GROUP', 'langfuse', 'dead', 'STREAMS', 'offpath:{1}', '>')
    await redis.ask('EXEC')
    await until(async () => (await group(one)).takenOver === 4)
    await until(async () => (await pendingIn('offpath:{1}')) === 0)
    expect(langfuse.spans('pk-lf-test')).toHaveLength(3)
  })

  test('is renewed meanwhile, and what is trimmed of it is counted', async () => {
    const clock = startFakeClock(Date.now())
    const idle = { ...flags, 'redis.claim-idle': '600ms' }
    const one = await pool(idle, clock)
    const ids = await forward(many(4, { project: 'other' }), 1)
    await until(async () => (await group(one)).shelvedEntries >= 3)
    const rival = await pool(idle, clock)
    await new Promise((resolve) => setTimeout(resolve, 1500))
    expect(await group(rival)).toMatchObject({ takenOver: 0 })
    await redis.ask('XDEL', STREAM, ids[1]!, ids[2]!)
    const trimmed = async (): Promise<number> => {
      const each = [await figures(one), await figures(rival)]
      return each.reduce((sum, { dropped }) => sum + (dropped.trimmed ?? 0), 0)
    }
    await until(async () => (await trimmed()) > 0)
    langfuse.projects.set('pk-other', 'sk-other')
    // The other one may have been in memory, to see whether its keys are right: then it arrives.
    await until(async () => langfuse.spans('pk-other').length + (await trimmed()) === 4)
    const lost = (await group(one)).lost + (await group(rival)).lost
    expect(lost).toBe(await trimmed())
    clock.stop()
  })
})

describe('while a relay lives, only it has what it holds:', () => {
  /** Of each pending entry, how often it was delivered. */
  const deliveries = async (stream = STREAM): Promise<number[]> => {
    const reply = await redis.ask('XPENDING', stream, 'langfuse', '-', '+', '100')
    return itemsOf(reply).map((item) => Number(itemsOf(item)[3]))
  }
  const after = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
  const flags = { 'redis.claim-idle': '900ms' } as const

  test('an entry whose dead letter cannot be written', async () => {
    await redis.ask('SET', 'offpath:dead', 'no stream')
    langfuse.rejectSpan = () => 'bad span'
    const relays = [await pool(flags), await pool(flags)]
    await forward(many(1))
    const dead = async (relay: Relay): Promise<number> => (await figures(relay)).deadLettered
    await until(async () => (await dead(relays[0]!)) + (await dead(relays[1]!)) === 1)
    await after(2000)
    expect(await deliveries()).toEqual([1])
    for (const relay of relays) expect(await group(relay)).toMatchObject({ takenOver: 0 })
  })

  test('those of a stream behind one that fails', async () => {
    langfuse.faults = () => ({ type: 'status', status: 503 })
    const one = await pool(flags)
    await forward(many(5), 5, 'offpath:{0}')
    await until(async () => (await figures(one)).held === 5)
    await forward(many(5), 5, 'offpath:{1}')
    await until(async () => (await figures(one)).held === 10)
    const other = await pool(flags)
    await redis.ask('DEL', 'offpath:{0}')
    await redis.ask('SET', 'offpath:{0}', 'no stream')
    await after(2000)
    expect(await deliveries('offpath:{1}')).toEqual([1])
    const [pending] = itemsOf(await redis.ask('XPENDING', 'offpath:{1}', 'langfuse', '-', '+', '9'))
    expect(Number(itemsOf(pending)[2])).toBeLessThan(900)
    for (const relay of [one, other]) expect(await group(relay)).toMatchObject({ takenOver: 0 })
  })

  test('all, when Redis was away for longer than they may go without a sign', async () => {
    langfuse.faults = () => ({ type: 'status', status: 503 })
    const relays = [await pool(flags), await pool(flags), await pool(flags)]
    await forward(many(40), 5, 'offpath:{0}')
    await forward(many(40), 5, 'offpath:{1}')
    await until(async () => (await pendingIn()) + (await pendingIn('offpath:{1}')) === 16)
    redis.pause()
    await after(1500)
    redis.resume()
    await after(1500)
    expect(await deliveries()).toEqual(Array(8).fill(1))
    expect(await deliveries('offpath:{1}')).toEqual(Array(8).fill(1))
    for (const relay of relays) expect(await group(relay)).toMatchObject({ takenOver: 0 })
  })
})

describe('when Redis', () => {
  test('is restarted, all is delivered', async () => {
    const one = await pool()
    await forward(many(10))
    await langfuse.waitForSpans(10)
    langfuse.latencyMs = 100
    await forward(many(50))
    await redis.kill()
    await until(async () => (await group(one)).trouble !== null)
    await redis.start()
    await until(async () => (await group(one)).trouble === null)
    await forward(many(10))
    await langfuse.waitForSpans(70)
    await until(async () => (await pendingIn()) === 0)
  })

  test('does not answer for a while, nothing is delivered twice', async () => {
    const one = await pool()
    await forward(many(10))
    await langfuse.waitForSpans(10)
    await forward(many(50), 1)
    redis.pause()
    await new Promise((resolve) => setTimeout(resolve, 500))
    redis.resume()
    await langfuse.waitForSpans(60)
    await until(async () => (await pendingIn()) === 0)
    expect(await figures(one)).toMatchObject({ delivered: 60 })
    expect(langfuse.duplicates).toEqual({ identical: 0, changed: 0 })
  })

  test('has no memory left, delivering and acknowledging go on; a dead letter waits', async () => {
    const one = await pool()
    await forward(many(5))
    await langfuse.waitForSpans(5)
    const spans = many(20)
    const poison = spans[2]!.spanId.toString('hex')
    langfuse.rejectSpan = ({ spanId }) => (spanId === poison ? 'bad span' : undefined)
    langfuse.latencyMs = 300
    await forward(spans)
    await until(async () => (await figures(one)).held === 20)
    await redis.ask('CONFIG', 'SET', 'maxmemory', '1')
    try {
      await langfuse.waitForSpans(24)
      await until(async () => (await pendingIn()) === 1)
      expect(await deadLetters()).toEqual([])
    } finally {
      await redis.ask('CONFIG', 'SET', 'maxmemory', '0')
    }
    await until(async () => (await pendingIn()) === 0)
    expect(await deadLetters()).toHaveLength(1)
    expect(langfuse.duplicates).toEqual({ identical: 0, changed: 0 })
  })

  test('has lost its groups, they are made again', async () => {
    await pool()
    await forward(many(5))
    await langfuse.waitForSpans(5)
    await redis.ask('FLUSHALL')
    await forward(many(5))
    await langfuse.waitForSpans(10)
  })
})

describe('a relay that is killed', () => {
  /** A process of the real command; killed at a point of crash-point.ts. */
  function relayProcess(env: NodeJS.ProcessEnv = {}): Running {
    box = sandbox({
      LANGFUSE_BASE_URL: langfuse.url,
      LANGFUSE_PUBLIC_KEY: 'pk-lf-test',
      LANGFUSE_SECRET_KEY: 'sk-lf-test',
      OFFPATH_REDIS_URL: redis.url,
      OFFPATH_REDIS_RECEIVE: 'true',
      OFFPATH_REDIS_PARTITIONS: '2',
      OFFPATH_REDIS_CLAIM_IDLE: '300ms',
      ...(env as Record<string, string>),
    })
    return box.start('up', '--json')
  }

  test.each(['send', 'acknowledge'] as const)('at %s loses nothing', async (point) => {
    const spans = many(30)
    await forward(spans)
    const victim = relayProcess(crashAt(point))
    expect(await victim.end()).toBe(null)
    expect(victim.child.signalCode).toBe('SIGKILL')
    expect(await pendingIn()).toBe(6)
    const one = await pool({ 'redis.claim-idle': '300ms' })
    await langfuse.waitForSpans(30)
    await until(async () => (await pendingIn()) === 0)
    expect(await group(one)).toMatchObject({ takenOver: 6, condemned: 0 })
    expect(idsOf(langfuse.spans())).toEqual(idsOf(spans))
    // What had arrived before arrives again, the same.
    const again = point === 'acknowledge' ? 30 : 0
    expect(langfuse.duplicates).toEqual({ identical: again, changed: 0 })
  })

  test('tells by `offpath status` how it is', async () => {
    const relay = relayProcess({ OFFPATH_HTTP_PORT: String(await freePort()) })
    const ready = JSON.parse(await relay.line())
    expect(ready).toMatchObject({ ready: true, redis: redis.url, exporters: ['langfuse'] })
    await forward(many(5))
    await langfuse.waitForSpans(5)
    const { stdout, code } = await box!.offpath('status')
    expect(stdout).toContain('group langfuse: ')
    expect(code).toBe(0)
    const metrics = await (await fetch(`${ready.url}/metrics`)).text()
    expect(metrics).toContain('offpath_redis_entries_total{exporter="langfuse"} 1\n')
    expect((await fetch(`${ready.url}/health`)).status).toBe(200)
    expect(metrics).toContain('offpath_exporter_lag_seconds_count{exporter="langfuse"} 1\n')
    expect(await relay.end('SIGTERM')).toBe(0)
    expect((await box!.offpath('status')).code).toBe(1)
  })

  test('has no store to ask or to change, and says where dead letters are', async () => {
    const relay = relayProcess({})
    const { url } = JSON.parse(await relay.line())
    const headers = { 'content-type': 'application/json' }
    const post = { method: 'POST', headers, body: '{"all":true}' }
    const asked: [string, RequestInit?][] = [
      ['traces'],
      ['traces/12'],
      ['dead'],
      ['dead/span:1'],
      ['dead/retry', post],
      ['dead/drop', post],
      ['replay', post],
    ]
    for (const [path, init] of asked) {
      const answer = await fetch(`${url}/api/${path}`, init)
      const { error } = (await answer.json()) as { error: { code: string; message: string } }
      expect([path, answer.status, error.code]).toEqual([path, 404, 'not_found'])
      expect(error.message).toContain('the stream offpath:dead')
    }
    for (const command of ['ls', 'show 12', 'replay --from 1h']) {
      const { code, stderr } = await box!.offpath(...command.split(' '))
      expect([command, code]).toEqual([command, 1])
      expect(stderr).toMatch(/a relay of a pool .* keeps no traces.* the stream offpath:dead/)
    }
    expect(await relay.end('SIGTERM')).toBe(0)
  })
})
