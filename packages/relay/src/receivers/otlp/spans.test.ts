// What is exported and imported again is the same to exporters and to people; what others send goes out as it came.
import { FIELD } from '@offpath/sdk/spool-format'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { field, json, load, makeSpan, text } from '../../export/fixtures.ts'
import { javascript5 } from '../../export/langfuse.ts'
import { createEncoder } from '../../export/otlp.ts'
import { spanArbitrary } from '../../export/span.fixture.ts'
import { observationOf } from '../../http/observation.ts'
import { anyArbitrary } from '../../otlp/any.fixture.ts'
import { fromJson } from '../../otlp/from-json.ts'
import { fromProtobuf } from '../../otlp/from-protobuf.ts'
import { withHints } from '../../otlp/hints.ts'
import type { KeyValue, TraceRequest } from '../../otlp/message.ts'
import { toJson } from '../../otlp/to-json.ts'
import type { Part, StoredSpan, Value } from '../../store/span.ts'
import { Resources, receivedSpans } from './spans.ts'

const MB = 1024 * 1024
const encoder = createEncoder({ dialect: javascript5, load, maxSpanBytes: 64 * MB })

/** As `offpath export` writes it. */
function line(spans: readonly StoredSpan[]): Buffer {
  const hinted = spans.map((span) => withHints(span, load))
  return Buffer.from(JSON.stringify(toJson(encoder.encode(hinted))))
}

/** As `offpath import` reads that. */
function moved(span: StoredSpan): StoredSpan {
  const { groups, rejected, message } = receivedSpans(fromJson(line([span])), new Resources(), null)
  expect([rejected, message]).toEqual([{}, ''])
  return groups[0]!.spans[0]!
}

function shown(span: StoredSpan): object {
  const readText = (parts: readonly Part[]): string => {
    const bytes = Buffer.alloc(parts.reduce((sum, { length }) => sum + length, 0))
    load(parts, bytes, 0)
    return bytes.toString()
  }
  return observationOf(span, readText, { each: MB, left: MB })
}

/** Ids and times as OTLP takes them. */
function valid(spans: fc.Arbitrary<StoredSpan>): fc.Arbitrary<StoredSpan> {
  const nanos = (value: number): number => value % 1_000_000_000
  return spans
    .filter(({ spanId, traceId, parentSpanId }) => {
      return [spanId, traceId, parentSpanId].every((id) => id?.some((byte) => byte > 0) ?? true)
    })
    .map((span) => ({
      ...span,
      // An end of 0 is none.
      endSeconds: Math.max(1, span.endSeconds),
      startNanos: nanos(span.startNanos),
      endNanos: nanos(span.endNanos),
      events: span.events.map((event) => ({ ...event, nanos: nanos(event.nanos) })),
    }))
}

describe('moved to another store', () => {
  it('is the same request', () => {
    fc.assert(
      fc.property(valid(spanArbitrary()), (span) => {
        expect(encoder.encode([moved(span)]).equals(encoder.encode([span]))).toBe(true)
      }),
      { numRuns: 150 },
    )
  })

  it('is moved on again as it was', () => {
    fc.assert(
      fc.property(valid(spanArbitrary()), (span) => {
        const once = moved(span)
        expect(moved(once)).toEqual(once)
      }),
      { numRuns: 60 },
    )
  })

  it('is shown as before', () => {
    fc.assert(
      fc.property(valid(spanArbitrary()), (given) => {
        const span = sentWhole(given)
        expect(shown(moved(span))).toEqual(shown(span))
      }),
      { numRuns: 150 },
    )
  })

  it('is JSON as before, however many brackets it has side by side, and text where it is too deep', () => {
    const messages = Array.from({ length: 300 }, () => ({
      role: 'user',
      content: [{ text: '[{"' }],
    }))
    const deep = '['.repeat(257) + ']'.repeat(257)
    const [many, nested] = [json(messages), text(deep)].map((input) =>
      moved(makeSpan({ fields: [field(FIELD.input, input)] })),
    )
    expect(shown(many!)).toMatchObject({ input: messages })
    expect(shown(nested!)).toMatchObject({ input: deep })
  })

  it.each(['ERROR', 'WARNING', 'DEBUG'])(
    'has the level %s of what was interrupted once',
    (level) => {
      const span = makeSpan({ interrupted: true, fields: [field(FIELD.level, text(level))] })
      const twice = moved(moved(span))
      expect(encoder.encode([twice]).equals(encoder.encode([span]))).toBe(true)
      expect(shown(twice)).toEqual(shown(span))
    },
  )

  it('keeps project and level, of which Langfuse is told by other ways', () => {
    const fields = [field(FIELD.level, text('DEBUG')), field(FIELD.input, text('{"a":1}'))]
    const span = makeSpan({ project: 'search', interrupted: true, fields })
    const after = moved(span)
    expect(after).toMatchObject({ project: 'search', interrupted: true })
    expect(shown(after)).toEqual(shown(span))
    expect(shown(after)).toMatchObject({ level: 'DEBUG', input: '{"a":1}' })
  })
})

