import { once } from 'node:events'
import { request } from 'node:http'
import { type AddressInfo, connect, createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { OperationError } from '../operations/requests.ts'
import { type ApiSources, createApp } from './app.ts'
import { jsonAnswer, type Query } from './query.ts'
import { type HttpServer, listen } from './server.ts'

let asked: Query[]
let changed: [string, unknown][]
let server: HttpServer

beforeEach(async () => {
  asked = []
  changed = []
  server = await open({})
})

afterEach(() => server.close())

function open(
  sources: Partial<ApiSources>,
  allowedHosts: readonly string[] = ['relay.example'],
): Promise<HttpServer> {
  const app = createApp({
    ask: async (query) => {
      asked.push(query)
      return jsonAnswer(200, { traces: [], next: null })
    },
    stats: async () => ({ exporters: [] }),
    health: () => ({ ok: true }),
    metrics: async () => ({ type: 'text/plain; version=0.0.4', text: 'offpath_up 1\n' }),
    operations: {
      retryDead: (body) => done('retryDead', body),
      dropDead: (body) => done('dropDead', body),
      replay: (body) => done('replay', body),
    },
    otlp: 'not here',
    imports: jsonAnswer(404, {}),
    token: undefined,
    onError: () => {},
    ...sources,
  })
  const onError = (error: Error): never => {
    throw error
  }
  return listen(app, { host: '127.0.0.1', port: 0, allowedHosts, onError })
}

/** Remembers what was asked to be changed. */
async function done(name: string, body: unknown): Promise<never> {
  changed.push([name, body])
  if ((body as { ids?: unknown }).ids === 'wrong') throw new OperationError('no such thing')
  return { name } as never
}

/** Node's fetch sets the Host header by itself; here it is the attacker's. */
async function get(
  path: string,
  headers: Record<string, string | string[]> = {},
  method = 'GET',
  content = '',
): Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; body: string }> {
  const { port } = new URL(server.url)
  const sent = request({ host: '127.0.0.1', port, path, method, headers })
  sent.end(content)
  const [response] = await once(sent, 'response')
  return { status: response.statusCode, headers: response.headers, body: await text(response) }
}

/** A request as bytes, for what no client sends. */
async function raw(lines: readonly string[]): Promise<string> {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
  socket.end(`${lines.join('\r\n')}\r\n\r\n`)
  return text(socket)
}

describe('a rebinding page', () => {
  test.each([
    'evil.example',
    'evil.example:7411',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'relay.example.evil',
    'localhost@evil.example',
    'evil.example#localhost',
    '127.0.0.1:80:80',
    '0.0.0.0',
    '[::ffff:127.0.0.1]',
  ])('with Host %j gets nothing', async (host) => {
    const { status, body } = await get('/api/traces', { host })
    expect(status).toBeGreaterThanOrEqual(400)
    expect(JSON.parse(body || '{}').traces).toBeUndefined()
    expect(asked).toEqual([])
  })

  test('gets 421 with the name of the option that would allow it', async () => {
    const { status, body, headers } = await get('/api/stats', { host: 'evil.example' })
    expect([status, headers['content-type']]).toEqual([421, 'application/json'])
    expect(JSON.parse(body).error).toMatchObject({ code: 'host_not_allowed' })
    expect(body).toContain('http.allowed-hosts')
  })

  test('gets nothing by two Host headers, none, or a target that names another host', async () => {
    const localhost = 'Host: localhost'
    const evil = 'Host: evil.example'
    for (const lines of [
      ['GET /api/traces HTTP/1.1', localhost, evil],
      ['GET /api/traces HTTP/1.1', evil, localhost],
      ['GET /api/traces HTTP/1.1', 'Host:'],
      ['GET /api/traces HTTP/1.1'],
      ['GET /api/traces HTTP/1.0'],
      ['GET http://evil.example/api/traces HTTP/1.1', localhost],
      ['GET //evil.example/api/traces HTTP/1.1', evil],
    ]) {
      expect(await raw(lines)).toMatch(/^HTTP\/1\.1 4(00|21) /)
    }
    expect(asked).toEqual([])
  })

  test('of another site is told by its browser', async () => {
    const { status, body } = await get('/api/traces', { 'sec-fetch-site': 'cross-site' })
    expect([status, JSON.parse(body).error.code]).toEqual([403, 'cross_site'])
  })
})

