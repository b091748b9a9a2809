// A relay that receives, from clients that are not ours, and from what is no client.
import { once } from 'node:events'
import { request } from 'node:http'
import { gzipSync } from 'node:zlib'
import { LangfuseSpanProcessor } from '@langfuse/otel'
import { setLangfuseTracerProvider, startObservation } from '@langfuse/tracing'
import { SpanStatusCode } from '@opentelemetry/api'
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startLangfuseServer } from '../../../../../test/langfuse-server/server.ts'
import type { LangfuseServer } from '../../../../../test/langfuse-server/types.ts'
import { deliveringTo, type Sandbox, sandbox } from '../../cli/cli.fixture.ts'
import { loadConfig } from '../../config/config.ts'
import type { OptionName } from '../../config/options.ts'
import { load, makeSpan } from '../../export/fixtures.ts'
import { javascript5 } from '../../export/langfuse.ts'
import { createEncoder } from '../../export/otlp.ts'
import type { Trace, TraceList } from '../../http/shapes.ts'
import type { Stats } from '../../http/stats.ts'
import { createLog } from '../../log.ts'
import { toJson } from '../../otlp/to-json.ts'
import { openRelay, type Relay } from '../../relay.ts'
import type { StoredSpan } from '../../store/span.ts'
import { crashAt } from '../../testing/crash-at.ts'

const encoder = createEncoder({ dialect: javascript5, load, maxSpanBytes: 2 ** 26 })
const PROTOBUF = { 'content-type': 'application/x-protobuf' }
const JSON_TYPE = { 'content-type': 'application/json' }

let box: Sandbox
let relay: Relay
let server: LangfuseServer | undefined

beforeEach(() => {
  box = sandbox()
})
afterEach(async () => {
  await relay?.close()
  await server?.close()
  server = undefined
  box.remove()
})

async function start(
  flags: Partial<Record<OptionName, string>> = {},
  env: Record<string, string> = {},
): Promise<void> {
  const given = Object.entries({ 'otlp.receive': 'true', ...flags }) as [OptionName, string][]
  const all = { ...box.env, ...env }
  const { config } = loadConfig({ flags: new Map(given), env: all, cwd: box.dir })
  relay = await openRelay(
    config,
    createLog(() => {}, 'error'),
  )
}

async function post(
  body: Uint8Array,
  headers: Record<string, string> = PROTOBUF,
  path = '/v1/traces',
): Promise<{
  status: number
  type: string | undefined
  retryAfter: string | undefined
  body: Buffer
}> {
  const { port } = new URL(relay.url)
  const sent = request({ host: '127.0.0.1', port, path, method: 'POST', headers, agent: false })
  // One that is refused unread is closed while it is still being sent.
  sent.on('error', () => {})
  sent.end(body)
  const [response] = await once(sent, 'response')
  const { 'content-type': type, 'retry-after': retryAfter } = response.headers
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk)
  return { status: response.statusCode, type, retryAfter, body: Buffer.concat(chunks) }
}

async function get<T>(path: string): Promise<T> {
  return (await (await fetch(relay.url + path)).json()) as T
}

async function metric(name: string): Promise<string[]> {
  const lines = (await (await fetch(`${relay.url}/metrics`)).text()).split('\n')
  return lines.filter((line) => line.startsWith(name) && !line.endsWith(' 0'))
}

const spanNow = () => {
  const now = Math.floor(Date.now() / 1000)
  return makeSpan({ startSeconds: now - 1, endSeconds: now })
}

