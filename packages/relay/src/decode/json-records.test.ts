import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { PlainSpan } from '../testing/plain-span.ts'
import { numbered, type PlainFrame, type PlainPart } from '../testing/plain-writer.ts'
import { SpoolHarness } from '../testing/spool-harness.ts'

let harness: SpoolHarness
beforeEach(() => {
  harness = new SpoolHarness()
})
afterEach(() => harness.close())

const TRACE = '0102030405060708090a0b0c0d0e0f10'
const SPAN = '00000000000000b1'
const TIME = 1_790_000_000_123_456_789n
const start = {
  record: 'start',
  trace_id: TRACE,
  span_id: SPAN,
  name: 'one',
  start_time: String(TIME),
}
const end = { record: 'end', span_id: SPAN, end_time: String(TIME + 5n) }
let segment = 0

function readFrames(...frames: PlainFrame[]): PlainSpan[] {
  segment++
  const before = harness.spans().length
  harness.write({
    writer: segment.toString(16).padStart(16, '0'),
    frames: [...frames, { end: true }],
  })
  harness.drain(0)
  return harness.spans().slice(before)
}

const read = (json: readonly object[], parts: readonly PlainPart[] = []): PlainSpan[] =>
  readFrames({ json, parts })

/** Fields of one observation that starts with `object`. */
function fieldsOf(object: object, parts: readonly PlainPart[] = []): PlainSpan['fields'] {
  const [span] = read([{ ...start, ...object }, end], parts)
  return (span as PlainSpan).fields
}

