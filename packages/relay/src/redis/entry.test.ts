import { crc32 } from 'node:zlib'
import { FIELD } from '@offpath/sdk/spool-format'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FILE, field, load, makeSpan, resource, text } from '../export/fixtures.ts'
import { javascript5 } from '../export/langfuse.ts'
import { createEncoder } from '../export/otlp.ts'
import { allocateChunk } from '../store/chunk.ts'
import type { Part, StoredField, StoredSpan, Value } from '../store/span.ts'
import { plainSpan } from '../testing/plain-span.ts'
import { ENTRY, entryEncoder, loadInline, measureEntry, readEntry, spansSaid } from './entry.ts'

const MB = 1024 * 1024
const encoder = entryEncoder({ load, maxSpanBytes: 16 * MB })
const asSent = createEncoder({ dialect: javascript5, load, maxSpanBytes: 16 * MB })
const asRead = createEncoder({ dialect: javascript5, load: loadInline, maxSpanBytes: 16 * MB })

/** As it comes out of Redis: somewhere in memory, to be aligned. */
function received(entry: Buffer): Buffer {
  const bytes = allocateChunk(entry.length)
  entry.copy(bytes)
  return bytes
}

function read(entry: Buffer): StoredSpan[] {
  const bytes = received(entry)
  return readEntry(bytes, measureEntry(bytes))
}

/** Another word at a byte of a header. */
function put(at: number, word: number): (entry: Buffer) => Buffer {
  return (entry) => {
    entry.writeUInt32LE(word, at)
    return entry
  }
}

function withCrc(entry: Buffer): Buffer {
  entry.writeUInt32LE(crc32(entry.subarray(4)), ENTRY.crc << 2)
  return entry
}

function plain(span: StoredSpan, from: typeof load): unknown {
  const text = (parts: readonly Part[]): string => {
    const bytes = Buffer.alloc(parts.reduce((sum, { length }) => sum + length, 0))
    from(parts, bytes, 0)
    return bytes.toString()
  }
  // One by one: two of the same name are two.
  const values = span.fields.map((one) => plainSpan({ ...span, fields: [one] }, text).fields)
  return { ...plainSpan({ ...span, fields: [] }, text), values }
}

const inline = fc.string({ unit: 'grapheme', maxLength: 60 }).map((text) => Buffer.from(text))
const place = fc
  .tuple(fc.nat(FILE.length - 1), fc.nat(3000))
  .map(([offset, length]) => ({ file: 3, offset, length: Math.min(length, FILE.length - offset) }))
const parts = fc.array(fc.oneof(inline, place), { maxLength: 4 })

function ofParts(type: 'text' | 'json', parts: readonly Part[]): Value {
  return { type, parts, length: parts.reduce((sum, { length }) => sum + length, 0) }
}

const value: fc.Arbitrary<Value> = fc.oneof(
  parts.map((parts) => ofParts('text', parts)),
  fc.jsonValue().map((json) => ofParts('json', [Buffer.from(JSON.stringify(json))])),
  // A string that lies apart.
  place.map((place) => ofParts('json', [Buffer.from('{"a":["'), place, Buffer.from('"]}')])),
  fc.oneof(fc.integer(), fc.bigInt()).map((value): Value => ({ type: 'int', value })),
  fc.double().map((value): Value => ({ type: 'double', value })),
  fc.boolean().map((value): Value => ({ type: 'bool', value })),
  fc.array(fc.string(), { maxLength: 3 }).map((values): Value => ({ type: 'strings', values })),
)

const PLAIN_FIELDS = [FIELD.input, FIELD.output, FIELD.level, FIELD.model, FIELD.tags]
const fields: fc.Arbitrary<StoredField[]> = fc.array(
  fc.oneof(
    fc
      .tuple(fc.constantFrom(...PLAIN_FIELDS), value)
      .map(([number, value]) => field(number, value)),
    fc
      .tuple(fc.constantFrom(FIELD.metadata, FIELD.attribute), value, fc.string({ maxLength: 30 }))
      .map(([number, value, key]) => field(number, value, key)),
  ),
  { maxLength: 6 },
)

