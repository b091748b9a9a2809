import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startLangfuseServer } from '../../../../test/langfuse-server/server.ts'
import type { Fault, LangfuseServer } from '../../../../test/langfuse-server/types.ts'
import { load, makeSpan } from './fixtures.ts'
import { type Attempt, openEndpoint, type Request, retryAfterMs, SendError } from './http.ts'
import { javascript5 } from './langfuse.ts'
import { createEncoder } from './otlp.ts'

const SECRET = 'sk-lf-very-secret'
const TOKEN = Buffer.from(`pk-lf-1:${SECRET}`).toString('base64')

let server: LangfuseServer
let endpoint: ReturnType<typeof openEndpoint>
let attempts: Attempt[]

beforeEach(async () => {
  server = await startLangfuseServer({ projects: { 'pk-lf-1': SECRET } })
  attempts = []
  endpoint = openEndpoint({
    url: new URL(`${server.url}/api/public/otel/v1/traces`),
    timeoutMs: 300,
    secrets: [TOKEN, SECRET],
    now: () => Date.parse('2026-11-24T10:00:00Z'),
    onAttempt: (attempt) => attempts.push(attempt),
  })
})
afterEach(async () => {
  await endpoint.close()
  await server.close()
})

const encoder = createEncoder({ dialect: javascript5, load, maxSpanBytes: 1e6 })

function request(headers: Record<string, string> = {}): Request {
  return {
    body: encoder.encode([makeSpan(), makeSpan()]),
    headers: {
      'content-type': 'application/x-protobuf',
      authorization: `Basic ${TOKEN}`,
      ...headers,
    },
    spans: 2,
    split: () => {
      throw new Error('not asked for')
    },
  }
}

const never = new AbortController().signal

async function failure(fault?: Fault, headers?: Record<string, string>): Promise<SendError> {
  server.faults = [fault]
  const error: unknown = await endpoint.post(request(headers), never).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(SendError)
  return error as SendError
}

