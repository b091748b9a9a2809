import { LangfuseSpanProcessor } from '@langfuse/otel'
import { context, SpanKind, SpanStatusCode, type Tracer, trace } from '@opentelemetry/api'
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace-base'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startLangfuseServer } from './server.ts'
import type { LangfuseServer } from './types.ts'

// The enum is exported by a package that is not ours to import.
const gzip = 'gzip' as unknown as CompressionAlgorithm
type CompressionAlgorithm = NonNullable<
  NonNullable<ConstructorParameters<typeof ProtobufExporter>[0]>['compression']
>

let server: LangfuseServer
beforeEach(async () => {
  server = await startLangfuseServer({ projects: { pk: 'sk', other: 'secret' } })
})
afterEach(() => server.close())

const basic = (publicKey: string, secretKey: string): { authorization: string } => ({
  authorization: `Basic ${Buffer.from(`${publicKey}:${secretKey}`).toString('base64')}`,
})

async function record(processor: SpanProcessor, body: (tracer: Tracer) => void): Promise<void> {
  const provider = new BasicTracerProvider({
    spanProcessors: [processor],
    resource: resourceFromAttributes({ 'service.name': 'svc', replicas: 3 }),
  })
  body(provider.getTracer('my-scope', '1.2.3'))
  await provider.forceFlush()
  await provider.shutdown()
}

function oneRichSpan(tracer: Tracer): void {
  const remote = {
    traceId: 'ab'.repeat(16),
    spanId: 'cd'.repeat(8),
    traceFlags: 1,
    isRemote: true,
  }
  const span = tracer.startSpan(
    'Tiếng Việt 😀',
    {
      kind: SpanKind.CLIENT,
      startTime: [1_700_000_000, 123_456_789],
      links: [{ context: { ...remote, traceFlags: 0 }, attributes: { why: 'because' } }],
      attributes: {
        text: 'é "quoted"',
        int: 9_007_199_254_740_991,
        negative: -5,
        double: 0.1,
        yes: true,
        no: false,
        list: ['a', 'b'],
        numbers: [1, 2.5],
        empty: '',
      },
    },
    trace.setSpanContext(context.active(), remote),
  )
  span.addEvent('first', { n: 1 }, [1_700_000_000, 200_000_000])
  span.setStatus({ code: SpanStatusCode.ERROR, message: 'broke' })
  span.end([1_700_000_001, 5])
}

for (const [name, exporter] of [
  [
    'protobuf',
    () =>
      new ProtobufExporter({
        url: `${server.url}/api/public/otel/v1/traces`,
        headers: basic('pk', 'sk'),
      }),
  ],
  [
    'gzipped protobuf',
    () =>
      new ProtobufExporter({
        url: `${server.url}/api/public/otel/v1/traces`,
        headers: basic('pk', 'sk'),
        compression: gzip,
      }),
  ],
  [
    'JSON',
    () =>
      new JsonExporter({
        url: `${server.url}/api/public/otel/v1/traces`,
        headers: basic('pk', 'sk'),
      }),
  ],
] as const) {
  test(`OpenTelemetry's ${name} exporter: a span arrives whole, its types kept`, async () => {
    await record(new BatchSpanProcessor(exporter()), oneRichSpan)
    const [span, ...rest] = await server.waitForSpans(1)
    expect(rest).toEqual([])
    expect(span).toEqual({
      traceId: 'ab'.repeat(16),
      spanId: expect.stringMatching(/^[0-9a-f]{16}$/),
      parentSpanId: 'cd'.repeat(8),
      traceState: '',
      flags: 0x301,
      name: 'Tiếng Việt 😀',
      kind: 3,
      startTimeUnixNano: 1_700_000_000_123_456_789n,
      endTimeUnixNano: 1_700_000_001_000_000_005n,
      status: { code: 2, message: 'broke' },
      attributes: {
        text: 'é "quoted"',
        int: 9_007_199_254_740_991n,
        negative: -5n,
        double: 0.1,
        yes: true,
        no: false,
        list: ['a', 'b'],
        numbers: [1n, 2.5],
        empty: '',
      },
      events: [
        {
          name: 'first',
          timeUnixNano: 1_700_000_000_200_000_000n,
          attributes: { n: 1n },
          droppedAttributesCount: 0,
        },
      ],
      links: [
        {
          traceId: 'ab'.repeat(16),
          spanId: 'cd'.repeat(8),
          traceState: '',
          flags: 0x300,
          attributes: { why: 'because' },
          droppedAttributesCount: 0,
        },
      ],
      droppedAttributesCount: 0,
      droppedEventsCount: 0,
      droppedLinksCount: 0,
      scope: { name: 'my-scope', version: '1.2.3', attributes: {}, schemaUrl: '' },
      resource: { attributes: { 'service.name': 'svc', replicas: 3n }, schemaUrl: '' },
      project: 'pk',
      request: 1,
    })
    const [request] = server.requests
    expect(request).toMatchObject({ answer: 200, accepted: true, project: 'pk', spanCount: 1 })
    expect(request!.body.length).toBe(request!.encodedBytes)
    expect(request!.decodedBytes > request!.encodedBytes).toBe(name.startsWith('gzipped'))
  })
}

