import { readFileSync } from 'node:fs'
import { FIELD, START_FLAG } from '@offpath/sdk/spool-format'
import { afterEach, describe, expect, it } from 'vitest'
import { decodeSpans } from '../../../../test/langfuse-server/decode.ts'
import type { Attributes } from '../../../../test/langfuse-server/types.ts'
import type { StoredSpan } from '../store/span.ts'
import { langfuseExporter, otlpExporter } from './exporters.ts'
import { field, json, load, makeSpan, resource, startFakeClock, text } from './fixtures.ts'
import { type Harness, startHarness } from './harness.ts'
import { javascript5 } from './langfuse.ts'
import { createEncoder } from './otlp.ts'

const encoder = createEncoder({ dialect: javascript5, load, maxSpanBytes: 1e6 })

const KEYED: readonly number[] = [FIELD.metadata, FIELD.traceMetadata, FIELD.attribute]

function keyFor(number: number): string | undefined {
  return KEYED.includes(number) ? 'k' : undefined
}

function attributesOf(over: Partial<StoredSpan>): Attributes {
  const body = encoder.encode([makeSpan({ fields: [], ...over })])
  return decodeSpans(body, 'application/x-protobuf', '', 1)[0]!.attributes
}

describe('attributes of the JavaScript SDK 5', () => {
  it('is what a generation says', () => {
    const instant = { type: 'json', parts: [Buffer.from('"2026-11-24T10:00:00.000Z"')] } as const
    const fields = [
      field(FIELD.input, json([{ role: 'user', content: 'Chào “bạn”' }])),
      field(FIELD.output, text('')),
      field(FIELD.metadata, text('a'), 'route'),
      field(FIELD.metadata, text(''), 'empty'),
      field(FIELD.metadata, json(null), 'none'),
      field(FIELD.metadata, { type: 'int', value: 0 }, 'retries'),
      field(FIELD.metadata, { type: 'double', value: Number.NaN }, 'ratio'),
      field(FIELD.metadata, { type: 'bool', value: false }, 'cached'),
      field(FIELD.metadata, json({ b: [1] }), 'deep'),
      field(FIELD.completionStartTime, { ...instant, length: 26 }),
      field(FIELD.model, text('qwen')),
      field(FIELD.modelParameters, json({ temperature: 0.5 })),
      field(FIELD.usageDetails, json({ input: 3, output: 5 })),
      field(FIELD.promptName, text('greeting')),
      field(FIELD.promptVersion, { type: 'int', value: 3 }),
      field(FIELD.userId, text('u1')),
      field(FIELD.sessionId, text('s1')),
      field(FIELD.tags, { type: 'strings', values: ['x', 'ý'] }),
      field(FIELD.traceMetadata, text(''), 'k'),
      field(FIELD.tracePublic, { type: 'bool', value: true }),
    ]
    expect(attributesOf({ fields, startFlags: START_FLAG.appRoot })).toEqual({
      'langfuse.environment': 'staging',
      'langfuse.release': 'v1.2',
      'langfuse.internal.is_app_root': true,
      'langfuse.observation.type': 'generation',
      'langfuse.observation.input': '[{"role":"user","content":"Chào “bạn”"}]',
      'langfuse.observation.output': '',
      'langfuse.observation.metadata.route': 'a',
      'langfuse.observation.metadata.retries': '0',
      'langfuse.observation.metadata.ratio': 'null',
      'langfuse.observation.metadata.cached': 'false',
      'langfuse.observation.metadata.deep': '{"b":[1]}',
      'langfuse.observation.completion_start_time': '"2026-11-24T10:00:00.000Z"',
      'langfuse.observation.model.name': 'qwen',
      'langfuse.observation.model.parameters': '{"temperature":0.5}',
      'langfuse.observation.usage_details': '{"input":3,"output":5}',
      'langfuse.observation.prompt.name': 'greeting',
      'langfuse.observation.prompt.version': 3n,
      'user.id': 'u1',
      'session.id': 's1',
      'langfuse.trace.tags': ['x', 'ý'],
      'langfuse.trace.metadata.k': '',
      'langfuse.trace.public': true,
    })
  })

  it('is in the documentation, name by name', () => {
    const document = readFileSync(
      new URL('../../../../docs/langfuse-compatibility.md', import.meta.url),
      'utf8',
    )
    const everything = attributesOf({
      fields: Object.values(FIELD).map((number) => field(number, text('x'), keyFor(number))),
      startFlags: START_FLAG.appRoot | START_FLAG.asRoot,
      interrupted: true,
    })
    expect(Object.keys(everything).length).toBeGreaterThan(28)
    for (const name of Object.keys(everything)) {
      // `a.b`, or `a.{key}`, or a second one of its family: `.b`.
      const forms = [
        name,
        name.replace(/\.k$/, '.{key}'),
        name.replace(/^langfuse\.observation/, ''),
      ]
      if (name !== 'k') expect(forms.some((form) => document.includes(`\`${form}\``))).toBe(true)
    }
  })

  it("lets an observation's own environment win over its process's", () => {
    const fields = [field(FIELD.environment, text('production'))]
    expect(attributesOf({ fields })['langfuse.environment']).toBe('production')
  })

  it('marks an interrupted observation, and leaves its own word standing', () => {
    expect(attributesOf({ interrupted: true })).toMatchObject({
      'langfuse.observation.level': 'WARNING',
      'langfuse.observation.status_message': 'Interrupted: its process ended before it did',
      'langfuse.observation.metadata.offpath_interrupted': 'true',
      'offpath.interrupted': true,
    })
    const fields = [field(FIELD.level, text('ERROR')), field(FIELD.statusMessage, text('upstream'))]
    expect(attributesOf({ interrupted: true, fields })).toMatchObject({
      'langfuse.observation.level': 'ERROR',
      'langfuse.observation.status_message': 'upstream',
    })
    const debug = [field(FIELD.level, text('DEBUG'))]
    expect(attributesOf({ interrupted: true, fields: debug })).toMatchObject({
      'langfuse.observation.level': 'WARNING',
    })
  })

  it('lets an attribute that was set by its name win over a field', () => {
    const fields = [
      field(FIELD.attribute, text('agent'), 'langfuse.observation.type'),
      field(FIELD.attribute, text('me'), 'user.id'),
      field(FIELD.userId, text('u1')),
      field(FIELD.attribute, json([1, 2.5]), 'numbers'),
    ]
    expect(attributesOf({ fields })).toMatchObject({
      'langfuse.observation.type': 'agent',
      'user.id': 'me',
      numbers: [1n, 2.5],
    })
  })

  it('gives a foreign span no type, and its scope back', () => {
    const scope = { name: 'ai', version: '5.0', attributes: {} }
    const body = encoder.encode([
      makeSpan({ scope, type: 0 }),
      makeSpan({ scope: { ...scope }, type: 0 }),
      makeSpan(),
    ])
    const spans = decodeSpans(body, 'application/x-protobuf', '', 1)
    expect(spans.map((span) => span.scope.name)).toEqual(['ai', 'ai', 'langfuse-sdk'])
    expect(spans[0]!.attributes).not.toHaveProperty('langfuse.observation.type')
  })

  it('names service, SDK and process in the resource', () => {
    expect(javascript5.resourceAttributes({ ...resource, service: null })).toEqual({
      'service.name': 'unknown_service:node',
      'telemetry.sdk.language': 'nodejs',
      'telemetry.sdk.name': 'offpath',
      'telemetry.sdk.version': '0.1.0',
      'host.name': 'host-a',
      'process.pid': 42,
      'deployment.zone': 'a',
    })
  })
})

