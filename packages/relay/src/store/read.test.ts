import { FIELD } from '@offpath/sdk/spool-format'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { PlainRecord } from '../testing/plain-writer.ts'
import { SpoolHarness } from '../testing/spool-harness.ts'
import type { StoreReader } from './read.ts'
import type { TraceRow } from './trace-list.ts'

let harness: SpoolHarness
beforeEach(() => {
  harness = new SpoolHarness()
})
afterEach(() => harness.close())

const TIME = 1_790_000_000_000_000_000n
const idOf = (trace: number): string => trace.toString(16).padStart(8, '0') + 'ab'.repeat(12)

interface Shape {
  readonly trace: number
  readonly span: number
  readonly parent?: number
  readonly at?: bigint
  readonly fields?: Extract<PlainRecord, { type: 'update' }>['fields']
  readonly flags?: number
  readonly name?: string
}
let serial = 0

function records({
  trace,
  span,
  parent,
  at = 0n,
  fields = [],
  flags = 0,
  name,
}: Shape): PlainRecord[] {
  serial++
  const hex = (number: number): string => number.toString(16).padStart(16, '0')
  return [
    {
      type: 'start',
      serial,
      traceId: idOf(trace),
      spanId: hex(span),
      ...(parent !== undefined && { parentSpanId: hex(parent) }),
      time: TIME + at,
      name: name ?? `span ${span}`,
      flags,
      fields,
    },
    { type: 'end', serial, time: TIME + at + 1_000_000n },
  ]
}

let segment = 0
/** Commits spans of a writer of their own. */
function commit(shapes: readonly Shape[], service = 'shop'): void {
  segment++
  const writer = segment.toString(16).padStart(16, '0')
  harness.write({
    writer,
    header: { service, environment: 'staging' },
    frames: [{ records: shapes.flatMap(records) }, { end: true }],
  })
  harness.drain(0)
}

function pages(limit: number, service?: string): string[][] {
  return harness.read((reader) => {
    const all: string[][] = []
    let before: string | undefined
    do {
      const page = reader.traces({ limit, before, service })
      all.push(page.traces.map(({ id }) => id))
      before = page.next ?? undefined
    } while (before !== undefined)
    return all
  })
}

const trace = (number: number): TraceRow | undefined =>
  harness.read((reader: StoreReader) => reader.trace(idOf(number))?.summary)

test('a trace is what all its parts say', () => {
  commit([
    {
      trace: 1,
      span: 2,
      parent: 1,
      at: 5_000_000n,
      fields: [
        [FIELD.userId, 'user'],
        [FIELD.level, 'ERROR'],
      ],
    },
    { trace: 1, span: 3, parent: 1, at: 2_000_000n, fields: [[FIELD.traceName, 'given']] },
    { trace: 2, span: 9, name: 'other' },
  ])
  expect(trace(1)).toMatchObject({
    name: 'given',
    complete: false,
    spans: 2,
    errors: 1,
    userId: 'user',
  })
  commit(
    [
      { trace: 1, span: 4, parent: 2, at: 9_000_000n, fields: [[FIELD.statusCode, 2]] },
      { trace: 1, span: 5, parent: 2, at: 8_000_000n, fields: [[FIELD.level, 'WARNING']] },
      { trace: 1, span: 6, parent: 2, at: 8_500_000n, fields: [[FIELD.level, 'WARNINGS']] },
    ],
    'worker',
  )
  commit([
    {
      trace: 1,
      span: 1,
      name: 'root',
      fields: [
        [FIELD.sessionId, 's'],
        [FIELD.environment, 'prod'],
      ],
    },
  ])
  const row = {
    id: idOf(1),
    name: 'root',
    complete: true,
    service: 'shop',
    environment: 'prod',
    userId: 'user',
    sessionId: 's',
    firstStart: Number(TIME / 1_000_000n),
    lastEnd: Number(TIME / 1_000_000n) + 10,
    spans: 6,
    errors: 2,
    warnings: 1,
    interrupted: 0,
    tokens: null,
  }
  expect(trace(1)).toEqual(row)
  const listed = harness.read((reader) => reader.traces({ limit: 9 }).traces)
  expect(listed.find(({ id }) => id === idOf(1))).toEqual(row)
  const spans = harness.read((reader) => reader.trace(idOf(1))?.spans.map(({ name }) => name))
  expect(spans?.toSorted()).toEqual(['root', 'span 2', 'span 3', 'span 4', 'span 5', 'span 6'])
})

