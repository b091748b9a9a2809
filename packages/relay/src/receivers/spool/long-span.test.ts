import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FIELD } from '@offpath/sdk/spool-format'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Words } from '../../store/words.ts'
import type { PlainSpan } from '../../testing/plain-span.ts'
import {
  encodeSegment,
  type PlainField,
  type PlainRecord,
  type PlainSegment,
  segmentName,
  WRITER,
} from '../../testing/plain-writer.ts'
import { SpoolHarness } from '../../testing/spool-harness.ts'
import { processIdentity } from './test-identity.ts'

// An observation that is open for long and recorded in many batches.

let harness: SpoolHarness
beforeEach(() => {
  harness = new SpoolHarness()
})
afterEach(() => {
  vi.restoreAllMocks()
  harness.close()
})

const TIME = 1_790_000_000_000_000_000n
const start: PlainRecord = {
  type: 'start',
  serial: 1,
  traceId: 'aa'.repeat(16),
  spanId: 'bb'.repeat(8),
  time: TIME,
  name: 'long',
}
const end: PlainRecord = { type: 'end', serial: 1, time: TIME + 1n }
const event = (number: number): PlainField => [FIELD.event, [`event ${number}`, 0, number, {}]]

/** Reads a segment of one update a frame, a frame at a time; `restartAt`: before these, the relay starts anew. */
function read(updates: readonly PlainField[], restartAt: readonly number[] = []): void {
  const segment: PlainSegment = {
    header: processIdentity(),
    frames: [
      { records: [start] },
      ...updates.map((field) => ({
        records: [{ type: 'update', serial: 1, fields: [field] } as const],
      })),
      { records: [end] },
    ],
  }
  const bytes = encodeSegment(segment)
  const lengthOf = (frames: PlainSegment['frames']): number =>
    encodeSegment({ ...segment, frames }).length
  const path = join(harness.memory, segmentName(WRITER, 1))
  mkdirSync(harness.memory, { recursive: true })
  let length = lengthOf([])
  for (const [index, frame] of segment.frames.entries()) {
    length += lengthOf([frame]) - lengthOf([])
    writeFileSync(path, bytes.subarray(0, length), { mode: 0o600 })
    harness.drain(0)
    if (restartAt.includes(index)) harness.restart()
  }
}

function readAtOnce(updates: readonly PlainField[]): PlainSpan | undefined {
  const before = harness.spans().length
  const fields = updates.map((field) => ({ type: 'update', serial: 1, fields: [field] }) as const)
  harness.write({ writer: '00000000000000bb', frames: [{ records: [start, ...fields, end] }] })
  harness.drain(0)
  return harness.spans()[before]
}

test('is not copied whole at each batch', () => {
  const copy = vi.spyOn(Words.prototype, 'copyWords')
  const updates = Array.from({ length: 300 }, (_, n): PlainField[] => [
    event(n),
    [FIELD.metadata, { [`key ${n}`]: n }],
  ]).flat()
  read(updates)
  const copied = copy.mock.calls.reduce((sum, [, from, to]) => sum + to - from, 0)
  const [span] = harness.spans()
  expect(span?.events).toHaveLength(300)
  expect(Object.keys(span?.fields.metadata ?? {})).toHaveLength(300)
  // It has some 6 000 words.
  expect(copied).toBeLessThan(100_000)
})

test('is the same in however many batches it comes', { timeout: 60_000 }, () => {
  const value = fc.oneof(fc.integer(), fc.string(), fc.constant(null))
  const key = fc.constantFrom('a', 'b', 'c', 'd')
  const field = fc.oneof(
    fc.nat(99).map(event),
    fc.tuple(fc.constantFrom(FIELD.input, FIELD.output, FIELD.level), value),
    fc.tuple(fc.constant(FIELD.metadata), fc.dictionary(key, value, { noNullPrototype: true })),
    fc.tuple(fc.constant(FIELD.tags), fc.array(key)),
    fc.tuple(fc.constant<63>(FIELD.attribute), key, value),
  ) as fc.Arbitrary<PlainField>
  fc.assert(
    fc.property(
      fc.array(field, { minLength: 5, maxLength: 40 }),
      fc.array(fc.nat(40), { maxLength: 2 }),
      (updates, restartAt) => {
        harness.close()
        harness = new SpoolHarness()
        read(updates, restartAt)
        const [slowly] = harness.spans()
        expect(slowly).toEqual(readAtOnce(updates))
      },
    ),
    { numRuns: 20 },
  )
})