describe('endpoints', () => {
  const keys = { publicKey: 'pk-lf-1', secretKey: 'sk-lf-1' }

  it.each([
    ['https://cloud.langfuse.com', 'https://cloud.langfuse.com/api/public/otel/v1/traces'],
    ['https://example.com/langfuse//', 'https://example.com/langfuse/api/public/otel/v1/traces'],
  ])('of Langfuse at %s is %s', (base, url) => {
    const exporter = langfuseExporter({ baseUrl: new URL(base), keys, projects: {} })
    expect(exporter.url.href).toBe(url)
  })

  it.each([
    ['http://localhost:4318', 'http://localhost:4318/v1/traces'],
    ['http://localhost:4318/', 'http://localhost:4318/v1/traces'],
    ['https://example.com/otlp?key=1', 'https://example.com/otlp?key=1'],
  ])('of OTLP at %s is %s', (from, url) => {
    expect(otlpExporter({ url: new URL(from), headers: {} }).url.href).toBe(url)
  })

  it('gets the headers of the SDK whose dialect it gets', () => {
    const exporter = langfuseExporter({
      baseUrl: new URL('http://x'),
      keys,
      projects: { other: { publicKey: 'pk-2', secretKey: 'sk-2' } },
    })
    expect(exporter.headersOf(exporter.laneOf(makeSpan()))).toEqual({
      'content-type': 'application/x-protobuf',
      authorization: `Basic ${btoa('pk-lf-1:sk-lf-1')}`,
      'x-langfuse-sdk-name': 'javascript',
      'x-langfuse-sdk-version': '5.11.1',
      'x-langfuse-public-key': 'pk-lf-1',
      'x-langfuse-ingestion-version': '4',
    })
    expect(exporter.headersOf(exporter.laneOf(makeSpan({ project: 'other' })))).toMatchObject({
      'x-langfuse-public-key': 'pk-2',
    })
    expect(exporter.headersOf(exporter.laneOf(makeSpan({ project: 'unknown' })))).toBeNull()
  })
})

