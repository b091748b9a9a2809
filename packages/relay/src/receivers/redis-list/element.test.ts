import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SpoolHarness } from '../../testing/spool-harness.ts'
import { type Element, MAX_ELEMENT_BYTES, readElement } from './element.ts'
import { SpoolWriter } from './spool-writer.ts'

const TRACE = '0123456789abcdef0123456789abcdef'
const SPAN = '00000000000000aa'
const TIMES = { start_time: '1790000000000000000', end_time: '1790000001000000000' }
const whole = { trace_id: TRACE, span_id: SPAN, name: 'chat', ...TIMES }

const read = (value: unknown): Element =>
  readElement(typeof value === 'string' ? Buffer.from(value) : Buffer.from(JSON.stringify(value)))
function records(value: unknown): Record<string, unknown>[] {
  const element = read(value)
  if (element.type === 'dead') throw new Error(element.reason)
  return element.lines.map((line) => JSON.parse(line))
}
function reason(value: unknown): string {
  const element = read(value)
  return element.type === 'dead' ? element.reason : 'it is none'
}

test('a record of the spool is taken as it is', () => {
  const record = { record: 'observation', ...whole, input: { a: [1, 'b'] }, level: 'ERROR' }
  expect(records(record)).toEqual([record])
  expect(read(record)).toMatchObject({ started: 1 })
  const update = { record: 'update', span_id: SPAN, output: 'x' }
  expect(records(update)).toEqual([update])
  expect(read(update)).toMatchObject({ started: 0 })
  const start = { record: 'start', trace_id: TRACE, span_id: SPAN, start_time: TIMES.start_time }
  expect(records(start)).toEqual([start])
})

test('what goes without saying may be left out', () => {
  const [first] = records({ name: 'a', ...TIMES })
  expect(first).toMatchObject({ record: 'observation', name: 'a' })
  expect(first!.trace_id).toMatch(/^[0-9a-f]{32}$/)
  expect(first!.span_id).toMatch(/^[0-9a-f]{16}$/)
  // Read twice it is the same, so that it replaces itself.
  expect(records({ name: 'a', ...TIMES })).toEqual([first])
  expect(records({ name: 'b', ...TIMES })[0]!.span_id).not.toBe(first!.span_id)
  expect(records({ type: 'event', start_time: 1790000000 })).toMatchObject([
    { record: 'event', start_time: '1790000000000000000' },
  ])
})

test('ids may be written as UUIDs are, and times as numbers', () => {
  const text = `{"trace_id":"01234567-89AB-CDEF-0123-456789ABCDEF","span_id":"00000000000000AA","parent_span_id":"","start_time":1790000000000000001,"end_time":"2026-09-21T13:33:21Z"}`
  expect(records(text)).toEqual([
    {
      record: 'observation',
      trace_id: TRACE,
      span_id: SPAN,
      start_time: '1790000000000000001',
      end_time: '1789997601000000000',
    },
  ])
})

test('a trace is its observations, and what they share', () => {
  const trace = {
    trace_id: TRACE,
    name: 'the trace',
    user_id: 'u1',
    tags: ['a'],
    trace: { session_id: 's1' },
    environment: 'live',
    service: 'shop',
    observations: [
      { ...TIMES, span_id: SPAN, name: 'root' },
      { ...TIMES, parent_span_id: SPAN, type: 'generation', model: 'm' },
    ],
  }
  const [context, root, child, ...more] = records(trace)
  expect(context).toEqual({
    record: 'context',
    context: 1,
    environment: 'live',
    trace: { name: 'the trace', user_id: 'u1', tags: ['a'], session_id: 's1' },
  })
  expect(root).toMatchObject({ record: 'observation', context: 1, trace_id: TRACE, name: 'root' })
  expect(child).toMatchObject({ trace_id: TRACE, parent_span_id: SPAN, type: 'generation' })
  expect(more).toEqual([])
  expect(read(trace)).toMatchObject({
    started: 2,
    sender: { service: 'shop', environment: 'live', release: null },
  })
})