describe('post', () => {
  it('delivers, and measures', async () => {
    expect(await endpoint.post(request(), never)).toEqual([
      { type: 'delivered', spans: 2, refused: 0 },
    ])
    expect(server.spans()).toHaveLength(2)
    // An answer that was compressed would be no answer to us.
    expect(server.requests[0]!.headers['accept-encoding']).toBe('identity')
    expect(attempts).toEqual([
      {
        status: 200,
        seconds: expect.any(Number),
        bytes: server.requests[0]!.encodedBytes,
        spans: 2,
      },
    ])
  })

  it.each([
    [401, 'refused'],
    [403, 'refused'],
    [404, 'refused'],
    [302, 'refused'],
    [400, 'rejected'],
    [413, 'rejected'],
    [422, 'rejected'],
    [408, 'busy'],
    [429, 'busy'],
    [500, 'busy'],
    [502, 'busy'],
    [503, 'busy'],
    [504, 'busy'],
  ] as const)('tells by status %i that it is %s', async (status, code) => {
    expect(await failure({ type: 'status', status, body: 'so it is' })).toMatchObject({
      code,
      status,
      message: `answered ${status}: so it is`,
      retryAfterMs: 0,
    })
  })

  it('takes wrong keys for refused, a malformed span for rejected', async () => {
    expect(await failure(undefined, { authorization: 'Basic bm90OmtleXM=' })).toMatchObject({
      code: 'refused',
      status: 401,
    })
    server.rejectSpan = () => 'poison'
    expect(await failure()).toMatchObject({ code: 'rejected', status: 400 })
  })

  it('reads Retry-After', async () => {
    expect(await failure({ type: 'status', status: 429, retryAfter: 30 })).toMatchObject({
      code: 'busy',
      retryAfterMs: 30_000,
    })
    const retryAfter = 'Tue, 24 Nov 2026 10:02:00 GMT'
    expect(await failure({ type: 'status', status: 503, retryAfter })).toMatchObject({
      retryAfterMs: 120_000,
    })
  })

  it.each<[string, Fault]>([
    ['a reset', { type: 'reset' }],
    ['a reset at once', { type: 'reset', when: 'headers' }],
    ['half an answer', { type: 'half-body', accept: true }],
  ])('takes %s for unreachable', async (_what, fault) => {
    expect(await failure(fault)).toMatchObject({ code: 'unreachable' })
  })

  it.each<[string, Fault]>([
    ['never answers', { type: 'hang' }],
    ['answers drop by drop', { type: 'slow', ms: 5_000 }],
  ])('gives up on a server that %s', async (_what, fault) => {
    expect(await failure(fault)).toMatchObject({
      code: 'unreachable',
      message: 'no answer within 300 ms',
    })
    expect(await endpoint.post(request(), never)).toHaveLength(1)
  })

  it('says what it is that it takes for no answer', async () => {
    expect(await failure({ type: 'html' })).toMatchObject({
      code: 'refused',
      status: 200,
      message: 'answered 200 with an HTML page: is the URL right?',
    })
    const body = `Hello ${SECRET}`
    expect(
      await failure({ type: 'status', status: 200, contentType: 'text/plain', body }),
    ).toMatchObject({
      code: 'refused',
      status: 200,
      message: 'answered 200 with no answer of this API: is the URL right? It says: Hello ***',
    })
  })

  it('says what is wrong when nobody listens', async () => {
    await server.close()
    expect(await failure()).toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('ECONNREFUSED'),
    })
    expect(attempts).toMatchObject([{ status: 0 }])
  })

  it('keeps secrets, control characters and long pages out of messages', async () => {
    const body = `bad keys ${SECRET}\u001b[31m or\n\n${TOKEN} ${'x'.repeat(300_000)}`
    const { message } = await failure({ type: 'status', status: 400, body })
    expect(message).toMatch(/^answered 400: bad keys \*\*\* \[31m or \*\*\* xxx/)
    expect(message.length).toBeLessThan(600)
    expect(await endpoint.post(request(), never)).toHaveLength(1)
  })

  it('counts spans that the server took and dropped', async () => {
    const answer = (contentType: string, body: string): Fault => ({
      type: 'status',
      status: 200,
      contentType,
      body,
    })
    server.faults = [
      answer('application/json', '{"partialSuccess":{"rejectedSpans":"1","errorMessage":"no"}}'),
      // ExportTraceServiceResponse { partial_success { rejected_spans: 2, error_message: "no" } }
      answer('application/x-protobuf', '\x0a\x06\x08\x02\x12\x02no'),
      answer('text/plain', '{"partialSuccess":{"rejectedSpans":1}}'),
      answer('application/json', '{"partialSuccess":{"rejectedSpans":"all"}}'),
      answer('application/json', 'null'),
    ]
    const refused: number[] = []
    for (let i = 0; i < 5; i++) {
      const [result] = await endpoint.post(request(), never)
      if (result?.type === 'delivered') refused.push(result.refused)
    }
    expect(refused).toEqual([1, 2, 1, 0, 0])
  })

  it('ends with the reason of the signal', async () => {
    server.faults = () => ({ type: 'hang' })
    const stop = new AbortController()
    const sent = endpoint.post(request(), stop.signal)
    stop.abort(new Error('enough'))
    await expect(sent).rejects.toThrow('enough')
    await expect(endpoint.post(request(), stop.signal)).rejects.toThrow('enough')
  })
})