const attributes = fc.dictionary(fc.string({ maxLength: 8 }), fc.oneof(fc.string(), fc.integer()))
const id = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((id) => Buffer.from(id))
const hex = (bytes: number) => id(bytes).map((id) => id.toString('hex'))
const other = { ...resource, service: null, attributes: { 'người dùng': 'ở đây' } }
const span: fc.Arbitrary<StoredSpan> = fc.record({
  traceId: id(16),
  spanId: id(8),
  parentSpanId: fc.option(id(8)),
  name: fc.string({ unit: 'grapheme' }),
  type: fc.nat(9),
  kind: fc.nat(4),
  startFlags: fc.nat(7),
  startSeconds: fc.nat(2 ** 32 - 1),
  startNanos: fc.nat(999_999_999),
  endSeconds: fc.nat(2 ** 32 - 1),
  endNanos: fc.nat(999_999_999),
  interrupted: fc.boolean(),
  revision: fc.nat(3),
  statusCode: fc.nat(2),
  statusDescription: fc.string(),
  traceState: fc.string(),
  project: fc.option(fc.string({ minLength: 1 })),
  scope: fc.option(fc.record({ name: fc.string(), version: fc.string(), attributes })),
  resource: fc.constantFrom(resource, other),
  fields,
  events: fc.array(
    fc.record({ name: fc.string(), seconds: fc.nat(), nanos: fc.nat(999_999_999), attributes }),
    { maxLength: 2 },
  ),
  links: fc.array(fc.record({ traceId: hex(16), spanId: hex(8), flags: fc.nat(255), attributes }), {
    maxLength: 2,
  }),
})

