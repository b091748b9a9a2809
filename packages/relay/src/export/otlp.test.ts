import { FIELD, OBSERVATION_TYPES, START_FLAG } from '@offpath/sdk/spool-format'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeSpans } from '../../../../test/langfuse-server/decode.ts'
import type { Attributes, AttributeValue } from '../../../../test/langfuse-server/types.ts'
import type { Plain, Resource, StoredField, StoredSpan, Value } from '../store/span.ts'
import { spanBytes } from './cut.ts'
import { FILE, field, json, load, makeSpan, resource, text } from './fixtures.ts'
import { javascript5 } from './langfuse.ts'
import { createEncoder } from './otlp.ts'
import { spanArbitrary } from './span.fixture.ts'

const MB = 1024 * 1024
const encoder = createEncoder({ dialect: javascript5, load, maxSpanBytes: 16 * MB })

function decode(body: Buffer) {
  return decodeSpans(body, 'application/x-protobuf', 'test', 1)
}

describe('encoder, compared with a plain slow one', () => {
  it('writes what the tables of docs/langfuse-compatibility.md say', () => {
    fc.assert(
      fc.property(fc.array(spanArbitrary(), { minLength: 1, maxLength: 6 }), (spans) => {
        expect(decode(encoder.encode(spans))).toEqual(spans.map(plain))
      }),
      { numRuns: 300 },
    )
  })

  it('bounds a span from above, and not by much', () => {
    fc.assert(
      fc.property(spanArbitrary(), (span) => {
        expect(encoder.encode([{ ...span, scope: null, resource }]).length).toBeLessThan(
          spanBytes({ ...span, scope: null, resource }) + 300,
        )
      }),
    )
    // Of an array the protobuf is longer than the JSON.
    const numbers = Array.from({ length: 20_000 }, (_, i) => (i % 2 === 0 ? -1 : 0.5))
    const array = makeSpan({ fields: [field(FIELD.attribute, json(numbers), 'embedding')] })
    expect(encoder.encode([array]).length).toBeLessThan(spanBytes(array))
    const long = makeSpan({ fields: [inFile(FIELD.input, 10_000)] })
    expect(spanBytes(long) - encoder.encode([long]).length).toBeLessThan(1500)
  })
})

describe('request', () => {
  it('is the same bytes for the same spans', () => {
    const spans = [makeSpan(), makeSpan({ interrupted: true }), makeSpan()]
    expect(encoder.encode(spans).equals(encoder.encode(spans))).toBe(true)
    expect(encoder.encode(spans).equals(encoder.encode(spans.toReversed()))).toBe(false)
  })

  it('keeps within its bytes, whatever the buffer it began with', () => {
    const spans = Array.from({ length: 50 }, (_, i) =>
      makeSpan({ fields: [inFile(FIELD.input, 111 * i)] }),
    )
    const sizes: number[] = []
    const arrived: string[] = []
    for (let rest = spans; rest.length > 0; ) {
      const writer = encoder.begin(Buffer.alloc(10), 20_000)
      while (rest.length > 0 && writer.add(rest[0]!)) rest = rest.slice(1)
      const { buffer, length } = writer.finish()
      sizes.push(length)
      arrived.push(...decode(buffer.subarray(0, length)).map((span) => span.spanId))
    }
    expect(Math.max(...sizes)).toBeLessThanOrEqual(20_000)
    expect(Math.min(...sizes.slice(0, -1))).toBeGreaterThan(13_000)
    expect(arrived).toEqual(spans.map((span) => span.spanId.toString('hex')))
  })

  it('lets a span that is longer than a request go alone', () => {
    const writer = encoder.begin(Buffer.alloc(10), 1000)
    expect(writer.add(makeSpan({ fields: [inFile(FIELD.output, FILE.length)] }))).toBe(true)
    expect(writer.add(makeSpan())).toBe(false)
    expect(writer.spans).toBe(1)
  })

  it('cuts the longest values of a span that would expand beyond the bound', () => {
    const strict = createEncoder({ dialect: javascript5, load, maxSpanBytes: 8_000 })
    const question = 'how long? '.repeat(100)
    const span = makeSpan({
      fields: [
        inFile(FIELD.input, 10_841),
        inFile(FIELD.output, 10_841),
        field(FIELD.metadata, text(question), 'question'),
      ],
    })
    const [body, again] = [strict.encode([span]), strict.encode([span])]
    expect(body.equals(again)).toBe(true)
    expect(body.length).toBeLessThanOrEqual(8_000)
    expect(body.length).toBeGreaterThan(6_500)
    const { attributes } = decode(body)[0]!
    expect(attributes['langfuse.observation.metadata.question']).toBe(question)
    for (const name of ['langfuse.observation.input', 'langfuse.observation.output']) {
      expect(attributes[name]).toMatch(/^0123456789 “tiếng.*… \[cut by offpath: 10841 bytes\]$/su)
      expect(attributes[name]).not.toContain('\ufffd')
    }
  })
})

