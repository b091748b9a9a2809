import fs, {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { FIELD } from '@offpath/sdk/spool-format'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { listSegments } from '../../http/segments.ts'
import {
  bytesBlob,
  encodeSegment,
  name,
  nameDefinition,
  numbered,
  type PlainFrame,
  type PlainRecord,
  type PlainSegment,
  type PlainSlice,
  reference,
  segmentName,
  textBlob,
  WRITER,
} from '../../testing/plain-writer.ts'
import { SpoolHarness } from '../../testing/spool-harness.ts'
import { takeLease } from './lease.ts'
import { processIdentity } from './test-identity.ts'

let harness: SpoolHarness
beforeEach(() => {
  harness = new SpoolHarness()
})
afterEach(() => harness.close())

const TRACE = 'aa'.repeat(16)
const TIME = 1_790_000_000_000_000_000n
const HOUR = 3_600_000

function start(serial: number, rest: object = {}): PlainRecord {
  return {
    type: 'start',
    serial,
    traceId: TRACE,
    spanId: serial.toString(16).padStart(16, '0'),
    time: TIME + BigInt(serial),
    name: `span ${serial}`,
    ...rest,
  }
}
const end = (serial: number, fields: PlainSegmentFields = []): PlainRecord => {
  return { type: 'end', serial, time: TIME + 1_000_000n + BigInt(serial), fields }
}
type PlainSegmentFields = Extract<PlainRecord, { type: 'update' }>['fields']
const update = (serial: number, fields: PlainSegmentFields): PlainRecord => {
  return { type: 'update', serial, fields }
}
const whole = (serial: number): PlainRecord[] => [start(serial), end(serial)]
const frame = (...records: PlainRecord[]): PlainFrame => ({ records })
const END: PlainFrame = { end: true }

/** Offset of each frame of a segment, and its length at last. */
function offsets(segment: PlainSegment): number[] {
  return segment.frames.map((_, i) => {
    return encodeSegment({ ...segment, frames: segment.frames.slice(0, i) }).length
  })
}

/** A writer in a process that lives: this one. */
const alive = processIdentity()
/** One of this pid namespace that is gone. */
const dead = { ...alive, pidStartTime: '1' }

describe('reading', () => {
  test('a segment is read, committed, and deleted', () => {
    const path = harness.write({
      frames: [frame(...whole(1)), frame(start(2)), frame(end(2)), END],
    })
    harness.drain(0)
    expect(harness.names()).toEqual(['span 1', 'span 2'])
    expect(existsSync(path)).toBe(false)
    expect(harness.law()).toMatchObject({ accepted: 2, held: 2 })
    harness.deliver()
    expect(harness.law()).toMatchObject({ accepted: 2, delivered: 2, held: 0 })
  })

  test('a live segment is followed as it grows, and stays', () => {
    const segment = { header: alive, frames: [frame(start(1)), frame(end(1)), frame(...whole(2))] }
    const [first, second, third] = offsets(segment) as [number, number, number]
    const path = harness.write({ ...segment, frames: [] })
    for (const length of [first + 10, second, second + 30, third - 4, third]) {
      harness.writePart(path, segment, length)
      harness.drain()
    }
    expect(harness.names()).toEqual(['span 1'])
    harness.write(segment)
    harness.drain()
    expect(harness.names()).toEqual(['span 1', 'span 2'])
    expect(existsSync(path)).toBe(true)
    expect(harness.counters()).not.toHaveProperty('corruptFrames')
    expect(harness.counters()).not.toHaveProperty('tornTails')
  })

  test('bytes are counted as they are read, and not again after a restart', () => {
    const segment = { header: alive, frames: [frame(start(1)), frame(end(1)), frame(...whole(2))] }
    const [first] = offsets(segment) as [number]
    harness.write({ ...segment, frames: segment.frames.slice(0, 1) })
    harness.drain()
    harness.restart()
    harness.write(segment)
    harness.drain()
    const readBytes = encodeSegment(segment).length - first
    expect(harness.counters()).toMatchObject({ accepted: 2, stored: 2, readBytes })
  })

  test('a commit is told of, also one that the store refuses and that is tried again', () => {
    const { store } = harness
    const commit = store.commit.bind(store)
    store.commit = () => {
      throw new Error('no space')
    }
    harness.write({ frames: [frame(...whole(1)), END] })
    expect(() => harness.receiver.poll()).toThrow('no space')
    expect(harness.refused).toEqual([true])
    store.commit = commit
    harness.receiver.poll()
    expect(harness.refused.slice(0, 2)).toEqual([true, false])
    expect(harness.names()).toEqual(['span 1'])
  })

  test('segments of a writer are read in the order of their numbers, through both directories', () => {
    const first: PlainSegment = { header: alive, frames: [frame(start(1), start(2)), END] }
    const second: PlainSegment = {
      number: 2,
      previous: { segment: 1, length: encodeSegment(first).length },
      header: alive,
      startedBefore: 2,
      crc: true,
      frames: [frame(end(1), start(3)), END],
    }
    const third: PlainSegment = {
      number: 3,
      previous: { segment: 2, length: encodeSegment(second).length },
      header: alive,
      startedBefore: 3,
      frames: [frame(end(2), end(3)), END],
    }
    harness.write(third)
    harness.write(first)
    harness.write(second, harness.disk)
    harness.drain(0)
    expect(harness.names()).toEqual(['span 1', 'span 2', 'span 3'])
    expect(harness.counters()).not.toHaveProperty('lost.corrupt')
    expect(harness.files('.seg')).toEqual([])
    expect(harness.files('.seg', harness.disk)).toEqual([])
  })

  test('a segment waits for one before it that was overlooked, and no longer than a listing', () => {
    const second: PlainSegment = {
      number: 2,
      previous: { segment: 1, length: 500 },
      header: alive,
      startedBefore: 1,
      frames: [frame(...whole(2)), END],
    }
    harness.write({ header: alive, frames: [frame(...whole(1)), END] })
    harness.drain(0)
    const { length } = encodeSegment(second)
    harness.write({ ...second, number: 3, previous: { segment: 2, length } })
    harness.receiver.poll()
    expect(harness.names()).toEqual(['span 1'])
    harness.write(second)
    harness.drain()
    expect(harness.names()).toEqual(['span 1', 'span 2', 'span 2'])
    harness.write({ ...second, number: 6, previous: { segment: 5, length: 500 } })
    harness.drain()
    expect(harness.names()).toHaveLength(4)
    expect(harness.files('')).toEqual(['relay.lease'])
  })

  test('many writers, more than one batch each', () => {
    for (let writer = 1; writer <= 20; writer++) {
      const frames = Array.from({ length: 40 }, (_, i) => {
        return frame(...[1, 2, 3, 4, 5].flatMap((n) => whole(i * 5 + n)))
      })
      harness.write({ writer: writer.toString(16).padStart(16, '0'), frames: [...frames, END] })
    }
    harness.drain(0)
    expect(harness.names()).toHaveLength(4000)
    expect(harness.law()).toMatchObject({ accepted: 4000 })
  })

  test('a large frame is read as a small one is', () => {
    const text = 'x'.repeat(12_000_000)
    harness.write({ frames: [frame(start(1, { fields: [[FIELD.input, { text }]] }), end(1)), END] })
    harness.drain(0)
    expect(harness.spans()[0]?.fields).toEqual({ input: { json: { text } } })
  })

  test('while paused nothing is read', () => {
    harness.paused = true
    harness.write({ frames: [frame(...whole(1)), END] })
    harness.drain()
    expect(harness.names()).toEqual([])
    harness.paused = false
    harness.drain()
    expect(harness.names()).toEqual(['span 1'])
  })

  test('other files are left alone', () => {
    mkdirSync(join(harness.memory, segmentName('00000000000000bb', 1)))
    writeFileSync(join(harness.memory, 'notes.seg'), 'mine')
    writeFileSync(
      join(harness.directory, 'elsewhere'),
      encodeSegment({ frames: [frame(...whole(1))] }),
    )
    symlinkSync(join(harness.directory, 'elsewhere'), join(harness.memory, segmentName(WRITER, 1)))
    writeFileSync(join(harness.memory, segmentName('00000000000000cc', 1)), Buffer.alloc(5000, 7))
    harness.drain()
    expect(harness.names()).toEqual([])
    expect(harness.files('.seg')).toHaveLength(4)
    const told = harness.lines.filter((line) => line.includes('left alone'))
    expect(told).toHaveLength(4)
    expect(told.join('\n')).toContain('is no segment')
    expect(harness.counters()).toEqual({ badSegments: 4 })
  })

  test('a segment of a later version is told and counted', () => {
    const bytes = encodeSegment({ frames: [frame(...whole(1)), END] })
    bytes.writeUInt32LE(2, 8)
    mkdirSync(harness.memory, { recursive: true })
    const path = join(harness.memory, segmentName(WRITER, 1))
    writeFileSync(path, bytes)
    harness.drain()
    expect(harness.counters()).toEqual({ badSegments: 1 })
    expect(harness.lines).toEqual([expect.stringContaining('has version 2; this relay reads 1')])
    expect(listSegments(harness.memory, 'memory')).toMatchObject([
      { frames: null, fault: 'has version 2; this relay reads 1' },
    ])
  })

  test('a segment that says it is another one is left alone', () => {
    const path = harness.write({ frames: [frame(...whole(1)), END] })
    renameSync(path, join(harness.memory, segmentName(WRITER, 9)))
    harness.drain()
    expect(harness.names()).toEqual([])
    expect(harness.counters()).toMatchObject({ badSegments: 1 })
  })
})

describe('damage', () => {
  const segment: PlainSegment = {
    header: alive,
    frames: [frame(...whole(1)), frame(...whole(2), ...whole(3)), frame(...whole(4)), END],
  }
  const good = encodeSegment(segment)
  const [first, second, third, last] = offsets(segment) as [number, number, number, number]

  function damaged(change: (bytes: Buffer) => void, of: PlainSegment = segment): void {
    const bytes = encodeSegment(of)
    change(bytes)
    mkdirSync(harness.memory, { recursive: true })
    writeFileSync(join(harness.memory, segmentName(WRITER, of.number ?? 1)), bytes)
    harness.drain()
  }

  test.each<[string, (bytes: Buffer) => void]>([
    ['magic', (bytes) => bytes.writeUInt8(0, second)],
    ['nonce', (bytes) => bytes.writeUInt8(~(bytes[second + 5] as number) & 255, second + 5)],
    ['length, too long', (bytes) => bytes.writeUInt32LE(0x0300_0000, second + 12)],
    ['length, longer than allowed', (bytes) => bytes.writeUInt32LE(0xffff_fffc, second + 12)],
    ['length, too short', (bytes) => bytes.writeUInt32LE(8, second + 12)],
    ['length, odd', (bytes) => bytes.writeUInt32LE(13, second + 12)],
    ['footer', (bytes) => bytes.writeUInt32LE(5, third - 4)],
    ['all of the frame', (bytes) => bytes.fill(0, second, third)],
  ])('a wrong %s: one frame is lost and counted, the rest is read', (_what, change) => {
    damaged(change)
    expect(harness.names()).toEqual(['span 1', 'span 4'])
    expect(harness.counters()).toMatchObject({
      accepted: 2,
      corruptFrames: 1,
      corruptBytes: third - second,
      'lost.corrupt': 2,
    })
    expect(harness.law()).toMatchObject({ accepted: 2, held: 2 })
  })

  test('any flipped bit is found where there is a checksum', () => {
    const checked = { ...segment, crc: true }
    const length = third - second
    for (let i = 0; i < 60; i++) {
      const at = second + ((i * 7919) % length)
      const writer = (i + 1).toString(16).padStart(16, '0')
      const bytes = encodeSegment({ ...checked, writer })
      bytes.writeUInt8((bytes[at] as number) ^ (1 << (i & 7)), at)
      mkdirSync(harness.disk, { recursive: true })
      writeFileSync(join(harness.disk, segmentName(writer, 1)), bytes)
    }
    harness.drain()
    expect(harness.names()).toHaveLength(120)
    expect(harness.counters()).toMatchObject({ corruptFrames: 60, 'lost.corrupt': 120 })
  })

  test('several damaged frames one behind the other', () => {
    damaged((bytes) => bytes.fill(0xee, first, third))
    expect(harness.names()).toEqual(['span 4'])
    expect(harness.counters()).toMatchObject({ 'lost.corrupt': 3 })
  })

  test('payload that looks like a frame is none', () => {
    const forged = encodeSegment({ nonce: Buffer.alloc(8, 1), frames: [frame(...whole(9))] })
    const text = forged.subarray(forged.readUInt32LE(12)).toString('latin1')
    const fields = [[FIELD.input, text]] as const
    damaged((bytes) => bytes.writeUInt32LE(8, second + 12), {
      header: alive,
      frames: [frame(...whole(1)), frame(start(2, { fields })), frame(...whole(4)), END],
    })
    expect(harness.names()).toEqual(['span 1', 'span 4'])
  })

  test.each([
    ['an end frame that is damaged', last, good.length],
    ['damage at the very end', third, good.length],
  ])('%s is found when the writer goes on', (_what, from, length) => {
    const next: PlainSegment = {
      number: 2,
      previous: { segment: 1, length: good.length },
      header: alive,
      startedBefore: 4,
      frames: [frame(...whole(5)), END],
    }
    damaged((bytes) => bytes.fill(0xee, from, length))
    expect(harness.names()).not.toContain('span 5')
    harness.write(next)
    harness.drain()
    expect(harness.names()).toContain('span 5')
    expect(harness.counters().corruptFrames).toBe(1)
    expect(harness.counters()['lost.corrupt'] ?? 0).toBe(from === third ? 1 : 0)
  })

  test('what a failed write left behind is no damage', () => {
    const torn = good.subarray(0, third + 20)
    mkdirSync(harness.memory, { recursive: true })
    writeFileSync(join(harness.memory, segmentName(WRITER, 1)), torn)
    harness.drain()
    expect(harness.names()).toEqual(['span 1', 'span 2', 'span 3'])
    harness.write({
      number: 2,
      previous: { segment: 1, length: third },
      header: alive,
      startedBefore: 3,
      frames: [frame(...whole(4)), END],
    })
    harness.drain()
    expect(harness.names()).toEqual(['span 1', 'span 2', 'span 3', 'span 4'])
    expect(harness.counters()).toMatchObject({ tornTails: 1 })
    expect(harness.counters()).not.toHaveProperty('corruptFrames')
  })

  test.each(Array.from({ length: 12 }, (_, i) => third + 4 * i))(
    'a dead writer’s tail that is torn at %d is left',
    (length) => {
      const of = { ...segment, header: dead }
      const cut = length - third + (offsets(of)[2] as number)
      mkdirSync(harness.memory, { recursive: true })
      const path = join(harness.memory, segmentName(WRITER, 1))
      writeFileSync(path, encodeSegment(of).subarray(0, cut))
      harness.drain()
      expect(harness.names()).toEqual(['span 1', 'span 2', 'span 3'])
      expect(harness.counters().tornTails ?? 0).toBe(length === third ? 0 : 1)
      expect(existsSync(path)).toBe(false)
    },
  )

  test.each([0, 1, 100, 127, 300])(
    'a header of which only %d bytes are there is waited for',
    (length) => {
      mkdirSync(harness.memory, { recursive: true })
      const path = join(harness.memory, segmentName(WRITER, 1))
      writeFileSync(path, good.subarray(0, length))
      harness.drain()
      expect(harness.counters()).toEqual({})
      writeFileSync(path, good)
      harness.drain()
      expect(harness.names()).toHaveLength(4)
    },
  )

  test('a damaged header is told once, and holds up no later segment', () => {
    damaged((bytes) => bytes.writeUInt8(0, 200))
    harness.write({
      number: 2,
      previous: { segment: 1, length: good.length },
      header: alive,
      startedBefore: 4,
      frames: [frame(...whole(5)), END],
    })
    harness.drain(5)
    expect(harness.names()).toEqual(['span 5'])
    expect(harness.lines.filter((line) => line.includes('left alone'))).toHaveLength(1)
    expect(harness.counters().badSegments).toBe(1)
  })

  test('losses that a writer could only note in the header are counted', () => {
    damaged((bytes) => bytes.writeBigUInt64LE(7n, 32 + 8))
    expect(harness.counters()).toMatchObject({ 'lost.slow_disk': 7 })
  })
})

describe('blobs', () => {
  const blob = (
    slice: Partial<PlainSlice> & { content: Buffer | string; offset: number },
  ): PlainFrame => {
    return { blob: { id: 1, encoding: 'utf8', ...slice } }
  }
  const text = 'a "long" text\n'.repeat(20_000)
  const half = 140_000

  test('text in slices, before and behind the record that names it, as it is and within JSON', () => {
    const fields = [
      [FIELD.input, textBlob(1)],
      [FIELD.output, { content: [textBlob(1), textBlob(2)] }],
    ] as const
    const wide = 'dài “và” rộng '.repeat(30_000)
    harness.write({
      frames: [
        blob({ id: 2, encoding: 'utf16', offset: 0, content: wide, last: true }),
        frame(start(1, { fields }), end(1)),
        blob({ offset: 0, content: text.slice(0, half) }),
        frame(...whole(2)),
        blob({ offset: half, content: text.slice(half), last: true }),
        END,
      ],
    })
    harness.drain(0)
    const [other, span] = harness.spans()
    expect(other?.name).toBe('span 2')
    expect(span?.fields).toEqual({ input: { text }, output: { json: { content: [text, wide] } } })
  })

  test('bytes in slices become one data URI', () => {
    const bytes = Buffer.from(Array.from({ length: 1000 }, (_, i) => i & 255))
    harness.write({
      frames: [
        frame(start(1, { fields: [[FIELD.input, [bytesBlob(1)]]] }), end(1)),
        blob({ encoding: 'bytes', offset: 0, content: bytes.subarray(0, 301) }),
        blob({ encoding: 'bytes', offset: 301, content: bytes.subarray(301, 500) }),
        blob({ encoding: 'bytes', offset: 500, content: bytes.subarray(500), last: true }),
        END,
      ],
    })
    harness.drain(0)
    const uri = `data:application/octet-stream;base64,${bytes.toString('base64')}`
    expect(harness.spans()[0]?.fields).toEqual({ input: { json: [uri] } })
  })

  const first: PlainSegment = {
    header: alive,
    frames: [
      frame(start(1, { fields: [[FIELD.input, { a: textBlob(1) }]] })),
      blob({ offset: 0, content: text.slice(0, half) }),
      END,
    ],
  }
  const second: PlainSegment = {
    number: 2,
    previous: { segment: 1, length: encodeSegment(first).length },
    header: alive,
    startedBefore: 1,
    frames: [frame(end(1)), blob({ offset: half, content: text.slice(half), last: true }), END],
  }

  test.each([false, true])('slices in several segments (restart between them: %s)', (restart) => {
    harness.write(first)
    harness.drain()
    if (restart) harness.restart()
    // The end comes before the rest of the blob.
    const path = join(harness.memory, segmentName(WRITER, 2))
    harness.writePart(path, second, offsets(second)[1] as number)
    harness.drain()
    expect(harness.names()).toEqual([])
    expect(harness.law()).toMatchObject({ accepted: 1, held: 1 })
    if (restart) harness.restart()
    harness.write(second)
    harness.drain()
    expect(harness.spans()[0]?.fields).toEqual({ input: { json: { a: text } } })
    expect(harness.law()).toMatchObject({ accepted: 1, held: 1 })
    expect(harness.files('.seg')).toEqual([])
  })

  test('a restart between the slices of one segment', () => {
    const bytes = Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7) & 255))
    const segment: PlainSegment = {
      header: alive,
      frames: [
        frame(start(1, { fields: [[FIELD.input, bytesBlob(1)]] })),
        blob({ encoding: 'bytes', offset: 0, content: bytes.subarray(0, 1001) }),
        blob({ encoding: 'bytes', offset: 1001, content: bytes.subarray(1001, 2002) }),
        blob({ encoding: 'bytes', offset: 2002, content: bytes.subarray(2002), last: true }),
        frame(end(1)),
        END,
      ],
    }
    const path = join(harness.memory, segmentName(WRITER, 1))
    mkdirSync(harness.memory, { recursive: true })
    for (const at of offsets(segment).slice(1)) {
      harness.writePart(path, segment, at)
      harness.drain()
      harness.restart()
    }
    harness.write(segment)
    harness.drain()
    expect(harness.spans()[0]?.fields).toEqual({
      input: { text: `data:application/octet-stream;base64,${bytes.toString('base64')}` },
    })
    expect(harness.names()).toHaveLength(1)
  })

  test('a slice that is missing, or a writer that dies before the last: a marker', () => {
    harness.write({
      header: dead,
      frames: [
        frame(start(1, { fields: [[FIELD.input, textBlob(1)]] }), end(1)),
        frame(start(2, { fields: [[FIELD.input, [textBlob(2)]]] }), end(2)),
        frame(start(3, { fields: [[FIELD.input, textBlob(3)]] }), end(3)),
        blob({ offset: 0, content: 'begin' }),
        blob({ offset: 99, content: 'too far', last: true }),
        blob({ id: 2, offset: 0, content: 'only "this"' }),
      ],
    })
    harness.drain()
    const lost = '[lost: the rest of it did not arrive]'
    expect(harness.spans().map(({ fields }) => fields.input)).toEqual([
      { text: `begin${lost}` },
      { json: [`only "this"${lost}`] },
      { text: lost },
    ])
    expect(harness.counters().danglingReferences).toBe(3)
    expect(harness.law()).toMatchObject({ accepted: 3, held: 3 })
  })

  test('one blob named by records of two segments, when a frame was carried', () => {
    const one: PlainSegment = {
      header: alive,
      frames: [
        frame(start(1, { fields: [[FIELD.input, textBlob(1)]] }), end(1)),
        blob({ offset: 0, content: 'short', last: true }),
        END,
      ],
    }
    harness.write(one)
    harness.drain()
    harness.write({
      number: 2,
      previous: { segment: 1, length: encodeSegment(one).length },
      header: alive,
      startedBefore: 1,
      frames: [frame(start(2, { fields: [[FIELD.input, [textBlob(1)]]] }), end(2)), END],
    })
    harness.drain()
    expect(harness.spans().map(({ fields }) => fields.input)).toEqual([
      { text: 'short' },
      { json: ['short'] },
    ])
  })
})