/** Without what no request ever says, which is so with every exporter. */
function sentWhole(span: StoredSpan): StoredSpan {
  const isText = new Set<number>([FIELD.level, FIELD.statusMessage, FIELD.model, FIELD.userId])
  const fields = span.fields.filter(({ field: number, key, value }) => {
    const isRaw = RAW.has(number)
    if (isText.has(number)) return value.type === 'text'
    if (isRaw) return value.type !== 'json'
    // An attribute of the name of a field is in its place.
    if (number === FIELD.attribute) return !/^(user\.id|langfuse\.)/.test(key ?? '')
    // Metadata that are empty are not sent; nor is a key that is none.
    if (number === FIELD.metadata) return key !== undefined && !isEmpty(value)
    return number !== FIELD.traceMetadata || key !== undefined
  })
  // A whole number beyond 2^53 is sent as one of 64 bits, and is text for who reads it.
  const isLarge = (value: unknown): boolean =>
    Number.isInteger(value) && !Number.isSafeInteger(value)
  const scalars = (attributes: object): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(attributes).filter(
        ([, value]) => typeof value !== 'object' && !isLarge(value),
      ),
    )
  return {
    ...span,
    fields: fields.map((of) => ({ ...of, value: asStored(of.value) })),
    statusDescription: span.statusCode === 0 ? '' : span.statusDescription,
    events: span.events.map((event) => ({ ...event, attributes: scalars(event.attributes) })),
    links: span.links.map((link) => ({ ...link, attributes: scalars(link.attributes) })),
  }
}

/** The store has a bigint only for what is no safe integer. */
function asStored(value: Value): Value {
  return value.type === 'int' && Number.isSafeInteger(Number(value.value))
    ? { type: 'int', value: Number(value.value) }
    : value
}

const RAW = new Set<number>([
  FIELD.version,
  FIELD.environment,
  FIELD.promptName,
  FIELD.promptVersion,
  FIELD.traceName,
  FIELD.sessionId,
  FIELD.tags,
  FIELD.tracePublic,
])

function isEmpty(value: Value): boolean {
  return (
    (value.type === 'text' || value.type === 'json') && (value.length === 0 || value.length === 4)
  )
}