describe('JSON records', () => {
  test('start, update and end make a span', () => {
    const [span] = read([
      {
        ...start,
        parent_span_id: 'ffffffffffffffff',
        type: 'generation',
        kind: 'client',
        remote_parent: true,
        as_root: true,
        input: [{ role: 'user', content: 'xin chào' }],
        output: 'to be replaced',
        metadata: { a: 'x', b: { c: 1 }, gone: null },
        model: 'qwen3',
        model_parameters: { temperature: 0.2 },
        prompt: { name: 'greeting', version: 3 },
        trace: {
          name: 'chat',
          user_id: 'u',
          session_id: 's',
          public: true,
          tags: ['a'],
          metadata: { plan: 'free' },
          input: 'in',
          output: { o: 1 },
        },
        attributes: { 'http.status': 200, list: ['a', 'b'] },
        project: 'search',
        scope: { name: 'ai', version: '1', attributes: { on: true } },
        trace_state: 'a=1',
      },
      {
        record: 'update',
        span_id: SPAN,
        name: 'renamed',
        type: 'tool',
        output: 'answer',
        metadata: { a: 'y' },
        trace: { tags: ['a', 'b'] },
        level: 'ERROR',
        status_message: 'bad',
        status: { code: 2, message: 'broken' },
        completion_start_time: '1790000000500000000',
        usage_details: { input: 12, output: 3 },
        cost_details: { total: 0.01 },
        version: 'v1',
        environment: 'prod',
        events: [{ name: 'exception', time: String(TIME), attributes: { x: 1 } }],
        links: [{ trace_id: TRACE, span_id: SPAN, flags: 1, attributes: {} }],
      },
      end,
    ])
    expect(span).toEqual({
      traceId: TRACE,
      spanId: SPAN,
      parentSpanId: 'ffffffffffffffff',
      name: 'renamed',
      type: 'tool',
      kind: 2,
      startFlags: 5,
      startTime: String(TIME),
      endTime: String(TIME + 5n),
      interrupted: false,
      revision: 0,
      status: { code: 2, message: 'broken' },
      project: 'search',
      traceState: 'a=1',
      scope: { name: 'ai', version: '1', attributes: { on: true } },
      events: [{ name: 'exception', time: String(TIME), attributes: { x: 1 } }],
      links: [{ traceId: TRACE, spanId: SPAN, flags: 1, attributes: {} }],
      fields: {
        input: { json: [{ role: 'user', content: 'xin chào' }] },
        output: { text: 'answer' },
        metadata: { a: { text: 'y' }, b: { json: { c: 1 } }, gone: { json: null } },
        model: { text: 'qwen3' },
        modelParameters: { json: { temperature: 0.2 } },
        promptName: { text: 'greeting' },
        promptVersion: { int: '3' },
        traceName: { text: 'chat' },
        userId: { text: 'u' },
        sessionId: { text: 's' },
        tracePublic: { bool: true },
        traceInput: { text: 'in' },
        traceOutput: { json: { o: 1 } },
        traceMetadata: { plan: { text: 'free' } },
        tags: { strings: ['a', 'b'] },
        attribute: { 'http.status': { int: '200' }, list: { json: ['a', 'b'] } },
        level: { text: 'ERROR' },
        statusMessage: { text: 'bad' },
        completionStartTime: { json: '2026-09-21T14:13:20.500Z' },
        usageDetails: { json: { input: 12, output: 3 } },
        costDetails: { json: { total: 0.01 } },
        version: { text: 'v1' },
        environment: { text: 'prod' },
      },
    })
    expect(harness.law()).toMatchObject({ accepted: 1, held: 1 })
  })

  test('an observation or an event is one object', () => {
    const spans = read([
      { ...start, record: 'observation', end_time: String(TIME + 7n), input: 1 },
      { ...start, record: 'event', span_id: '00000000000000b2' },
    ])
    expect(spans).toMatchObject([
      { endTime: String(TIME + 7n), fields: { input: { int: '1' } } },
      { endTime: String(TIME) },
    ])
    expect(harness.law()).toMatchObject({ accepted: 2 })
  })

  test('a context is written once and named by many', () => {
    const spans = read([
      { record: 'context', context: 7, trace: { user_id: 'u', tags: ['a'] }, environment: 'prod' },
      { ...start, context: 7, environment: 'own' },
      end,
      { ...start, record: 'event', span_id: '00000000000000b2', context: 7 },
      { ...start, record: 'event', span_id: '00000000000000b3', context: 8 },
    ])
    expect(spans.map(({ fields }) => fields)).toEqual([
      { userId: { text: 'u' }, tags: { strings: ['a'] }, environment: { text: 'own' } },
      { userId: { text: 'u' }, tags: { strings: ['a'] }, environment: { text: 'prod' } },
      {},
    ])
    expect(harness.counters().danglingReferences).toBe(1)
  })

  test('numbers keep their digits', () => {
    const text = `{"record":"event","trace_id":"${TRACE}","span_id":"${SPAN}","start_time":"${TIME}",
      "input":12345678901234567890,"output":[1e400,-0,12345678901234567890,1.50,{"a":-98765432109876543210}],
      "metadata":{"big":9007199254740993,"year":4294967296,"small":-0.0}}`
    const line = Buffer.from(text.replace(/\n\s*/g, ''))
    const payload = Buffer.alloc(4 + ((line.length + 3) & ~3))
    payload.writeUInt32LE(line.length)
    line.copy(payload, 4)
    readFrames({ kind: 2, payload, started: 1 })
    const raw = harness.read((reader) =>
      reader.spansAfter(0, 9).spans[0]?.fields.map(({ key, value }) => {
        return [key, 'parts' in value ? reader.text(value.parts, 999) : value]
      }),
    )
    expect(raw).toEqual([
      [undefined, { type: 'int', value: 12345678901234567890n }],
      [undefined, '[null,0,12345678901234567890,1.5,{"a":-98765432109876543210}]'],
      ['big', { type: 'int', value: 9007199254740993n }],
      ['year', { type: 'int', value: 4294967296 }],
      ['small', { type: 'double', value: -0 }],
    ])
  })

  test('parts stand for strings, in this frame and in later ones', () => {
    const long = 'a "long" text\n'.repeat(500)
    const wide = 'dài \\ rộng '.repeat(300)
    const parts = [
      { number: 1, text: long },
      { number: 2, text: wide, utf16: true },
    ]
    const refer = (number: number): object => ({ '$offpath:string': number })
    const [first, second] = readFrames(
      {
        json: [{ ...start, input: refer(1), metadata: { m: refer(2), n: [refer(1)] } }, end],
        parts,
      },
      {
        json: [{ ...start, record: 'event', input: [refer(2), { x: refer(1) }], output: refer(3) }],
      },
    )
    expect(first?.fields).toEqual({
      input: { text: long },
      metadata: { m: { text: wide }, n: { json: [long] } },
    })
    expect(second?.fields).toEqual({
      input: { json: [wide, { x: long }] },
      output: { text: '[lost: its frame was damaged]' },
    })
    expect(harness.counters().danglingReferences).toBe(1)
  })

  test('numbers are shared with binary records', () => {
    const spans = readFrames(
      {
        records: [
          {
            type: 'event',
            serial: 1,
            traceId: TRACE,
            spanId: SPAN,
            time: TIME,
            name: 'binary',
            fields: [[3, numbered(4, 'shared')]],
          },
        ],
      },
      { json: [{ ...start, record: 'event', input: { '$offpath:string': 4 } }] },
    )
    expect(spans[1]?.fields).toEqual({ input: { text: 'shared' } })
  })

  test('blobs stand for strings, and an object that looks like a reference can be written', () => {
    const [span] = readFrames(
      {
        json: [
          {
            ...start,
            input: { '$offpath:blob': 9 },
            output: [{ '$offpath:object': { '$offpath:blob': 9, also: { '$offpath:blob': 9 } } }],
            metadata: { '$offpath:object': { '$offpath:string': 'mine' } },
          },
          end,
        ],
      },
      { blob: { id: 9, encoding: 'utf8', offset: 0, content: 'the "blob"', last: true } },
    )
    expect(span?.fields).toEqual({
      input: { text: 'the "blob"' },
      output: { json: [{ '$offpath:blob': 9, also: 'the "blob"' }] },
      metadata: { '$offpath:string': { text: 'mine' } },
    })
  })

  test('lost ends, losses and vitals', () => {
    const spans = read([
      start,
      { record: 'lost_ends', ends: [{ span_id: SPAN, end_time: String(TIME + 9n) }] },
      { record: 'loss', totals: { spool_full: 3, unheard_of: 1 } },
      { record: 'loss', totals: { spool_full: 5 } },
      { record: 'vitals', time: '1790000000000000000', recorder_ms: 0.5 },
    ])
    expect(spans).toMatchObject([{ endTime: String(TIME + 9n) }])
    expect(harness.counters()).toMatchObject({ 'lost.spool_full': 5 })
    expect(harness.read((reader) => reader.vitals(9))).toMatchObject([
      { vitals: { recorder_ms: 0.5 } },
    ])
  })

  test.each<[string, object]>([
    ['no object', []],
    ['an id that is no hex', { ...start, span_id: 'xyz' }],
    ['an update whose id is no hex', { record: 'update', span_id: 'XYZ' }],
    ['an end whose id is no hex', { record: 'end', span_id: 'XYZ', end_time: '5' }],
    ['an end without id and time', { record: 'end', span_id: 'XYZ' }],
    ['a lost end without a time', { record: 'lost_ends', ends: [{ span_id: SPAN }] }],
    ['a record that does not say what it is', { span_id: SPAN }],
    ['an id in upper case', { ...start, trace_id: TRACE.toUpperCase() }],
    ['a trace id that is too short', { ...start, trace_id: 'ab' }],
    ['a time that is a number', { ...start, start_time: 5 }],
    ['a time with a sign', { ...start, start_time: '-5' }],
    ['a time beyond 2106', { ...start, start_time: '9'.repeat(20) }],
    ['an end without a time', { ...end, end_time: undefined }],
    ['an observation without an end', { ...start, record: 'observation' }],
    ['a context without a number', { record: 'context', context: 'a' }],
    ['a link without ids', { ...start, links: [{}] }],
  ])('%s is passed over and counted; the others are read', (_what, record) => {
    const spans = read([
      record,
      { ...start, record: 'event', span_id: '00000000000000b7' },
      { record: 'of a later version' },
    ])
    expect(spans.map(({ spanId }) => spanId)).toEqual(['00000000000000b7'])
    expect(harness.counters()).toMatchObject({
      malformedRecords: 1,
      unknownRecords: 1,
      accepted: 1,
    })
    expect(harness.counters().orphanRecords).toBeUndefined()
  })

  test.each<[object, object?]>([
    [{ name: 5 }],
    [{ type: 'nope' }],
    [{ kind: 'nope' }],
    [{ as_root: 1 }],
    [{ level: 'LOUD' }],
    [{ level: 7 }],
    [{ model: { name: 'x' } }],
    [{ version: 3 }],
    [{ usage_details: [1] }],
    [{ trace: 'x' }],
    [{ trace: { tags: 3 } }],
    [{ trace: { tags: ['a', 3] } }],
    [{ trace: { public: 'yes', name: 'n' } }, { traceName: { text: 'n' } }],
    [{ attributes: [1] }],
    [{ prompt: 3 }],
    [{ prompt: { name: 'p', version: 1.5 } }, { promptName: { text: 'p' } }],
    [{ status: 77 }],
    [{ status: { code: 77 } }],
    [{ scope: 'x' }],
    [{ events: {} }],
    [{ links: [3] }],
    [{ events: [{ name: 'e', time: '1', attributes: 3 }] }],
  ])('of %j what is wrong is left out and counted', (wrong, fields = {}) => {
    const [span] = read([{ ...start, ...wrong, input: 1 }, end])
    expect(span).toMatchObject({ type: 'span', kind: 0, startFlags: 0, status: { code: 0 } })
    expect(span?.fields).toEqual({ input: { int: '1' }, ...fields })
    expect(harness.counters()).toMatchObject({ malformedFields: 1, accepted: 1 })
  })

  test('null says nothing, and metadata may be any value', () => {
    const nothing = { level: null, type: null, trace: null, status: null, events: null, name: null }
    const fields = fieldsOf({ ...nothing, metadata: [1] })
    expect(fields).toEqual({ metadata: { json: [1] } })
    expect(harness.counters().malformedFields ?? 0).toBe(0)
  })

  test('the time of the first token keeps its nanoseconds', () => {
    const time = '1790000000500123456'
    expect(fieldsOf({ completion_start_time: time })).toEqual({
      completionStartTime: { json: '2026-09-21T14:13:20.500123456Z' },
    })
  })

  test.each<[string, (payload: Buffer) => Buffer]>([
    ['a text longer than the payload', (payload) => payload.fill(0x7f, 1, 2)],
    ['a payload of nothing', () => Buffer.alloc(0)],
    ['no UTF-8', (payload) => payload.fill(0xff, 4)],
  ])('a frame of %s is counted', (_what, change) => {
    const line = Buffer.from(JSON.stringify(start))
    const payload = Buffer.concat([Buffer.alloc(4), line, Buffer.alloc(-line.length & 3)])
    payload.writeUInt32LE(line.length)
    expect(readFrames({ kind: 2, payload: change(payload) })).toEqual([])
    expect(harness.counters().malformedRecords).toBe(1)
  })

  test('any JSON value comes through as it is', () => {
    const value = fc.jsonValue({ maxDepth: 4, stringUnit: 'binary' })
    fc.assert(
      fc.property(
        value,
        fc.dictionary(fc.string(), value, { noNullPrototype: true }),
        (input, metadata) => {
          const fields = fieldsOf({ input: { value: input }, metadata })
          const expected = JSON.parse(JSON.stringify({ value: input }))
          expect(fields.input).toEqual({ json: expected })
          expect(Object.keys(fields.metadata ?? {}).sort()).toEqual(Object.keys(metadata).sort())
        },
      ),
      { numRuns: 200 },
    )
  })

  test('after a restart, what was open goes on and what had ended does not', () => {
    const other = '00000000000000c2'
    const frames: PlainFrame[] = [
      { json: [{ ...start, input: { '$offpath:string': 1 } }], parts: [{ number: 1, text: 'in' }] },
      {
        json: [
          { ...start, span_id: other },
          { ...end, span_id: other },
        ],
      },
      { json: [{ record: 'update', span_id: SPAN, events: [{ name: 'e', time: '1' }] }] },
    ]
    harness.write({ header: { heartbeatSeconds: 99 }, frames })
    harness.drain()
    harness.restart()
    harness.drain()
    frames.push({ json: [{ ...end, output: { '$offpath:string': 1 } }] }, { end: true })
    harness.write({ header: { heartbeatSeconds: 99 }, frames })
    harness.drain()
    expect(harness.spans()).toMatchObject([
      { spanId: other },
      {
        spanId: SPAN,
        fields: { input: { text: 'in' }, output: { text: 'in' } },
        events: [{ name: 'e' }],
      },
    ])
    expect(harness.law()).toMatchObject({ accepted: 2, held: 2 })
  })
})

