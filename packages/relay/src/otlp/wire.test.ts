// Both encodings of OTLP against protobufjs, which is not ours, and against what is broken or made to hurt.
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { decodeProtobuf } from '../../../../test/langfuse-server/otlp-schema.ts'
import { encodeAttributes, RESOURCE_ATTRIBUTE } from '../export/attributes.ts'
import { load } from '../export/fixtures.ts'
import { javascript5 } from '../export/langfuse.ts'
import { createEncoder } from '../export/otlp.ts'
import { spanArbitrary } from '../export/span.fixture.ts'
import { anyArbitrary } from './any.fixture.ts'
import { anyFromJson, fromJson } from './from-json.ts'
import { fromProtobuf } from './from-protobuf.ts'
import { MalformedError, TooManyError, type TraceRequest } from './message.ts'
import { anyToJson, toJson } from './to-json.ts'
import { plainOf, typedOf } from './typed.ts'

const encoder = createEncoder({ dialect: javascript5, load, maxSpanBytes: 2 ** 26 })
const requests = fc
  .array(spanArbitrary(), { maxLength: 4 })
  .map((spans) => Buffer.from(encoder.encode(spans)))

describe('a request', () => {
  it('is read in both encodings alike', () => {
    fc.assert(
      fc.property(requests, (bytes) => {
        const json = Buffer.from(JSON.stringify(toJson(bytes)))
        expect(fromJson(json)).toEqual(fromProtobuf(bytes))
      }),
    )
  })

  it('has the JSON that protobufjs finds in it', () => {
    fc.assert(
      fc.property(requests, (bytes) => {
        expect(plain(toJson(bytes))).toEqual(plain(decodeProtobuf(bytes)))
      }),
    )
  })

  it.each([
    ['nothing at all', Buffer.alloc(0)],
    ['fields of later versions', Buffer.from('9a060568656c6c6f', 'hex')],
  ])('may be %s', (_, bytes) => {
    expect(fromProtobuf(bytes)).toEqual({ resourceSpans: [], malformed: 0, fault: '' })
  })
})

/** Bytes as text, ids and bytes apart, and numbers as one sort of text. */
function plain(value: unknown, name = ''): unknown {
  if (Buffer.isBuffer(value)) {
    if (name === 'bytesValue') return value.toString('base64')
    return value.toString(/Id$/.test(name) ? 'hex' : 'utf8')
  }
  if (Array.isArray(value)) return value.map((item) => plain(item))
  if (typeof value !== 'object' || value === null) {
    return typeof value === 'number' ? String(value) : value
  }
  const entries = Object.entries(value).map(([key, of]) => [key, plain(of, key)] as const)
  // protobufjs leaves out what is a default though it was sent.
  return Object.fromEntries(
    entries.filter(([, of]) => !['', '0', false].includes(of as string) && !isEmptyList(of)),
  )
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0
}

describe('a value', () => {
  it('keeps its type as JSON, and in the store', () => {
    fc.assert(
      fc.property(anyArbitrary(), (value) => {
        expect(anyFromJson(JSON.parse(JSON.stringify(anyToJson(value))))).toEqual(value)
        const stored = JSON.parse(JSON.stringify({ key: plainOf(value) }))
        const bytes = encodeAttributes(RESOURCE_ATTRIBUTE, stored)
        const request = Buffer.concat([field(0x0a, field(0x0a, bytes))])
        expect(fromProtobuf(request).resourceSpans[0]!.attributes).toEqual([{ key: 'key', value }])
      }),
      { numRuns: 200 },
    )
  })

  it('that an application wraps itself is what it looks like, or JSON', () => {
    expect(typedOf({ '@otlp': { intValue: 'x' } })).toBeUndefined()
    expect(typedOf({ '@otlp': { intValue: '7' }, more: 1 })).toBeUndefined()
    expect(typedOf({ '@otlp': { intValue: '7' } })).toEqual({ type: 'int', value: 7 })
  })
})

function field(tag: number, content: Buffer): Buffer {
  const length: number[] = []
  let rest = content.length
  for (; rest >= 0x80; rest >>>= 7) length.push((rest & 0x7f) | 0x80)
  return Buffer.concat([Buffer.from([tag, ...length, rest]), content])
}

