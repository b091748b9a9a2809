import { mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { verify } from '../cli/spool-verify.ts'
import { encodeSegment, type PlainSegment, writeSegment } from '../testing/plain-writer.ts'
import { SpoolHarness } from '../testing/spool-harness.ts'
import { listSegments } from './segments.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'offpath-segments-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const observation = (n: number, input: string) => ({
  json: [
    {
      record: 'observation',
      span_id: `000000000000000${n}`,
      trace_id: '0'.repeat(31) + n,
      name: 'one',
      input,
      start_time: '1790000000000000000',
      end_time: '1790000000000000001',
    },
  ],
})
const earlier = encodeSegment({ frames: [1, 2, 3].map((n) => observation(n, 'x'.repeat(999))) })
const alive = { pidNamespace: readlinkSync('/proc/self/ns/pid') }
const later = (more: Partial<PlainSegment> = {}): PlainSegment => ({
  header: { recycled: true, ...alive },
  nonce: Buffer.from('a later one'.slice(0, 8)),
  frames: [observation(4, 'a'), observation(5, 'b')],
  ...more,
})

/** Writes the bytes over those of an earlier segment, as a writer does that takes a file over. */
function over(bytes: Buffer): string {
  const path = writeSegment(directory, later())
  writeFileSync(path, Buffer.concat([bytes, earlier.subarray(bytes.length)]))
  return path
}

describe('a file that is used again', () => {
  test('is whole where its own frames end', () => {
    const bytes = encodeSegment(later())
    const path = over(bytes)
    expect(listSegments(directory, 'memory')).toMatchObject([
      { fault: null, frames: 2, bytes: earlier.length, written: bytes.length },
    ])
    expect(verify(path)).toMatchObject({ clean: true, frames: 2, records: 2, ended: false })
  })

  test('is whole behind its end frame', () => {
    const bytes = encodeSegment(later({ frames: [observation(4, 'a'), { end: true }] }))
    const path = over(bytes)
    expect(listSegments(directory, 'memory')).toMatchObject([
      { fault: null, frames: 2, written: bytes.length },
    ])
    expect(verify(path)).toMatchObject({ clean: true, ended: true })
  })

  test('is damaged in the middle: what follows is still found', () => {
    const bytes = encodeSegment(later())
    const start = bytes.readUInt32LE(12)
    const first = 48 + bytes.readUInt32LE(start + 12)
    bytes.writeUInt32LE(0, start + first - 4)
    const verdict = verify(over(bytes))
    expect(verdict).toMatchObject({ clean: false, frames: 1 })
    expect(verdict.faults).toMatchObject([{ offset: start, bytes: first }])
  })

  test('may end in half a frame', () => {
    const bytes = encodeSegment(later())
    const verdict = verify(over(bytes.subarray(0, bytes.length - 8)))
    expect(verdict.faults).toMatchObject([{ fault: expect.stringContaining('half a frame') }])
  })
})

test('of a live writer, half a frame is being written; of a dead one it is torn', () => {
  const bytes = encodeSegment(later({ header: alive }))
  const path = writeSegment(directory, later({ header: alive }))
  writeFileSync(path, bytes.subarray(0, bytes.length - 8))
  expect(listSegments(directory, 'memory')).toMatchObject([{ fault: null, frames: 1 }])
  const dead = encodeSegment(later({ header: { ...alive, pid: 0 } }))
  writeFileSync(path, dead.subarray(0, dead.length - 8))
  expect(listSegments(directory, 'memory')).toMatchObject([
    { fault: 'is torn: its last frame is not whole', alive: false },
  ])
})

test('nothing of it is unread once its frames are read', () => {
  const spool = new SpoolHarness()
  try {
    const path = spool.write(later())
    const own = readFileSync(path)
    writeFileSync(path, Buffer.concat([own, earlier.subarray(own.length)]))
    spool.drain(0)
    const cursors = spool.read((reader) => reader.cursors())
    expect(listSegments(spool.memory, 'memory')[0]?.written).toBe(cursors[path])
  } finally {
    spool.close()
  }
})