describe('a restart', () => {
  /** Much of everything that a segment can hold, a frame at a time. */
  const long = 'a "long" string\n'.repeat(50)
  const segment: PlainSegment = {
    header: alive,
    frames: [
      frame(
        { type: 'context', number: 1, fields: [[FIELD.userId, nameDefinition(1, 'user')]] },
        start(1, { context: 1, fields: [[FIELD.input, numbered(1, long)]] }),
        start(2, { context: 1 }),
      ),
      frame(
        update(1, [[FIELD.event, ['one', 1, 2, {}]]]),
        end(2, [[FIELD.output, nameDefinition(2, 'ok')]]),
      ),
      frame(start(3, { name: name(2), fields: [[FIELD.input, [reference(1)]]] })),
      frame(
        update(3, [[FIELD.metadata, { k: reference(1) }]]),
        update(1, [[FIELD.event, ['two', 3, 4, {}]]]),
      ),
      frame(...whole(4), end(3, [[FIELD.output, reference(1)]])),
      frame(end(1, [[FIELD.output, name(2)]]), start(5, { context: 1, name: name(1) })),
      frame(end(5)),
      END,
    ],
  }
  const places = [...offsets(segment).slice(1), encodeSegment(segment).length]

  function expected(): unknown[] {
    const other = new SpoolHarness()
    other.write(segment)
    other.drain(0)
    const spans = other.spans()
    other.close()
    return spans
  }

  test.each(places.map((_, i) => i))(
    'in a live segment, behind frame %d: nothing is lost or doubled',
    (at) => {
      const path = join(harness.memory, segmentName(WRITER, 1))
      mkdirSync(harness.memory, { recursive: true })
      harness.writePart(path, segment, (places[at] as number) + (at % 2 === 0 ? 0 : 8))
      harness.drain()
      harness.restart()
      harness.drain()
      if (existsSync(path)) harness.write(segment)
      harness.drain()
      expect(harness.spans()).toEqual(expected())
      expect(harness.law()).toMatchObject({ accepted: 5, held: 5 })
      expect(harness.counters()).not.toHaveProperty('lost.corrupt')
      expect(harness.counters()).not.toHaveProperty('danglingReferences')
    },
  )

  test('behind every frame', () => {
    const path = join(harness.memory, segmentName(WRITER, 1))
    mkdirSync(harness.memory, { recursive: true })
    for (const place of places) {
      harness.writePart(path, segment, place)
      harness.drain()
      harness.restart()
    }
    harness.drain()
    expect(harness.spans()).toEqual(expected())
    expect(harness.law()).toMatchObject({ accepted: 5, held: 5 })
    expect(harness.files('.seg')).toEqual([])
  })

  test('open observations survive their segment', () => {
    // One frame a segment.
    let previous: { segment: number; length: number } | null = null
    const frames = [
      frame(start(1, { fields: [[FIELD.input, numbered(1, long)]] }), start(2)),
      frame(update(1, [[FIELD.event, ['one', 1, 2, {}]]])),
      frame(...whole(3)),
      frame(
        update(1, [
          [FIELD.event, ['two', 3, 4, {}]],
          [FIELD.metadata, { a: 1 }],
        ]),
      ),
      frame(update(1, [[FIELD.metadata, { b: 2 }]]), end(2)),
      frame(end(1, [[FIELD.output, 'done']])),
    ]
    let startedBefore = 0
    frames.forEach((one, i) => {
      const of: PlainSegment = {
        number: i + 1,
        previous,
        header: alive,
        startedBefore,
        frames: [one, END],
      }
      previous = { segment: i + 1, length: encodeSegment(of).length }
      startedBefore = i < 2 ? 2 : 3
      harness.write(of)
      harness.drain()
      expect(harness.files('.seg')).toEqual([])
      harness.restart()
    })
    harness.drain()
    const spans = harness.spans()
    expect(spans.map(({ name }) => name)).toEqual(['span 3', 'span 2', 'span 1'])
    expect(spans[2]).toMatchObject({
      fields: {
        input: { text: long },
        output: { text: 'done' },
        metadata: { a: { int: '1' }, b: { int: '2' } },
      },
      events: [{ name: 'one' }, { name: 'two' }],
    })
    expect(harness.law()).toMatchObject({ accepted: 3, held: 3 })
  })

  test('a segment that was read and not yet deleted is deleted, not read again', () => {
    const done: PlainSegment = { header: alive, frames: [frame(...whole(1)), END] }
    harness.write(done)
    harness.drain()
    harness.restart()
    // As if the crash had come before it was deleted.
    harness.write(done)
    harness.drain()
    expect(harness.names()).toEqual(['span 1'])
    expect(harness.files('.seg')).toEqual([])
  })

  test('a segment that somebody deleted: what was open in it is given up, counted', () => {
    const path = harness.write({
      header: alive,
      frames: [frame(start(1), start(2)), frame(...whole(3))],
    })
    harness.drain()
    harness.restart()
    unlinkSync(path)
    harness.write({
      number: 2,
      previous: { segment: 1, length: 900 },
      header: alive,
      startedBefore: 3,
      frames: [frame(...whole(4), end(1)), END],
    })
    harness.drain()
    expect(harness.names()).toEqual(['span 3', 'span 4'])
    expect(harness.law()).toMatchObject({ accepted: 4, dropped: 2, held: 2 })
    expect(harness.counters()).toMatchObject({ orphanRecords: 1 })
  })

  test('a new store takes over from the first segment that is there', () => {
    harness.write({
      number: 7,
      previous: { segment: 6, length: 900 },
      header: alive,
      startedBefore: 500,
      frames: [frame(...whole(501)), frame(...whole(502)), END],
    })
    harness.drain()
    expect(harness.names()).toEqual(['span 501', 'span 502'])
    expect(harness.counters()).not.toHaveProperty('lost.corrupt')
  })
})

