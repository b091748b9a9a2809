// What is Redis' alone; conformance.ts asks the rest. The server is real.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createLog } from '../log.ts'
import { entriesOf } from '../receivers/redis/group.ts'
import { measureEntry, readEntry } from '../redis/entry.ts'
import { readScores } from '../redis/score-entry.ts'
import { allocateChunk } from '../store/chunk.ts'
import type { StoredSpan } from '../store/span.ts'

import { type RedisServer, startRedisServer } from '../testing/redis-server.ts'
import { systemClock } from './clock.ts'
import type { DeliveryOptions } from './delivery.ts'
import { manySpans, resource, until } from './fixtures.ts'

import { type Harness, startHarness } from './harness.ts'
import { type RedisExporterOptions, redisExporter } from './redis.ts'
import { startScoreDelivery } from './score-delivery.ts'

let redis: RedisServer
let harness: Harness | undefined
beforeAll(async () => {
  redis = await startRedisServer({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
})
afterAll(() => redis.close())
beforeEach(() => redis.ask('FLUSHALL'))
afterEach(async () => {
  redis.resume()
  await harness?.close()
  harness = undefined
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

describe('exporter redis', () => {
  it('keeps the spans of a trace in one stream', async () => {
    const { commit, held } = await start({ partitions: 4 })
    const spans = manySpans(200).map((span, i) => {
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

  it('gets through a Redis that is away', async () => {
    const { commit, held, law, delivery } = await start()
    commit(manySpans(10))
    await held(0)
    await redis.kill()
    commit(manySpans(100, 1000))
    await until(() => delivery.status().state === 'retrying')
    expect(delivery.status().lastError?.message).toMatch(/closed|ECONN/)
    await redis.start()
    await held(0)
    expect(law()).toMatchObject({ delivered: 110, dropped: 0 })
    expect((await entries()).flat()).toHaveLength(110)
  })

  it('waits again for an answer that is late, and adds nothing twice', async () => {
    const { commit, held, delivery } = await start({}, { timeoutMs: 100 })
    commit(manySpans(1))
    await held(0)
    redis.pause()
    commit(manySpans(20))
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
    commit(manySpans(20))
    await until(() => delivery.status().state === 'retrying')
    expect(delivery.status().message).toContain('test:{0} is full, with 5 entries')
    expect(law()).toMatchObject({ held: 20 })
    expect(await redis.ask('XLEN', 'test:{0}')).toBe(5)
    await redis.ask('XTRIM', 'test:{0}', 'MAXLEN', '0')
    await held(0)
  })

  it('trims nothing, however many others add', async () => {
    const { commit, held } = await start({ maxLength: 5 })
    commit(manySpans(1))
    await held(0)
    await Promise.all(manySpans(300).map(() => redis.ask('XADD', 'test:{0}', '*', 'v', '1')))
    commit(manySpans(1))
    await held(0)
    expect(await redis.ask('XLEN', 'test:{0}')).toBe(302)
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
