import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type PlainFrame, type PlainRecord, WRITER } from '../../testing/plain-writer.ts'
import { SpoolHarness } from '../../testing/spool-harness.ts'
import { processIdentity } from './test-identity.ts'
import { WriterReader } from './writer-reader.ts'

// One observation that breaks something stops neither its writer, nor others, nor the relay.

let harness: SpoolHarness
beforeEach(() => {
  harness = new SpoolHarness()
})
afterEach(() => {
  vi.restoreAllMocks()
  harness.close()
})

const TRACE = 'aa'.repeat(16)
const TIME = 1_790_000_000_000_000_000n
const alive = processIdentity()

function start(serial: number): PlainRecord {
  return {
    type: 'start',
    serial,
    traceId: TRACE,
    spanId: serial.toString(16).padStart(16, '0'),
    time: TIME,
    name: `span ${serial}`,
  }
}
const end = (serial: number): PlainRecord => ({ type: 'end', serial, time: TIME + 1n })
const whole = (serial: number): PlainRecord[] => [start(serial), end(serial)]
const frame = (...records: PlainRecord[]): PlainFrame => ({ records })

/** The builder fails where the span's name ends in that number. */
function breakSpan(number: number): void {
  const { chunks } = harness.store
  const original = chunks.end.bind(chunks)
  vi.spyOn(chunks, 'end').mockImplementation((from, facts) => {
    const { bytes, at } = chunks.staging
    if (bytes.subarray(from << 2, at << 2).includes(`span ${number}\0`)) {
      throw new TypeError('broken')
    }
    original(from, facts)
  })
}

test('a span that cannot be stored is dropped, counted, and told once', () => {
  breakSpan(2)
  harness.write({ header: alive, frames: [frame(...whole(1), ...whole(2), ...whole(3))] })
  harness.write({ writer: '00000000000000bb', header: alive, frames: [frame(...whole(2))] })
  harness.drain()
  expect(harness.names()).toEqual(['span 1', 'span 3'])
  expect(harness.law()).toMatchObject({ accepted: 4, dropped: 2, held: 2 })
  expect(harness.counters()).toMatchObject({ unstorable: 2, 'test.dropped.unstorable': 2 })
  expect(harness.lines).toEqual(['an observation cannot be stored {"error":"broken"}'])
  harness.deliver()
  expect(harness.law()).toMatchObject({ accepted: 4, dropped: 2, delivered: 2, held: 0 })
})

test('one that was open and had a row of the store leaves it too', () => {
  breakSpan(1)
  harness.write({ header: alive, frames: [frame(start(1), start(2)), { end: true }] })
  harness.drain()
  harness.write({
    number: 2,
    startedBefore: 2,
    header: alive,
    frames: [frame(end(1), end(2))],
  })
  harness.drain()
  harness.restart()
  harness.drain()
  expect(harness.names()).toEqual(['span 2'])
  expect(harness.law()).toMatchObject({ accepted: 2, dropped: 1, held: 1 })
})

test('a revision that cannot be stored was counted with its first version', () => {
  harness.write({ frames: [frame(start(1), start(2))] })
  harness.drain()
  harness.now += 71_000
  harness.drain()
  expect(harness.law()).toMatchObject({ accepted: 2, held: 2 })
  breakSpan(1)
  harness.write({ frames: [frame(start(1), start(2)), frame(end(1), end(2))] })
  harness.drain()
  expect(harness.spans().map(({ name, revision }) => [name, revision])).toEqual([
    ['span 1', 0],
    ['span 2', 0],
    ['span 2', 1],
  ])
  expect(harness.law()).toMatchObject({ accepted: 2, dropped: 0, held: 2 })
})

test('one that cannot be kept while it is open', () => {
  const { slice } = Int32Array.prototype
  vi.spyOn(Int32Array.prototype, 'slice').mockImplementation(function (this: Int32Array, ...args) {
    const words = slice.apply(this, args)
    if (Buffer.from(words.buffer).includes('span 1\0')) throw new RangeError('no memory')
    return words
  })
  harness.write({ header: alive, frames: [frame(start(1), start(2))] })
  harness.drain()
  vi.restoreAllMocks()
  expect(harness.law()).toMatchObject({ accepted: 2, dropped: 1, held: 1 })
  harness.write({ header: alive, frames: [frame(start(1), start(2)), frame(end(1), end(2))] })
  harness.drain()
  expect(harness.names()).toEqual(['span 2'])
  expect(harness.law()).toMatchObject({ accepted: 2, dropped: 1, held: 1 })
})

const json = (record: object): object => ({
  trace_id: TRACE,
  start_time: String(TIME),
  end_time: String(TIME + 1n),
  record: 'observation',
  ...record,
})

test('of JSON records that no value can be made of, the others and what else they say are read', () => {
  const nasty = { toString: 1, valueOf: 1 }
  // As text: older Nodes can't stringify what is so deep.
  const deep = `${'['.repeat(5_000)}{"$offpath:string":1}${']'.repeat(5_000)}`
  const records = [
    json({ span_id: '0000000000000001', name: 'one' }),
    json({ span_id: '0000000000000002', name: nasty }),
    json({ span_id: nasty, name: 'x' }),
    json({ span_id: '0000000000000003', name: 'x', trace: { tags: [nasty] } }),
    JSON.stringify(json({ span_id: '0000000000000004', input: 'deep' })).replace('"deep"', deep),
    json({ span_id: '0000000000000005', name: 'five' }),
  ]
  harness.write({ header: alive, frames: [{ json: records }] })
  harness.drain()
  expect(harness.names()).toEqual(['one', '', 'x', '', 'five'])
  expect(harness.counters()).toMatchObject({
    accepted: 5,
    malformedRecords: 1,
    malformedFields: 2,
    'lost.corrupt': 1,
  })
  harness.restart()
  harness.drain()
  expect(harness.law()).toMatchObject({ accepted: 5, held: 5 })
})

test('a writer whose segment cannot be read holds up no other', () => {
  harness.write({ header: alive, frames: [frame(start(1))] })
  harness.drain()
  const { read } = WriterReader.prototype
  vi.spyOn(WriterReader.prototype, 'read').mockImplementation(function (this: WriterReader, dead) {
    if (this.state.id === WRITER) throw new Error('EIO: i/o error, read')
    return read.call(this, dead)
  })
  harness.write({ writer: '00000000000000bb', header: alive, frames: [frame(...whole(2))] })
  harness.drain()
  expect(harness.names()).toEqual(['span 2'])
  expect(harness.lines).toHaveLength(1)
})

test('totals that are no counts are no losses', () => {
  const losses = { spool_full: 1e300, write_failed: -3, slow_disk: 0.5 }
  harness.write({
    header: alive,
    frames: [
      { json: [{ record: 'loss', totals: losses }, json({ span_id: '0000000000000001' })] },
      { started: 2 ** 60, records: whole(2) },
      { started: 3, records: whole(3) },
    ],
  })
  harness.drain()
  expect(harness.names()).toHaveLength(3)
  expect(harness.counters()).toEqual({
    accepted: 3,
    records: 6,
    stored: 3,
    readBytes: expect.any(Number),
  })
})
