import { appendFileSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SpoolHarness } from '../../testing/spool-harness.ts'
import { readElement } from './element.ts'
import { lastReadOf } from './spool.ts'
import { type Group, SpoolWriter } from './spool-writer.ts'

let harness: SpoolHarness
let writer: SpoolWriter
beforeEach(() => {
  harness = new SpoolHarness()
  writer = open()
})
afterEach(() => {
  writer.close()
  harness.close()
})

/** A run of its own, in the directory on disk. */
function open(): SpoolWriter {
  return new SpoolWriter({
    directory: harness.disk,
    seed: 'a seed',
    lastRead: (id) => lastReadOf(harness.store, id),
    offsets: () => harness.receiver.offsets(),
  })
}

function group(name: string, over: Record<string, unknown> = {}): Group {
  const times = { start_time: 1_790_000_000, end_time: 1_790_000_001 }
  const element = readElement(Buffer.from(JSON.stringify({ name, ...times, ...over })))
  if (element.type === 'dead') throw new Error(element.reason)
  return element
}

const segments = (): string[] => harness.files('.seg', harness.disk)
const pathOf = (name: string | undefined): string => join(harness.disk, name ?? 'none')

/** No observation is missing that the totals speak of. */
function expectNoLoss(): void {
  const lost = Object.entries(harness.counters()).filter(([name]) => name.startsWith('lost'))
  expect(lost).toEqual([])
  expect(harness.lines).toEqual([])
}

test('what is written is read, and the segment stays until a later one is there', async () => {
  await writer.write([group('a'), group('b', { service: 's' }), group('c')])
  harness.drain()
  expect(harness.names().toSorted()).toEqual(['a', 'b', 'c'])
  expect(harness.read((reader) => reader.writers()).map(({ service }) => service)).toHaveLength(2)
  expect(segments()).toHaveLength(2)
  expect(writer.unread()).toBe(0)
  expectNoLoss()
})

test('a run goes on where the one before ended, in a segment of its own', async () => {
  await writer.write([group('a'), group('b')])
  harness.drain()
  writer.close()
  harness.restart()
  writer = open()
  await writer.write([group('c')])
  harness.drain()
  expect(harness.names()).toEqual(['a', 'b', 'c'])
  expect(segments()).toHaveLength(1)
  expect(segments()[0]).toMatch(/-00000002\.seg$/)
  expectNoLoss()
})

test.each([0, 1])(
  'half a frame of a run that died is passed over (%i runs between that wrote nothing)',
  async (runs) => {
    await writer.write([group('a')])
    writer.close()
    const [name] = segments()
    const bytes = readFileSync(pathOf(name))
    // Half of the frame again, as if it were the next one.
    appendFileSync(pathOf(name), bytes.subarray(-60, -20))
    for (let run = 0; run < runs; run++) {
      // It got no further than to a file without a header.
      writeFileSync(pathOf(name?.replace('00000001', '00000002')), '')
    }
    writer = open()
    await writer.write([group('b')])
    harness.drain()
    expect(harness.names()).toEqual(['a', 'b'])
    const lost = Object.keys(harness.counters()).filter((key) => key.startsWith('lost'))
    expect(lost).toEqual([])
  },
)

test('a file that is none of its own holds up nothing', async () => {
  await writer.write([group('a')])
  writer.close()
  const [name] = segments()
  writeFileSync(pathOf(name?.replace('00000001', '00000002')), 'x'.repeat(500))
  writer = open()
  await writer.write([group('b')])
  harness.drain()
  expect(harness.names()).toEqual(['a', 'b'])
  expect(harness.lines.join()).toContain('is no segment')
})

test('goes on when all its segments are gone, which the store has read', async () => {
  await writer.write([group('a')])
  harness.drain()
  writer.close()
  for (const name of segments()) rmSync(pathOf(name))
  writer = open()
  await writer.write([group('b')])
  harness.drain()
  expect(harness.names()).toEqual(['a', 'b'])
  expect(segments()[0]).not.toMatch(/-00000001\.seg$/)
  expect(Object.keys(harness.counters()).filter((key) => key.startsWith('lost'))).toEqual([])
})

test('a segment that was taken away is not written to', async () => {
  await writer.write([group('a')])
  harness.drain()
  for (const name of segments()) rmSync(pathOf(name))
  await writer.write([group('b')])
  harness.drain()
  expect(harness.names()).toEqual(['a', 'b'])
})

test('rotates, and what is read of the past goes', async () => {
  const input = 'x'.repeat(300_000)
  for (let n = 0; n < 24; n++) await writer.write([group(`n${n}`, { input: input + n })])
  expect(segments().length).toBeGreaterThan(3)
  expect(writer.unread()).toBeGreaterThan(24 * 300_000)
  harness.drain()
  expect(harness.names()).toHaveLength(24)
  expect(segments()).toHaveLength(1)
  expect(statSync(pathOf(segments()[0])).size).toBeLessThan(3_000_000)
  expectNoLoss()
})

test('what cannot be written is said, and can be written again', async () => {
  await writer.write([group('a')])
  harness.drain()
  rmSync(harness.disk, { recursive: true })
  const more = [group('b'), group('c', { service: 's' })]
  await expect(writer.write(more)).rejects.toThrow('ENOENT')
  mkdirSync(harness.disk, { mode: 0o700 })
  await writer.write(more)
  harness.drain()
  expect(harness.names()).toEqual(['a', 'b', 'c'])
  expectNoLoss()
})

test('of more senders than it keeps, the ones that were quiet are gone from the store too', async () => {
  for (let n = 0; n < 70; n++) await writer.write([group(`n${n}`, { service: `s${n}` })])
  harness.drain(5)
  expect(harness.names()).toHaveLength(70)
  expect(harness.store.writers()).toHaveLength(64)
  expect(segments()).toHaveLength(64)
  await writer.write([group('again', { service: 's0' })])
  harness.drain(5)
  expect(harness.names()).toHaveLength(71)
  expect(harness.counters().interrupted ?? 0).toBe(0)
  expectNoLoss()
})

test('has many senders in one batch, also of those that took their leave in it', async () => {
  const names = Array.from({ length: 150 }, (_, n) => `n${n}`)
  for (const round of ['a', 'b']) {
    await writer.write(names.map((name, n) => group(round + name, { service: `s${n}` })))
    harness.drain(5)
  }
  expect(new Set(harness.names())).toEqual(
    new Set([...names, ...names].map((n, i) => (i < 150 ? 'a' : 'b') + n)),
  )
  expect(segments()).toHaveLength(64)
  expectNoLoss()
})