test('the JSON Schema of docs/json-records.md names every record that is read', () => {
  const file = join(import.meta.dirname, '../../../../docs/json-records.md')
  const schema = /```json\n(\{\n {2}"\$schema"[\s\S]*?)```/.exec(readFileSync(file, 'utf8'))?.[1]
  const { properties } = JSON.parse(schema as string)
  expect(properties.record.enum.toSorted()).toEqual([
    'context',
    'end',
    'event',
    'loss',
    'lost_ends',
    'observation',
    'score',
    'start',
    'update',
    'vitals',
  ])
})

describe('depth', () => {
  const nested = (levels: number, inside = '') =>
    `${'['.repeat(levels)}${inside}${']'.repeat(levels)}`
  const line = (more: string) => `${JSON.stringify(start).slice(0, -1)},${more}}`
  const jsonOf = (value: unknown) => JSON.stringify((value as { json: unknown }).json)
  const CUT = '"[cut: deeper than 256]"'

  test('what is deeper than 256 is cut, visibly', () => {
    const deep = nested(200_000)
    const text = line(
      `"input":${deep},"metadata":{"m":${deep}},"attributes":{"a":${deep}},"__proto__":${deep},` +
        `"events":[{"name":"e","time":"1","attributes":{"x":${deep}}}]`,
    )
    const [span] = readFrames({ json: [text, end] }) as [PlainSpan]
    expect(jsonOf(span.fields.input)).toBe(nested(256, CUT))
    const { m } = span.fields.metadata as { m: unknown }
    expect(jsonOf(m)).toContain(CUT)
    expect(JSON.stringify(span.events)).toContain(CUT)
    expect(harness.counters().malformedRecords ?? 0).toBe(0)
  })

  test('256 levels are kept, however many brackets there are', () => {
    const text = line(
      `"input":${nested(256)},"output":"[[[","model_parameters":{"n":1234567890123456789}`,
    )
    const [span] = readFrames({ json: [text, end] }) as [PlainSpan]
    expect(jsonOf(span.fields.input)).toBe(nested(256))
  })

  test('so it is beside large integers and around references', () => {
    const reference = '{"$offpath:string":1}'
    const text = line(
      `"input":${nested(100_000)},"output":${nested(3000, reference)},"model":1234567890123456789`,
    )
    const parts = [{ number: 1, text: 'x' }]
    const [span] = readFrames({ json: [text, end], parts }) as [PlainSpan]
    expect(jsonOf(span.fields.input)).toBe(nested(256, CUT))
    expect(jsonOf(span.fields.output)).toBe(nested(256, CUT))
  })

  test("a header's resource is bounded as well", () => {
    // Deeper ones older Nodes can't stringify.
    const header = { resource: JSON.parse(`{"a":${nested(2_000)}}`) as object }
    harness.write({ header, frames: [{ json: [start, end] }, { end: true }] })
    harness.drain(0)
    const [span] = harness.read((reader) => reader.spansAfter(0, 1).spans)
    expect(JSON.stringify(span?.resource.attributes)).toContain(CUT)
  })
})

