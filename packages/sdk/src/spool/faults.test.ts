import { spawnSync } from 'node:child_process'
import fs, { readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { Propagated, type Span } from '../recorder/span.ts'
import { readSegment } from '../testing/decode.ts'
import { mount } from '../testing/mount.ts'
import {
  allSegmentsIn,
  contentOf,
  openSpool,
  segmentsIn,
  type TestSpool,
  temporaryDirectory,
} from '../testing/spool-files.ts'

const KB = 1024
const MB = 1024 * KB
/** How long the writer waits before it tries the tiers again. */
const REOPEN_MS = 100

function event(spool: TestSpool, name: string, input?: unknown): void {
  spool.recorder.event(null, null, name, 2, 0, { input }, undefined)
  spool.recorder.flush()
}

function countNames(spool: TestSpool): number {
  return contentOf(spool.memory, spool.disk).observations.length
}

test('a tmpfs that is full before its cap: the frame is carried to disk whole', (context) => {
  const spoolDir = mount(context, 'size=1m')
  const spool = openSpool({ spoolDir, spoolCapBytes: 512 * MB })
  const user = new Propagated({ userId: 'user', tags: ['t'], metadata: { k: 'v' } })
  const history = 'the same history '.repeat(50)
  for (let i = 0; i < 300; i++) {
    const input = [history, `${i} `.repeat(2000)]
    const span = spool.recorder.start(null, user, 'step', 0, 0, { input }, undefined)
    spool.recorder.end(span, undefined)
    spool.recorder.flush()
  }
  spool.recorder.close()
  expect(spool.recorder.stats().lost).toMatchObject({ spool_full: 0, write_failed: 0 })

  const segments = allSegmentsIn(spool.memory, spool.disk)
  const torn = segments.find(({ ended }) => !ended)
  expect(torn?.skipped).toBeGreaterThan(0)
  const next = segments.find(({ header }) => header.segment === (torn?.header.segment ?? 0) + 1)
  expect(next?.header.previous).toEqual({ segment: torn?.header.segment, length: torn?.length })

  const { observations, dangling } = contentOf(spool.memory, spool.disk)
  expect(dangling).toBe(0)
  expect(observations.length).toBe(300)
  observations.forEach(({ input, trace, finished }, i) => {
    expect(input).toEqual([history, `${i} `.repeat(2000)])
    expect(trace).toMatchObject({ userId: 'user', tags: ['t'], metadata: { k: 'v' } })
    expect(finished).toBe(true)
  })
})

test('both tiers full: counted where a reader finds it, and all goes on when there is room', async (context) => {
  const spoolDir = mount(context, 'size=300k')
  const diskDir = mount(context, 'size=300k')
  const spool = openSpool({ spoolDir, diskDir, spoolCapBytes: 512 * MB, diskCapBytes: 512 * MB })
  const { recorder, memory, disk } = spool
  const open: Span[] = []
  const lost = () => recorder.stats().lost.spool_full
  while (lost() < 5) {
    open.push(
      recorder.start(
        null,
        null,
        'open',
        0,
        0,
        { input: `${open.length} `.repeat(1000) },
        undefined,
      ),
    )
    recorder.flush()
    if (open.length > 1000) throw new Error('300 KB are never full')
  }
  // Only ends, so nothing new is lost; and they can't be written either.
  for (const span of open) recorder.end(span, new Date(1_700_000_000_000))
  recorder.flush()
  const total = open.length
  expect(lost()).toBe(5)
  expect(recorder.stats().observations).toBe(total)

  // Nothing more can be written, but the loss block of the newest segment says it.
  const written = allSegmentsIn(memory, disk)
  expect(written.at(-1)?.losses).toEqual([5, ...new Array(11).fill(0)])
  // No junk is left behind by the attempts to open another.
  const before = contentOf(memory, disk)
  expect(before.observations.length).toBe(total - 5)
  expect(before.observations.every(({ finished }) => !finished)).toBe(true)
  for (const segment of written) expect(segment.frames.length).toBeGreaterThan(0)

  // A relay reads the oldest and deletes it.
  const [oldest] = readdirSync(memory).sort()
  const saved = readSegment(readFileSync(join(memory, oldest as string)))
  rmSync(join(memory, oldest as string))
  await delay(REOPEN_MS)
  recorder.start(null, null, 'after', 0, 0, undefined, undefined)
  recorder.flush()
  recorder.close()
  const newest = segmentsIn(memory).at(-1)
  expect(newest?.losses[0]).toBe(5)
  expect(newest?.frames.at(-1)).toMatchObject({ kind: 4, started: total + 1, lost: 5 })

  const after = contentOf(memory, disk)
  const losses = after.records.filter((record) => record.type === 'loss')
  expect(losses.at(-1)).toEqual({ type: 'loss', losses: [5, ...new Array(11).fill(0)] })
  const ends = after.records.flatMap((record) => (record.type === 'lostEnds' ? record.ends : []))
  // The ends of the five are not missed: nobody knows their starts.
  expect(ends.length).toBeGreaterThanOrEqual(total - 5)
  for (const { time } of ends) expect(time).toBe(1_700_000_000_000_000_000n)
  const serials = new Set(ends.map(({ serial }) => serial))
  const started = [saved, ...written].flatMap(({ frames }) => frames)
  expect(started.length).toBeGreaterThan(0)
  expect(serials.size).toBeGreaterThanOrEqual(total - 5)
  expect(after.observations.filter(({ finished, name }) => !finished && name === 'open')).toEqual(
    [],
  )
  expect(spool.warnings.length).toBeGreaterThan(0)
})

test('ends that were lost are repeated even if no start was; other updates are lost alone', async (context) => {
  const spoolDir = mount(context, 'size=200k')
  const spool = openSpool({ spoolDir, diskDir: spoolDir, spoolCapBytes: 512 * MB })
  const { recorder } = spool
  const span = recorder.start(null, null, 'open', 0, 0, { input: 'kept' }, undefined)
  recorder.flush()
  // Filled by somebody else.
  const filler = join(spoolDir, 'filler')
  const fd = fs.openSync(filler, 'w')
  expect(() => {
    while (true) fs.writeSync(fd, Buffer.alloc(4096))
  }).toThrow('ENOSPC')
  fs.closeSync(fd)
  recorder.update(span, { output: 'x'.repeat(5000) })
  recorder.end(span, undefined)
  recorder.flush()
  expect(contentOf(spoolDir).observations).toMatchObject([{ finished: false }])
  rmSync(filler)
  await delay(REOPEN_MS)
  event(spool, 'next')
  recorder.flush()
  expect(contentOf(spoolDir).observations).toMatchObject([
    { name: 'open', finished: true, output: undefined, input: 'kept' },
    { name: 'next' },
  ])
})

test.skipIf(process.platform === 'win32')('ulimit -f: a short write seals the segment', () => {
  const base = temporaryDirectory()
  const child = join(import.meta.dirname, 'record.child.ts')
  // In blocks of 512 bytes (dash) or 1024 (bash): 100 or 200 KB.
  const command = `ulimit -f 200 && exec "${process.execPath}" "${child}" "${base}"`
  const { stdout, stderr, status } = spawnSync('sh', ['-c', command], { encoding: 'utf8' })
  expect(stderr).toBe('')
  expect(status).toBe(0)
  const stats = JSON.parse(stdout) as { observations: number; lost: Record<string, number> }
  const { observations, dangling } = contentOf(join(base, 'memory'), join(base, 'disk'))
  expect(stats.observations).toBe(200)
  expect(Object.values(stats.lost).every((count) => count === 0)).toBe(true)
  expect(observations.length).toBe(200)
  expect(dangling).toBe(0)
  const sizes = readdirSync(join(base, 'memory')).map(
    (name) => statSync(join(base, 'memory', name)).size,
  )
  expect(sizes.length).toBeGreaterThan(3)
})

/** Makes each write take `milliseconds` until the function it returns is called. */
function slowWrites(milliseconds: number): () => void {
  const original = fs.writeSync
  fs.writeSync = ((...args: Parameters<typeof original>) => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
    return original(...args)
  }) as typeof original
  syncBuiltinESMExports()
  const restore = () => {
    fs.writeSync = original
    syncBuiltinESMExports()
  }
  onTestFinished(restore)
  return restore
}