describe('a writer that is dead', () => {
  test('leaves its open observations interrupted, with all that was recorded', () => {
    const path = harness.write({
      header: dead,
      frames: [
        frame(start(1, { fields: [[FIELD.input, 'in']] }), start(2)),
        frame(update(1, [[FIELD.output, 'half']]), end(2)),
        frame({ type: 'vitals', vitals: {} }, start(3)),
      ],
    })
    harness.drain()
    const spans = harness.spans()
    expect(spans.map(({ name, interrupted }) => [name, interrupted])).toEqual([
      ['span 2', false],
      ['span 1', true],
      ['span 3', true],
    ])
    expect(spans[1]).toMatchObject({
      fields: { input: { text: 'in' }, output: { text: 'half' } },
      // The latest time that the writer told.
      endTime: String(TIME + 1_000_002n),
    })
    expect(harness.counters()).toMatchObject({ interrupted: 2 })
    expect(harness.law()).toMatchObject({ accepted: 3, held: 3 })
    expect(existsSync(path)).toBe(false)
    expect(harness.store.writers()).toEqual([])
  })

  test('is known again after a restart, and forgotten at last', () => {
    const segment: PlainSegment = { header: dead, frames: [frame(start(1))] }
    harness.write(segment)
    harness.receiver.poll()
    harness.restart()
    harness.drain()
    expect(harness.spans()).toMatchObject([{ name: 'span 1', interrupted: true }])
    expect(harness.store.writers()).toEqual([])
    expect(harness.law()).toMatchObject({ accepted: 1, held: 1 })
  })

  test.each([0, 100, 300])(
    'died over the header of its next segment, of which %d bytes are there',
    (length) => {
      const one: PlainSegment = { header: dead, frames: [frame(start(1)), END] }
      harness.write(one)
      const previous = { segment: 1, length: encodeSegment(one).length }
      const two: PlainSegment = { number: 2, previous, header: dead, frames: [] }
      harness.writePart(join(harness.memory, segmentName(WRITER, 2)), two, length)
      harness.drain()
      expect(harness.spans()).toMatchObject([{ name: 'span 1', interrupted: true }])
      expect(harness.files('.seg')).toEqual([])
      expect(harness.store.writers()).toEqual([])
      expect(harness.law()).toMatchObject({ accepted: 1, held: 1 })
    },
  )

  test('is closed though a bad segment of its stays', () => {
    const one: PlainSegment = { header: dead, frames: [frame(start(1)), END] }
    harness.write(one)
    const path = join(harness.memory, segmentName(WRITER, 2))
    writeFileSync(path, Buffer.alloc(5000, 7))
    harness.drain(5)
    expect(harness.spans()).toMatchObject([{ name: 'span 1', interrupted: true }])
    expect(harness.files('.seg')).toHaveLength(1)
    expect(harness.counters()).toMatchObject({ badSegments: 1 })
    expect(harness.law()).toMatchObject({ accepted: 1, held: 1 })
    unlinkSync(path)
    harness.drain()
    expect(harness.store.writers()).toEqual([])
  })

  test('in another boot of this machine', () => {
    harness.write({
      header: { ...alive, bootId: 'another boot' },
      frames: [frame(start(1))],
    })
    harness.drain()
    expect(harness.spans()).toMatchObject([{ interrupted: true }])
  })
})

