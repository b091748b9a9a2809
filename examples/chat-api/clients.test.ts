import { once } from 'node:events'
import { createServer, request as httpRequest } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { ask, expectOutcome, messages, traceOf, tracesOf } from './harness.ts'

test.each([
  { when: 'before the first byte', fault: 'hang' },
  { when: 'in mid-stream', fault: 'hang-stream' },
])('a client that leaves $when ends the upstream call, as a warning', async ({ when, fault }) => {
  const chats: Promise<boolean>[] = []
  const arrived = Promise.withResolvers<void>()
  const simulator = {
    onChat: (whole: Promise<boolean>) => {
      chats.push(whole)
      arrived.resolve()
    },
  }
  const trace = await traceOf(
    async (url) => {
      const client = httpRequest(`${url}/api/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-sim-fault': fault },
      })
      client.on('error', () => {})
      client.end(JSON.stringify({ messages, stream: true }))
      await arrived.promise
      if (fault === 'hang-stream') {
        const [response] = await once(client, 'response')
        await once(response, 'data')
      }
      client.destroy()
      expect(await chats[0]).toBe(false)
    },
    { simulator },
  )
  const cause = when === 'in mid-stream' ? /after \d chunks$/ : when
  expectOutcome(trace, 499, 'WARNING', /^client closed the connection /)
  expect(trace.root.statusMessage).toMatch(cause)
  expect(trace.generations).toHaveLength(1)
})

test('a client that leaves while it sends its request ends the root', async () => {
  const trace = await traceOf(async (url) => {
    const { port } = new URL(url)
    const socket = connect(Number(port), '127.0.0.1')
    socket.write(
      'POST /api/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n',
    )
    socket.write('content-length: 1000\r\n\r\n{"messages":')
    await sleep(50)
    socket.destroy()
    await once(socket, 'close')
    await sleep(50)
  })
  expectOutcome(trace, 499, 'WARNING', '^client closed')
  expect(trace.generations).toEqual([])
})

test('a request that cannot be read is a 400 and a warning', async () => {
  const traces = await tracesOf(async (url) => {
    const post = (body: string): Promise<Response> =>
      fetch(`${url}/api/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      })
    const broken = await post('{"messages":')
    expect(broken.status).toBe(400)
    expect(await broken.json()).toMatchObject({ error: { type: 'Bad Request' } })
    expect((await post('{"messages":"hi"}')).status).toBe(400)
  })
  expect(traces).toHaveLength(2)
  expectOutcome(traces[1], 400, 'WARNING', '^messages must be a list$')
})

test('a client that reads slowly slows the upstream, and does not look like a slow model', async () => {
  const piece = `: ${'x'.repeat(65_532)}\n\n`
  const total = 1_000
  let sent = 0
  const upstream = createServer(async (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (; sent < total; sent++) if (!response.write(piece)) await once(response, 'drain')
    response.end('data: [DONE]\n\n')
  }).listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  const trace = await traceOf(
    async (url) => {
      const response = await ask(url, { stream: true })
      // All buffers on the way fill up before the upstream has to stop.
      let before: number
      do {
        before = sent
        await sleep(150)
      } while (sent > before)
      expect(sent).toBeLessThan(total)
      await sleep(300)
      await response.text()
      expect(sent).toBe(total)
    },
    { api: { upstreamUrl: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}` } },
  )
  upstream.close()
  const { total_ms, upstream_ms } = trace.times
  expect(total_ms - upstream_ms).toBeGreaterThan(300)
})

test('close cuts what runs longer than the grace', async () => {
  const trace = await traceOf(
    async (url) => {
      const response = await ask(url, { stream: true }, { 'x-sim-fault': 'hang-stream' })
      void response.text().catch(() => {})
    },
    { api: { graceMs: 100 } },
  )
  expectOutcome(trace, 499, 'WARNING', '^client closed the connection after')
})

test('a storm of faults and aborts leaves no observation open', async () => {
  const faults = ['none', '400', '500', 'die', 'hang', 'hang-stream', 'malformed', 'error-event']
  let answered = 0
  const traces = await tracesOf(
    async (url) => {
      const requests = Array.from({ length: 160 }, async (_, index) => {
        const leavesAfterMs = index % 3 === 0 ? index % 40 : 5_000
        const response = await fetch(`${url}/api/chat/completions`, {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            'x-sim-fault': faults[index % faults.length] as string,
          },
          body: JSON.stringify({ messages, stream: index % 2 === 0, user: `u-${index}` }),
          signal: AbortSignal.timeout(leavesAfterMs),
        })
        await response.text()
        answered++
      })
      await Promise.allSettled(requests)
    },
    { api: { upstreamTimeoutMs: 300 }, simulator: { ttftMs: 20, tokensPerSecond: 1_000 } },
  )
  expect(answered).toBeGreaterThan(80)
  expect(traces.length).toBeGreaterThanOrEqual(answered)
  for (const { root, times, complete } of traces) {
    expect(complete.level).toBe(root.level)
    expect(root.level === 'ERROR').toBe(times.status >= 500)
    expect(times.total_ms).toBeGreaterThanOrEqual(times.upstream_ms)
  }
})
