import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startLangfuseServer } from './server.ts'
import type { Fault, LangfuseServer } from './types.ts'

let server: LangfuseServer
beforeEach(async () => {
  server = await startLangfuseServer()
})
afterEach(() => server.close())

const span = (overrides: Record<string, unknown> = {}): Record<string, unknown> => ({
  traceId: '1'.repeat(32),
  spanId: '2'.repeat(16),
  name: 'one',
  startTimeUnixNano: '1700000000000000000',
  endTimeUnixNano: '1700000000000000001',
  ...overrides,
})

const body = (...spans: unknown[]): string =>
  JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans }] }] })

const post = (
  content: string | Uint8Array,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<Response> =>
  fetch(`${server.url}/api/public/otel/v1/traces`, {
    method: 'POST',
    headers: {
      authorization: `Basic ${btoa('pk-lf-test:sk-lf-test')}`,
      'content-type': 'application/json',
      ...headers,
    },
    body: content as string,
    ...(signal && { signal }),
  })

test('health', async () => {
  const response = await fetch(`${server.url}/api/public/health`)
  expect([response.status, await response.json()]).toMatchObject([200, { status: 'OK' }])
})

test('401 without keys, with a wrong secret, for an unknown project, after a key was revoked', async () => {
  for (const authorization of [
    '',
    'Bearer x',
    `Basic ${btoa('pk-lf-test:no')}`,
    `Basic ${btoa('a:b')}`,
  ]) {
    expect((await post(body(span()), { authorization })).status).toBe(401)
  }
  server.projects.delete('pk-lf-test')
  expect((await post(body(span()))).status).toBe(401)
  expect(server.received).toBe(0)
})

test('one malformed span rejects the whole request', async () => {
  const malformed: Record<string, string> = {
    'short trace id': body(span(), span({ traceId: '12' })),
    'missing trace id': body(span(), span({ traceId: undefined })),
    'long span id': body(span(), span({ spanId: '2'.repeat(32) })),
    'attributes an object': body(span(), span({ attributes: { a: 1 } })),
    'events a string': body(span(), span({ events: 'e' })),
    'spans an object': JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: {} }] }] }),
    'scopeSpans an object': JSON.stringify({ resourceSpans: [{ scopeSpans: {} }] }),
    'not JSON': '{',
  }
  for (const [what, content] of Object.entries(malformed)) {
    expect([what, (await post(content)).status]).toEqual([what, 400])
  }
  const truncated = [0x0a, 0xff]
  const notUtf8 = [0x0a, 0x03, 0x1a, 0x01, 0xff]
  for (const bytes of [truncated, notUtf8]) {
    const headers = { 'content-type': 'application/x-protobuf' }
    expect((await post(Uint8Array.from(bytes), headers)).status).toBe(400)
  }
  expect((await post(body(span()), { 'content-type': 'text/plain' })).status).toBe(400)
  expect((await post(body(span()), { 'x-langfuse-ingestion-version': '5' })).status).toBe(400)
  expect((await post('no gzip', { 'content-encoding': 'gzip' })).status).toBe(400)
  expect(server.received).toBe(0)
  expect((await post(body(span()), { 'x-langfuse-ingestion-version': '4' })).status).toBe(200)
})

test('413 for a long body, as sent or after decompression', async () => {
  server.maxBodyBytes = 1000
  const long = body(span({ name: 'x'.repeat(100_000) }))
  expect((await post(long)).status).toBe(413)
  expect((await post(gzipSync(long), { 'content-encoding': 'gzip' })).status).toBe(413)
  expect((await post(body(span()))).status).toBe(200)
  expect(server.requests.map((request) => request.encodedBytes)[0]).toBe(long.length)
})

test('a poison span rejects its request', async () => {
  server.rejectSpan = ({ name }) => (name === 'poison' ? 'poison' : undefined)
  expect((await post(body(span(), span({ name: 'poison' })))).status).toBe(400)
  expect((await post(body(span()))).status).toBe(200)
  expect(server.spans()).toHaveLength(1)
})