/** Makes a call of the file system fail where `path` is named, until the function it returns is called. */
function refuse(call: 'unlinkSync' | 'readdirSync', path: string, code: string): () => void {
  const original = fs[call] as (...args: unknown[]) => unknown
  const set = (to: typeof original): void => {
    Object.assign(fs, { [call]: to })
    syncBuiltinESMExports()
  }
  set((...args) => {
    if (args[0] === path) throw Object.assign(new Error(`${code}: refused`), { code })
    return original(...args)
  })
  onTestFinished(() => set(original))
  return () => set(original)
}

describe('a dead writer whose segment cannot be deleted', () => {
  const segment: PlainSegment = {
    header: dead,
    losses: [3],
    frames: [{ ...frame(...whole(1), start(2)), started: 5, lost: 3 }],
  }

  test('is read once, and forgotten when it can be', () => {
    const path = harness.write(segment)
    const allow = refuse('unlinkSync', path, 'EPERM')
    const check = (): void => {
      expect(harness.names()).toEqual(['span 1', 'span 2'])
      expect(harness.counters()).toMatchObject({ accepted: 2, 'lost.spool_full': 3 })
      expect(harness.law()).toMatchObject({ accepted: 2, held: 2 })
    }
    harness.drain(200)
    check()
    harness.restart()
    harness.drain(200)
    check()
    expect(harness.lines.filter((line) => line.includes('cannot delete')).length).toBeLessThan(9)
    allow()
    harness.drain(90)
    check()
    expect(existsSync(path)).toBe(false)
    expect(harness.store.writers()).toEqual([])
  })

  test('is not taken for gone while the directory cannot be listed', () => {
    harness.write(segment)
    harness.receiver.poll()
    harness.restart()
    const allow = refuse('readdirSync', harness.memory, 'EMFILE')
    harness.drain()
    expect(harness.names()).toEqual(['span 1'])
    allow()
    harness.drain()
    expect(harness.names()).toEqual(['span 1', 'span 2'])
    expect(harness.counters()).toMatchObject({ accepted: 2, 'lost.spool_full': 3 })
    expect(harness.law()).toMatchObject({ accepted: 2, held: 2 })
  })

  test('is not read again when the directory could not be listed', () => {
    const path = harness.write(segment)
    refuse('unlinkSync', path, 'EACCES')
    harness.drain()
    const allow = refuse('readdirSync', harness.memory, 'EACCES')
    harness.drain(90)
    allow()
    harness.drain(90)
    expect(harness.names()).toEqual(['span 1', 'span 2'])
    expect(harness.law()).toMatchObject({ accepted: 2, held: 2 })
  })
})

