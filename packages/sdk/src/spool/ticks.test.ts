import { readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { performance as clock } from 'node:perf_hooks'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Propagated } from '../recorder/span.ts'
import { contentOf, openSpool, segmentsIn, type TestSpool } from '../testing/spool-files.ts'

const DAY_MS = 86_400_000
let later = 0

// The recorder ticks every 10 s. Files and their writing are real.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance', 'Date'] })
  // The global is replaced; what modules have imported is not.
  vi.spyOn(clock, 'now').mockImplementation(() => performance.now())
})
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

function event(spool: TestSpool, name: string): void {
  spool.recorder.event(null, null, name, 2, 0, undefined, undefined)
  spool.recorder.flush()
}

function lease(spool: TestSpool): void {
  const path = join(spool.memory, 'relay.lease')
  writeFileSync(path, '')
  utimesSync(path, new Date(), new Date())
}

/** Lets `seconds` pass; `each` is called every 10 s, before the recorder ticks. */
function pass(seconds: number, each: () => void = () => {}): void {
  for (let passed = 0; passed < seconds; passed += 10) {
    each()
    vi.advanceTimersByTime(10_000)
  }
}

function noReader(spool: TestSpool): string[] {
  return spool.warnings.filter((warning) => warning.includes('no relay has read the spool'))
}

test('an idle writer shows every 10 s that it lives', () => {
  const spool = openSpool()
  event(spool, 'only')
  const [name] = readdirSync(spool.memory) as [string]
  for (let i = 0; i < 3; i++) {
    pass(10)
    const { mtimeMs } = statSync(join(spool.memory, name))
    expect(Math.abs(mtimeMs - Date.now())).toBeLessThan(1)
  }
})

test('a segment that was deleted is left, and what was in it is counted', () => {
  const spool = openSpool()
  event(spool, 'seen')
  lease(spool)
  pass(10)
  event(spool, 'in the deleted file')
  event(spool, 'in the deleted file')
  const [name] = readdirSync(spool.memory).filter((name) => name.endsWith('.seg')) as [string]
  rmSync(join(spool.memory, name))
  event(spool, 'not noticed yet')
  pass(10)
  expect(spool.recorder.stats().lost.segment_removed).toBe(3)
  event(spool, 'in the next')
  pass(10)
  const { observations, records, dangling } = contentOf(spool.memory)
  expect(observations).toMatchObject([{ name: 'in the next' }])
  expect(dangling).toBe(0)
  expect(segmentsIn(spool.memory)[0]?.header).toMatchObject({
    segment: 2,
    previous: { segment: 1 },
  })
  expect(segmentsIn(spool.memory)[0]?.losses[3]).toBe(3)
  expect(records.filter(({ type }) => type === 'loss')).toMatchObject([
    { losses: [0, 0, 0, 3, ...new Array(8).fill(0)] },
  ])
})

test('handing over leaves a segment that was deleted, and keeps what is pending', () => {
  const spool = openSpool()
  const { recorder } = spool
  const context = new Propagated({ userId: 'user' })
  const record = (name: string) =>
    recorder.event(null, context, name, 2, 0, { input: { key: 'shared '.repeat(100) } }, undefined)
  record('seen')
  expect(recorder.handOver()).toBe(true)
  pass(10)
  record('in the deleted file')
  recorder.flush()
  record('pending')
  rmSync(spool.memory, { recursive: true })
  expect(recorder.handOver()).toBe(false)
  expect(recorder.stats().lost.segment_removed).toBe(1)
  expect(recorder.handOver()).toBe(true)
  const { observations, records, dangling } = contentOf(spool.memory)
  expect(observations).toMatchObject([
    { name: 'pending', input: { key: 'shared '.repeat(100) }, trace: { userId: 'user' } },
  ])
  expect(dangling).toBe(0)
  expect(records.filter(({ type }) => type === 'loss')).toMatchObject([
    { losses: [0, 0, 0, 1, ...new Array(8).fill(0)] },
  ])
})

test('closing counts what was in a deleted segment, where a reader finds it', () => {
  const spool = openSpool()
  event(spool, 'first')
  event(spool, 'second')
  rmSync(spool.memory, { recursive: true })
  spool.recorder.close()
  expect(spool.recorder.stats().lost.segment_removed).toBe(2)
  const [segment] = segmentsIn(spool.memory)
  expect(segment?.ended).toBe(true)
  expect(segment?.frames.at(-1)).toMatchObject({ started: 2, lost: 2 })
})

