import { FIELD } from '@offpath/sdk/spool-format'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { PlainSpan } from '../testing/plain-span.ts'
import {
  name,
  nameDefinition,
  numbered,
  numberedUtf16,
  PlainEntries,
  type PlainField,
  type PlainRecord,
  type PlainValue,
  rawWords,
  reference,
  utf16,
} from '../testing/plain-writer.ts'
import { SpoolHarness } from '../testing/spool-harness.ts'

let harness: SpoolHarness
beforeEach(() => {
  harness = new SpoolHarness()
})
afterEach(() => harness.close())

const TRACE = '0102030405060708090a0b0c0d0e0f10'
const TIME = 1_790_000_000_123_456_789n
let segment = 0

function start(serial: number, fields: readonly PlainField[], rest: object = {}): PlainRecord {
  return {
    type: 'start',
    serial,
    traceId: TRACE,
    spanId: serial.toString(16).padStart(16, '0'),
    time: TIME,
    name: `span ${serial}`,
    fields,
    ...rest,
  }
}

/** Hands records to the relay in a segment of their own; returns the spans that came of them. */
function read(records: readonly PlainRecord[]): PlainSpan[] {
  segment++
  const before = harness.spans().length
  const writer = segment.toString(16).padStart(16, '0')
  harness.write({ writer, frames: [{ records }, { end: true }] })
  harness.drain(0)
  return harness.spans().slice(before)
}

/** Fields of one span that is recorded with them. */
function fieldsOf(...fields: PlainField[]): PlainSpan['fields'] {
  const [span] = read([start(1, fields), { type: 'end', serial: 1, time: TIME + 5n }])
  return (span as PlainSpan).fields
}