describe('what others send', () => {
  const id = (bytes: number) => Buffer.alloc(bytes, 0xab)
  const request = (over: object): TraceRequest => ({
    malformed: 0,
    fault: '',
    resourceSpans: [
      {
        attributes: [],
        scopeSpans: [
          {
            scope: { name: 'app', version: '', attributes: [] },
            spans: [
              {
                traceId: id(16),
                spanId: id(8),
                parentSpanId: Buffer.alloc(0),
                traceState: '',
                name: 'chat',
                kind: 3,
                start: 1_790_000_000_000_000_007n,
                end: 1_790_000_001_000_000_000n,
                attributes: [],
                events: [],
                links: [],
                statusCode: 0,
                statusMessage: '',
                flags: 0,
                ...over,
              },
            ],
          },
        ],
      },
    ],
  })
  const received = (of: TraceRequest) => receivedSpans(of, new Resources(), null)
  const sent = (of: TraceRequest): TraceRequest =>
    fromProtobuf(Buffer.from(encoder.encode(received(of).groups.flatMap(({ spans }) => spans))))
  const named = (name: string) => anyArbitrary().map((value): KeyValue => ({ key: name, value }))
  const attributes = fc.uniqueArray(
    fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 9 }).chain(named),
      fc.constantFrom('gen_ai.request.model', 'langfuse.observation.input', 'user.id').chain(named),
      fc
        .constantFrom('langfuse.observation.metadata.a', 'langfuse.trace.tags', 'http.status')
        .chain(named),
    ),
    { selector: ({ key }) => key, maxLength: 6 },
  )

  it('goes out as it came: types, resource, scope, flags', () => {
    const flags = fc.constantFrom(0, 1, 0x100, 0x101, 0x301, 0x103)
    fc.assert(
      fc.property(attributes, attributes, attributes, flags, (own, of, scoped, flags) => {
        const link = { traceId: id(16), spanId: id(8), flags: 0x101, attributes: scoped }
        const event = { time: 5n, name: 'e', attributes: scoped }
        const given = request({ attributes: own, links: [link], events: [event], flags })
        const [resource] = given.resourceSpans
        const [scope] = resource!.scopeSpans
        const whole: TraceRequest = {
          ...given,
          resourceSpans: [
            {
              attributes: of,
              scopeSpans: [{ ...scope!, scope: { name: 'a', version: '1', attributes: scoped } }],
            },
          ],
        }
        expect(ordered(sent(whole))).toEqual(ordered(whole))
      }),
      { numRuns: 150 },
    )
  })

  it("of Langfuse's SDK has fields, and other conventions stay attributes", () => {
    const string = (key: string, value: string): KeyValue => ({
      key,
      value: { type: 'text', bytes: Buffer.from(value) },
    })
    const given = request({
      attributes: [
        string('langfuse.observation.type', 'generation'),
        string('langfuse.observation.input', '[{"role":"user"}]'),
        string('langfuse.observation.output', 'Hanoi'),
        string('langfuse.observation.model.name', 'qwen3'),
        string('langfuse.observation.metadata.a', '7'),
        string('session.id', 's'),
        { key: 'gen_ai.usage.input_tokens', value: { type: 'int', value: 7 } },
        { key: 'gen_ai.request.temperature', value: { type: 'double', value: 1 } },
      ],
    })
    expect(shown(received(given).groups[0]!.spans[0]!)).toMatchObject({
      type: 'generation',
      input: [{ role: 'user' }],
      output: 'Hanoi',
      model: 'qwen3',
      metadata: { a: '7' },
      sessionId: 's',
      attributes: { 'gen_ai.usage.input_tokens': 7, 'gen_ai.request.temperature': 1 },
    })
  })

  it.each([
    ['a trace id that is too short', { traceId: id(15) }, 'invalid_id'],
    ['a trace id of zeros', { traceId: Buffer.alloc(16) }, 'invalid_id'],
    ['no span id', { spanId: Buffer.alloc(0) }, 'invalid_id'],
    ["a parent's id that is none", { parentSpanId: id(7) }, 'invalid_id'],
    ['a time that has no place', { end: 2n ** 63n }, 'invalid_time'],
    [
      'a key of 70 KB',
      { attributes: [{ key: 'k'.repeat(70_000), value: { type: 'none' } }] },
      'too_large',
    ],
  ])('with %s is rejected, and why', (_, over, reason) => {
    const { groups, rejected, message } = received(request(over))
    expect(groups).toEqual([])
    expect(rejected).toEqual({ [reason]: 1 })
    expect(message.length).toBeGreaterThan(20)
  })

  it('has one copy of a resource, however many releases its spans have, and goes out as it came', () => {
    const spans = Array.from({ length: 20 }, (_, i) => {
      const release = Buffer.from(`r${i % 5}`)
      const attributes = [{ key: 'langfuse.release', value: { type: 'text', bytes: release } }]
      return request({ spanId: Buffer.alloc(8, i + 1), attributes }).resourceSpans[0]!
        .scopeSpans[0]!
    })
    const whole = {
      malformed: 0,
      fault: '',
      resourceSpans: [{ attributes: [], scopeSpans: spans }],
    }
    const { groups } = received(whole)
    expect(groups.map(({ resource, spans }) => [resource.release, spans.length])).toEqual([
      ['r0', 4],
      [null, 16],
    ])
    const releases = sent(whole).resourceSpans.flatMap(({ scopeSpans }) =>
      scopeSpans.flatMap(({ spans }) => spans.map(({ attributes }) => attributes)),
    )
    expect(releases.flat()).toHaveLength(20)
  })

  it('is left out when its resource is too large, or one of too many', () => {
    const of = (value: string) => ({
      ...request({}).resourceSpans[0]!,
      attributes: [{ key: 'a', value: { type: 'text', bytes: Buffer.from(value) } } as KeyValue],
    })
    const read = (resourceSpans: TraceRequest['resourceSpans']) =>
      received({ malformed: 0, fault: '', resourceSpans })
    const large = read([of('x'.repeat(300_000)), of('b')])
    expect(large.rejected).toEqual({ too_large: 1 })
    expect(large.groups).toHaveLength(1)
    const many = read(Array.from({ length: 2003 }, (_, i) => of(String(i))))
    expect([many.groups.length, many.rejected]).toEqual([2000, { too_large: 3 }])

    const [one] = request({}).resourceSpans[0]!.scopeSpans
    const long = { name: 'n'.repeat(1_000_000), version: '', attributes: [] }
    const scopeSpans = [{ scope: long, spans: Array(100).fill(one!.spans[0]) }, one!]
    const scoped = read([{ attributes: [], scopeSpans }])
    expect([scoped.rejected, scoped.groups.length]).toEqual([{ too_large: 100 }, 1])
  })

  it('with a link that leads nowhere comes without it', () => {
    const link = { traceId: id(2), spanId: id(8), flags: 0, attributes: [] }
    const { groups, linksLeftOut, message } = received(request({ links: [link] }))
    expect(groups[0]!.spans[0]!.links).toEqual([])
    expect(linksLeftOut).toBe(1)
    expect(message).toContain('link')
  })

  it('has a parent of zeros where it is a root, and an end where it has none', () => {
    const { groups } = received(request({ parentSpanId: Buffer.alloc(8), end: 0n }))
    expect(groups[0]!.spans[0]).toMatchObject({ parentSpanId: null, endNanos: 7 })
  })
})

/** By key: the observation's type and the like may come first. */
function ordered(value: unknown): unknown {
  if (Array.isArray(value)) {
    const items = value.map(ordered)
    return items.every((item) => typeof item === 'object' && item !== null && 'key' in item)
      ? items.toSorted((a, b) => ((a as KeyValue).key < (b as KeyValue).key ? -1 : 1))
      : items
  }
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, of]) => [key, ordered(of)]))
}