test('a root may have its parent elsewhere; one without a parent is the better one', () => {
  commit([{ trace: 1, span: 2, parent: 1, flags: 1, name: 'remote' }])
  expect(trace(1)).toMatchObject({ name: 'remote', complete: true })
  commit([{ trace: 1, span: 1, name: 'root' }])
  expect(trace(1)).toMatchObject({ name: 'root' })
  commit([{ trace: 1, span: 3, parent: 1, flags: 1, name: 'remote again' }])
  expect(trace(1)).toMatchObject({ name: 'root', spans: 3 })
})

test('long names are cut in lists, not in the trace', () => {
  const name = 'tên dài '.repeat(500)
  commit([{ trace: 1, span: 1, name }])
  expect(trace(1)?.name).toMatch(/^tên dài.*…$/)
  expect(Buffer.byteLength(trace(1)?.name ?? '')).toBeLessThan(1030)
  expect(harness.read((reader) => reader.trace(idOf(1))?.spans[0]?.name)).toBe(name)
})

test('tokens of a trace are those of all its observations', () => {
  const usage = (details: Record<string, number>): NonNullable<Shape['fields']> => [
    [FIELD.userId, 'u'],
    [FIELD.usageDetails, details],
  ]
  commit([
    { trace: 1, span: 2, parent: 1, fields: usage({ input: 400, output: 100 }) },
    { trace: 2, span: 9, fields: usage({ cached: 1 }) },
    { trace: 1, span: 3, parent: 1, fields: usage({ promptTokens: 12, completionTokens: 28 }) },
  ])
  expect(trace(1)).toMatchObject({ tokens: { input: 412, output: 128, total: 540 }, userId: 'u' })
  commit([{ trace: 1, span: 1 }])
  commit([{ trace: 1, span: 4, parent: 1, fields: usage({ total: 60 }) }])
  const tokens = harness.read((reader) =>
    reader.traces({ limit: 2 }).traces.map((row) => row.tokens),
  )
  expect(tokens).toEqual([{ input: 412, output: 128, total: 600 }, null])
})

test('pages: newest first, each trace once, whatever is stored later of it', () => {
  for (let number = 1; number <= 30; number++) commit([{ trace: number, span: number }])
  // More of an old one makes it the newest.
  commit([
    { trace: 5, span: 105, parent: 5 },
    { trace: 7, span: 107, parent: 7 },
  ])
  const order = [7, 5, ...Array.from({ length: 30 }, (_, i) => 30 - i)]
  const expected = [...new Set(order)].map(idOf)
  for (const limit of [1, 2, 3, 7, 29, 30, 31]) {
    const all = pages(limit)
    expect(all.flat()).toEqual(expected)
    expect(all.slice(0, -1).every((page) => page.length === limit)).toBe(true)
  }
  const five = harness.read((reader) => reader.traces({ limit: 2 }).traces[1])
  expect(five).toMatchObject({ id: idOf(5), spans: 2, name: 'span 5' })
})

test('a trace whose parts lie many chunks apart', () => {
  commit([{ trace: 1, span: 101, parent: 1 }])
  for (let number = 2; number <= 300; number++) commit([{ trace: number, span: number }])
  commit([{ trace: 1, span: 1 }])
  const newest = harness.read((reader) => reader.traces({ limit: 1 }).traces)
  expect(newest).toMatchObject([{ id: idOf(1), spans: 2 }])
  expect(pages(7).flat()).toEqual([1, ...Array.from({ length: 299 }, (_, i) => 300 - i)].map(idOf))
})

test('pages within one chunk', () => {
  commit(Array.from({ length: 100 }, (_, i) => ({ trace: i + 1, span: i + 1 })))
  const expected = Array.from({ length: 100 }, (_, i) => idOf(100 - i))
  expect(pages(7).flat()).toEqual(expected)
  expect(pages(100).flat()).toEqual(expected)
})

