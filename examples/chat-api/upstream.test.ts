import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { ask, eventsOf, expectOutcome, traceOf, tracesOf } from './harness.ts'

test.each(['400', '429'])('upstream %s passes through, as a warning', async (fault) => {
  const trace = await traceOf(async (url) => {
    const response = await ask(url, { stream: true }, { 'x-sim-fault': fault })
    expect(response.status).toBe(Number(fault))
    expect(response.headers.get('retry-after')).toBe(fault === '429' ? '1' : null)
    expect(await response.json()).toMatchObject({ error: { code: Number(fault), param: null } })
  })
  expectOutcome(
    trace,
    Number(fault),
    'WARNING',
    `^upstream answered ${fault}: (This model|Too many)`,
  )
  expect(trace.generations).toHaveLength(1)
})

test.each(['500', '503'])('upstream %s becomes a 502, as an error', async (fault) => {
  const trace = await traceOf(async (url) => {
    const response = await ask(url, {}, { 'x-sim-fault': fault })
    expect(response.status).toBe(502)
    expect(await response.json()).toMatchObject({ error: { code: 502, type: 'Bad Gateway' } })
  })
  expectOutcome(trace, 502, 'ERROR', `^upstream answered ${fault}: `)
  expect(trace.root.output).toMatchObject({ error: { code: 502 } })
})

test('an upstream that is not there is a 502', async () => {
  const free = createServer().listen(0, '127.0.0.1')
  await once(free, 'listening')
  const { port } = free.address() as AddressInfo
  free.close()
  const trace = await traceOf(async (url) => expect((await ask(url)).status).toBe(502), {
    api: { upstreamUrl: `http://127.0.0.1:${port}` },
  })
  expectOutcome(
    trace,
    502,
    'ERROR',
    /^upstream connection failed before the first byte: .*ECONNREF/,
  )
})

test('an upstream that dies before its answer is a 502', async () => {
  const traces = await tracesOf(async (url) => {
    expect((await ask(url, {}, { 'x-sim-fault': 'die' })).status).toBe(502)
    const headers = { 'x-sim-fault': 'die', 'x-sim-fault-after': '0' }
    expect((await ask(url, { stream: true }, headers)).status).toBe(502)
  })
  expect(traces).toHaveLength(2)
  for (const trace of traces) {
    expectOutcome(trace, 502, 'ERROR', 'before the first byte: other side closed')
  }
})

test('an upstream that dies in mid-stream ends the stream with an error event', async () => {
  let events: unknown[] = []
  const trace = await traceOf(async (url) => {
    const headers = { 'x-sim-fault': 'die', 'x-sim-fault-after': '4' }
    const response = await ask(url, { stream: true }, headers)
    expect(response.status).toBe(200)
    events = eventsOf(await response.text())
  })
  expect(events).toHaveLength(5)
  expect(events.at(-1)).toMatchObject({ error: { code: 502 } })
  expectOutcome(trace, 502, 'ERROR', /^upstream connection failed after \d chunks: /)
  // What had come is kept.
  expect(trace.generations[0]?.output).toMatchObject({
    content: expect.stringMatching(/^\S+ \S+/),
  })
  expect(trace.generations[0]?.completionStartTime).toBeDefined()
})

test('a stream that ends without [DONE] is an error', async () => {
  const upstream = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.end('data: {"choices":[{"index":0,"delta":{"content":"Hal')
  }).listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  const trace = await traceOf(
    async (url) => {
      const text = await (await ask(url, { stream: true })).text()
      expect(eventsOf(text.slice(text.indexOf('\n\n') + 2))).toMatchObject([
        { error: { code: 502 } },
      ])
    },
    { api: { upstreamUrl: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}` } },
  )
  upstream.close()
  expectOutcome(trace, 502, 'ERROR', 'it ended without \\[DONE\\]')
})

test('an error event of vLLM passes through and is an error in the record', async () => {
  const trace = await traceOf(async (url) => {
    const text = await (await ask(url, { stream: true }, { 'x-sim-fault': 'error-event' })).text()
    expect(eventsOf(text).slice(-2)).toMatchObject([{ error: { code: 500 } }, '[DONE]'])
  })
  expectOutcome(trace, 502, 'ERROR', '^upstream failed in mid-answer: Internal server error$')
})

test('malformed lines pass through and are counted', async () => {
  const [streamed, whole] = await tracesOf(async (url) => {
    const text = await (await ask(url, { stream: true }, { 'x-sim-fault': 'malformed' })).text()
    expect(text).toContain('data: [DONE]')
    await (await ask(url, {}, { 'x-sim-fault': 'malformed' })).text()
  })
  expectOutcome(streamed, 200, 'WARNING', '^upstream sent 1 malformed lines$')
  expect(streamed?.generations[0]?.usageDetails).toBeDefined()
  expectOutcome(whole, 502, 'ERROR', 'it is not JSON')
})

test('silence before the answer is a 504, in mid-stream an error event', async () => {
  const [before, middle] = await tracesOf(
    async (url) => {
      const hung = await ask(url, {}, { 'x-sim-fault': 'hang' })
      expect(hung.status).toBe(504)
      expect(await hung.json()).toMatchObject({ error: { type: 'Gateway Timeout' } })
      const cut = await ask(url, { stream: true }, { 'x-sim-fault': 'hang-stream' })
      expect(eventsOf(await cut.text()).at(-1)).toMatchObject({ error: { code: 504 } })
    },
    { api: { upstreamTimeoutMs: 150 } },
  )
  expectOutcome(before, 504, 'ERROR', '^upstream timeout: silent for 150 ms before the first byte$')
  expectOutcome(middle, 504, 'ERROR', /^upstream timeout: silent for 150 ms after \d chunks$/)
})