test.each([
  'localhost',
  'LOCALHOST:7411',
  '127.0.0.1:1',
  '[::1]:7411',
  'relay.example',
  'Relay.Example:80',
])('Host %s is served', async (host) => {
  expect((await get('/api/traces', { host })).status).toBe(200)
})

test('every answer is protected from browsers, and none is for other origins', async () => {
  for (const [path, host] of [
    ['/health', 'localhost'],
    ['/api/traces', 'localhost'],
    ['/nothing', 'localhost'],
    ['/', 'evil.example'],
  ] as const) {
    const { headers } = await get(path, { host, origin: 'http://evil.example' })
    expect(headers).toMatchObject({
      'cache-control': 'no-store',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'cross-origin-resource-policy': 'same-origin',
      'x-content-type-options': 'nosniff',
    })
    expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([])
  }
})

test.each(['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'])(
  '%s is not for this API',
  async (method) => {
    const { status } = await get('/api/traces', {}, method)
    expect(status).toBe(405)
  },
)

describe('what changes something', () => {
  const post = (path: string, content: string, headers: Record<string, string> = {}) =>
    get(path, { 'content-type': 'application/json', ...headers }, 'POST', content)

  test.each([
    ['/api/dead/retry', 'retryDead'],
    ['/api/dead/drop', 'dropDead'],
    ['/api/replay', 'replay'],
  ])('at %s takes JSON by POST', async (path, name) => {
    const type = { 'content-type': 'Application/JSON; charset=utf-8' }
    const { status, body } = await post(path, '{"ids":["span:1"]}', type)
    expect([status, JSON.parse(body)]).toEqual([200, { name }])
    expect(changed).toEqual([[name, { ids: ['span:1'] }]])
  })

  test.each<[string, Record<string, string>, number, string]>([
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }, 415, 'not_json'],
    ['a page without leave', { 'content-type': 'text/plain;application/json' }, 415, 'not_json'],
    ['another type', { 'content-type': 'application/json-patch+json' }, 415, 'not_json'],
    ['nothing said', { 'content-type': '' }, 415, 'not_json'],
    ['a page of another site', { 'sec-fetch-site': 'cross-site' }, 403, 'cross_site'],
    ['a rebinding page', { host: 'evil.example' }, 421, 'host_not_allowed'],
  ])('is refused: %s', async (_, headers, status, code) => {
    const answer = await post('/api/dead/drop', '{"all":true}', headers)
    expect([answer.status, JSON.parse(answer.body).error.code]).toEqual([status, code])
    expect(changed).toEqual([])
  })

  test.each<[string, string, number, string]>([
    ['{"ids":', '/api/dead/drop', 400, 'bad_request'],
    ['', '/api/dead/drop', 400, 'bad_request'],
    ['{"ids":"wrong"}', '/api/dead/drop', 400, 'bad_request'],
    [`{"ids":"${'x'.repeat(600_000)}"}`, '/api/dead/drop', 413, 'too_large'],
    ['{}', '/api/dead/ls', 405, 'method_not_allowed'],
    ['{}', '/api/replay/', 405, 'method_not_allowed'],
  ])('tells what is wrong (%#)', async (content, path, status, code) => {
    const answer = await post(path, content)
    expect([answer.status, JSON.parse(answer.body).error.code]).toEqual([status, code])
  })

  test('asks for the token as well', async () => {
    await server.close()
    server = await open({ token: 'hunter2' })
    expect((await post('/api/dead/drop', '{}')).status).toBe(401)
    expect(changed).toEqual([])
    const authorization = 'Bearer hunter2'
    expect((await post('/api/dead/drop', '{}', { authorization })).status).toBe(200)
  })
})

describe('a token', () => {
  beforeEach(async () => {
    await server.close()
    server = await open({ token: 'hunter2' })
  })

  test('is asked for, /health excepted', async () => {
    expect((await get('/health')).status).toBe(200)
    for (const path of ['/api/traces', '/api/traces/ab', '/api/stats', '/metrics', '/nothing']) {
      const { status, headers, body } = await get(path)
      expect([path, status, headers['www-authenticate']]).toEqual([
        path,
        401,
        'Bearer realm="offpath"',
      ])
      expect(body).not.toContain('hunter2')
    }
  })

  test.each(['Bearer hunter', 'Bearer hunter22', 'hunter2', 'Basic hunter2', 'Bearer '])(
    '%j is refused',
    async (authorization) => {
      expect((await get('/api/stats', { authorization })).status).toBe(401)
    },
  )

  // RFC 9110, 11.1: the scheme's case does not matter.
  test.each(['Bearer', 'bearer', 'BEARER'])('opens the door with %s', async (scheme) => {
    expect((await get('/api/stats', { authorization: `${scheme} hunter2` })).status).toBe(200)
  })
})