describe.each([
  ['protobuf', ProtobufExporter],
  ['JSON', JsonExporter],
] as const)('OpenTelemetry with %s', (_, Exporter) => {
  test('hands over, also with gzip, and its spans are stored and delivered as they were', async () => {
    server = await startLangfuseServer()
    await start({ 'otlp.url': server.otlpUrl })
    const exporter = new Exporter({ url: `${relay.url}/v1/traces`, compression: 'gzip' as never })
    const provider = new NodeTracerProvider({
      resource: resourceFromAttributes({
        'service.name': 'shop',
        'host.name': 'h',
        'process.pid': 7,
      }),
      spanProcessors: [new BatchSpanProcessor(exporter)],
    })
    const tracer = provider.getTracer('my-app', '1.2')
    const root = tracer.startSpan('checkout', { attributes: { 'http.status': 200, ratio: 0.5 } })
    root.setAttribute('list', ['a', 'b'])
    root.addEvent('paid', { amount: 3 })
    root.setStatus({ code: SpanStatusCode.ERROR, message: 'declined' })
    root.end()
    await provider.forceFlush()

    const { traces } = await get<TraceList>('/api/traces')
    expect(traces).toMatchObject([{ name: 'checkout', service: 'shop', errors: 1, complete: true }])
    const { observations } = await get<Trace>(`/api/traces/${traces[0]!.id}`)
    expect(observations).toMatchObject([
      {
        name: 'checkout',
        level: 'ERROR',
        statusMessage: 'declined',
        attributes: { 'http.status': 200, ratio: 0.5, list: ['a', 'b'] },
        events: [{ name: 'paid', attributes: { amount: 3 } }],
      },
    ])
    const [sent] = await server.waitForSpans(1)
    expect(sent).toMatchObject({
      name: 'checkout',
      attributes: { 'http.status': 200n, ratio: 0.5, list: ['a', 'b'] },
      scope: { name: 'my-app', version: '1.2' },
      resource: { attributes: { 'service.name': 'shop' } },
    })
    expect(Object.keys(sent!.attributes).filter((name) => name.startsWith('langfuse'))).toEqual([])
    await provider.shutdown()
  })
})

test("Langfuse's SDK needs another base URL and nothing else, and its project is found by its key", async () => {
  server = await startLangfuseServer({ projects: { 'pk-lf-search': 'sk-lf-search' } })
  await start(
    { 'http.token': 'sk-lf-token' },
    { ...deliveringTo(server), OFFPATH_LANGFUSE_PROJECTS: 'search=pk-lf-search:sk-lf-search' },
  )
  const processor = new LangfuseSpanProcessor({
    baseUrl: relay.url,
    publicKey: 'pk-lf-search',
    secretKey: 'sk-lf-token',
    exportMode: 'immediate',
  })
  const provider = new NodeTracerProvider({ spanProcessors: [processor] })
  setLangfuseTracerProvider(provider)
  const attributes = { model: 'qwen3', input: [{ role: 'user', content: 'Hi' }], output: 'Hello' }
  startObservation('answer', attributes, { asType: 'generation' }).end()
  await provider.forceFlush()
  const [sent] = await server.waitForSpans(1)
  expect(sent!.attributes).toMatchObject({
    'langfuse.observation.type': 'generation',
    'langfuse.observation.output': 'Hello',
  })
  expect(server.requests.map(({ headers }) => headers['x-langfuse-public-key'])).toEqual([
    'pk-lf-search',
  ])
  setLangfuseTracerProvider(null)
  await provider.shutdown()
})

describe('a span that comes again', () => {
  const observations = async () => (await get<Stats>('/api/stats')).accepted

  test('is stored once, and a changed one is its next version, also after a restart', async () => {
    server = await startLangfuseServer()
    const flags = { 'otlp.url': server.otlpUrl }
    await start(flags)
    const span = spanNow()
    const body = encoder.encode([span, span])
    for (let i = 0; i < 2; i++) expect((await post(body)).status).toBe(200)
    expect(await observations()).toBe(1)
    expect(await metric('offpath_receiver_known_spans_total')).toEqual([
      'offpath_receiver_known_spans_total{receiver="otlp"} 3',
    ])
    await relay.close()

    await start(flags)
    expect((await post(body)).status).toBe(200)
    const changed = encoder.encode([{ ...span, name: 'other', statusCode: 2 }])
    expect((await post(changed)).status).toBe(200)
    const { traces } = await get<TraceList>('/api/traces')
    expect(traces).toMatchObject([{ observations: 1, interrupted: 0, errors: 1, name: 'other' }])
    await relay.drain(5000)
    const { exporters, accepted } = await relay.stats()
    expect(accepted).toBe(1)
    expect(exporters).toMatchObject([{ accepted: 1, delivered: 1, resent: 1, held: 0 }])
  })
})