describe('of 2xx, whatever their content type, it', () => {
  let message = ''
  async function postTo(
    contentType: string | undefined,
    body: string | Buffer,
    encoding?: string,
  ): Promise<unknown> {
    const other = createServer((asked, response) => {
      asked.resume()
      if (contentType !== undefined) response.setHeader('content-type', contentType)
      if (encoding !== undefined) response.setHeader('content-encoding', encoding)
      response.end(typeof body === 'string' ? Buffer.from(body, 'latin1') : body)
    })
    other.listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as AddressInfo
    const { post, close } = openEndpoint({
      url: new URL(`http://127.0.0.1:${port}`),
      timeoutMs: 5_000,
      secrets: [],
      now: Date.now,
      onAttempt: () => {},
    })
    try {
      return await post(request(), never).catch((error: SendError) => {
        message = error.message
        return error.code
      })
    } finally {
      await close()
      other.close()
    }
  }
  const long = JSON.stringify({ partialSuccess: { errorMessage: 'x'.repeat(300_000) } })

  it.each<[string, string | undefined, string]>([
    ['nothing', undefined, ''],
    ['nothing, called Protobuf', 'application/x-protobuf', ''],
    ['nothing, called text', 'text/plain; charset=utf-8', ''],
    ['nothing, called a page', 'text/html; charset=UTF-8', ''],
    ['white space', 'application/json', ' \r\n'],
    ['JSON', 'application/json', '{"partialSuccess":{}}'],
    ['JSON without a type', undefined, '{}'],
    ['JSON, called text', 'text/plain; charset=utf-8', '{"success":true}\n'],
    ['JSON after a byte order mark', 'application/json; charset=utf-8', '\xef\xbb\xbf{}'],
    ['a JSON string', 'application/json', '"OK"'],
    ['a long partial success', 'application/json', long],
    ['Protobuf', 'application/x-protobuf', '\x0a\x00'],
    ['Protobuf without a type', undefined, '\x0a\x04\x12\x02no'],
    [
      'Protobuf with fields to come',
      'application/x-protobuf',
      '\x0a\x02\x18\x01\x15abcd\x19abcdefgh',
    ],
  ])('takes %s for an answer', async (_what, contentType, body) => {
    expect(await postTo(contentType, body)).toEqual([{ type: 'delivered', spans: 2, refused: 0 }])
  })

  it.each<[string, string | undefined, string]>([
    ['login page', 'text/html; charset=utf-8', '<!doctype html><title>Sign in</title>'],
    ['page without a type', undefined, '<html>Sign in</html>'],
    ['page, called JSON,', 'application/json', '<html>Sign in</html>'],
    ['page after a line feed', 'application/x-protobuf', '\n<html><body>Sign in</body></html>\n'],
    ['text', 'text/plain', 'Welcome to the gateway'],
    ['XML', 'application/xml', '<?xml version="1.0"?><status>ok</status>'],
    ['malformed JSON', 'application/json', '{{'],
    ['half of a JSON text', 'application/json', '{"partialSuccess":'],
    ['malformed Protobuf', 'application/x-protobuf', '\x0a\xff'],
    ['half of a Protobuf message', 'application/x-protobuf', '\x0a\x06\x08\x02'],
    ['other Protobuf message', 'application/x-protobuf', '\x08\x01'],
  ])('takes no %s for an answer', async (_what, contentType, body) => {
    expect(await postTo(contentType, body)).toBe('refused')
    expect(message.includes(' with an HTML page: is the URL right?')).toBe(
      /<(html|!doctype)/.test(body),
    )
  })

  it.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
  ])(
    'reads what is compressed with %s, though nobody asked for that',
    async (encoding, deflate) => {
      const partial = JSON.stringify({ partialSuccess: { rejectedSpans: '1' } })
      expect(await postTo('application/json', deflate(partial), encoding)).toEqual([
        { type: 'delivered', spans: 2, refused: 1 },
      ])
      expect(await postTo('application/json', 'no such thing', encoding)).toBe('refused')
    },
  )
})

describe('Retry-After', () => {
  it.each([
    ['5', 5_000],
    [' 120 ', 120_000],
    ['Thu, 01 Jan 1970 00:01:00 GMT', 59_000],
    ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
    ['soon', 0],
    ['-5', 0],
    ['1.5', 0],
    [undefined, 0],
  ])('%s is %i ms', (header, ms) => {
    expect(retryAfterMs(header, 1_000)).toBe(ms)
  })
})
