import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, expect, test } from 'vitest'
import { attribute, attributeProfile, type RecordedProfile, startProfile } from './profile.ts'

const directory = mkdtempSync(join(tmpdir(), 'offpath-profile-'))
afterAll(() => rmSync(directory, { recursive: true }))

const now = (): number => performance.timeOrigin + performance.now()

function spin(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}

function stringify(ms: number): void {
  const until = performance.now() + ms
  const text = 'a "quoted" word'.repeat(20_000)
  while (performance.now() < until) JSON.stringify(text)
}

/** What work took, by the clock and of a core, ms: another process may have the core for a moment. */
function taken(work: () => void): { wallMs: number; coreMs: number } {
  const begun = performance.now()
  const used = process.threadCpuUsage()
  work()
  const { user, system } = process.threadCpuUsage(used)
  return { wallMs: performance.now() - begun, coreMs: (user + system) / 1000 }
}

test('a real profile says who ran in a stall, by the clock of the stalls', {
  retry: 3,
}, async () => {
  const path = join(directory, 'real.cpuprofile')
  const profile = startProfile()
  spin(60)
  const from = now()
  await sleep(40)
  const stringified = taken(() => stringify(150))
  const stall = [now(), 150] as const
  await sleep(40)
  const spinning = taken(() => spin(100))
  const after = [now(), 100] as const
  const short = [now(), 15] as const
  await sleep(5)
  profile.write(path, from, now())

  const { stalls, overall } = attributeProfile(path, [stall, short, after])
  expect(stalls.map(({ endedAt, ms }) => [endedAt, ms])).toEqual([stall, after])
  const [first, second] = stalls
  expect(first!.shares[0]).toMatchObject({
    thread: 'main',
    package: 'application',
    // JSON.stringify is V8's: its time is its caller's.
    function: expect.stringMatching(/^stringify \(profile\.test\.ts:\d+\)$/),
  })
  expect(first!.shares[0]!.ms).toBeGreaterThan(0.8 * stringified.coreMs)
  expect(first!.shares.some(({ function: name }) => name.startsWith('spin '))).toBe(false)
  expect(second!.shares[0]!.function).toMatch(/^spin /)
  // Neither what ran before `from` nor sleeping counts.
  const spun = overall.find(({ function: name }) => name.startsWith('spin '))
  expect(spun!.ms).toBeGreaterThan(0.8 * spinning.coreMs)
  expect(spun!.ms).toBeLessThan(spinning.wallMs + 15)
  const worked = stringified.wallMs + spinning.wallMs
  expect(overall.reduce((sum, { ms }) => sum + ms, 0)).toBeLessThan(worked + 40)

  // What other tools read.
  const written = JSON.parse(readFileSync(path, 'utf8')) as RecordedProfile
  expect(written.samples?.length).toBe(written.timeDeltas?.length)
})

const frame = (functionName: string, url: string) => ({
  functionName,
  url,
  scriptId: '0',
  lineNumber: 6,
  columnNumber: 0,
})

/** root ─ a handler ─ {a package ─ {native, node}, node}, the collector, idling */
const synthetic: RecordedProfile = {
  nodes: [
    { id: 1, callFrame: frame('(root)', ''), children: [2, 7, 8, 9] },
    { id: 2, callFrame: frame('processTimers', 'node:internal/timers'), children: [3] },
    { id: 3, callFrame: frame('', 'file:///srv/lab/handlers.ts'), children: [4, 10] },
    {
      id: 4,
      callFrame: frame('encode', 'file:///srv/node_modules/@a/b/node_modules/@c/d/lib/x.js'),
      children: [5, 6],
    },
    { id: 5, callFrame: frame('stringify', '') },
    { id: 6, callFrame: frame('write', 'node:net') },
    { id: 7, callFrame: frame('(garbage collector)', '') },
    { id: 8, callFrame: frame('(idle)', '') },
    { id: 9, callFrame: frame('(program)', '') },
    { id: 10, callFrame: frame('record', 'file:///srv/packages/sdk/src/recorder/recorder.ts') },
  ],
  startTime: 1_000_000,
  endTime: 1_049_000,
  //        0  5  8 12 16 20 24  26 (idle)  46
  samples: [2, 3, 4, 5, 6, 7, 9, 8, 10],
  timeDeltas: [0, 5000, 3000, 4000, 4000, 4000, 4000, 2000, 20_000],
  lab: { zero: 0, from: 1000, to: 1049 },
}

test('packages, what they call of V8 and Node, and the collector', () => {
  const { overall } = attribute(synthetic, [])
  expect(overall).toEqual([
    { thread: 'main', package: '@c/d', function: 'encode (lib/x.js:7)', ms: 12 },
    { thread: 'main', package: 'node', function: 'processTimers (internal/timers:7)', ms: 5 },
    {
      thread: 'main',
      package: 'garbage collection',
      function: '(garbage collector)',
      ms: 4,
    },
    { thread: 'main', package: 'application', function: '(anonymous) (handlers.ts:7)', ms: 3 },
    {
      thread: 'main',
      package: '@offpath/sdk',
      function: 'record (src/recorder/recorder.ts:7)',
      ms: 3,
    },
    { thread: 'main', package: '(program)', function: '(program)', ms: 2 },
  ])
})

test('a stall cuts samples at its ends', () => {
  const { stalls } = attribute(synthetic, [[1024, 21]])
  expect(stalls[0]?.shares.map(({ package: name, ms }) => [name, ms])).toEqual([
    ['@c/d', 12],
    ['garbage collection', 4],
    ['application', 3],
    ['node', 2],
  ])
  const { stalls: late } = attribute(synthetic, [[1046, 21]])
  expect(late[0]?.shares.map(({ package: name, ms }) => [name, ms])).toEqual([
    ['(not running)', 20],
    ['(program)', 1],
  ])
})

test('who is not sampled for long has no core', () => {
  const { overall } = attribute(
    { ...synthetic, samples: [4], timeDeltas: [0], endTime: 1_040_000 },
    [],
  )
  expect(overall.map(({ package: name, ms }) => [name, ms])).toEqual([
    ['(not running)', 35],
    ['@c/d', 5],
  ])
})
