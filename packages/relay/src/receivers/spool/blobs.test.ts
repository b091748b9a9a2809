import { FIELD } from '@offpath/sdk/spool-format'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  encodeSegment,
  type PlainFrame,
  type PlainRecord,
  type PlainSegment,
  type PlainSlice,
  textBlob,
  WRITER,
} from '../../testing/plain-writer.ts'
import { SpoolHarness } from '../../testing/spool-harness.ts'
import { processIdentity } from './test-identity.ts'

// Blobs that nothing needs any more are not kept: neither in memory nor in the store.

let harness: SpoolHarness
let previous: NonNullable<PlainSegment['previous']> | null
let number: number
let started: number
beforeEach(() => {
  harness = new SpoolHarness()
  previous = null
  number = started = 0
})
afterEach(() => harness.close())

const start = (serial: number, blob?: number): PlainRecord => ({
  type: 'start',
  serial,
  traceId: 'aa'.repeat(16),
  spanId: serial.toString(16).padStart(16, '0'),
  time: 1_790_000_000_000_000_000n,
  name: `span ${serial}`,
  fields: blob === undefined ? [] : [[FIELD.input, textBlob(blob)]],
})
const end = (serial: number): PlainRecord => {
  return { type: 'end', serial, time: 1_790_000_001_000_000_000n }
}
const whole = (serial: number, blob?: number): PlainRecord[] => [start(serial, blob), end(serial)]
const frame = (...records: PlainRecord[]): PlainFrame => ({ records })
const slice = (id: number, rest: Partial<PlainSlice> = {}): PlainFrame => {
  return { blob: { id, encoding: 'utf8', offset: 0, content: `blob ${id}`, last: true, ...rest } }
}

/** Writes the writer's next segment and has it read. */
function next(...frames: PlainFrame[]): void {
  number++
  const header = processIdentity()
  const segment = { number, previous, header, startedBefore: started, frames }
  harness.write(segment)
  harness.drain(0)
  previous = { segment: number, length: encodeSegment(segment).length }
  for (const one of frames) {
    if ('records' in one) started += one.records.filter(({ type }) => type === 'start').length
  }
}
const empty = (count: number): void => {
  for (let i = 0; i < count; i++) next({ end: true })
}
const kept = (): number[] => {
  const blobs = harness.store.openBlobs(WRITER) ?? '[]'
  return JSON.parse(blobs).map(({ id }: { id: number }) => id)
}

test('an open observation keeps the blobs that it names, and no others', () => {
  next(frame(start(1, 1)), slice(1), { end: true })
  for (let serial = 2; serial < 12; serial++) {
    next(frame(...whole(serial, serial)), slice(serial), { end: true })
  }
  empty(2)
  expect(kept()).toEqual([1])
  harness.restart()
  next(frame(end(1)), { end: true })
  empty(2)
  expect(kept()).toEqual([])
  expect(harness.spans().at(-1)?.fields.input).toEqual({ text: 'blob 1' })
  expect(harness.law()).toMatchObject({ accepted: 11, held: 11 })
  expect(harness.counters()).not.toHaveProperty('unnamedBlobs')
})

test('a blob is waited for that comes long before the record that names it', () => {
  next(slice(1), { end: true })
  empty(31)
  next(frame(...whole(1, 1)), { end: true })
  expect(harness.spans()[0]?.fields.input).toEqual({ text: 'blob 1' })
  empty(1)
  expect(kept()).toEqual([])
})

test('a lone surrogate of a blob that comes before its name is kept where JSON can hold it', () => {
  const content = `a\ud800${'b'.repeat(100)}`
  next(
    slice(1, { encoding: 'utf16', content }),
    frame(start(1), { type: 'update', serial: 1, fields: [[FIELD.input, [textBlob(1)]]] }, end(1)),
    slice(2, { encoding: 'utf16', content }),
    frame(...whole(2, 2)),
  )
  expect(harness.spans().map(({ fields }) => fields.input)).toEqual([
    { json: [content] },
    { text: content.toWellFormed() },
  ])
})

test('a blob that no record names is forgotten, counted', () => {
  next(slice(1), slice(2, { last: false }), { end: true })
  // Of observations that are not known.
  next(frame({ type: 'update', serial: 9, fields: [[FIELD.output, textBlob(3)]] }), slice(3), {
    end: true,
  })
  empty(30)
  expect(kept()).toEqual([1, 2, 3])
  empty(1)
  expect(kept()).toEqual([3])
  empty(1)
  expect(kept()).toEqual([])
  expect(harness.counters()).toMatchObject({ unnamedBlobs: 3 })
})

test('blobs of ended observations that are read again after a restart are not counted', () => {
  next(frame(...whole(1, 1)), slice(1))
  harness.restart()
  empty(34)
  expect(kept()).toEqual([])
  expect(harness.counters()).not.toHaveProperty('unnamedBlobs')
  expect(harness.law()).toMatchObject({ accepted: 1, held: 1 })
})

test('of many blobs that no record names the oldest are forgotten', () => {
  next(...Array.from({ length: 10_005 }, (_, i) => slice(i + 1)), { end: true })
  expect(kept()[0]).toBe(6)
  expect(kept()).toHaveLength(10_000)
  expect(harness.counters()).toMatchObject({ unnamedBlobs: 5 })
})