describe('what is broken', () => {
  const isTold = (read: () => TraceRequest): void => {
    try {
      read()
    } catch (error) {
      if (!(error instanceof MalformedError || error instanceof TooManyError)) throw error
    }
  }

  it('is refused and nothing else happens, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        isTold(() => fromProtobuf(Buffer.from(bytes)))
        isTold(() => fromJson(Buffer.from(bytes)))
      }),
      { numRuns: 200 },
    )
  })

  it('is refused, or a span of it left out, where some bytes are others', () => {
    fc.assert(
      fc.property(
        requests,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1 }),
        (bytes, changes) => {
          const json = Buffer.from(JSON.stringify(toJson(bytes)))
          for (const [at, byte] of changes) {
            if (bytes.length > 0) bytes[at % bytes.length] = byte
            json[at % json.length] = byte
          }
          isTold(() => fromProtobuf(bytes))
          isTold(() => fromJson(json))
        },
      ),
      { numRuns: 100 },
    )
  })

  it('is refused wherever it ends too early', () => {
    const bytes = Buffer.from(
      encoder.encode([...fc.sample(spanArbitrary(), { numRuns: 1, seed: 5 })]),
    )
    for (let length = 1; length < bytes.length; length++) {
      expect(() => fromProtobuf(bytes.subarray(0, length))).toThrow(MalformedError)
    }
  })

  it('of any JSON says what is wrong', () => {
    fc.assert(fc.property(fc.json(), (json) => isTold(() => fromJson(Buffer.from(json)))))
    expect(() => fromJson(Buffer.from('{"resourceSpans":7}'))).toThrow('resourceSpans is no list')
    expect(() => fromJson(Buffer.from('{"secret-key'))).not.toThrow('secret')
  })

  test('span takes no other with it', () => {
    const span = (id: string): string =>
      `{"traceId":"${'ab'.repeat(16)}","spanId":"${id.repeat(8)}","name":"x","startTimeUnixNano":"1"}`
    const json = `{"resourceSpans":[{"scopeSpans":[{"spans":[${span('01')},{"name":7},${span('02')}]}]}]}`
    const read = fromJson(Buffer.from(json))
    expect(read).toMatchObject({ malformed: 1, fault: 'name is no text' })
    expect(read.resourceSpans[0]!.scopeSpans[0]!.spans).toHaveLength(2)

    const good = field(0x12, field(0x2a, Buffer.from('good')))
    const bad = field(0x12, Buffer.from([0x2a, 0x50, 0x61]))
    const request = field(0x0a, field(0x12, Buffer.concat([good, bad, good])))
    const spans = fromProtobuf(request)
    expect(spans.malformed).toBe(1)
    expect(spans.fault).toMatch(/^byte \d+: it ends within a value$/)
    expect(spans.resourceSpans[0]!.scopeSpans[0]!.spans.map(({ name }) => name)).toEqual([
      'good',
      'good',
    ])
  })

  test('depth is bounded', () => {
    let any = field(0x0a, Buffer.from('x'))
    for (let depth = 0; depth < 2000; depth++) any = field(0x2a, field(0x0a, any))
    const deep = field(0x0a, field(0x0a, field(0x0a, field(0x12, any))))
    expect(() => fromProtobuf(deep)).toThrow('levels')
    const json = `${'{"arrayValue":{"values":['.repeat(5000)}{}${']}}'.repeat(5000)}`
    const request = `{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":${json}}]}}]}`
    expect(() => fromJson(Buffer.from(request))).toThrow('levels')
  })

  test('millions of tiny messages are too many', () => {
    const tiny = Buffer.alloc(2_200_000)
    for (let at = 0; at < tiny.length; at += 2) tiny[at] = 0x0a
    expect(() => fromProtobuf(tiny)).toThrow(TooManyError)
    expect(() => fromJson(Buffer.from(`[${'[],'.repeat(2_100_000)}0]`))).toThrow(TooManyError)
    const spans = `{"resourceSpans":[{"scopeSpans":[{"spans":[${'{},'.repeat(600_000)}{}]}]}]}`
    expect(() => fromJson(Buffer.from(spans))).toThrow(TooManyError)
    const names = Buffer.alloc(4_200_000)
    for (let at = 0; at < names.length; at += 2) names[at] = 0x2a
    expect(() => fromProtobuf(field(0x0a, field(0x12, field(0x12, names))))).toThrow(TooManyError)
  })
})
