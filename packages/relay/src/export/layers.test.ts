import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { bisect } from './bisect.ts'
import { type FakeClock, startFakeClock } from './fixtures.ts'
import { gzip, isLoopback } from './gzip.ts'
import { type Request, type Result, type Send, SendError } from './http.ts'
import { retry } from './retry.ts'

const never = new AbortController().signal
const delivered = (request: Request): Result[] => [
  { type: 'delivered', spans: request.spans, refused: 0 },
]

/** A request whose body names its spans, one byte each. */
function request(bytes: Buffer): Request {
  return {
    body: bytes,
    headers: { a: 'b' },
    spans: bytes.length,
    split: () => [
      request(bytes.subarray(0, bytes.length >> 1)),
      request(bytes.subarray(bytes.length >> 1)),
    ],
  }
}

describe('bisect', () => {
  const refusing =
    (bad: ReadonlySet<number>, seen: number[] = []): Send =>
    async (part) => {
      seen.push(part.spans)
      if (part.body.some((byte) => bad.has(byte))) throw new SendError('rejected', 'bad', 400)
      return delivered(part)
    }

  it('isolates one bad span of 512 in 19 requests', async () => {
    const seen: number[] = []
    const body = Buffer.alloc(512, 1)
    body[77] = 2
    const results = await bisect(refusing(new Set([2]), seen))(request(body), never)
    expect(seen.length).toBe(19)
    const at = results.findIndex((result) => result.type === 'rejected')
    expect(results[at]).toEqual({ type: 'rejected', spans: 1, status: 400, reason: 'bad' })
    expect(results.slice(0, at).reduce((sum, { spans }) => sum + spans, 0)).toBe(77)
    expect(results.reduce((sum, { spans }) => sum + spans, 0)).toBe(512)
  })

  it('finds all bad ones, wherever they are', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 1, maxLength: 40 }),
        fc.uniqueArray(fc.nat(255), { maxLength: 200 }),
        async (bytes, bad) => {
          const results = await bisect(refusing(new Set(bad)))(request(Buffer.from(bytes)), never)
          const outcomes = results.flatMap(({ type, spans }) => Array(spans).fill(type))
          expect(outcomes).toEqual(
            Array.from(bytes, (byte) => (bad.includes(byte) ? 'rejected' : 'delivered')),
          )
        },
      ),
    )
  })

  it('keeps what the first half reached when the second is given up', async () => {
    const send: Send = async (part) => {
      if (part.spans === 4) throw new SendError('rejected', 'bad', 400)
      if (part.body[0] === 3) throw new Error('stopped')
      return delivered(part)
    }
    expect(await bisect(send)(request(Buffer.from([1, 2, 3, 4])), never)).toEqual([
      { type: 'delivered', spans: 2, refused: 0 },
      { type: 'abandoned', spans: 2 },
    ])
  })
})

describe('gzip', () => {
  it('compresses, and says so', async () => {
    const body = Buffer.from('abc'.repeat(1000))
    let seen: Request | undefined
    await gzip(async (part) => {
      seen = part
      return delivered(part)
    }, 3)(request(body), never)
    expect(seen?.headers).toEqual({ a: 'b', 'content-encoding': 'gzip' })
    expect(seen?.body.length).toBeLessThan(100)
    expect(gunzipSync(seen!.body).equals(body)).toBe(true)
  })

  it.each([
    ['http://127.0.0.1:3000', true],
    ['http://127.9.9.9', true],
    ['http://[::1]:4318/v1/traces', true],
    ['http://localhost', true],
    ['http://langfuse.localhost', true],
    ['https://cloud.langfuse.com', false],
    ['http://10.0.0.1', false],
    ['http://127.0.0.1.example.com', false],
  ])('%s on this machine: %s', (url, loopback) => {
    expect(isLoopback(new URL(url))).toBe(loopback)
  })
})

describe('retry', () => {
  let clock: FakeClock
  beforeEach(() => {
    clock = startFakeClock(0)
  })
  afterEach(() => clock.stop())

  /** Fails that often, then delivers. */
  async function waits(failures: number, error: SendError, random = 0.5): Promise<number[]> {
    let left = failures
    const send: Send = retry(
      async (part: Request) => {
        if (left-- > 0) throw error
        return delivered(part)
      },
      { clock, random: () => random, stopping: never, onRetry: () => {} },
    )
    expect(await send(request(Buffer.alloc(1)), never)).toHaveLength(1)
    return clock.waits
  }

  it('doubles the bound of a fully jittered wait up to a minute, and goes on for ever', async () => {
    expect(await waits(9, new SendError('unreachable', 'gone'), 0.5)).toEqual([
      500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000,
    ])
    clock.waits.length = 0
    expect(await waits(2, new SendError('busy', '503', 503), 0)).toEqual([0, 0])
    expect(await waits(1100, new SendError('busy', '503', 503), 0.99)).toHaveLength(1102)
  })

  it('waits as long as the server asks, and a little longer, but not for days', async () => {
    expect(await waits(2, new SendError('busy', '429', 429, 30_000))).toEqual([30_500, 30_500])
    clock.waits.length = 0
    expect(await waits(1, new SendError('busy', '429', 429, 86_400_000))).toEqual([600_500])
  })

  it('asks slowly when keys or URL are wrong', async () => {
    expect(await waits(6, new SendError('refused', '401', 401), 0)).toEqual([
      30_000, 60_000, 120_000, 240_000, 300_000, 300_000,
    ])
  })

  it('leaves a rejection to the layer above, and anything it does not know', async () => {
    const rejected = new SendError('rejected', '400', 400)
    const send = (error: Error): Send =>
      retry(() => Promise.reject(error), {
        clock,
        random: () => 0,
        stopping: never,
        onRetry: () => {},
      })
    await expect(send(rejected)(request(Buffer.alloc(1)), never)).rejects.toBe(rejected)
    await expect(send(new TypeError('bug'))(request(Buffer.alloc(1)), never)).rejects.toThrow('bug')
  })

  it('stops waiting, but not an attempt', async () => {
    const stopping = new AbortController()
    let attempts = 0
    const send: Send = retry(
      async (part: Request) => {
        stopping.abort(new Error('stopping'))
        if (attempts++ === 0) return delivered(part)
        throw new SendError('busy', '503', 503)
      },
      { clock, random: () => 0, stopping: stopping.signal, onRetry: () => {} },
    )
    expect(await send(request(Buffer.alloc(1)), never)).toHaveLength(1)
    await expect(send(request(Buffer.alloc(1)), never)).rejects.toThrow('stopping')
  })
})