describe('a writer whose heartbeat is overdue', () => {
  // Of another pid namespace: only its heartbeat tells.
  const foreign = { pidNamespace: 'pid:[1]', bootId: null, heartbeatSeconds: 10 }
  const segment: PlainSegment = {
    header: foreign,
    frames: [
      frame(start(1), start(2)),
      frame(...whole(3)),
      frame(end(1, [[FIELD.output, 'late']])),
      frame(...whole(4)),
    ],
  }
  const [, second, third] = offsets(segment) as [number, number, number]
  const path = (): string => join(harness.memory, segmentName(WRITER, 1))

  function overdue(): void {
    mkdirSync(harness.memory, { recursive: true })
    harness.writePart(path(), segment, third)
    harness.drain()
    harness.now += 71_000
    harness.drain()
  }

  test('is waited for while it changes its file', () => {
    harness.write({ ...segment, frames: segment.frames.slice(0, 1) })
    for (let minute = 0; minute < 10; minute++) {
      harness.drain()
      harness.now += 60_000
      const time = minute + 1
      utimesSync(path(), time, time)
    }
    harness.drain()
    expect(harness.names()).toEqual([])
    expect(second).toBeGreaterThan(0)
  })

  test('is taken for dead; an end that comes after all makes a second version', () => {
    overdue()
    expect(harness.spans().map(({ name, interrupted }) => [name, interrupted])).toEqual([
      ['span 3', false],
      ['span 1', true],
      ['span 2', true],
    ])
    expect(existsSync(path())).toBe(true)
    harness.deliver()
    harness.write(segment)
    harness.drain()
    expect(harness.spans().slice(3)).toMatchObject([
      { name: 'span 1', interrupted: false, revision: 1, fields: { output: { text: 'late' } } },
      { name: 'span 4', interrupted: false, revision: 0 },
    ])
    expect(harness.law()).toMatchObject({ accepted: 4, delivered: 3, held: 1 })
    const trace = harness.read((reader) => reader.trace(TRACE))
    expect(trace?.summary).toMatchObject({ spans: 4, interrupted: 1 })
    expect(trace?.spans.find(({ name }) => name === 'span 1')?.interrupted).toBe(false)
  })

  test('the same with a restart in between', () => {
    overdue()
    harness.deliver()
    harness.restart()
    harness.drain()
    harness.now += 71_000
    harness.drain()
    expect(harness.names()).toHaveLength(3)
    harness.restart()
    harness.write(segment)
    harness.drain()
    expect(harness.spans().slice(3)).toMatchObject([
      { name: 'span 1', revision: 1, interrupted: false },
      { name: 'span 4' },
    ])
    expect(harness.law()).toMatchObject({ accepted: 4, delivered: 3, held: 1 })
  })

  test.each([false, true])('counts tokens once in a list, restarted: %s', (restarted) => {
    const usage = (total: number): PlainSegmentFields => [[FIELD.usageDetails, { total }]]
    const frames = [
      frame(start(1), update(1, usage(5)), start(2)),
      frame(end(1, usage(6)), end(2, usage(10))),
    ]
    const shown = () => harness.read((reader) => reader.trace(TRACE)?.summary.tokens?.total)
    harness.write({ header: foreign, frames: frames.slice(0, 1) })
    harness.drain()
    harness.now += 71_000
    harness.drain()
    expect(shown()).toBe(5)
    if (restarted) harness.restart()
    harness.write({ header: foreign, frames })
    harness.drain()
    // Of the first one what its first version said.
    expect(shown()).toBe(15)
  })

  test('the same with the segment of its start gone', () => {
    const one: PlainSegment = { header: foreign, frames: [frame(start(1), start(2)), END] }
    const two: PlainSegment = {
      number: 2,
      previous: { segment: 1, length: encodeSegment(one).length },
      header: foreign,
      startedBefore: 2,
      frames: [frame(...whole(3)), frame(end(1))],
    }
    harness.write(one)
    harness.write({ ...two, frames: two.frames.slice(0, 1) })
    harness.drain()
    harness.now += 71_000
    harness.drain()
    expect(harness.names()).toEqual(['span 3', 'span 1', 'span 2'])
    harness.restart()
    harness.write(two)
    harness.drain()
    expect(harness.spans().slice(3)).toMatchObject([{ name: 'span 1', revision: 1 }])
    expect(harness.law()).toMatchObject({ accepted: 3, held: 3 })
  })

  test('a second version that waits for a blob is no open observation', () => {
    const one: PlainSegment = { header: foreign, frames: [frame(start(1)), END] }
    const previous = { segment: 1, length: encodeSegment(one).length }
    const two: PlainSegment = { number: 2, previous, header: foreign, startedBefore: 1, frames: [] }
    harness.write(one)
    const path = harness.write(two)
    harness.drain()
    harness.now += 71_000
    harness.drain()
    harness.write({ ...two, frames: [frame(end(1, [[FIELD.output, textBlob(1)]]))] })
    harness.drain()
    expect(harness.store.writers()).toMatchObject([{ open: 0 }])
    harness.restart()
    unlinkSync(path)
    harness.drain()
    expect(harness.law()).toMatchObject({ accepted: 1, dropped: 0, held: 1 })
  })

  test('what was recorded since, and no end: a second version when it is given up', () => {
    overdue()
    const more = {
      ...segment,
      frames: [...segment.frames.slice(0, 2), frame(update(2, [[FIELD.output, 'more']]))],
    }
    harness.write(more)
    harness.drain()
    harness.now += HOUR + 71_000
    harness.drain(4)
    expect(harness.spans().slice(3)).toMatchObject([
      { name: 'span 2', revision: 1, interrupted: true, fields: { output: { text: 'more' } } },
    ])
    expect(existsSync(path())).toBe(false)
    expect(harness.store.writers()).toEqual([])
    expect(harness.law()).toMatchObject({ accepted: 3, held: 3 })
  })

  test.each([false, true])(
    'comes back after it was given up: what it had lost is not counted again (restarts: %s)',
    (restarts) => {
      const loss = (...losses: number[]): PlainRecord => ({ type: 'loss', losses })
      const one: PlainSegment = {
        header: foreign,
        losses: [3],
        frames: [
          { ...frame(loss(3), ...whole(1), start(2)), started: 5, lost: 3 },
          { ...frame(loss(3, 1), ...whole(3)), started: 7, lost: 4 },
        ],
      }
      const two: PlainSegment = {
        number: 2,
        previous: { segment: 1, length: encodeSegment(one).length },
        header: foreign,
        losses: [3, 1, 0, 2],
        frames: [
          { ...frame(loss(3, 1, 0, 2), ...whole(10)), started: 10, lost: 6 },
          { ...frame(loss(4, 1, 0, 2), ...whole(12)), started: 12, lost: 7 },
        ],
      }
      const three: PlainSegment = {
        number: 3,
        previous: { segment: 2, length: encodeSegment(two).length },
        header: foreign,
        losses: [4, 1, 0, 2],
        frames: [
          { ...frame(...whole(13)), started: 13, lost: 7 },
          { end: true, lost: 7 },
        ],
      }
      const lost = [
        { 'lost.spool_full': 3, 'lost.slow_disk': 1 },
        { 'lost.spool_full': 4, 'lost.slow_disk': 1, 'lost.segment_removed': 2 },
      ]
      for (const [i, segment] of [one, two, three].entries()) {
        const path = harness.write(segment)
        harness.drain()
        if (restarts) {
          harness.restart()
          harness.drain()
        }
        harness.now += HOUR + 71_000
        harness.drain(4)
        expect(existsSync(path)).toBe(false)
        expect(harness.store.writers()).toEqual([])
        if (restarts) harness.restart()
        expect(harness.counters()).toMatchObject(lost[Math.min(i, 1)] as object)
        expect(harness.counters()).not.toHaveProperty('lost.corrupt')
      }
      expect(harness.law()).toMatchObject({ accepted: 6, held: 6 })
    },
  )

  test('is given up: its file, which it may still write to, is handed to nobody', () => {
    const fields = [[FIELD.input, 'x'.repeat(150_000)]] as const
    const path = harness.write({ header: foreign, frames: [frame(start(1, { fields }))] })
    harness.drain()
    harness.now += HOUR + 71_000
    harness.drain(4)
    expect(harness.names()).toEqual(['span 1'])
    expect(existsSync(path)).toBe(false)
    expect(harness.files('.free')).toEqual([])
  })

  test('of many writers, those thought dead first are forgotten, with what was recorded since', () => {
    harness.givenBytes = 2_000
    harness.restart()
    const writers = Array.from({ length: 6 }, (_, i) => `00000000000000c${i}`)
    const write = (writer: string, ...frames: PlainFrame[]): void => {
      const began = frame(start(1), start(2))
      harness.write({ writer, header: foreign, frames: [began, ...frames] })
    }
    for (const writer of writers) {
      write(writer)
      harness.drain()
      harness.now += 71_000
      harness.drain(3)
      if (writer === writers[0]) write(writer, frame(update(1, [[FIELD.output, 'more']])))
      harness.drain()
    }
    // Each takes some 600 bytes: three are kept.
    expect(harness.counters()).toMatchObject({ forgottenInterrupted: 9 })
    expect(harness.spans().filter(({ revision }) => revision > 0)).toMatchObject([
      { name: 'span 1', interrupted: true, fields: { output: { text: 'more' } } },
    ])
    expect(harness.law()).toMatchObject({ accepted: 12, held: 12 })
    // The last one to be thought dead comes back, and the first.
    write(writers[5] as string, frame(end(2)))
    write(writers[0] as string, frame(update(1, [[FIELD.output, 'more']])), frame(end(2)))
    harness.drain()
    const last = harness.spans().filter(({ revision }) => revision > 0)
    expect(last.slice(1)).toMatchObject([{ name: 'span 2', interrupted: false }])
    expect(harness.counters().orphanRecords).toBe(1)
    expect(harness.law()).toMatchObject({ accepted: 12, held: 12 })
  })

  test('without a promise, only after an hour', () => {
    harness.write({
      ...segment,
      header: { ...foreign, heartbeatSeconds: 0 },
      frames: segment.frames.slice(0, 1),
    })
    harness.drain()
    harness.now += HOUR - 10_000
    harness.drain()
    expect(harness.names()).toEqual([])
    harness.now += 11_000
    harness.drain()
    expect(harness.names()).toEqual(['span 1', 'span 2'])
  })

  test('a thread of a process that lives', () => {
    harness.write({ header: { ...alive, thread: 3 }, frames: [frame(start(1))] })
    harness.drain()
    expect(harness.names()).toEqual([])
    harness.now += 71_000
    harness.drain()
    expect(harness.spans()).toMatchObject([{ interrupted: true }])
  })
})