describe('values', () => {
  test.each<[string, PlainValue, unknown]>([
    ['text', 'xin chào “you” 😀', { text: 'xin chào “you” 😀' }],
    ['empty text', '', { text: '' }],
    ['UTF-16', utf16('tiếng Việt'), { text: 'tiếng Việt' }],
    ['a lone surrogate', utf16('a\ud800b'), { text: 'a\ufffdb' }],
    ['true', true, { bool: true }],
    ['false', false, { bool: false }],
    ['an integer', -7, { int: '-7' }],
    ['a number', 0.25, { double: 0.25 }],
    ['minus zero', -0, { double: -0 }],
    ['NaN', Number.NaN, { double: 'NaN' }],
    ['a big integer', 2n ** 70n, { int: String(2n ** 70n) }],
    ['a date', new Date(1.79e12), { json: '2026-09-21T14:13:20.000Z' }],
    ['an invalid date', new Date(Number.NaN), { json: null }],
    ['an array', [1, 'b', null, undefined], { json: [1, 'b', null, null] }],
    ['an object', { a: { b: [{}] }, c: undefined }, { json: { a: { b: [{}] } } }],
    ['bytes', Buffer.from([1, 2, 250]), { text: 'data:application/octet-stream;base64,AQL6' }],
  ])('%s', (_what, value, expected) => {
    expect(fieldsOf([FIELD.output, value])).toEqual({ output: expected })
  })

  test('null and undefined set nothing', () => {
    const fields = fieldsOf(
      [FIELD.input, null],
      [FIELD.output, undefined],
      [63, 'x', null],
      [FIELD.metadata, null],
      [FIELD.tags, null],
    )
    expect(fields).toEqual({})
  })

  test('a key that comes twice: the later one wins in the end', () => {
    const twice = new PlainEntries([
      ['a', 1],
      ['b', 2],
      ['a', 3],
    ])
    expect(fieldsOf([FIELD.output, twice], [FIELD.metadata, twice])).toEqual({
      output: { json: { a: 3, b: 2 } },
      metadata: { a: { int: '3' }, b: { int: '2' } },
    })
  })

  test('keys that are names, numbers, long, empty or __proto__', () => {
    const key = 'k'.repeat(5000)
    const fields = fieldsOf([
      FIELD.metadata,
      new PlainEntries([
        [nameDefinition(1, 'one'), 1],
        [name(1), 2],
        [3, 'number'],
        ['', 'empty'],
        ['__proto__', 'proto'],
        [utf16('khóa'), 'wide'],
        [key, 'long'],
      ]),
    ])
    const { metadata } = fields as { metadata: Record<string, unknown> }
    expect(Object.keys(metadata)).toEqual([
      '3',
      'one',
      '',
      '__proto__',
      'khóa',
      `${'k'.repeat(4088)}…`,
    ])
    expect(metadata.one).toEqual({ int: '2' })
  })

  test('what is deeper than anybody reads is cut, visibly', () => {
    const deep = rawWords(...new Array(5000).fill(17 | (1 << 8)), 1)
    const [span] = read([
      start(1, [
        [FIELD.input, deep],
        [FIELD.output, 'kept'],
      ]),
      { type: 'end', serial: 1, time: TIME },
    ])
    expect(JSON.stringify(span?.fields.input)).toContain('cut: deeper than 256')
    expect(span?.fields.output).toEqual({ text: 'kept' })
  })

  test('numbered strings, as they are and within JSON', () => {
    const long = 'a "quoted"\nlong\u0001 text '.repeat(3000)
    const wide = 'dài “và” \\ '.repeat(2000)
    const fields = fieldsOf(
      [FIELD.input, numbered(1, long)],
      [FIELD.output, { again: reference(1), wide: numberedUtf16(2, wide), more: [reference(2)] }],
      [FIELD.statusMessage, reference(2)],
      [FIELD.model, reference(1)],
    )
    expect(fields).toEqual({
      input: { text: long },
      output: { json: { again: long, wide, more: [wide] } },
      statusMessage: { text: wide },
      model: { text: long },
    })
  })

  test('a referred string is stored once for each form', () => {
    const text = 'x"'.repeat(50_000)
    const records: PlainRecord[] = []
    for (let serial = 1; serial <= 40; serial++) {
      const value = serial === 1 ? numbered(1, text) : reference(1)
      records.push(start(serial, [[FIELD.input, { messages: [value] }]]))
      records.push({ type: 'end', serial, time: TIME, fields: [[FIELD.output, reference(1)]] })
    }
    expect(read(records)).toHaveLength(40)
    expect(harness.store.data.position.length).toBeLessThan(text.length * 2.5 + 50_000)
  })

  test('what a lost frame defined reads as a marker, and is counted', () => {
    const lost = '[lost: its frame was damaged]'
    const [span] = read([
      start(
        1,
        [
          [FIELD.input, name(5)],
          [FIELD.output, reference(6)],
          [FIELD.metadata, new PlainEntries([[name(7), { a: reference(8) }]])],
        ],
        { name: name(9), context: 10 },
      ),
      { type: 'end', serial: 1, time: TIME },
    ])
    expect(span?.name).toBe(lost)
    expect(span?.fields).toEqual({
      input: { text: lost },
      output: { text: lost },
      metadata: { [lost]: { json: { a: lost } } },
    })
    expect(harness.counters().danglingReferences).toBe(6)
  })

  // Unlike JSON.stringify: bigints are text, dates that are invalid null, bytes a data URI.
  function expectedJson(value: PlainValue): unknown {
    if (typeof value === 'bigint') return String(value)
    if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
    if (Buffer.isBuffer(value)) {
      return `data:application/octet-stream;base64,${value.toString('base64')}`
    }
    if (Array.isArray(value)) return value.map((item) => expectedJson(item) ?? null)
    if (typeof value === 'number') return JSON.parse(JSON.stringify(value))
    if (typeof value !== 'object' || value === null) return value
    const entries = Object.entries(value as Record<string, PlainValue>)
    return Object.fromEntries(
      entries
        .filter(([, item]) => item !== undefined)
        .map(([key, item]) => [key, expectedJson(item)]),
    )
  }

  const text = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.string({ unit: 'binary' }),
    fc.string({ unit: 'binary-ascii', maxLength: 300 }),
    // With lone surrogates.
    fc.array(fc.integer({ min: 0, max: 0xffff })).map((codes) => String.fromCharCode(...codes)),
    fc
      .tuple(fc.string({ unit: 'grapheme', minLength: 1 }), fc.integer({ min: 1, max: 4000 }))
      .map(([piece, times]) => piece.repeat(times)),
  )
  const { value } = fc.letrec<{ value: PlainValue }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constantFrom<PlainValue>(undefined, null, true, false),
      fc.integer(),
      fc.double(),
      fc.bigInt(),
      text,
      fc.date({ noInvalidDate: false }),
      fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes)),
      fc.array(tie('value'), { maxLength: 6 }),
      fc.dictionary(text, tie('value'), { maxKeys: 6, noNullPrototype: true }),
    ),
  }))

  // A store for each run: 15 s on a busy machine.
  test('any value within JSON is what a plain reader makes of it', { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 5 }), (values) => {
        expect(fieldsOf([FIELD.output, { values }])).toEqual({
          output: { json: { values: values.map((item) => expectedJson(item) ?? null) } },
        })
      }),
      { numRuns: 300 },
    )
  })
})