test('who it is of does not stand in the record', () => {
  const sender = { service: 's', release: '1', language: 'php', host: 'h', resource: { zone: 1 } }
  const element = read({ ...whole, ...sender, sdk: { name: 'mine', version: '2' } })
  expect(element).toMatchObject({
    sender: { ...sender, environment: null, sdk: { name: 'mine', version: '2' } },
  })
  expect(records({ ...whole, ...sender })).toEqual([{ record: 'observation', ...whole }])
})

test('a score gets an id that is the same each time, and true is 1', () => {
  const score = {
    record: 'score',
    name: 'good',
    value: true,
    timestamp: 1790000000,
    trace_id: TRACE,
  }
  const [first] = records(score)
  expect(first).toMatchObject({ value: 1, timestamp: '1790000000000000000' })
  expect(first!.id).toMatch(/^[0-9a-f]{16}$/)
  expect(records(score)).toEqual([first])
})

test('integers keep their digits', () => {
  const element = read(
    `{"start_time":1790000000,"end_time":1790000001,"input":{"n":12345678901234567890}}`,
  )
  expect(element).toMatchObject({ lines: [expect.stringContaining('"n":12345678901234567890')] })
})

test.each<[string, unknown, string]>([
  ['no JSON', '{"a":secret}', "is not JSON: 's' stands where"],
  ['something behind it', '{"a":1}x', 'is not JSON: at character 8'],
  ['half an object', '{"a":', 'is not JSON: it ends too early'],
  ['an array', '[]', 'is no JSON object'],
  ['a string', '"x"', 'is no JSON object'],
  ['nothing', '', 'is not JSON: it ends too early'],
  ['an empty object', {}, 'start_time and end_time are missing, and so is record'],
  ['no end', { start_time: 1790000000 }, 'end_time is missing: without it, say "record":"start"'],
  ['no start', { end_time: 1790000000 }, 'start_time is missing'],
  ['a wrong time', { ...whole, end_time: 'soon' }, 'end_time is no time'],
  ['a wrong id', { ...whole, span_id: 'xyz' }, 'span_id is not 16 hex digits'],
  ['an id of zeros', { ...whole, trace_id: '0'.repeat(32) }, 'trace_id is not 32 hex digits'],
  ['a number as id', { ...whole, span_id: 7 }, 'span_id is not 16 hex digits'],
  ['an unknown record', { record: 'span', ...whole }, 'record is none of start, event'],
  ['a record of segments', { record: 'vitals' }, 'record "vitals" is for segments'],
  ['a context', { ...whole, context: 3 }, 'context is for segments'],
  ['a start without ids', { record: 'start', start_time: 1790000000 }, 'span_id is missing'],
  ['an end without time', { record: 'end', span_id: SPAN }, 'end_time is missing'],
  ['an event without time', { ...whole, events: [{ name: 'a' }] }, 'events[0].time is no time'],
  ['a link to nowhere', { ...whole, links: [{}, 1] }, 'links[0].trace_id is not 32 hex digits'],
  ['a number as service', { ...whole, service: 5 }, 'service is a number, and not text'],
  ['a score without time', { record: 'score', name: 'a', value: 1 }, 'timestamp is missing'],
  ['a score without value', { record: 'score', name: 'a', timestamp: 1790000000 }, 'value is no'],
  ['no observations', { observations: [] }, 'observations is empty'],
  ['a bad one in a trace', { observations: [TIMES, { name: 'b' }] }, 'observations[1].start_time'],
  ['a piece in a trace', { observations: [{ ...whole, record: 'start' }] }, 'observation is whole'],
  ['a part', { ...whole, input: { '$offpath:string': 1 } }, '$offpath:string is for segments'],
  ['a blob', { ...whole, input: [{ '$offpath:blob': 1 }] }, '$offpath:blob is for segments'],
])('%s is dead, and it says why', (_what, value, why) => {
  expect(reason(value)).toContain(why)
  expect(reason(value)).not.toContain('secret')
})