function inFile(number: number, length: number): StoredField {
  return field(number, { type: 'text', parts: [{ file: 1, offset: 0, length }], length })
}

/** A stored span as it must arrive, made without any cleverness. */
function plain(span: StoredSpan) {
  return {
    traceId: span.traceId.toString('hex'),
    spanId: span.spanId.toString('hex'),
    parentSpanId: span.parentSpanId?.toString('hex') ?? '',
    traceState: span.traceState,
    flags: [
      span.resource.language === 'javascript' ? 1 : 0,
      0x100,
      span.startFlags & START_FLAG.remoteParent ? 0x200 : 0,
    ].reduce((sum, flag) => sum + flag),
    name: span.name,
    kind: span.kind + 1,
    startTimeUnixNano: nanos(span.startSeconds, span.startNanos),
    endTimeUnixNano: nanos(span.endSeconds, span.endNanos),
    status: {
      code: span.statusCode,
      message: span.statusCode === 0 ? '' : span.statusDescription,
    },
    attributes: spanAttributes(span),
    events: span.events.map((event) => ({
      name: event.name,
      timeUnixNano: nanos(event.seconds, event.nanos),
      attributes: plainAttributes(event.attributes),
      droppedAttributesCount: 0,
    })),
    links: span.links.map((link) => ({
      traceId: link.traceId,
      spanId: link.spanId,
      traceState: '',
      flags: 0x100 + link.flags,
      attributes: plainAttributes(link.attributes),
      droppedAttributesCount: 0,
    })),
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
    scope: {
      name: span.scope?.name ?? 'langfuse-sdk',
      version: span.scope?.version ?? '5.11.1',
      attributes: plainAttributes(span.scope?.attributes ?? {}),
      schemaUrl: '',
    },
    resource: { attributes: resourceAttributes(span.resource), schemaUrl: '' },
    project: 'test',
    request: 1,
  }
}

function nanos(seconds: number, nanoseconds: number): bigint {
  return BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds)
}

function resourceAttributes(from: Resource): Attributes {
  return {
    'host.name': from.host,
    'process.pid': BigInt(from.pid),
    'service.name': from.service ?? 'unknown_service:node',
    'telemetry.sdk.language': from.language === 'javascript' ? 'nodejs' : from.language,
    'telemetry.sdk.name': from.sdk.name,
    'telemetry.sdk.version': from.sdk.version,
    ...plainAttributes(from.attributes),
  }
}

function plainAttributes(attributes: Plain): Attributes {
  return Object.fromEntries(
    Object.entries(attributes).map(([key, value]) => [key, arrayOr(value, JSON.stringify(value))]),
  )
}

