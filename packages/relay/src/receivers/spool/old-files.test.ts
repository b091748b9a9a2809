import { afterEach, expect, test } from 'vitest'
import { dataBytes } from '../../store/data-files.ts'
import type { PlainRecord } from '../../testing/plain-writer.ts'
import { SpoolHarness } from '../../testing/spool-harness.ts'
import { processIdentity } from './test-identity.ts'

// What is open holds no old data file for ever, and is not copied again and again either.

const ROTATE = 20_000
const TIME = 1_790_000_000_000_000_000n
const alive = processIdentity()
let harness: SpoolHarness
afterEach(() => harness.close())

function start(serial: number, chars: number): PlainRecord {
  const spanId = serial.toString(16).padStart(16, '0')
  const input = `${serial} `.repeat(chars).slice(0, chars)
  const fields = [[3, input]] as const
  const name = `span ${serial}`
  return { type: 'start', serial, traceId: 'aa'.repeat(16), spanId, time: TIME, name, fields }
}

/** A segment in which `open` long observations stay open and `ended` others end, each read by a poll of its own. */
function record(open: number, ended: number): void {
  harness = new SpoolHarness(ROTATE)
  const frames: { records: PlainRecord[] }[] = [
    { records: Array.from({ length: open }, (_, i) => start(i + 1, 10_000)) },
  ]
  for (let serial = open + 1; serial <= open + ended; serial++) {
    frames.push({ records: [start(serial, 5_000), { type: 'end', serial, time: TIME + 1n }] })
    harness.write({ header: alive, frames })
    harness.drain()
  }
}

test('where little is open, old files are left', () => {
  record(1, 60)
  const { data } = harness.store
  expect(data.file).toBeGreaterThan(10)
  expect(harness.receiver.oldestFile()).toBeGreaterThan(data.file - 8)
})

test('where more is open than the newest files hold, the store grows by twice what is recorded at most', () => {
  record(20, 120)
  expect(dataBytes(harness.storeDirectory)).toBeLessThan(2 * (20 * 10_000 + 120 * 5_000))
  expect(harness.receiver.oldestFile()).toBeGreaterThan(1)
})

test('while reading is paused, what is open is copied once', () => {
  record(20, 1)
  const before = harness.store.data.file
  harness.paused = true
  for (let i = 0; i < 10; i++) harness.receiver.poll()
  expect(harness.receiver.oldestFile()).toBeGreaterThanOrEqual(before)
  expect(harness.store.data.file).toBeLessThan(before + 3)
})