describe('fields', () => {
  const end: PlainRecord = { type: 'end', serial: 1, time: TIME + 1_000n }

  test('later ones replace earlier ones; metadata and attributes by key; tags unite', () => {
    const [span] = read([
      {
        type: 'context',
        number: 4,
        fields: [
          [FIELD.userId, 'user'],
          [FIELD.tags, ['a', 'b']],
          [FIELD.traceMetadata, { plan: 'free', region: 'hn' }],
          [FIELD.environment, 'context'],
        ],
      },
      start(
        1,
        [
          [FIELD.input, 'first'],
          [FIELD.metadata, { a: 1, b: 2 }],
          [63, 'x', 'old'],
          [63, 'y', 'kept'],
          [FIELD.traceMetadata, { plan: 'pro' }],
          [FIELD.environment, 'own'],
        ],
        { context: 4 },
      ),
      {
        type: 'update',
        serial: 1,
        fields: [
          [FIELD.input, 'second'],
          [FIELD.metadata, { b: 3, c: null, a: null }],
          [63, 'x', [1, 2]],
          [FIELD.tags, ['b', 'c']],
          [FIELD.output, 'to be replaced'],
        ],
      },
      { ...end, fields: [[FIELD.output, 'last']] },
    ])
    expect(span?.fields).toEqual({
      userId: { text: 'user' },
      tags: { strings: ['a', 'b', 'c'] },
      traceMetadata: { plan: { text: 'pro' }, region: { text: 'hn' } },
      environment: { text: 'own' },
      input: { text: 'second' },
      metadata: { a: { int: '1' }, b: { int: '3' }, c: { json: null } },
      attribute: { x: { json: [1, 2] }, y: { text: 'kept' } },
      output: { text: 'last' },
    })
  })

  test('metadata that is no object stands beside the keys of objects', () => {
    const update = (value: PlainValue): PlainRecord => {
      return { type: 'update', serial: 1, fields: [[FIELD.metadata, value]] }
    }
    const [both] = read([start(1, []), update('first'), update('bare'), update({ b: 2 }), end])
    expect(both?.fields).toEqual({ metadata: { text: 'bare', b: { int: '2' } } })
  })

  test('many keys merge as few do', () => {
    const pieces = fc.array(
      fc.dictionary(
        fc.string({ minLength: 1, maxLength: 2 }).filter((key) => key !== '__proto__'),
        fc.integer({ min: -1000 }),
        { maxKeys: 60, noNullPrototype: true },
      ),
      { maxLength: 5 },
    )
    fc.assert(
      fc.property(pieces, (metadata) => {
        const updates = metadata.map((fields): PlainRecord => {
          return { type: 'update', serial: 1, fields: [[FIELD.metadata, fields]] }
        })
        const [span] = read([start(1, []), ...updates, end])
        const merged = Object.entries(Object.assign({}, ...metadata))
        expect(span?.fields.metadata ?? {}).toEqual(
          Object.fromEntries(merged.map(([key, number]) => [key, { int: String(number) }])),
        )
      }),
      { numRuns: 60 },
    )
  })

  test('what has a place of its own', () => {
    const [span] = read([
      start(1, [[FIELD.name, 'later name']], {
        observationType: 1,
        kind: 2,
        flags: 6,
        parentSpanId: 'ffffffffffffffff',
      }),
      {
        ...end,
        fields: [
          [FIELD.type, 5],
          [FIELD.statusCode, 2],
          [FIELD.statusDescription, 'broken'],
          [FIELD.project, 'search'],
          [FIELD.traceState, 'a=1'],
          [FIELD.scope, ['ai', '1.2', { on: true }]],
          [
            FIELD.event,
            ['exception', 1_790_000_001, 7, { stack: numbered(1, 'at x\n'.repeat(900)) }],
          ],
          [FIELD.event, ['second', 1_790_000_002, 0, {}]],
          [FIELD.link, ['ab'.repeat(16), 'cd'.repeat(8), 1, { why: 'retry' }]],
        ],
      },
    ])
    expect(span).toMatchObject({
      name: 'later name',
      type: 'tool',
      kind: 2,
      startFlags: 6,
      parentSpanId: 'ffffffffffffffff',
      status: { code: 2, message: 'broken' },
      project: 'search',
      traceState: 'a=1',
      scope: { name: 'ai', version: '1.2', attributes: { on: true } },
      fields: {},
      events: [
        {
          name: 'exception',
          time: '1790000001000000007',
          attributes: { stack: 'at x\n'.repeat(900) },
        },
        { name: 'second', time: '1790000002000000000', attributes: {} },
      ],
      links: [
        {
          traceId: 'ab'.repeat(16),
          spanId: 'cd'.repeat(8),
          flags: 1,
          attributes: { why: 'retry' },
        },
      ],
    })
  })

  test('a field of a later version is passed over', () => {
    expect(fieldsOf([250, 'later'], [1000, { a: [1] }], [FIELD.model, 'm'])).toEqual({
      model: { text: 'm' },
    })
  })

  test('codes that exporters could not write read as none', () => {
    const [span] = read([start(1, [[FIELD.statusCode, 7]], { kind: 99 }), end])
    expect(span).toMatchObject({ kind: 0, status: { code: 0 } })
  })
})