const NAMES: Record<number, string> = {
  [FIELD.input]: 'langfuse.observation.input',
  [FIELD.output]: 'langfuse.observation.output',
  [FIELD.metadata]: 'langfuse.observation.metadata',
  [FIELD.level]: 'langfuse.observation.level',
  [FIELD.statusMessage]: 'langfuse.observation.status_message',
  [FIELD.version]: 'langfuse.version',
  [FIELD.environment]: 'langfuse.environment',
  [FIELD.completionStartTime]: 'langfuse.observation.completion_start_time',
  [FIELD.model]: 'langfuse.observation.model.name',
  [FIELD.modelParameters]: 'langfuse.observation.model.parameters',
  [FIELD.usageDetails]: 'langfuse.observation.usage_details',
  [FIELD.costDetails]: 'langfuse.observation.cost_details',
  [FIELD.promptName]: 'langfuse.observation.prompt.name',
  [FIELD.promptVersion]: 'langfuse.observation.prompt.version',
  [FIELD.traceName]: 'langfuse.trace.name',
  [FIELD.userId]: 'user.id',
  [FIELD.sessionId]: 'session.id',
  [FIELD.tags]: 'langfuse.trace.tags',
  [FIELD.traceMetadata]: 'langfuse.trace.metadata',
  [FIELD.tracePublic]: 'langfuse.trace.public',
  [FIELD.traceInput]: 'langfuse.trace.input',
  [FIELD.traceOutput]: 'langfuse.trace.output',
}
const AS_TEXT: readonly number[] = [
  FIELD.input,
  FIELD.output,
  FIELD.metadata,
  FIELD.completionStartTime,
  FIELD.modelParameters,
  FIELD.usageDetails,
  FIELD.costDetails,
  FIELD.traceMetadata,
  FIELD.traceInput,
  FIELD.traceOutput,
]

function spanAttributes(span: StoredSpan): Attributes {
  const result: Attributes = {}
  if (span.resource.environment) result['langfuse.environment'] = span.resource.environment
  if (span.scope === null || span.type !== 0) {
    result['langfuse.observation.type'] = OBSERVATION_TYPES[span.type]!
  }
  if (span.startFlags & START_FLAG.appRoot) result['langfuse.internal.is_app_root'] = true
  if (span.startFlags & START_FLAG.asRoot) result['langfuse.internal.as_root'] = true
  for (const { field: number, key, value } of span.fields) {
    if (number === FIELD.attribute) continue
    const name = NAMES[number]! + (key === undefined ? '' : `.${key}`)
    if (number === FIELD.metadata && ['', 'null'].includes(rawText(value) ?? '-')) {
      if (value.type === 'json' || rawText(value) === '') continue
    }
    const isText = AS_TEXT.includes(number)
    if (!isText && value.type === 'json' && !rawText(value)?.startsWith('[')) continue
    result[name] = isText ? asText(value) : typed(value)
  }
  if (span.interrupted) {
    const level = result['langfuse.observation.level']
    if (level !== 'ERROR' && level !== 'WARNING') result['langfuse.observation.level'] = 'WARNING'
    result['langfuse.observation.status_message'] ??= 'Interrupted: its process ended before it did'
    result['langfuse.observation.metadata.offpath_interrupted'] = 'true'
    result['offpath.interrupted'] = true
  }
  for (const { field: number, key, value } of span.fields) {
    if (number === FIELD.attribute) result[key!] = typed(value)
  }
  if (span.resource.release) result['langfuse.release'] ??= span.resource.release
  return result
}

function rawText(value: Value): string | undefined {
  if (value.type !== 'text' && value.type !== 'json') return undefined
  const bytes = Buffer.alloc(value.length)
  load(value.parts, bytes, 0)
  return bytes.toString()
}

function asText(value: Value): string {
  if (value.type === 'strings') return JSON.stringify(value.values)
  if (value.type === 'text' || value.type === 'json') return rawText(value)!
  return typeof value.value === 'bigint' ? String(value.value) : JSON.stringify(value.value)
}

function typed(value: Value): AttributeValue {
  switch (value.type) {
    case 'text':
      return rawText(value)!
    case 'json': {
      const text = rawText(value)!
      return text.startsWith('[') ? arrayOr(JSON.parse(text), text) : text
    }
    case 'int':
      return BigInt(value.value)
    case 'strings':
      return [...value.values]
    default:
      return value.value
  }
}

/** Scalars and arrays of them as they are, all else as that text. */
function arrayOr(value: unknown, text: string): AttributeValue {
  if (Array.isArray(value)) {
    const scalars = value.every((item) => typeof item !== 'object' || item === null)
    return scalars ? value.map((item) => arrayOr(item, '')) : text
  }
  if (typeof value === 'object' && value !== null) return text
  return isInt64(value) ? BigInt(value) : (value as AttributeValue)
}

function isInt64(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= -(2 ** 63) && Number(value) < 2 ** 63
}