describe('several projects', () => {
  let harness: Harness
  let clock: ReturnType<typeof startFakeClock>
  afterEach(async () => {
    await harness.close()
    clock.stop()
  })

  async function start(known: Record<string, string>): Promise<Harness> {
    clock = startFakeClock(0)
    harness = await startHarness({
      exporterOf: (server) =>
        langfuseExporter({
          baseUrl: new URL(server.url),
          keys: { publicKey: 'pk-0', secretKey: 'sk-0' },
          projects: {
            a: { publicKey: 'pk-a', secretKey: 'sk-a' },
            b: { publicKey: 'pk-b', secretKey: 'sk-b' },
          },
        }),
      server: { projects: known },
      delivery: { clock, requestBytes: 10_000, random: Math.random },
    })
    return harness
  }

  /** Spans of projects in turn. */
  const mixed = (count: number, ...projects: (string | null)[]): StoredSpan[] =>
    Array.from({ length: count }, (_, i) => makeSpan({ project: projects[i % projects.length]! }))

  it('get their own requests, with their own keys', async () => {
    const { commit, held, server, law } = await start({
      'pk-0': 'sk-0',
      'pk-a': 'sk-a',
      'pk-b': 'sk-b',
    })
    commit(mixed(30, null, 'a', 'b'))
    await held(0)
    for (const key of ['pk-0', 'pk-a', 'pk-b']) expect(server.spans(key)).toHaveLength(10)
    expect(law()).toMatchObject({ delivered: 30 })
  })

  it('do not wait for one whose keys are refused, and it gets its own when they are right', async () => {
    const { commit, held, server, law, delivery } = await start({ 'pk-0': 'sk-0', 'pk-a': 'sk-a' })
    for (let i = 0; i < 20; i++) commit(mixed(90, null, 'a', 'b'))
    await held(600)
    expect(law()).toMatchObject({ delivered: 1200, held: 600 })
    expect(delivery.status()).toMatchObject({ state: 'unauthorized' })
    expect(delivery.status().lanes).toMatchObject([
      { project: '', state: 'ok' },
      { project: 'a', state: 'ok' },
      { project: 'b', state: 'unauthorized', message: expect.stringContaining('401') },
    ])
    server.projects.set('pk-b', 'sk-b')
    commit(mixed(9, null, 'a', 'b'))
    await held(0)
    expect(server.spans('pk-b')).toHaveLength(603)
    expect(server.duplicates).toEqual({ identical: 0, changed: 0 })
    expect(law()).toMatchObject({ delivered: 1809 })
  })

  it('keep what has no keys, without holding up the others, until there are some', async () => {
    const { commit, held, law, delivery, server, restart } = await start({ 'pk-0': 'sk-0' })
    commit(mixed(20, 'unknown', null))
    await held(10)
    expect(delivery.status()).toMatchObject({
      state: 'no-keys',
      message: 'no keys for the project "unknown"',
    })
    await delivery.stop(1000)
    server.projects.set('pk-u', 'sk-u')
    const unknown = { publicKey: 'pk-u', secretKey: 'sk-u' }
    restart({
      exporter: langfuseExporter({
        baseUrl: new URL(server.url),
        keys: null,
        projects: { unknown },
      }),
    })
    await held(0)
    expect(server.duplicates).toEqual({ identical: 0, changed: 0 })
    expect(law()).toMatchObject({ delivered: 20 })
  })

  it('get what is sent again to them while they are full, also from before what waits for them', async () => {
    const known = { 'pk-0': 'sk-0', 'pk-b': 'sk-b' }
    const { commit, held, server, law, delivery, again } = await start(known)
    commit(mixed(30, null, 'b'))
    await held(0)
    server.projects.delete('pk-b')
    for (let i = 0; i < 20; i++) commit(mixed(90, null, 'b'))
    await held(900)
    expect(again(1, ...Array.from({ length: 15 }, (_, i) => 2 * i + 1))).toBe(15)
    // The chunk is looked at, and the lane takes nothing of it.
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(delivery.status().lanes).toMatchObject([{ state: 'ok' }, { state: 'unauthorized' }])
    server.projects.set('pk-b', 'sk-b')
    await held(0)
    expect(law()).toMatchObject({ delivered: 1830, resent: 15 })
    expect(server.duplicates).toEqual({ identical: 15, changed: 0 })
  })

  it('lose nothing that waits for the first time to what is sent again', async () => {
    const { commit, held, law, store, lines, restart } = await start({ 'pk-0': 'sk-0' })
    commit(mixed(1, 'unknown'))
    commit(mixed(3, null))
    await held(1)
    await harness.delivery.stop(1000)
    const [oldest] = store.nextChunks('langfuse', 0, 1)
    expect(store.sendAgain('langfuse', new Map([[2, [0, 1, 2]]])).spans).toBe(3)
    // It looks at its backlog before it reads from it.
    restart({ backlogBytes: oldest!.expandedBytes })
    await held(1)
    expect(law()).toMatchObject({ delivered: 3, dropped: 0, held: 1, resent: 0, notResent: 3 })
    expect(lines.join()).toContain('backlog full: the oldest spans were dropped')
  })
})