describe('a relay that is killed', { timeout: 60_000 }, () => {
  const send = (to: string, span: StoredSpan): Promise<Response> =>
    fetch(`${to}/v1/traces`, {
      method: 'POST',
      headers: PROTOBUF,
      body: new Uint8Array(encoder.encode([span])),
    })
  const up = async () => {
    const child = box.start('up', '--json', '--otlp-receive', 'true')
    return { child, url: (JSON.parse(await child.line()) as { url: string }).url }
  }
  const stored = async () => {
    const { traces } = await get<TraceList>('/api/traces')
    return traces.map(({ observations }) => observations)
  }

  test('has what it answered', async () => {
    const span = spanNow()
    const { child, url } = await up()
    expect((await send(url, span)).status).toBe(200)
    await child.end('SIGKILL')
    await start()
    expect(await stored()).toEqual([1])
    expect((await send(relay.url, span)).status).toBe(200)
    expect(await stored()).toEqual([1])
    expect(await relay.stats()).toMatchObject({ accepted: 1, open: 0 })
  })

  test('has nothing of what it did not, and takes it when it comes again', async () => {
    const span = spanNow()
    Object.assign(box.env, crashAt('commit'))
    const { child, url } = await up()
    await expect(send(url, span)).rejects.toThrow()
    await child.end()
    await start()
    expect(await stored()).toEqual([])
    expect((await send(relay.url, span)).status).toBe(200)
    expect(await stored()).toEqual([1])
  })
})

test('no page imports, and what is not meant is told', async () => {
  await start()
  const line = Buffer.from(JSON.stringify(toJson(encoder.encode([spanNow()]))))
  const ndjson = { 'content-type': 'application/x-ndjson' }
  const statusOf = async (headers: Record<string, string>, query = '') =>
    (await post(line, headers, `/api/import${query}`)).status
  expect(await statusOf({ 'content-type': 'text/plain' })).toBe(415)
  expect(await statusOf({ ...ndjson, origin: 'https://evil.example' })).toBe(403)
  expect(await statusOf({ ...ndjson, 'sec-fetch-site': 'cross-site' })).toBe(403)
  expect(await statusOf(ndjson, '?deliver=perhaps')).toBe(400)
  expect((await relay.stats()).accepted).toBe(0)
  const { body } = await post(line, ndjson, '/api/import')
  expect(JSON.parse(body.toString())).toMatchObject({ lines: 1, spans: 1, known: 0, problems: [] })
})

test('lines have no more parts together than a request, however small they are', async () => {
  await start()
  const ndjson = { 'content-type': 'application/x-ndjson', 'content-encoding': 'gzip' }
  const spans = `{"resourceSpans":[{"scopeSpans":[{"spans":[${'{},'.repeat(999)}{}]}]}]}\n`
  for (const lines of [spans.repeat(51), '\n'.repeat(2_100_000)]) {
    const { status, body } = await post(gzipSync(lines), ndjson, '/api/import')
    expect([status, JSON.parse(body.toString()).error.code]).toEqual([413, 'too_large'])
  }
})

