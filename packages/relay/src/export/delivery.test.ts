import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { afterEach, describe, expect, it } from 'vitest'
import { otlpExporter } from './exporters.ts'
import { makeSpan, startFakeClock } from './fixtures.ts'
import { type Harness, startHarness } from './harness.ts'

describe('delivery', () => {
  let harness: Harness
  let server: Server
  const clock = startFakeClock(0)
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
    while (harness.law().delivered < 180 && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    expect(harness.law().held).toBeLessThan(20)
    expect(refused).toBeGreaterThan(1)
    expect(harness.delivery.status()).toMatchObject({
      inFlight: 1,
      lastError: { message: 'answered 500' },
    })
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
})