test('a page is not disturbed by what is stored meanwhile', () => {
  for (let number = 1; number <= 10; number++) commit([{ trace: number, span: number }])
  const first = harness.read((reader) => reader.traces({ limit: 4 }))
  commit([{ trace: 2, span: 102, parent: 2 }])
  commit([{ trace: 11, span: 11 }])
  const second = harness.read((reader) => reader.traces({ limit: 9, before: first.next ?? '' }))
  expect(first.traces.map(({ id }) => id)).toEqual([10, 9, 8, 7].map(idOf))
  // Of the second trace something newer was stored: it is on a page before, for one who begins again.
  expect(second.traces.map(({ id }) => id)).toEqual([6, 5, 4, 3, 1].map(idOf))
})

test('by service and by time', () => {
  for (let number = 1; number <= 6; number++) {
    commit([{ trace: number, span: number }], number % 2 === 0 ? 'even' : 'odd')
  }
  expect(pages(2, 'even').flat()).toEqual([6, 4, 2].map(idOf))
  expect(pages(9, 'none')).toEqual([[]])
  const later = harness.read((reader) => reader.traces({ limit: 9, since: Date.now() + 1000 }))
  expect(later).toEqual({ traces: [], next: null })
  expect(harness.read((reader) => reader.traces({ limit: 9, since: 1 }).traces)).toHaveLength(6)
})

test('a cursor that is none begins at the newest', () => {
  commit([{ trace: 1, span: 1 }])
  for (const before of ['', 'x', '5', '1.x', '-1']) {
    expect(harness.read((reader) => reader.traces({ limit: 9, before }).traces)).toHaveLength(1)
  }
})

test('ids by their beginning', () => {
  commit([
    { trace: 0x12345678, span: 1 },
    { trace: 0x12345679, span: 2 },
    { trace: 0x1300, span: 3 },
  ])
  const ids = (prefix: string, limit = 9): string[] =>
    harness.read((reader) => reader.traceIds(prefix, limit)).toSorted()
  expect(ids('1234567')).toEqual([idOf(0x12345678), idOf(0x12345679)])
  expect(ids('12345678')).toEqual([idOf(0x12345678)])
  expect(ids(idOf(0x12345679))).toEqual([idOf(0x12345679)])
  expect(ids('1')).toEqual([idOf(0x12345678), idOf(0x12345679)])
  expect(ids('0000')).toEqual([idOf(0x1300)])
  expect(ids('1234567', 1)).toHaveLength(1)
  expect(ids('ff')).toEqual([])
  expect(harness.read((reader) => reader.trace('ff'.repeat(16)))).toBe(null)
})

test('traces of one hash are told apart', () => {
  // The same first bytes, and the same words in another order.
  const ids = ['11111111222222223333333344444444', '11111111333333332222222244444444']
  const records = ids.map((traceId, i): PlainRecord => {
    return {
      type: 'event',
      serial: i + 1,
      traceId,
      spanId: '00000000000000aa',
      time: TIME,
      name: traceId,
    }
  })
  harness.write({ frames: [{ records }, { end: true }] })
  harness.drain(0)
  for (const id of ids) {
    const found = harness.read((reader) => reader.trace(id))
    expect(found?.spans.map(({ name }) => name)).toEqual([id])
  }
})

test('spans as they come, and what is open', () => {
  commit([{ trace: 1, span: 1 }])
  const last = harness.read((reader) => reader.lastChunk())
  commit([{ trace: 1, span: 2 }])
  const { spans, last: newest } = harness.read((reader) => reader.spansAfter(last, 10))
  expect(spans.map(({ name }) => name)).toEqual(['span 2'])
  expect(newest).toBe(last + 1)
  harness.write({
    writer: 'ff'.repeat(8),
    header: { heartbeatSeconds: 99, service: 'live' },
    frames: [{ records: records({ trace: 3, span: 3 }).slice(0, 1) }],
  })
  harness.drain(0)
  expect(harness.read((reader) => reader.open())).toBe(1)
  const writers = harness.read((reader) => reader.writers())
  expect(writers.find(({ service }) => service === 'live')).toMatchObject({
    id: 'ff'.repeat(8),
    unfinished: 1,
  })
})