describe('scores', () => {
  const score = { record: 'score', id: 's1', name: 'quality', value: 1, timestamp: String(TIME) }
  beforeEach(() => harness.store.exporters(['test'], ['test']))

  /** What the outbox has of them, with their projects. */
  const scoresOf = (...json: readonly (object | string)[]): object[] => {
    readFrames({ json: json as object[] })
    const { scores } = harness.store
    return scores
      .projects('test')
      .flatMap((project) =>
        scores
          .next('test', project, 0, new Set(), { count: 100, maxBytes: 1e9 })
          .map(({ json }) => ({ project, ...JSON.parse(json) })),
      )
  }

  test('are what the API calls them, with the environment of their writer', () => {
    const all = {
      trace_id: TRACE,
      session_id: 'session',
      observation_id: SPAN,
      dataset_run_id: 'run',
      data_type: 'CATEGORICAL',
      comment: 'xin chào \ud83d',
      config_id: 'config',
      metadata: { a: [1, { '$offpath:string': 1 }] },
      environment: 'prod',
      project: 'search',
      value: 'good',
    }
    const [first, second] = scoresOf({ ...score, ...all }, { ...score, id: 's2', comment: null })
    expect(second).toEqual({
      project: 'search',
      id: 's1',
      traceId: TRACE,
      sessionId: 'session',
      observationId: SPAN,
      datasetRunId: 'run',
      name: 'quality',
      value: 'good',
      dataType: 'CATEGORICAL',
      comment: 'xin chào \ud83d',
      configId: 'config',
      timestamp: new Date(Number(TIME / 1_000_000n)).toISOString().replace('Z', '456Z'),
      metadata: { a: [1, { '$offpath:string': 1 }] },
      environment: 'prod',
    })
    expect(first).toMatchObject({ project: '', id: 's2', value: 1 })
    expect(harness.counters()).toMatchObject({ records: 2, scores: 2, 'test.scores.accepted': 2 })
    expect(harness.counters()).not.toHaveProperty('accepted')
    expect(harness.law()).toMatchObject({ accepted: 0, held: 0 })
  })

  test('without an id, a name, a value or a time are malformed; other fields that are wrong are left out', () => {
    const found = scoresOf(
      { ...score, id: undefined },
      { ...score, id: 7 },
      { ...score, id: '' },
      { ...score, name: null },
      { ...score, value: true },
      { ...score, value: undefined },
      { ...score, value: [1] },
      { ...score, timestamp: '2026-11-24T10:00:00Z' },
      '{"record":"score","id":"s0"',
      { ...score, trace_id: 5, comment: ['x'], project: 1 },
      { ...score, id: 's2' },
    )
    expect(found).toMatchObject([
      { id: 's1', project: '' },
      { id: 's2', project: '' },
    ])
    expect(found[0]).not.toHaveProperty('traceId')
    expect(found[0]).not.toHaveProperty('comment')
    expect(harness.counters()).toMatchObject({ malformedRecords: 9, malformedFields: 3, scores: 2 })
  })

  test('of an integer beyond 2^53 are exact', () => {
    scoresOf(JSON.stringify(score).replace('"value":1', '"value":12345678901234567890'))
    const [row] = harness.store.scores.next('test', '', 0, new Set(), { count: 1, maxBytes: 1e9 })
    expect(row?.json).toContain('"value":12345678901234567890')
  })

  test('are read once, whatever happens in between', () => {
    const frames = [{ json: [start, score] }, { json: [{ ...score, id: 's2' }, end] }] as const
    const path = harness.write({ frames: [frames[0]] })
    harness.drain(0)
    harness.restart()
    harness.store.exporters(['test'], ['test'])
    const whole = { frames: [...frames, { end: true } as const] }
    harness.writePart(path, whole, Number.POSITIVE_INFINITY)
    harness.drain(0)
    expect(harness.counters()).toMatchObject({ scores: 2, 'test.scores.accepted': 2 })
    expect(harness.names()).toEqual(['one'])
  })

  test('that their writer lost are counted once, by reason, apart from observations', () => {
    const loss = (scores: object) => ({ record: 'loss', totals: { spool_full: 2 }, scores })
    readFrames({
      json: [loss({ spool_full: 3 }), loss({ spool_full: 4, invalid: 1, nonsense: 9 })],
    })
    const told = { 'lost.spool_full': 2, 'lostScores.spool_full': 4, 'lostScores.invalid': 1 }
    expect(harness.counters()).toMatchObject(told)
    const path = harness.write({ number: 1, frames: [{ json: [loss({ invalid: 5 })] }] })
    harness.drain(0)
    harness.restart()
    const frames = [{ json: [loss({ invalid: 5 })] }, { json: [loss({ invalid: 7 })] }]
    harness.writePart(path, { frames }, Number.POSITIVE_INFINITY)
    harness.drain(0)
    expect(harness.counters()).toMatchObject({
      'lost.spool_full': 4,
      'lostScores.spool_full': 4,
      'lostScores.invalid': 8,
    })
  })

  test('hold up the answer to a flush until they are settled', () => {
    const frames = [{ json: [score] }]
    harness.write({ frames })
    const flush = join(harness.memory, `${'aa'.padStart(16, '0')}.flush`)
    writeFileSync(flush, JSON.stringify({ segment: 1, offset: 1 }), { mode: 0o600 })
    harness.drain(1)
    expect(existsSync(flush)).toBe(true)
    const [row] = harness.store.scores.next('test', '', 0, new Set(), { count: 1, maxBytes: 1e9 })
    harness.store.scores.acknowledge('test', [row!.id], [])
    harness.drain(1)
    expect(existsSync(flush)).toBe(false)
  })
})