describe('the API', () => {
  test('asks the store for what was meant', async () => {
    await get('/api/traces')
    await get('/api/traces?limit=5&before=12.3&service=a%20b&since=2026-01-01T00:00:00Z')
    await get('/api/traces/ABCDEF')
    await get('/api/dead')
    await get('/api/dead?limit=9&exporter=otlp&reason=too%20large')
    await get('/api/dead/score:7')
    expect(asked).toEqual([
      { type: 'traces', limit: 50, before: undefined, service: undefined, since: undefined },
      { type: 'traces', limit: 5, before: '12.3', service: 'a b', since: Date.UTC(2026, 0) },
      { type: 'trace', id: 'abcdef' },
      { type: 'dead', limit: 50, exporter: undefined, reason: undefined },
      { type: 'dead', limit: 9, exporter: 'otlp', reason: 'too large' },
      { type: 'deadLetter', key: { what: 'score', id: 7 } },
    ])
  })

  test.each([
    '/api/traces?limit=0',
    '/api/traces?limit=501',
    '/api/traces?limit=-1',
    '/api/traces?limit=1e2',
    `/api/traces?service=${'x'.repeat(201)}`,
    '/api/traces/xyz',
    `/api/traces/${'a'.repeat(33)}`,
    '/api/traces/..%2f..%2fetc',
    '/api/dead/12',
    '/api/dead/trace:1',
    '/api/dead?since=1h',
  ])('refuses %s', async (path) => {
    const { status, body } = await get(path)
    expect([status, JSON.parse(body).error.code]).toEqual([400, 'bad_request'])
    expect(asked).toEqual([])
  })

  test.each([
    ['before=zzz', 'before: "zzz" is not "next" of the page before'],
    ['before=12', 'before: "12" is not "next" of the page before'],
    ['since=yesterday', 'since: "yesterday" is not a duration such as 10m or an ISO time'],
    ['since=5', 'since: "5" is not a duration such as 10m or an ISO time'],
    ['limit=x', 'limit: "x" is not a whole number from 1 to 500'],
    ['limit=1&limit=2', 'limit is given more than once'],
    [
      'limt=2',
      '"limt" is not a parameter (did you mean limit?); there are limit, before, service, since',
    ],
  ])('says what is wrong with ?%s', async (parameters, message) => {
    const { status, body } = await get(`/api/traces?${parameters}`)
    expect([status, JSON.parse(body)]).toEqual([400, { error: { code: 'bad_request', message } }])
    expect(asked).toEqual([])
  })

  test('answers stats, health and metrics', async () => {
    expect(JSON.parse((await get('/api/stats')).body)).toEqual({ exporters: [] })
    expect(JSON.parse((await get('/health')).body)).toEqual({ ok: true })
    expect((await get('/metrics')).body).toBe('offpath_up 1\n')
  })

  test('says 500 without its reasons when it fails', async () => {
    await server.close()
    const errors: Error[] = []
    server = await open({
      stats: async () => {
        throw new Error('secret')
      },
      onError: (error) => errors.push(error),
    })
    const { status, body } = await get('/api/stats')
    expect(status).toBe(500)
    expect(body).not.toContain('secret')
    expect(errors.map(({ message }) => message)).toEqual(['secret'])
  })
})

test('a taken port is told in one line that names the flag', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  const app = createApp({ operations: {}, otlp: '', imports: jsonAnswer(404, {}) } as ApiSources)
  await expect(
    listen(app, { host: '127.0.0.1', port, allowedHosts: [], onError: () => {} }),
  ).rejects.toMatchObject({
    code: 'OFFPATH_PORT_TAKEN',
    message: `port ${port} of 127.0.0.1 is taken; choose another one with --http-port (0: any free one)`,
  })
  other.close()
})

test('close ends kept connections', async () => {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
  socket.write('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await once(socket, 'data')
  const ended = once(socket, 'close')
  await server.close()
  await ended
  server = await open({})
})
