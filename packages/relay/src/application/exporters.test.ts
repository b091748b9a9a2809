// `startRelay` with exporters other than Langfuse, as a process and as a thread.
import { describe, expect, onTestFinished, test } from 'vitest'
import { measureEntry, readEntry } from '../redis/entry.ts'
import { allocateChunk } from '../store/chunk.ts'
import { type RedisServer, startRedisServer } from '../testing/redis-server.ts'
import { usePlace } from './app.fixture.ts'

const place = usePlace()

/** With them, what is recorded goes to Langfuse too. */
const NO_KEYS = { LANGFUSE_PUBLIC_KEY: '', LANGFUSE_SECRET_KEY: '' }

/** Of what was forwarded to the one stream. */
async function namesIn(redis: RedisServer): Promise<string[]> {
  const entries = (await redis.ask('XRANGE', 'offpath:{0}', '-', '+')) as [Buffer, Buffer[]][]
  return entries.flatMap(([, fields]) => {
    const sent = fields[fields.findIndex((field) => field.equals(Buffer.from('s'))) + 1] as Buffer
    const bytes = allocateChunk(sent.length)
    sent.copy(bytes)
    return readEntry(bytes, measureEntry(bytes)).map(({ name }) => name)
  })
}

describe.each([['child'], ['thread']])('a relay in a %s', (where) => {
  test('delivers by OTLP', async () => {
    const otlp = { url: place.langfuse.otlpUrl, headers: { 'x-tenant': 'blue' } }
    const app = place.start({ in: where, otlp }, NO_KEYS)
    expect(await app.call('ready')).toBe(true)
    await app.call('record', 'a')
    expect(await app.call('flush', 30_000)).toBe(true)
    expect(place.names()).toEqual(['a'])
    expect(place.langfuse.requests).toMatchObject([
      { path: '/v1/traces', headers: { 'x-tenant': 'blue' } },
    ])
    expect(await app.leaves()).toBe(0)
    expect(await app.stderr).toBe('')
  })

  test('forwards to Redis', async () => {
    const redis = await startRedisServer()
    onTestFinished(() => redis.close())
    const options = { url: redis.url, forward: true, partitions: 1 }
    const app = place.start({ in: where, redis: options }, NO_KEYS)
    expect(await app.call('ready')).toBe(true)
    await app.call('record', 'a')
    expect(await app.call('flush', 30_000)).toBe(true)
    expect(await namesIn(redis)).toEqual(['a'])
    expect(await app.leaves()).toBe(0)
    expect(await app.stderr).toBe('')
  })
})