test('what is in segments that were closed before is not counted as removed', () => {
  const spool = openSpool({ spoolCapBytes: 600_000 })
  pass(10)
  for (let i = 0; i < 100; i++) {
    const input = `${i} `.repeat(1000)
    spool.recorder.event(null, null, 'event', 2, 0, { input }, undefined)
    spool.recorder.flush()
  }
  const names = readdirSync(spool.memory).sort()
  const last = names.at(-1) as string
  const inLast = segmentsIn(spool.memory).at(-1)?.frames.length as number
  expect(names.length).toBeGreaterThan(1)
  expect(inLast).toBeLessThan(100)
  rmSync(join(spool.memory, last))
  pass(10)
  // One frame an event.
  expect(spool.recorder.stats().lost.segment_removed).toBe(inLast)
})

test('a directory that was moved away is made anew', () => {
  const spool = openSpool()
  event(spool, 'first')
  renameSync(spool.memory, `${spool.memory}-moved`)
  rmSync(`${spool.memory}-moved`, { recursive: true })
  pass(10)
  event(spool, 'second')
  expect(contentOf(spool.memory).observations.map(({ name }) => name)).toEqual(['second'])
})

test('no relay for 60 s: one warning with the fix in it', () => {
  const spool = openSpool()
  event(spool, 'first')
  pass(50)
  expect(noReader(spool)).toEqual([])
  pass(20)
  expect(noReader(spool)).toEqual([expect.stringContaining('npx offpath up')])
  pass(600, () => event(spool, 'more'))
  expect(noReader(spool).length).toBe(1)
})

test('a relay that stopped long ago is none', () => {
  const spool = openSpool()
  event(spool, 'first')
  lease(spool)
  pass(90)
  expect(noReader(spool).length).toBe(1)
})

test('a relay that reads: no warning, nor when it stops for less than a minute', () => {
  const spool = openSpool()
  event(spool, 'first')
  pass(600, () => lease(spool))
  pass(50)
  pass(600, () => lease(spool))
  expect(spool.warnings).toEqual([])
  pass(80)
  expect(noReader(spool).length).toBe(1)
})

test.each([DAY_MS, -DAY_MS])('the wall clock steps by %d ms: the relay is not missed', (step) => {
  const spool = openSpool()
  event(spool, 'first')
  pass(120, () => lease(spool))
  vi.setSystemTime(Date.now() + step)
  // It touches the lease at least every 10 s: some time after our tick.
  pass(10)
  pass(300, () => lease(spool))
  expect(spool.warnings).toEqual([])
})

test.each([DAY_MS, -DAY_MS])('the wall clock steps by %d ms: durations stay right', (step) => {
  const spool = openSpool()
  const { recorder } = spool
  // Each test's monotonic clock begins anew, and the recorder's looks only forward.
  later += 3_600_000
  vi.advanceTimersByTime(later)
  const start = Date.now()
  const open = recorder.start(null, null, 'open', 0, 0, undefined, undefined)
  vi.advanceTimersByTime(500)
  vi.setSystemTime(Date.now() + step)
  vi.advanceTimersByTime(1500)
  // A second after the step at most, new observations have the new time; open ones keep their own clock.
  const next = recorder.start(null, null, 'next', 0, 0, undefined, undefined)
  vi.advanceTimersByTime(250)
  recorder.end(next, undefined)
  recorder.end(open, undefined)
  recorder.flush()
  const [first, second] = contentOf(spool.memory).observations
  expect(first?.durationMs).toBeCloseTo(2250, 0)
  expect(second?.durationMs).toBeCloseTo(250, 0)
  expect(Math.abs((first?.startTime.getTime() ?? 0) - start)).toBeLessThan(5)
  expect(Math.abs((second?.startTime.getTime() ?? 0) - (start + 2000 + step))).toBeLessThan(5)
})

test('vitals come once a second while anything is recorded', () => {
  const spool = openSpool()
  for (let i = 0; i < 10; i++) {
    event(spool, 'event')
    pass(10)
  }
  pass(60)
  const vitals = contentOf(spool.memory).records.flatMap((record) =>
    record.type === 'vitals' ? [record.vitals as Record<string, unknown>] : [],
  )
  expect(vitals.length).toBeGreaterThanOrEqual(8)
  expect(vitals.length).toBeLessThanOrEqual(10)
  expect(vitals[0]).toEqual({
    time: expect.stringMatching(/^\d{19}$/),
    loop_delay_max_ms: expect.any(Number),
    loop_utilization: expect.any(Number),
    rss_bytes: expect.any(Number),
    recorder_ms: expect.any(Number),
    flush_ms: expect.any(Number),
    records: expect.any(Number),
    observations: expect.any(Number),
    bytes: expect.any(Number),
    lost: 0,
    lost_updates: 0,
  })
  expect(vitals.reduce((sum, { observations }) => sum + (observations as number), 0)).toBe(10)
})