test('what is no UTF-8, or too large, is dead', () => {
  expect(readElement(Buffer.from([0x7b, 0xff, 0x7d]))).toEqual({
    type: 'dead',
    reason: 'is not UTF-8',
  })
  const large = Buffer.alloc(MAX_ELEMENT_BYTES + 1, ' ')
  expect(readElement(large)).toMatchObject({ reason: expect.stringContaining('is the most') })
})

test('hostile content is content', () => {
  const text = `{"start_time":1790000000,"end_time":1790000001,"__proto__":{"record":"loss"},"input":${'['.repeat(50_000)}${']'.repeat(50_000)}}`
  const element = readElement(Buffer.from(text))
  expect(element.type).toBe('records')
  const inner = { ...whole, input: { '$offpath:object': { text: '"$offpath:blob":1' } } }
  expect(records(inner)).toEqual([{ record: 'observation', ...inner }])
})

/** JSON text, in which a number may have more digits than one of JavaScript holds. */
const anyText = fc.oneof(
  fc.constantFrom('12345678901234567890', 'null', '{}', '[]', '""', '"x"', '5', 'true', '1e400'),
  fc.constantFrom('{"code":12345678901234567890}', '{"$offpath:media":{"data":5}}', '"1790000000"'),
  fc.json({ maxDepth: 2 }),
)
const listText = fc.oneof(
  anyText,
  fc.array(anyText).map((items) => `[${items.join()}]`),
)
const someFields = fc.dictionary(
  fc.constantFrom(
    ...['name', 'type', 'kind', 'level', 'status', 'input', 'output', 'metadata', 'attributes'],
    ...['trace', 'tags', 'scope', 'prompt', 'usage_details', 'model', 'events', 'links', 'project'],
    ...['user_id', 'comment', 'config_id', 'public'],
    ...['status_message', 'version', 'environment', 'trace_state', 'unknown'],
  ),
  listText,
)
const observationText = someFields.map((fields) => {
  const times = { start_time: '1790000000', end_time: '1790000001' }
  const members = Object.entries({ ...times, ...fields })
  return `{${members.map(([key, text]) => `${JSON.stringify(key)}:${text}`).join()}}`
})
const elementText = fc.oneof(
  observationText,
  observationText.map(
    (text) => `{"record":"score","name":"s","value":1,"timestamp":1790000000,${text.slice(1)}`,
  ),
  fc
    .tuple(fc.array(observationText, { minLength: 1, maxLength: 3 }), someFields)
    .map(([observations, shared]) => {
      const members = Object.entries({ ...shared, observations: `[${observations.join()}]` })
      return `{${members.map(([key, text]) => `${JSON.stringify(key)}:${text}`).join()}}`
    }),
)

test('the decoder rejects nothing of what is taken', async () => {
  const harness = new SpoolHarness()
  const writer = new SpoolWriter({
    directory: harness.disk,
    seed: 's',
    lastRead: () => null,
    offsets: () => harness.receiver.offsets(),
  })
  let started = 0
  const take = async (text: string): Promise<void> => {
    const element = readElement(Buffer.from(text))
    if (element.type === 'dead') return
    await writer.write([element])
    harness.drain(0)
    started += element.started
    const { malformedRecords = 0, accepted = 0 } = harness.counters()
    expect([malformedRecords, accepted]).toEqual([0, started])
  }
  try {
    for (const list of ['events', 'links']) {
      await take(`{"start_time":1790000000,"end_time":1790000001,"${list}":[12345678901234567890]}`)
    }
    expect(started).toBe(2)
    await fc.assert(fc.asyncProperty(elementText, take), { numRuns: 300 })
    expect(started).toBeGreaterThan(20)
  } finally {
    writer.close()
    harness.close()
  }
}, 60_000)