describe('`<writer>.flush`', () => {
  const segment: PlainSegment = { header: alive, frames: [frame(...whole(1)), frame(...whole(2))] }
  const request = (offset: number): string => {
    const path = join(harness.memory, `${WRITER}.flush`)
    writeFileSync(path, JSON.stringify({ segment: 1, offset }))
    return path
  }

  test('is deleted once all before its place is delivered', () => {
    const length = encodeSegment(segment).length
    harness.write({ ...segment, frames: segment.frames.slice(0, 1) })
    const path = request(length)
    harness.drain()
    harness.deliver()
    harness.drain()
    expect(existsSync(path)).toBe(true)
    harness.write(segment)
    harness.drain()
    expect(existsSync(path)).toBe(true)
    harness.deliver()
    harness.drain()
    expect(existsSync(path)).toBe(false)
  })

  test('is deleted when the segment is gone, or the writer unknown', () => {
    harness.write({ ...segment, frames: [...segment.frames, END] })
    harness.drain()
    const path = request(800)
    harness.drain()
    expect(existsSync(path)).toBe(true)
    harness.deliver()
    harness.drain()
    expect(existsSync(path)).toBe(false)
    const unknown = join(harness.memory, '00000000000000ff.flush')
    writeFileSync(unknown, '{"segment":1,"offset":5}')
    harness.drain()
    expect(existsSync(unknown)).toBe(false)
  })

  test('other writers’ spans do not hold it up; nonsense is left alone', () => {
    harness.write(segment)
    harness.drain()
    harness.deliver()
    harness.write({ writer: '00000000000000bb', frames: [frame(...whole(1)), END] })
    const path = request(500)
    const nonsense = join(harness.memory, '00000000000000bb.flush')
    writeFileSync(nonsense, 'not json')
    harness.drain()
    expect(existsSync(path)).toBe(false)
    expect(existsSync(nonsense)).toBe(true)
  })
})