test("Langfuse's exporter is taken, and refused with a wrong key", async () => {
  const processor = (secretKey: string): SpanProcessor =>
    new LangfuseSpanProcessor({
      publicKey: 'pk',
      secretKey,
      baseUrl: server.url,
      environment: 'staging',
      shouldExportSpan: () => true,
    })
  await record(processor('sk'), (tracer) => tracer.startSpan('one').end())
  await record(processor('wrong'), (tracer) => tracer.startSpan('two').end()).catch(() => {})
  await server.waitFor(() => server.requests.length === 2)
  expect(
    server.spans().map((span) => [span.name, span.attributes['langfuse.environment']]),
  ).toEqual([['one', 'staging']])
  expect(server.requests.map((request) => [request.project, request.answer])).toEqual([
    ['pk', 200],
    [undefined, 401],
  ])
  expect(server.requests[0]!.headers['x-langfuse-sdk-name']).toBe('javascript')
})

test('the plain endpoint needs no keys and answers in protobuf', async () => {
  await record(new BatchSpanProcessor(new ProtobufExporter({ url: server.otlpUrl })), (tracer) =>
    tracer.startSpan('plain').end(),
  )
  expect(server.spans().map((span) => [span.name, span.project])).toEqual([['plain', '']])
})

test('projects are kept apart', async () => {
  const spanContext = { traceId: '1'.repeat(32), spanId: '2'.repeat(16), traceFlags: 1 }
  for (const [publicKey, secretKey] of Object.entries({ pk: 'sk', other: 'secret' })) {
    const exporter = new ProtobufExporter({
      url: `${server.url}/api/public/otel/v1/traces`,
      headers: basic(publicKey, secretKey),
    })
    await record(new BatchSpanProcessor(exporter), (tracer) =>
      tracer.startSpan(publicKey, {}, trace.setSpanContext(context.active(), spanContext)).end(),
    )
  }
  expect(server.spans('pk').map((span) => span.name)).toEqual(['pk'])
  expect(server.spans('other').map((span) => span.name)).toEqual(['other'])
  expect(server.spans()).toHaveLength(2)
})

test('count-only counts exactly what decoding counts', async () => {
  const counting = await startLangfuseServer({ countOnly: true })
  try {
    const numbers = [1, 7, 300]
    for (const url of [counting.otlpUrl, server.otlpUrl]) {
      for (const exporter of [
        new ProtobufExporter({ url }),
        new ProtobufExporter({ url, compression: gzip }),
        new JsonExporter({ url }),
      ]) {
        const processor = new BatchSpanProcessor(exporter, { maxExportBatchSize: 100 })
        await record(processor, (tracer) => {
          for (const n of numbers) {
            for (let i = 0; i < n; i++) {
              const attributes = { trap: '"startTimeUnixNano":1', 'startTimeUnixNano"': 'x' }
              const span = tracer.startSpan('"startTimeUnixNano":', { attributes })
              span.addEvent('startTimeUnixNano', { startTimeUnixNano: 'startTimeUnixNano' })
              span.end()
            }
          }
        })
      }
    }
    expect(server.received).toBe(3 * 308)
    expect(counting.received).toBe(3 * 308)
    // Batches are sent side by side.
    const counts = ({ requests }: LangfuseServer): number[] =>
      requests.map((request) => request.spanCount).sort((a, b) => a - b)
    expect(counts(counting)).toEqual(counts(server))
    expect(counting.requests.every((request) => request.body.length === 0)).toBe(true)
  } finally {
    await counting.close()
  }
})
