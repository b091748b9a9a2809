import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { startSimulator } from '../vllm-simulator/server.ts'
import { ask, eventsOf, messages, traceOf, tracesOf } from './harness.ts'

const parameters = { temperature: 0.2, max_tokens: 30, stop: 'END', guided_choice: ['a'] }

test('a whole answer: root, generation and event', async () => {
  let message: { content: string } | undefined
  const trace = await traceOf(async (url) => {
    const response = await ask(url, { ...parameters, user: 'u-1', session_id: 's-1' })
    expect(response.status).toBe(200)
    message = JSON.parse(await response.text()).choices[0].message
  })
  expect(message?.content.length).toBeGreaterThan(20)

  expect(trace.root).toMatchObject({
    name: 'api.chat.completions',
    type: 'span',
    input: { messages, ...parameters },
    output: message,
    trace: { userId: 'u-1', sessionId: 's-1' },
  })
  expect(trace.root.level).toBeOneOf([undefined, 'DEFAULT'])
  expect(trace.generations).toHaveLength(1)
  const [generation] = trace.generations
  expect(generation).toMatchObject({
    name: 'vllm.chat.completion',
    model: 'Qwen/Qwen3-8B',
    modelParameters: { temperature: 0.2, max_tokens: 30, stop: 'END' },
    input: messages,
    output: message,
    usageDetails: { input: 13, output: 30, total: 43 },
    metadata: { finish_reason: 'length' },
    trace: { userId: 'u-1', sessionId: 's-1' },
  })
  expect(generation?.completionStartTime).toBeUndefined()
  expect(trace.complete).toMatchObject({
    name: 'API_REQUEST_COMPLETE',
    metadata: { status: 200, loop_stall_ms: expect.any(Number) },
    trace: { userId: 'u-1' },
  })
  const { total_ms, upstream_ms } = trace.times
  expect(upstream_ms).toBeGreaterThan(4)
  expect(total_ms).toBeGreaterThanOrEqual(upstream_ms)
})

test('a stream passes byte for byte and is assembled for the record', async () => {
  const headers = { 'x-sim-tokens': '40', 'x-sim-ttft-ms': '80', 'x-sim-tokens-per-second': '400' }
  let text = ''
  const trace = await traceOf(async (url) => {
    const response = await ask(url, { stream: true }, { ...headers, 'x-user-id': 'from-gateway' })
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    text = await response.text()
  })
  const events = eventsOf(text)
  expect(events).toHaveLength(1 + 40 + 1 + 1 + 1)
  expect(events.at(-1)).toBe('[DONE]')
  const content = (events.slice(0, -1) as { choices: { delta: { content: string } }[] }[])
    .map((event) => event.choices[0]?.delta.content ?? '')
    .join('')

  const generation = trace.generations[0]
  expect(generation).toMatchObject({
    output: { role: 'assistant', content },
    usageDetails: { input: 13, output: 40, total: 53 },
    model: 'Qwen/Qwen3-8B',
  })
  expect(trace.root.output).toEqual({ role: 'assistant', content })
  expect(trace.root.trace.userId).toBe('from-gateway')
  const firstTokenMs = Number(generation?.completionStartTime) - Number(generation?.startTime)
  expect(firstTokenMs).toBeGreaterThanOrEqual(78)
  expect(Number(generation?.endTime) - Number(generation?.startTime)).toBeGreaterThan(
    firstTokenMs + 50,
  )
})

test('every byte of a stream arrives, whatever it is cut into', async () => {
  const bytes = Buffer.from(
    ': ping\r\n\r\ndata: {"choices":[{"index":0,"delta":{"content":"Đà Nẵng"}}],"new":1}\r\n\r\n' +
      'event: odd\ndata: no json\n\ndata: [DONE]\n\n',
  )
  const upstream = createServer(async (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (let at = 0; at < bytes.length; at += 5) {
      await new Promise((resolve) => response.write(bytes.subarray(at, at + 5), resolve))
    }
    response.end()
  }).listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  const trace = await traceOf(
    async (url) => {
      const response = await ask(url, { stream: true })
      expect(Buffer.from(await response.arrayBuffer())).toEqual(bytes)
    },
    { api: { upstreamUrl: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}` } },
  )
  upstream.close()
  expect(trace.root.output).toEqual({ content: 'Đà Nẵng' })
})

test('extra fields reach the upstream, stream_options of the client win', async () => {
  const [trace] = await tracesOf(async (url) => {
    const first = await (await ask(url, { seed: 5 })).text()
    const second = await (await ask(url, { seed: 6 })).text()
    const choice = (body: string): unknown => JSON.parse(body).choices[0]
    expect(choice(first)).not.toEqual(choice(second))
    const quiet = await ask(url, { stream: true, stream_options: { include_usage: false } })
    expect(await quiet.text()).not.toContain('usage')
  })
  expect(trace?.generations[0]?.modelParameters).toEqual({ seed: 5 })
})

test('requests at the same time keep to their own traces', async () => {
  const traces = await tracesOf(async (url) => {
    await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const body = { stream: index % 2 === 0, user: `u-${index}` }
        await (await ask(url, body, { 'x-sim-ttft-ms': `${5 + (index % 5) * 10}` })).text()
      }),
    )
  })
  expect(traces).toHaveLength(20)
  for (const { root, generations, complete } of traces) {
    expect(generations).toHaveLength(1)
    expect(generations[0]?.trace.userId).toBe(root.trace.userId)
    expect(generations[0]?.traceId).toBe(root.traceId)
    expect(complete.traceId).toBe(root.traceId)
  }
  expect(new Set(traces.map(({ root }) => root.trace.userId)).size).toBe(20)
})

test('health is not traced', async () => {
  const traces = await tracesOf(async (url) => {
    expect(await (await fetch(`${url}/health`)).json()).toEqual({ status: 'ok' })
    expect((await fetch(`${url}/elsewhere`)).status).toBe(404)
  })
  expect(traces).toEqual([])
})

// Another process may hold the core for a moment, and that is a stall too: hence bounds and retries.
test('a block of the loop shows where it overlapped, and nowhere else', { retry: 5 }, async () => {
  const headers = { 'x-sim-ttft-ms': '30', 'x-sim-tokens': '20', 'x-sim-tokens-per-second': '100' }
  const traces = await tracesOf(async (url) => {
    const [a, b] = await Promise.all([
      ask(url, { stream: true, user: 'a' }, headers),
      ask(url, { stream: true, user: 'b' }, headers),
    ])
    const until = performance.now() + 200
    while (performance.now() < until);
    await Promise.all([a.text(), b.text()])
    await (await ask(url, { stream: true, user: 'c' }, headers)).text()
  })
  const stall = (user: string): number => {
    const trace = traces.find(({ root }) => root.trace.userId === user)
    return trace?.times.loop_stall_ms ?? Number.NaN
  }
  for (const user of ['a', 'b']) {
    expect(stall(user)).toBeGreaterThanOrEqual(189)
    expect(stall(user)).toBeLessThan(300)
  }
  expect(stall('c')).toBeLessThan(60)
})

test('takes an upstream URL that ends in /v1', async () => {
  const upstream = await startSimulator({ ttftMs: 1, tokensPerSecond: 0 })
  const traces = await tracesOf(async (url) => expect((await ask(url)).status).toBe(200), {
    api: { upstreamUrl: `${upstream.url}/v1/` },
  })
  await upstream.close()
  expect(traces).toHaveLength(1)
})