test('a slow disk: one write a second is tried, the rest is dropped and counted', async () => {
  // Only the disk tier.
  const spool = openSpool({ spoolCapBytes: 0 })
  const { recorder } = spool
  const open = recorder.start(null, null, 'open', 0, 0, undefined, undefined)
  recorder.flush()
  const restore = slowWrites(25)
  event(spool, 'slow, but written')
  const before = performance.now()
  const lost: string[] = []
  for (let i = 0; i < 100; i++) {
    event(spool, `dropped ${i}`, { [`key ${i}`]: 'a name that only the lost frame defines' })
    lost.push(`dropped ${i}`)
  }
  recorder.end(open, undefined)
  recorder.flush()
  expect(performance.now() - before).toBeLessThan(500)
  expect(recorder.stats().lost.slow_disk).toBe(100)
  restore()
  await delay(1050)
  event(spool, 'dropped 5', { 'key 5': 'defined anew' })
  recorder.flush()
  const { observations, records, dangling } = contentOf(spool.disk)
  expect(observations.map(({ name, finished }) => [name, finished])).toEqual([
    ['open', true],
    ['slow, but written', true],
    ['dropped 5', true],
  ])
  expect(observations.at(-1)?.input).toEqual({ 'key 5': 'defined anew' })
  expect(dangling).toBe(0)
  expect(records.filter(({ type }) => type === 'loss')).toEqual([
    { type: 'loss', losses: [0, 100, ...new Array(10).fill(0)] },
  ])
})

test('a process that waits for the processor loses nothing in memory', () => {
  const spool = openSpool()
  slowWrites(25)
  for (let i = 0; i < 5; i++) event(spool, `event ${i}`)
  expect(countNames(spool)).toBe(5)
})

test('a descriptor closed under the writer costs a segment and nothing else', () => {
  const spool = openSpool()
  event(spool, 'before')
  const [name] = readdirSync(spool.memory) as [string]
  const path = join(spool.memory, name)
  const ours = readdirSync('/proc/self/fd').find((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`) === path
    } catch {
      return false
    }
  })
  fs.closeSync(Number(ours))
  event(spool, 'after')
  expect(contentOf(spool.memory).observations.map((o) => o.name)).toEqual(['before', 'after'])
  expect(segmentsIn(spool.memory).length).toBe(2)
  // Not with the preamble: a reader would miss at once what only the frame behind it brings.
  const [, carried] = segmentsIn(spool.memory)
  expect(carried?.frames.map((frame) => frame.started)).toEqual([1, 2])
})