describe('records', () => {
  test('an event starts and ends in one', () => {
    const [span] = read([start(1, [[FIELD.level, 'WARNING']], { type: 'event' })])
    expect(span).toMatchObject({ startTime: String(TIME), endTime: String(TIME) })
  })

  test('negative durations become zero', () => {
    const [span] = read([start(1, []), { type: 'end', serial: 1, time: TIME - 5n }])
    expect(span).toMatchObject({ startTime: String(TIME), endTime: String(TIME) })
  })

  test('after the end nothing changes, and a second end is an orphan', () => {
    const spans = read([
      start(1, []),
      { type: 'end', serial: 1, time: TIME + 1n },
      { type: 'update', serial: 1, fields: [[FIELD.input, 'late']] },
      { type: 'end', serial: 1, time: TIME + 9n },
    ])
    expect(spans).toHaveLength(1)
    expect(spans[0]).toMatchObject({ endTime: String(TIME + 1n), fields: {} })
    expect(harness.counters().orphanRecords).toBe(2)
  })

  test('lost ends end what they name', () => {
    const ends = [
      [1, TIME + 1n],
      [2, TIME + 2n],
      [77, TIME],
    ] as const
    const spans = read([start(1, []), start(2, []), { type: 'lostEnds', ends }])
    expect(spans.map(({ endTime }) => endTime)).toEqual([String(TIME + 1n), String(TIME + 2n)])
    expect(harness.counters().orphanRecords).toBe(1)
  })

  test('serials beyond 32 bits', () => {
    const serial = 2 ** 40 + 3
    expect(read([start(serial, []), { type: 'end', serial, time: TIME }])).toHaveLength(1)
  })

  test('a serial that starts anew ends the one before, interrupted', () => {
    const spans = read([
      start(1, []),
      start(1, [], { name: 'again' }),
      { type: 'end', serial: 1, time: TIME },
    ])
    expect(spans.map(({ name, interrupted }) => [name, interrupted])).toEqual([
      ['span 1', true],
      ['again', false],
    ])
    expect(harness.law()).toMatchObject({ accepted: 2, held: 2 })
  })

  test('losses are counted once, whatever tells them', () => {
    segment++
    const loss = (...losses: number[]): PlainRecord => ({ type: 'loss', losses })
    harness.write({
      losses: [3, 0, 2],
      frames: [{ records: [loss(1, 0, 1)] }, { records: [loss(3, 0, 1)] }, { end: true }],
    })
    harness.drain(0)
    expect(harness.counters()).toMatchObject({ 'lost.spool_full': 3, 'lost.write_failed': 2 })
  })

  test('vitals are kept', () => {
    read([{ type: 'vitals', vitals: { time: '1790000000000000000', recorder_ms: 0.5, more: [1] } }])
    expect(harness.read((reader) => reader.vitals(10))).toMatchObject([
      { service: 'test-service', vitals: { recorder_ms: 0.5, more: [1] } },
    ])
  })

  test('a record that makes no sense is counted, the others are read', () => {
    const words = (...numbers: number[]): PlainRecord => {
      return { type: 'raw', bytes: rawWords(...numbers).bytes }
    }
    const spans = read([
      start(1, []),
      // An end that is too short, a text longer than its record, an unknown tag, an unknown type.
      words(3 | (2 << 8), 1),
      words(2 | (5 << 8), 1, 0, FIELD.input, 7 | (900 << 8)),
      words(2 | (5 << 8), 1, 0, FIELD.input, 99),
      words(200 | (2 << 8), 1),
      { type: 'end', serial: 1, time: TIME, fields: [[FIELD.output, 'fine']] },
    ])
    expect(spans).toHaveLength(1)
    expect(spans[0]?.fields).toEqual({ output: { text: 'fine' } })
    expect(harness.counters().malformedRecords).toBe(3)
  })

  test('bytes that are no UTF-8 are made some', () => {
    const bytes = Buffer.from([0x61, 0xff, 0x62, 0x00])
    const bad = rawWords(7 | (3 << 8), bytes.readInt32LE(0))
    expect(fieldsOf([FIELD.input, bad], [FIELD.output, [bad]])).toEqual({
      input: { text: 'a\ufffdb' },
      output: { json: ['a\ufffdb'] },
    })
  })

  test('any bytes at all in a frame: nothing is thrown, what is good is read', () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { maxLength: 60 }), fc.nat(200), (numbers, at) => {
        const good = start(1, [[FIELD.input, { a: ['x'.repeat(50), 1] }]])
        const [type = 0, ...rest] = numbers
        const head = (type & 15) | ((rest.length + 1) << 8)
        const raw: PlainRecord = { type: 'raw', bytes: rawWords(head, ...rest).bytes }
        const spans = read([
          raw,
          start(900 + at, []),
          { type: 'end', serial: 900 + at, time: TIME },
          good,
        ])
        expect(spans.some(({ name }) => name === `span ${900 + at}`)).toBe(true)
      }),
      { numRuns: 300 },
    )
  })
})