describe('an entry', () => {
  it('brings the spans that were put into it, and the same requests are made of them', () => {
    fc.assert(
      fc.property(fc.array(span, { minLength: 1, maxLength: 8 }), (spans) => {
        const entry = encoder.encode(spans)
        const back = read(entry)
        expect(back.map((span) => plain(span, loadInline))).toEqual(
          spans.map((span) => plain(span, load)),
        )
        expect(back.map(({ resource }) => resource)).toEqual(spans.map(({ resource }) => resource))
        expect(asRead.encode(back).equals(asSent.encode(spans))).toBe(true)
        expect(encoder.encode(spans).equals(entry)).toBe(true)
      }),
    )
  })

  it('is measured without being read', () => {
    const long = ofParts('text', [{ file: 1, offset: 0, length: 4000 }])
    const spans = [
      makeSpan({ fields: [field(FIELD.input, long)] }),
      makeSpan({ fields: [field(FIELD.input, long)], revision: 2 }),
    ]
    const bytes = received(encoder.encode(spans))
    expect(measureEntry(bytes)).toMatchObject({
      revisions: 1,
      expandedBytes: 2 * (256 + 32 + 4000),
    })
    expect(spansSaid(bytes)).toBe(2)
  })

  it('has what several spans refer to once', () => {
    const history = ofParts('json', [
      Buffer.from('["'),
      { file: 1, offset: 9, length: 8000 },
      Buffer.from('"]'),
    ])
    const spans = Array.from({ length: 20 }, () =>
      makeSpan({ fields: [field(FIELD.input, history)] }),
    )
    const entry = encoder.encode(spans)
    expect(entry.length).toBeLessThan(8000 + 20 * 200)
    expect(asRead.encode(read(entry)).equals(asSent.encode(spans))).toBe(true)
  })

  it('keeps within its bytes; a span that is longer is alone', () => {
    const spans = Array.from({ length: 30 }, (_, i) =>
      makeSpan({ fields: [field(FIELD.input, text('x'.repeat(i * 50)))] }),
    )
    const entries: Buffer[] = []
    let writer = encoder.begin(Buffer.alloc(64), 4_000)
    for (const span of [
      ...spans,
      makeSpan({ fields: [field(FIELD.input, text('y'.repeat(9_000)))] }),
    ]) {
      if (writer.add(span)) continue
      const { buffer, length } = writer.finish()
      entries.push(Buffer.from(buffer.subarray(0, length)))
      writer = encoder.begin(Buffer.alloc(64), 4_000)
      expect(writer.add(span)).toBe(true)
    }
    const { buffer, length } = writer.finish()
    entries.push(buffer.subarray(0, length))
    expect(entries.slice(0, -1).every(({ length }) => length <= 4_000)).toBe(true)
    expect(read(entries.at(-1)!)).toHaveLength(1)
    expect(
      entries
        .flatMap(read)
        .map(({ spanId }) => spanId.toString('hex'))
        .slice(0, 30),
    ).toEqual(spans.map(({ spanId }) => spanId.toString('hex')))
  })

  it('is cut to what a span may take, visibly', () => {
    const short = entryEncoder({ load, maxSpanBytes: 3_000 })
    const long = makeSpan({ fields: [field(FIELD.input, text('z'.repeat(50_000)))] })
    const [back] = read(short.encode([long]))
    const { value } = back!.fields[0]!
    expect(value.type === 'text' && value.parts[0]?.toString()).toContain(
      '[cut by offpath: 50000 bytes]',
    )
  })

  it('is refused when a byte of it is another one', () => {
    const entry = encoder.encode([makeSpan(), makeSpan({ resource: other })])
    fc.assert(
      fc.property(fc.nat(entry.length - 1), fc.integer({ min: 1, max: 255 }), (at, flipped) => {
        const damaged = received(entry)
        damaged[at] = (damaged[at] as number) ^ flipped
        expect(() => measureEntry(damaged)).toThrow(RangeError)
      }),
    )
  })

  it.each<[string, (entry: Buffer) => Buffer, string]>([
    ['of another version', put(4, 7), 'version 7'],
    ['that is cut', (entry) => entry.subarray(0, -4), 'length'],
    ['that is nothing', () => Buffer.alloc(3), '3 bytes are no entry'],
    ['with less spans than it says', (entry) => withCrc(put(8, 3)(entry)), 'as many'],
  ])('%s is refused', (_, change, message) => {
    const entry = Buffer.from(encoder.encode([makeSpan(), makeSpan()]))
    expect(() => measureEntry(received(change(entry)))).toThrow(message)
  })

  it('of whatever words is refused, or read to its end', () => {
    const history = ofParts('text', [{ file: 1, offset: 0, length: 100 }])
    const spans = [
      makeSpan({
        fields: [
          field(FIELD.input, history),
          field(FIELD.tags, { type: 'strings', values: ['a'] }),
        ],
        scope: { name: 'a', version: '1', attributes: {} },
        events: [{ name: 'e', seconds: 1, nanos: 2, attributes: { a: 1 } }],
        links: [{ traceId: 'ab'.repeat(16), spanId: 'cd'.repeat(8), flags: 1, attributes: {} }],
      }),
    ]
    const entry = encoder.encode(spans)
    const from = (ENTRY.length << 2) + entry.readUInt32LE(ENTRY.resources << 2)
    const word = fc.oneof(fc.integer(), fc.nat(64), fc.constantFrom(-1, 0x3fff_ffff, 2 ** 31 - 1))
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(200), word), { minLength: 1, maxLength: 4 }),
        (changes) => {
          const foreign = received(entry)
          for (const [at, word] of changes) {
            const offset = (Math.ceil(from / 4) + at) << 2
            if (offset + 4 <= foreign.length) foreign.writeInt32LE(word, offset)
          }
          withCrc(foreign)
          let measures: ReturnType<typeof measureEntry>
          try {
            measures = measureEntry(foreign)
          } catch (error) {
            expect(error).toBeInstanceOf(RangeError)
            return
          }
          try {
            expect(readEntry(foreign, measures)).toHaveLength(measures.starts.length)
          } catch (error) {
            // A text that is no JSON, or no number.
            expect(error).toBeInstanceOf(SyntaxError)
          }
        },
      ),
      { numRuns: 2000 },
    )
  })
})
