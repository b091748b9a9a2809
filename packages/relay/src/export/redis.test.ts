// What conformance.ts asks of all exporters, as far as it is not about HTTP (answers, compression, spans that are rejected:
// Redis takes any entry), and what is Redis' alone. The servers are real.
import { FIELD } from '@offpath/sdk/spool-format'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createLog } from '../log.ts'
import { entriesOf } from '../receivers/redis/group.ts'
import { measureEntry, readEntry } from '../redis/entry.ts'
import { readScores } from '../redis/score-entry.ts'
import { allocateChunk } from '../store/chunk.ts'
import type { StoredSpan } from '../store/span.ts'
import { type RedisServer, startRedisServer, targetOf } from '../testing/redis-server.ts'
import { systemClock } from './clock.ts'
import type { DeliveryOptions } from './delivery.ts'
import {
  type FakeClock,
  field,
  makeSpan,
  manualClock,
  resource,
  startFakeClock,
  text,
} from './fixtures.ts'
import { type Harness, startHarness } from './harness.ts'
import { type RedisExporterOptions, redisExporter } from './redis.ts'
import { startScoreDelivery } from './score-delivery.ts'

const PASSWORD = 'a-secret/with:special@signs'

let redis: RedisServer
let harness: Harness | undefined
let clock: FakeClock | undefined
beforeAll(async () => {
  redis = await startRedisServer({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
})
afterAll(() => redis.close())
beforeEach(() => redis.ask('FLUSHALL'))
afterEach(async () => {
  redis.resume()
  await harness?.close()
  harness = undefined
  clock?.stop()
  clock = undefined
})

async function start(
  options: Partial<RedisExporterOptions> = {},
  delivery: Partial<DeliveryOptions> = {},
): Promise<Harness> {
  const defaults = {
    target: redis.target,
    stream: 'test',
    partitions: 1,
    maxLength: 1000,
    entryBytes: 20_000,
  }
  harness = await startHarness({
    exporterOf: () => redisExporter({ ...defaults, ...options }),
    delivery: { requestBytes: options.entryBytes ?? 20_000, ...delivery },
  })
  return harness
}

/** Entries of a stream, each as its spans. */
async function entries(stream = 'test:{0}', of: RedisServer = redis): Promise<StoredSpan[][]> {
  return entriesOf(await of.ask('XRANGE', stream, '-', '+')).map(({ bytes }) => {
    const aligned = allocateChunk(bytes?.length ?? 0)
    bytes?.copy(aligned)
    return readEntry(aligned, measureEntry(aligned))
  })
}

const many = (count: number, bytes = 10): StoredSpan[] =>
  Array.from({ length: count }, () =>
    makeSpan({ fields: [field(FIELD.input, text('x'.repeat(bytes)))] }),
  )
const idsOf = (spans: readonly StoredSpan[]): string[] =>
  spans.map(({ spanId }) => spanId.toString('hex'))
const turns = () => new Promise((resolve) => setTimeout(resolve, 50))
const until = async (condition: () => boolean): Promise<void> => {
  const deadline = Date.now() + 8000
  while (!condition()) {
    if (Date.now() > deadline) throw new Error('it never came')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

describe('exporter redis', () => {
  it('adds each span once, in the order of their ends', async () => {
    const { commit, held, law } = await start({}, { concurrency: 1 })
    const spans = many(1000)
    commit(spans.slice(0, 10))
    commit(spans.slice(10, 500))
    commit(spans.slice(500))
    await held(0)
    expect(idsOf((await entries()).flat())).toEqual(idsOf(spans))
    expect(law()).toMatchObject({ accepted: 1000, delivered: 1000 })
    expect(harness!.delivery.status()).toMatchObject({
      name: 'redis',
      url: `redis://127.0.0.1:${redis.port}`,
      state: 'ok',
      lastError: null,
    })
  })

  it('keeps the spans of a trace in one stream', async () => {
    const { commit, held } = await start({ partitions: 4 })
    const spans = many(200).map((span, i) => {
      const traceId = Buffer.alloc(16)
      traceId.writeUInt32BE(i % 20, 0)
      return { ...span, traceId }
    })
    commit(spans)
    await held(0)
    const byStream = await Promise.all([0, 1, 2, 3].map((n) => entries(`test:{${n}}`)))
    for (const [n, stream] of byStream.entries()) {
      expect(stream.flat()).toHaveLength(50)
      for (const { traceId } of stream.flat()) expect(traceId.readUInt32BE(0) % 4).toBe(n)
    }
  })

  it('waits a little for an entry to become full, and not when it is told to hurry', async () => {
    const time = manualClock(0)
    const { commit, held, delivery } = await start({}, { clock: time, lingerMs: 250 })
    commit(many(3))
    commit(many(4))
    await turns()
    expect(await entries()).toEqual([])
    time.pass(250)
    await held(0)
    expect((await entries()).map(({ length }) => length)).toEqual([7])
    commit(many(2))
    delivery.hurry()
    await held(0)
  })

  it('keeps entries within their bytes; a span that is longer goes alone', async () => {
    const { commit, held } = await start()
    commit([...many(100, 1000), ...many(1, 50_000), ...many(3, 1000)])
    await held(0)
    const lengths = entriesOf(await redis.ask('XRANGE', 'test:{0}', '-', '+')).map(
      ({ bytes }) => bytes!.length,
    )
    expect(lengths.filter((length) => length > 20_000)).toHaveLength(1)
    expect(Math.max(...lengths)).toBeLessThan(51_000)
    expect(lengths.length).toBeLessThan(10)
  })

  it('gets through a Redis that is away', async () => {
    const { commit, held, law, delivery } = await start()
    commit(many(10))
    await held(0)
    await redis.kill()
    commit(many(100, 1000))
    await until(() => delivery.status().state === 'retrying')
    expect(delivery.status().lastError?.message).toMatch(/closed|ECONN/)
    await redis.start()
    await held(0)
    expect(law()).toMatchObject({ delivered: 110, dropped: 0 })
    expect((await entries()).flat()).toHaveLength(110)
  })

  it('waits again for an answer that is late, and adds nothing twice', async () => {
    const { commit, held, delivery } = await start({}, { timeoutMs: 100 })
    commit(many(1))
    await held(0)
    redis.pause()
    commit(many(20))
    await until(() => delivery.status().retries > 2)
    expect(delivery.status()).toMatchObject({
      state: 'retrying',
      message: 'no answer within 100 ms',
    })
    redis.resume()
    await held(0)
    expect((await entries()).flat()).toHaveLength(21)
  })

  it('adds nothing to a stream that is full', async () => {
    const { commit, held, law, delivery } = await start({ maxLength: 5 })
    for (let i = 0; i < 5; i++) await redis.ask('XADD', 'test:{0}', '*', 'v', '1')
    commit(many(20))
    await until(() => delivery.status().state === 'retrying')
    expect(delivery.status().message).toContain('test:{0} is full, with 5 entries')
    expect(law()).toMatchObject({ held: 20 })
    expect(await redis.ask('XLEN', 'test:{0}')).toBe(5)
    await redis.ask('XTRIM', 'test:{0}', 'MAXLEN', '0')
    await held(0)
  })

  it('trims nothing, however many others add', async () => {
    const { commit, held } = await start({ maxLength: 5 })
    commit(many(1))
    await held(0)
    await Promise.all(many(300).map(() => redis.ask('XADD', 'test:{0}', '*', 'v', '1')))
    commit(many(1))
    await held(0)
    expect(await redis.ask('XLEN', 'test:{0}')).toBe(302)
  })

  it('waits while Redis has no memory', async () => {
    await redis.ask('CONFIG', 'SET', 'maxmemory', '1')
    const { commit, held, delivery } = await start()
    commit(many(20))
    await until(() => delivery.status().state === 'retrying')
    expect(delivery.status().message).toMatch(/^OOM /)
    await redis.ask('CONFIG', 'SET', 'maxmemory', '0')
    await held(0)
  })

  it('keeps everything while its password is refused, and shows it nowhere', async () => {
    clock = startFakeClock(0)
    const own = await startRedisServer({ password: 'another' })
    const target = targetOf(`redis://:${encodeURIComponent(PASSWORD)}@127.0.0.1:${own.port}`)
    const { commit, held, law, lines, delivery, store } = await start({ target }, { clock })
    commit(many(20))
    await until(() => delivery.status().state === 'unauthorized')
    expect(delivery.status().message).toMatch(/^WRONGPASS /)
    expect(law()).toMatchObject({ held: 20 })
    await own.ask('CONFIG', 'SET', 'requirepass', PASSWORD)
    await held(0)
    expect((await entries('test:{0}', own)).flat()).toHaveLength(20)
    const shown = [lines.join(), JSON.stringify([delivery.status(), store.counters()])].join()
    expect(shown).toContain('WRONGPASS')
    expect(shown).not.toContain(PASSWORD)
    await own.close()
  })

  it('stops within its time; what is not added goes after the next start', async () => {
    const { commit, held, law, restart } = await start()
    commit(many(1))
    await held(0)
    redis.pause()
    commit(many(20))
    await until(() => harness!.delivery.status().inFlight > 0)
    const began = performance.now()
    await harness!.delivery.stop(100)
    expect(performance.now() - began).toBeLessThan(1000)
    expect(law()).toMatchObject({ held: 20 })
    redis.resume()
    restart()
    await held(0)
    expect(law()).toMatchObject({ delivered: 21 })
  })
})

describe('scores to redis', () => {
  const jsons = (count: number, over: object = {}): string[] =>
    Array.from({ length: count }, (_, i) => JSON.stringify({ id: `s-${i}`, value: i, ...over }))

  /** A delivery of scores from the harness's store. */
  function startScores(options: Partial<RedisExporterOptions> = {}) {
    const { store } = harness!
    store.exporters(['redis'], ['redis'])
    const exporter = redisExporter({
      target: redis.target,
      stream: 'test',
      partitions: 1,
      maxLength: 1000,
      entryBytes: 20_000,
      ...options,
    })
    const delivery = startScoreDelivery({
      exporter,
      target: exporter.scores!,
      outbox: store.scores,
      clock: systemClock,
      random: () => 0.01,
      concurrency: 2,
      lingerMs: 0,
      timeoutMs: 500,
      backlogBytes: 1e9,
      onAttempt: () => {},
      log: createLog(() => {}, 'error'),
    })
    const commit = (scores: readonly string[], project = ''): void => {
      const all = scores.map((json) => ({ project, json }))
      const writer = { id: 'w', resource, state: '{}', vitals: [], scores: all }
      store.commit({ writers: [writer], cursors: [], counters: {} })
      delivery.wake()
    }
    const count = (key: string): number => store.counters()[`redis.scores.${key}`] ?? 0
    return { delivery, commit, count, store }
  }

  async function added(): Promise<{ project: string | undefined; lines: string[] }[]> {
    const found = entriesOf(await redis.ask('XRANGE', 'test:scores', '-', '+'))
    return found.map(({ project, version = '', bytes }) => {
      return { project, lines: readScores(version, bytes!).map(String) }
    })
  }

  it('adds the bytes of each once, to a stream of their own, by projects', async () => {
    await start()
    const { delivery, commit, count, store } = startScores()
    const main = jsons(250)
    const other = jsons(3, { comment: 'dòng một\ndòng hai' })
    commit(main)
    commit(other, 'other')
    await until(() => store.scores.held() === 0)
    const entries = await added()
    const linesOf = (name?: string): string[] =>
      entries.filter(({ project }) => project === name).flatMap(({ lines }) => lines)
    expect(linesOf()).toEqual(main)
    expect(linesOf('other')).toEqual(other)
    for (const { lines } of entries) expect(lines.length).toBeLessThanOrEqual(100)
    expect([count('accepted'), count('delivered'), count('dead')]).toEqual([253, 253, 0])
    expect(delivery.status()).toMatchObject({ url: `redis://127.0.0.1:${redis.port}`, state: 'ok' })
    await delivery.stop(0)
  })

  it('keeps them while the stream is full, and while Redis is away', async () => {
    await start()
    for (let i = 0; i < 5; i++) await redis.ask('XADD', 'test:scores', '*', 'v', '1')
    const { delivery, commit, count, store } = startScores({ maxLength: 5 })
    commit(jsons(20))
    await until(() => delivery.status().state === 'retrying')
    expect(delivery.status().message).toContain('test:scores is full, with 5 entries')
    await redis.kill()
    await until(() => /closed|ECONN/.test(String(delivery.status().message)))
    expect(store.scores.held()).toBe(20)
    await redis.start()
    await redis.ask('DEL', 'test:scores')
    await until(() => store.scores.held() === 0)
    expect((await added()).flatMap(({ lines }) => lines)).toEqual(jsons(20))
    expect(count('delivered')).toBe(20)
    await delivery.stop(0)
  })
})
