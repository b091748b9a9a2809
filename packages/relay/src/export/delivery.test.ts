import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, createServer as createNetServer, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { FIELD } from '@offpath/sdk/spool-format'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { countSpans } from '../../../../test/langfuse-server/count-spans.ts'
import type { StoredSpan } from '../store/span.ts'
import { otlpExporter } from './exporters.ts'
import {
  type FakeClock,
  field,
  type ManualClock,
  makeSpan,
  manualClock,
  manySpans,
  startFakeClock,
  text,
} from './fixtures.ts'
import { type Harness, startHarness } from './harness.ts'

describe('delivery', () => {
  let harness: Harness
  let server: Server
  let clock: FakeClock
  beforeEach(() => {
    clock = startFakeClock(0)
  })
  afterEach(async () => {
    await harness.close()
    server.closeAllConnections()
    server.close()
    clock.stop()
  })

  it('is not held up by a request that the server never takes', async () => {
    const spans = Array.from({ length: 200 }, () => makeSpan())
    const poison = spans[3]!.spanId
    let refused = 0
    server = createServer(async (request, response) => {
      const bad = (await buffer(request)).includes(poison)
      if (bad) refused++
      response.writeHead(bad ? 500 : 200).end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    harness = await startHarness({
      exporterOf: () => otlpExporter({ url: new URL(`http://127.0.0.1:${port}`), headers: {} }),
      delivery: { clock, requestBytes: 5_000, concurrency: 2 },
    })
    for (let at = 0; at < spans.length; at += 20) harness.commit(spans.slice(at, at + 20))
    // All but the request with the poison, of about ten spans.
    const deadline = Date.now() + 5_000
    while (harness.law().held >= 20 && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    expect(harness.law().held).toBeLessThan(20)
    expect(refused).toBeGreaterThan(1)
    expect(harness.delivery.status()).toMatchObject({
      inFlight: 1,
      lastError: { message: 'answered 500' },
    })
  })

  it('sends what waits also when timers wake in the wrong order', async () => {
    const wakes: (() => void)[] = []
    const sleep = () => new Promise<void>((resolve) => wakes.push(resolve))
    server = createServer((_, response) => response.end())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    harness = await startHarness({
      exporterOf: () => otlpExporter({ url: new URL(`http://127.0.0.1:${port}`), headers: {} }),
      delivery: { clock: { ...clock, sleep }, requestBytes: 5_000, lingerMs: 10 },
    })
    const long = () => makeSpan({ fields: [field(FIELD.input, text('x'.repeat(2_000)))] })
    harness.commit([long(), long(), long()])
    await harness.held(1)
    expect(wakes.length).toBeGreaterThan(1)
    for (const wake of wakes.reverse()) {
      wake()
      // The second one comes before the first one was acted on, as when both are due.
      await Promise.resolve()
    }
    await harness.held(0)
  })

  it('goes on after all that it had delivered has expired', async () => {
    server = createServer((_, response) => response.end())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    harness = await startHarness({
      exporterOf: () => otlpExporter({ url: new URL(`http://127.0.0.1:${port}`), headers: {} }),
      delivery: { clock },
    })
    for (let i = 0; i < 3; i++) harness.commit([makeSpan()])
    await harness.held(0)
    const tomorrow = Date.now() + 86_400_000
    expect(harness.store.expire(tomorrow, 1e12, 10, Number.POSITIVE_INFINITY)).toBe(3)
    harness.commit([makeSpan()])
    await harness.held(0)
    expect(harness.law()).toMatchObject({ delivered: 4 })
  })

  it('goes on when what it sends again has expired while it was under way', async () => {
    let answer = async (): Promise<number> => 200
    server = createServer(async (request, response) => {
      await buffer(request)
      response.writeHead(await answer()).end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    harness = await startHarness({
      exporterOf: () => otlpExporter({ url: new URL(`http://127.0.0.1:${port}`), headers: {} }),
      delivery: { clock, timeoutMs: 60_000 },
    })
    const inFlight = async (count: number): Promise<void> => {
      const deadline = Date.now() + 5_000
      while (harness.delivery.status().inFlight !== count && Date.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      expect(harness.delivery.status().inFlight).toBe(count)
    }
    harness.commit([makeSpan(), makeSpan()])
    await harness.held(0)
    let refuse = (): void => {}
    const refused = new Promise<number>((resolve) => {
      refuse = () => resolve(400)
    })
    answer = () => refused
    expect(harness.again(1, 0, 1)).toBe(2)
    await inFlight(1)
    const tomorrow = Date.now() + 86_400_000
    expect(harness.store.expire(tomorrow, 1e12, 10, Number.POSITIVE_INFINITY)).toBe(1)
    // The request is halved: its spans are looked for where they were.
    refuse()
    await inFlight(0)
    answer = async () => 200
    harness.commit([makeSpan()])
    await harness.held(0)
    expect(harness.law()).toMatchObject({ delivered: 3, dead: 0, resent: 0, notResent: 2 })
  })
})

const DAY = 86_400_000

describe.each([
  ['forward', DAY],
  ['back', -DAY],
])('the wall clock is set %s by a day', (_to, step) => {
  let harness: Harness
  let clock: ManualClock
  beforeEach(async () => {
    clock = manualClock(Date.parse('2026-11-24T10:00:00Z'))
    harness = await startHarness({
      exporterOf: ({ otlpUrl }) => otlpExporter({ url: new URL(otlpUrl), headers: {} }),
      delivery: { clock, ...options, requestBytes: 25_000, backlogBytes: 100_000 },
    })
  })
  afterEach(() => harness.close())
  const options = { random: () => 0.5, lingerMs: 1000, concurrency: 1 }
  /** Long enough for a request that should not be sent to arrive. */
  const turns = () => new Promise((resolve) => setTimeout(resolve, 50))

  it('while spans wait for a request to become full', async () => {
    harness.commit([makeSpan()])
    await turns()
    clock.step(step)
    harness.commit([makeSpan()])
    await turns()
    clock.pass(999)
    await turns()
    expect(harness.server.requests).toEqual([])
    clock.pass(1)
    await harness.held(0)
    expect(harness.server.requests.map(({ spanCount }) => spanCount)).toEqual([2])
  })

  it('while a request waits to be sent again', async () => {
    harness.server.faults = [{ type: 'status', status: 503 }]
    harness.commit([makeSpan()])
    await turns()
    clock.pass(1000)
    await harness.server.waitFor(() => harness.server.requests.length === 1)
    await turns()
    clock.step(step)
    clock.pass(499)
    await turns()
    expect(harness.server.requests).toHaveLength(1)
    clock.pass(1)
    await harness.held(0)
    expect(harness.law()).toMatchObject({ accepted: 1, delivered: 1 })
  })

  it('while the backlog grows beyond its cap', async () => {
    harness.server.faults = () => ({ type: 'status', status: 503 })
    const long = () => makeSpan({ fields: [field(FIELD.input, text('x'.repeat(10_000)))] })
    harness.commit([long()])
    await turns()
    clock.step(step)
    for (let i = 0; i < 20; i++) harness.commit([long()])
    await turns()
    expect(harness.law().dropped).toBe(0)
    clock.pass(10_000)
    harness.delivery.wake()
    await turns()
    expect(harness.law().dropped).toBeGreaterThan(5)
  })
})

// As nginx, which judges by the length that a request has named: the answer comes before the body is there, and it is a page.
describe('a proxy that answers 413 while the body is still being sent', () => {
  const LIMIT = 1024 * 1024
  const PAGE = '<html><h1>413 Request Entity Too Large</h1></html>'
  const HEAD = `HTTP/1.1 413 Request Entity Too Large\r\nserver: nginx\r\ncontent-type: text/html\r\nconnection: close\r\n`
  const ANSWER = `${HEAD}content-length: ${PAGE.length}\r\n\r\n${PAGE}`

  it.each<[string, (socket: Socket) => void]>([
    ['closes the connection', (socket) => socket.end(ANSWER, () => socket.destroy())],
    [
      'resets the connection after a moment',
      (socket) => {
        socket.write(ANSWER)
        setTimeout(() => socket.resetAndDestroy(), 50)
      },
    ],
    [
      'resets the connection in the midst of its page',
      (socket) => {
        socket.write(`${HEAD}content-length: ${PAGE.length + 1000}\r\n\r\n${PAGE}`)
        setTimeout(() => socket.resetAndDestroy(), 50)
      },
    ],
    [
      'says nothing of a length and closes',
      (socket) => socket.end(`${HEAD}\r\n${PAGE}`, () => socket.destroy()),
    ],
  ])('and %s has requests halved', async (_what, refuse) => {
    let refused = 0
    const taken: number[] = []
    const proxy = createNetServer((socket) => {
      let received = Buffer.alloc(0)
      const read = (piece: Buffer): void => {
        received = Buffer.concat([received, piece])
        const end = received.indexOf('\r\n\r\n') + 4
        const length = Number(
          /^content-length: (\d+)/im.exec(received.toString('latin1', 0, end))?.[1],
        )
        if (length > LIMIT) {
          refused++
          socket.pause().off('data', read)
          refuse(socket)
        } else if (received.length === end + length) {
          taken.push(countSpans(received.subarray(end), 'application/x-protobuf'))
          socket.end('HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
        }
      }
      socket.on('data', read).on('error', () => {})
    }).listen(0, '127.0.0.1')
    await once(proxy, 'listening')
    const { port } = proxy.address() as AddressInfo
    const harness = await startHarness({
      exporterOf: () => otlpExporter({ url: new URL(`http://127.0.0.1:${port}`), headers: {} }),
      // More than sockets hold.
      delivery: { requestBytes: 16 * LIMIT, timeoutMs: 5_000 },
    })
    try {
      harness.commit(manySpans(24, 500_000))
      await harness.held(0)
      expect(harness.law()).toMatchObject({ delivered: 24, dead: 0, dropped: 0 })
      expect(taken.reduce((sum, spans) => sum + spans, 0)).toBe(24)
      // 24, 12, 6 and 3 spans; each once, for a refusal is no reason to ask again.
      expect(refused).toBe(15)
      expect(harness.delivery.status()).toMatchObject({ state: 'ok', retries: 0 })
    } finally {
      await harness.close()
      proxy.close()
    }
  })
})

describe('the lag of a delivery', () => {
  it('is that of the earliest end in its request; further versions and what is sent again have none', async () => {
    const harness = await startHarness({
      exporterOf: ({ otlpUrl }) => otlpExporter({ url: new URL(otlpUrl), headers: {} }),
      delivery: { clock: manualClock(1_790_000_010_000) },
    })
    const deliver = async (...spans: StoredSpan[]): Promise<void> => {
      harness.commit(spans)
      harness.delivery.hurry()
      await harness.held(0)
    }
    const ended = (second: number, revision = 0): StoredSpan =>
      makeSpan({ endSeconds: 1_790_000_000 + second, endNanos: 500_000_000, revision })
    try {
      await deliver(ended(8), ended(4), ended(9))
      await deliver(ended(1, 1))
      // An application whose clock is ahead.
      await deliver(ended(20))
      expect(harness.again(1, 0, 1)).toBe(2)
      harness.delivery.hurry()
      await harness.held(0)
      expect(harness.law()).toMatchObject({ resent: 3 })
      expect(harness.lags).toEqual([5.5, 0])
    } finally {
      await harness.close()
    }
  })
})