describe('files that are handed back', () => {
  const filler = { fields: [[FIELD.input, 'x'.repeat(150_000)]] }

  test('a file in memory becomes free, and a writer’s later bytes over it are read', () => {
    harness.write({ header: alive, frames: [frame(start(1, filler), end(1)), END] })
    harness.drain()
    const [free] = harness.files('.free') as [string]
    expect(free).toMatch(/^[0-9a-f]{16}\.free$/)
    const old = readFileSync(join(harness.memory, free))
    // Taken over: the header and two frames over the old content.
    const segment: PlainSegment = {
      number: 2,
      previous: { segment: 1, length: old.length },
      nonce: Buffer.from('12345678'),
      header: { ...alive, recycled: true },
      startedBefore: 1,
      frames: [frame(...whole(2)), frame(...whole(3)), frame(...whole(4))],
    }
    const bytes = encodeSegment(segment)
    const [, second, third] = offsets(segment) as [number, number, number]
    const path = join(harness.memory, segmentName(WRITER, 2))
    unlinkSync(join(harness.memory, free))
    const over = (length: number): void => {
      const content = Buffer.from(old)
      bytes.copy(content, 0, 0, length)
      writeFileSync(path, content)
      harness.drain()
    }
    over(second)
    expect(harness.names()).toEqual(['span 1', 'span 2'])
    // Half a frame, then all but its footer.
    over(second + 50)
    over(third - 4)
    expect(harness.names()).toEqual(['span 1', 'span 2'])
    harness.restart()
    over(third)
    expect(harness.names()).toEqual(['span 1', 'span 2', 'span 3'])
    over(bytes.length)
    expect(harness.names()).toEqual(['span 1', 'span 2', 'span 3', 'span 4'])
    expect(harness.counters()).not.toHaveProperty('corruptFrames')
    expect(harness.counters()).not.toHaveProperty('tornTails')
  })

  test.each([
    [
      'torn',
      (bytes: Buffer, third: number) => bytes.subarray(0, third + 60),
      ['span 2', 'span 3'],
      1,
      0,
    ],
    ['whole', (bytes: Buffer) => bytes, ['span 2', 'span 3', 'span 4'], 0, 0],
    [
      'damaged in the middle',
      (bytes: Buffer, third: number, second: number) => {
        bytes.fill(1, second, third)
        return bytes
      },
      ['span 2', 'span 4'],
      0,
      1,
    ],
  ])('of a dead writer: %s', (_what, content, names, tornTails, corruptFrames) => {
    const segment: PlainSegment = {
      nonce: Buffer.from('12345678'),
      header: { ...dead, recycled: true },
      frames: [frame(...whole(2)), frame(...whole(3)), frame(...whole(4))],
    }
    const [, second, third] = offsets(segment) as [number, number, number]
    const old = encodeSegment({ header: alive, frames: [frame(start(1, filler), end(1)), END] })
    content(encodeSegment(segment), third, second).copy(old)
    mkdirSync(harness.memory, { recursive: true })
    writeFileSync(join(harness.memory, segmentName(WRITER, 1)), old)
    harness.drain()
    expect(harness.names()).toEqual(names)
    expect(harness.counters().tornTails ?? 0).toBe(tornTails)
    expect(harness.counters().corruptFrames ?? 0).toBe(corruptFrames)
    expect(harness.files('.seg')).toEqual([])
  })

  test('a few at most; none on disk; none when nobody reads', () => {
    for (let i = 1; i <= 8; i++) {
      const writer = i.toString(16).padStart(16, '0')
      const segment = { writer, header: alive, frames: [frame(start(1, filler), end(1)), END] }
      harness.write(segment, i <= 6 ? harness.memory : harness.disk)
    }
    harness.drain()
    expect(harness.files('.free')).toHaveLength(4)
    expect(harness.files('.free', harness.disk)).toEqual([])
    harness.receiver.stop()
    expect(harness.files('.free')).toEqual([])
  })
})

