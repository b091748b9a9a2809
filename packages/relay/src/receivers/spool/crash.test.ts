// The relay killed at each named point, and anywhere: nothing is lost and nothing is in the store twice.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FIELD } from '@offpath/sdk/spool-format'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { CrashPoint } from '../../crash-point.ts'
import { StoreReader } from '../../store/read.ts'
import { crashAt } from '../../testing/crash-at.ts'
import { type PlainSpan, plainSpan } from '../../testing/plain-span.ts'
import {
  encodeSegment,
  name,
  nameDefinition,
  numbered,
  type PlainFrame,
  type PlainRecord,
  type PlainSegment,
  reference,
  textBlob,
  writeSegment,
} from '../../testing/plain-writer.ts'
import { processIdentity } from './test-identity.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'offpath-crash-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const memory = (): string => join(directory, 'memory')
const disk = (): string => join(directory, 'disk')
const storeDirectory = (): string => join(directory, 'store')

const WRITERS = 2
const SEGMENTS = 4
const FRAMES = 6
const TIME = 1_790_000_000_000_000_000n

/** Observations of a writer: some end in their own frame, some two frames later, some never. */
function records(serial: number): { begin: PlainRecord; end: PlainRecord } {
  const spanId = serial.toString(16).padStart(16, '0')
  const text = `text "${serial}"\n`.repeat(40)
  const begin: PlainRecord = {
    type: 'start',
    serial,
    traceId: Math.ceil(serial / 4)
      .toString(16)
      .padStart(32, '0'),
    spanId,
    time: TIME + BigInt(serial),
    name: serial === 1 ? nameDefinition(1, 'observation') : `observation ${serial}`,
    fields: [[FIELD.input, [numbered(serial, text), { again: reference(serial) }]]],
  }
  const event = [FIELD.event, ['e', 1, 2, {}]] as const
  const end: PlainRecord = {
    type: 'end',
    serial,
    time: TIME + 1_000n + BigInt(serial),
    fields: [[FIELD.output, `done ${serial}`], event],
  }
  return { begin, end }
}

/** Fills the spool; returns the serials of a writer, and which of them never end. */
function fill(): { serials: number[]; open: number[] } {
  const dead = { ...processIdentity(), pidStartTime: '1' }
  const serials: number[] = []
  const open: number[] = []
  for (let w = 1; w <= WRITERS; w++) {
    const writer = w.toString(16).padStart(16, '0')
    let serial = 0
    let previous: { segment: number; length: number } | null = null
    let late: PlainRecord[] = []
    for (let number = 1; number <= SEGMENTS; number++) {
      const startedBefore = serial
      const frames: PlainFrame[] = []
      for (let f = 0; f < FRAMES; f++) {
        const out: PlainRecord[] = late
        late = []
        for (let i = 0; i < 8; i++) {
          serial++
          if (w === 1) serials.push(serial)
          const { begin, end } = records(serial)
          out.push(begin)
          if (serial % 5 === 0) late.push(end)
          else if (serial % 7 !== 0) out.push(end)
          else if (w === 1) open.push(serial)
        }
        frames.push({ records: out })
      }
      if (number === 2) frames.push(...blobFrames())
      // The last has no end frame: its writer was killed.
      if (number < SEGMENTS) frames.push({ end: true })
      else if (w === 1) open.push(...late.map((record) => (record as { serial: number }).serial))
      const segment: PlainSegment = {
        writer,
        number,
        previous,
        header: dead,
        startedBefore,
        frames,
      }
      writeSegment(number === 3 ? disk() : memory(), { ...segment, crc: number === 3 })
      previous = {
        segment: number,
        length: encodeSegment({ ...segment, crc: number === 3 }).length,
      }
    }
  }
  return { serials, open }
}

function blobFrames(): PlainFrame[] {
  return [
    { records: [{ type: 'update', serial: 7, fields: [[FIELD.output, [textBlob(1), name(1)]]] }] },
    { blob: { id: 1, encoding: 'utf8', offset: 0, content: 'x"'.repeat(900) } },
    { blob: { id: 1, encoding: 'utf8', offset: 1800, content: 'y', last: true } },
  ]
}

/** Runs the reader; killed after `killAfterMs` if it is given. Resolves to the signal that ended it. */
async function drain(point: CrashPoint | '', killAfterMs?: number): Promise<NodeJS.Signals | null> {
  const file = join(import.meta.dirname, 'drain.child.ts')
  const args = ['--conditions=offpath-source', file, memory(), disk(), storeDirectory()]
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...(point && crashAt(point)), NODE_NO_WARNINGS: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  if (killAfterMs !== undefined) {
    await once(child.stdout as NodeJS.ReadableStream, 'data')
    setTimeout(() => child.kill('SIGKILL'), killAfterMs)
  }
  const [code, signal] = await once(child, 'close')
  if (signal === null) expect(code).toBe(0)
  return signal
}

function stored(): PlainSpan[] {
  const reader = StoreReader.open(storeDirectory()) as StoreReader
  const { spans } = reader.spansAfter(0, Number.POSITIVE_INFINITY)
  const plain = spans.map((span) => plainSpan(span, (parts) => reader.text(parts, 1 << 30)))
  const { accepted = 0, 'lost.corrupt': corrupt = 0 } = reader.counters()
  const waiting = reader.exporters()[0]?.waiting
  expect({ accepted, corrupt, open: reader.open(), waiting }).toEqual({
    accepted: plain.length,
    corrupt: 0,
    open: 0,
    waiting: plain.length,
  })
  reader.close()
  return plain
}

/** Everything that was written, once, and as it was written. */
function expectAll({ serials, open }: { serials: number[]; open: number[] }): void {
  const spans = stored()
  expect(spans).toHaveLength(WRITERS * serials.length)
  const bySerial = Map.groupBy(spans, ({ spanId }) => Number.parseInt(spanId, 16))
  for (const serial of serials) {
    const text = `text "${serial}"\n`.repeat(40)
    const of = bySerial.get(serial) ?? []
    expect(of, `serial ${serial}`).toHaveLength(WRITERS)
    for (const span of of) {
      expect(span.interrupted, `serial ${serial}`).toBe(open.includes(serial))
      expect(span.fields.input).toEqual({ json: [text, { again: text }] })
      if (!span.interrupted) {
        expect(span.fields.output).toEqual({ text: `done ${serial}` })
        expect(span.events).toHaveLength(1)
      }
    }
  }
  expect(readdirSync(memory()).filter((file) => file.endsWith('.seg'))).toEqual([])
  expect(readdirSync(disk())).toEqual(['relay.lease'])
}

test.each(['read', 'commit', 'unlink'] as const)('killed at %s', async (point) => {
  const written = fill()
  let kills = 0
  // At the first one of a run: progress is made by what went through before.
  for (; kills < 12 && (await drain(point)) === 'SIGKILL'; kills++);
  expect(kills).toBeGreaterThan(0)
  expect(await drain('')).toBe(null)
  expectAll(written)
})

test('killed anywhere', async () => {
  const written = fill()
  for (let kills = 0; kills < 12; kills++) await drain('', kills * 2)
  expect(await drain('')).toBe(null)
  expectAll(written)
})