test('deduplicates as Langfuse does, and tells identical resends from changed ones', async () => {
  await post(body(span({ name: 'first' })))
  await post(body(span({ name: 'first' })))
  await post(body(span({ name: 'second' })))
  await post(body(span({ name: 'second', startTimeUnixNano: '1' })))
  expect(server.spans().map(({ name, startTimeUnixNano }) => [name, startTimeUnixNano])).toEqual([
    ['second', 1_700_000_000_000_000_000n],
    ['second', 1n],
  ])
  expect(server.duplicates).toEqual({ identical: 1, changed: 1 })
  expect(server.stats()).toMatchObject({ received: 4, stored: 2, answers: { 200: 4 } })
})

test('statuses with Retry-After, by number of the request, changed at run time', async () => {
  server.faults = (number) =>
    number <= 2 ? { type: 'status', status: 429, retryAfter: 30 } : undefined
  const response = await post(body(span()))
  expect([response.status, response.headers.get('retry-after')]).toEqual([429, '30'])
  expect((await post(body(span()))).status).toBe(429)
  expect((await post(body(span()))).status).toBe(200)
  server.faults = [503, 408, 403, 500].map((status) => ({ type: 'status', status }))
  const statuses = []
  for (let i = 0; i < 5; i++) statuses.push((await post(body(span()))).status)
  expect(statuses).toEqual([503, 408, 403, 500, 200])
  expect(server.received).toBe(2)
})

test('connections that break, hang or lie', async () => {
  const attempt = async (fault: Fault): Promise<string> => {
    server.faults = [fault]
    try {
      const response = await post(body(span()), {}, AbortSignal.timeout(300))
      return `${response.status} ${await response.text()}`
    } catch (error) {
      return (error as Error).name
    }
  }
  expect(await attempt({ type: 'hang' })).toBe('TimeoutError')
  expect(await attempt({ type: 'reset' })).toBe('TypeError')
  expect(await attempt({ type: 'reset', when: 'headers' })).toBe('TypeError')
  expect(await attempt({ type: 'half-body' })).toBe('TypeError')
  expect(await attempt({ type: 'html' })).toMatch(/^200 <!doctype html>/)
  expect(server.received).toBe(0)
  expect(await attempt({ type: 'slow', ms: 100 })).toBe('200 {}  ')
  expect(await attempt({ type: 'reset', accept: true })).toBe('TypeError')
  expect(server.received).toBe(2)
  expect(server.duplicates).toEqual({ identical: 1, changed: 0 })
  expect(server.requests.map((request) => request.answer)).toEqual([
    'hang',
    'reset',
    'reset',
    200,
    200,
    200,
    'reset',
  ])
})

test('latency delays the answer, not the storing', async () => {
  server.latencyMs = 150
  const started = performance.now()
  const answered = post(body(span())).then(() => performance.now() - started)
  await server.waitForSpans(1)
  expect(await answered).toBeGreaterThanOrEqual(149)
})

test('waiting in vain says what came instead', async () => {
  await post(body(span({ spanId: 'x' })))
  await expect(server.waitForSpans(1, 20)).rejects.toThrow(
    'not within 20 ms; 1 requests (400), 0 spans received, 0 stored',
  )
})

test('clear forgets, and numbers start again', async () => {
  await post(body(span()))
  server.clear()
  server.faults = (number) => (number === 1 ? { type: 'status', status: 500 } : undefined)
  expect((await post(body(span()))).status).toBe(500)
  expect(server.spans()).toEqual([])
})

test('close ends connections that hang', async () => {
  server.faults = () => ({ type: 'hang' })
  const hanging = post(body(span())).catch((error: Error) => error.name)
  await server.waitFor(() => server.requests.length === 1)
  await server.close()
  expect(await hanging).toBe('TypeError')
})