describe('a claim', () => {
  const path = (directory: string, number: number): string => {
    return join(directory, `${segmentName(WRITER, number)}.claim`)
  }

  test('that its writer left behind is deleted, whatever its time says', () => {
    mkdirSync(harness.memory, { recursive: true })
    const times = [1, Date.now() / 1000 + 86_400]
    times.forEach((time, number) => {
      writeFileSync(path(harness.memory, number), Buffer.alloc(300_000))
      utimesSync(path(harness.memory, number), time, time)
    })
    harness.drain(50)
    expect(harness.files('.claim')).toHaveLength(2)
    harness.drain(15)
    expect(harness.files('.claim')).toEqual([])
  })

  test('of a name that comes and goes is left to its writers, as is what cannot be deleted', () => {
    mkdirSync(join(path(harness.memory, 9), 'not empty'), { recursive: true })
    for (let i = 0; i < 4; i++) {
      writeFileSync(path(harness.memory, 1), '')
      harness.drain(30)
      expect(existsSync(path(harness.memory, 1))).toBe(true)
      unlinkSync(path(harness.memory, 1))
      harness.drain(1)
    }
    expect(harness.files('.claim')).toHaveLength(1)
    expect(harness.lines.filter((line) => line.includes('claim'))).toHaveLength(2)
  })
})

describe('the lease', () => {
  test('one relay reads a directory', () => {
    expect(() => takeLease(harness.memory)).toThrow(/another relay reads the spool/)
    harness.receiver.stop()
    takeLease(harness.memory).release()
  })

  test('is touched while the relay lives, and taken anew when somebody tidied up', () => {
    const path = join(harness.memory, 'relay.lease')
    utimesSync(path, 1, 1)
    harness.now += 10_001
    harness.receiver.poll()
    unlinkSync(path)
    harness.now += 10_001
    harness.receiver.poll()
    expect(existsSync(path)).toBe(true)
    expect(() => takeLease(harness.memory)).toThrow(/another relay/)
  })

  test('links are not followed', () => {
    symlinkSync(harness.memory, join(harness.directory, 'link'))
    expect(() => takeLease(join(harness.directory, 'link'))).toThrow(/is not a directory/)
    expect(() => takeLease(join(harness.directory, 'link/'))).toThrow(/is not a directory/)
    writeFileSync(join(harness.directory, 'file'), '')
    expect(() => takeLease(join(harness.directory, 'file'))).toThrow(/cannot make|not a directory/)
  })
})