describe('an answer', () => {
  beforeEach(() => start())

  test('says how many spans were rejected and why, in the encoding of the request', async () => {
    const bad = { ...spanNow(), spanId: Buffer.alloc(8) }
    const bytes = encoder.encode([spanNow(), bad])
    const json = await post(Buffer.from(JSON.stringify(toJson(bytes))), JSON_TYPE)
    expect(json).toMatchObject({ status: 200, type: 'application/json' })
    expect(JSON.parse(json.body.toString())).toEqual({
      partialSuccess: { rejectedSpans: '1', errorMessage: expect.stringContaining('span id') },
    })
    const protobuf = await post(bytes)
    expect(protobuf).toMatchObject({ status: 200, type: 'application/x-protobuf' })
    expect(protobuf.body.subarray(2, 4)).toEqual(Buffer.from([0x08, 0x01]))
    expect(await metric('offpath_receiver_rejected_spans_total')).toEqual([
      'offpath_receiver_rejected_spans_total{receiver="otlp",reason="invalid_id"} 2',
    ])
  })

  test('to what is all good is empty', async () => {
    const { status, body } = await post(encoder.encode([spanNow()]))
    expect([status, body.length]).toEqual([200, 0])
    const nothing = await post(Buffer.from('{}'), JSON_TYPE)
    expect([nothing.status, nothing.body.toString()]).toEqual([200, '{}'])
  })

  const bomb = (): Buffer => gzipSync(Buffer.alloc(65 * 1024 * 1024))
  const faults: [string, number, () => Buffer, Record<string, string>][] = [
    ['broken protobuf', 400, () => Buffer.from('hello'), PROTOBUF],
    ['broken JSON', 400, () => Buffer.from('{"resource'), JSON_TYPE],
    [
      'what is no gzip',
      400,
      () => Buffer.from('hello'),
      { ...PROTOBUF, 'content-encoding': 'gzip' },
    ],
    ['another encoding', 415, () => Buffer.from(''), { ...PROTOBUF, 'content-encoding': 'br' }],
    ['a bomb', 413, bomb, { ...PROTOBUF, 'content-encoding': 'gzip' }],
    ['too long a body', 413, () => Buffer.alloc(0), { ...PROTOBUF, 'content-length': '99999999' }],
    ['another type', 415, () => Buffer.from('x'), { 'content-type': 'text/plain' }],
    [
      'a form',
      415,
      () => Buffer.from('x'),
      { 'content-type': 'application/x-www-form-urlencoded' },
    ],
    [
      'a page of another site',
      403,
      () => Buffer.from('{}'),
      { ...JSON_TYPE, 'sec-fetch-site': 'cross-site' },
    ],
    [
      'a page of another port',
      403,
      () => Buffer.from('{}'),
      { ...JSON_TYPE, origin: 'http://localhost:3000' },
    ],
    ['a rebinding page', 421, () => Buffer.from('{}'), { ...JSON_TYPE, host: 'evil.example' }],
  ]

  test('to what cannot be taken is no reason to send it again', async () => {
    for (const [what, status, body, headers] of faults) {
      const answer = await post(body(), headers)
      expect([what, answer.status, answer.retryAfter]).toEqual([what, status, undefined])
    }
    expect((await get<Stats>('/api/stats')).accepted).toBe(0)
  })

  test('to the question of a browser is no leave', async () => {
    const answer = await fetch(`${relay.url}/v1/traces`, { method: 'OPTIONS' })
    expect(answer.status).toBe(405)
    expect(answer.headers.get('access-control-allow-origin')).toBeNull()
  })
})

test('without otlp.receive nothing is received, and the option is named', async () => {
  await start({ 'otlp.receive': 'false' })
  const { status, body } = await post(Buffer.from('{}'), JSON_TYPE)
  expect(status).toBe(404)
  expect(body.toString()).toContain('otlp.receive')
})

test('a token is asked for, as Bearer or as the secret key of Basic', async () => {
  await start({ 'http.token': 'hunter2' })
  const basic = (text: string) => ({
    authorization: `Basic ${Buffer.from(text).toString('base64')}`,
  })
  const tries: [Record<string, string>, number][] = [
    [{}, 401],
    [basic('pk:hunter3'), 401],
    [basic('hunter2'), 401],
    [basic('pk:hunter2'), 200],
    [{ authorization: 'Bearer hunter2' }, 200],
  ]
  for (const [headers, status] of tries) {
    expect((await post(Buffer.from('{}'), { ...JSON_TYPE, ...headers })).status).toBe(status)
  }
})

test('what the store or the backlog has no room for is to be sent again later', async () => {
  server = await startLangfuseServer({ faults: () => ({ type: 'status', status: 503 }) as never })
  await start({ 'otlp.url': server.otlpUrl, 'export.backlog-cap': '1KB' })
  expect((await post(encoder.encode([spanNow(), spanNow(), spanNow(), spanNow()]))).status).toBe(
    200,
  )
  const refused = await post(encoder.encode([spanNow()]))
  expect(refused).toMatchObject({ status: 429, retryAfter: '5' })
  expect(refused.body.toString()).toContain('export.backlog-cap')
  expect(await metric('offpath_receiver_refused_requests_total')).toEqual([
    'offpath_receiver_refused_requests_total{reason="backlog"} 1',
  ])
  const ndjson = { 'content-type': 'application/x-ndjson' }
  const busy = await post(Buffer.from('{}\n'), ndjson, '/api/import?deliver=true')
  expect(busy).toMatchObject({ status: 429, retryAfter: '1' })
  expect(JSON.parse(busy.body.toString()).error.code).toBe('busy')
})
