import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, expect, test } from 'vitest'
import { readSegments } from '../testing/assemble.ts'
import { contentOf, segmentsIn } from '../testing/spool-files.ts'

// Of the whole file: its tests run at the same time.
const root = mkdtempSync(join(tmpdir(), 'offpath-'))
afterAll(() => rmSync(root, { recursive: true }))

/** Lets the child program end in the given way; resolves to how it did. */
async function run(ending: string) {
  const base = join(root, ending.replaceAll(' ', '-'))
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, 'lifetime.child.ts'), base, ending],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  )
  const [stderr, [code, signal]] = await Promise.all([text(child.stderr), once(child, 'exit')])
  return { memory: join(base, 'memory'), code, signal, stderr }
}

const all = [...Array.from({ length: 102 }, (_, i) => `main ${i}`), 'open']

function expectAll(memory: string): void {
  const { observations, dangling } = contentOf(memory)
  expect(observations.map(({ name }) => name)).toEqual(all)
  expect(observations.map(({ finished }) => finished)).toEqual([
    ...new Array(102).fill(true),
    false,
  ])
  expect(dangling).toBe(0)
  expect(observations[100]?.input === 'large '.repeat(500_000)).toBe(true)
  const audio = Buffer.alloc(3_000_000, 'audio')
  expect(audio.equals(observations[101]?.input as Buffer)).toBe(true)
}

test.concurrent.each([
  ['natural end', 0, ''],
  ['process.exit', 3, ''],
  ['uncaught exception', 1, 'Error: uncaught'],
  ['unhandled rejection', 1, 'Error: unhandled'],
])('%s: all that is pending is written, and the segment closed', async (ending, expected, says) => {
  const { memory, code, stderr } = await run(ending)
  expect(code).toBe(expected)
  expect(stderr).toContain(says)
  if (says === '') expect(stderr).toBe('')
  expectAll(memory)
  expect(segmentsIn(memory).at(-1)?.ended).toBe(true)
})

test.concurrent.each(['SIGKILL after a flush', 'SIGTERM'])(
  '%s: all that was flushed is there',
  async (ending) => {
    const { memory, signal } = await run(ending)
    expect(ending).toContain(signal)
    expectAll(memory)
    expect(segmentsIn(memory).at(-1)?.ended).toBe(false)
  },
)

test.concurrent('SIGKILL: what was recorded before the turn ended is there', async () => {
  const { memory, signal } = await run('SIGKILL after a turn')
  expect(signal).toBe('SIGKILL')
  expect(contentOf(memory).observations.length).toBe(100)
})

test.concurrent('a process that ends later is not kept alive, nor cut short', async () => {
  const { memory, code } = await run('natural end, later')
  expect(code).toBe(0)
  const { observations } = contentOf(memory)
  expect(observations.length).toBe(2 * all.length)
})

test.concurrent('process.exit while a value is read: the record is not, all others are', async () => {
  const { memory, code, stderr } = await run('process.exit in a value')
  expect(code).toBe(4)
  expect(stderr).toBe('')
  expectAll(memory)
  const last = segmentsIn(memory).at(-1)
  expect(last?.ended).toBe(true)
  expect(last?.frames.at(-1)).toMatchObject({ started: all.length + 1, lost: 1 })
})

test.concurrent('worker threads write segments of their own', async () => {
  const { memory, code, stderr } = await run('workers')
  expect(stderr).toBe('')
  expect(code).toBe(0)
  const segments = segmentsIn(memory)
  const writers = Map.groupBy(segments, ({ header }) => header.writer)
  expect(writers.size).toBe(4)
  const threads = new Set(segments.map(({ header }) => header.thread))
  expect(threads.size).toBe(4)
  expect(threads).toContain(0)
  for (const own of writers.values()) {
    const { observations, dangling } = readSegments(own)
    expect(dangling).toBe(0)
    expect(observations.length).toBe(all.length)
    expect(new Set(own.map(({ header }) => header.pid)).size).toBe(1)
  }
  // The one that was terminated had no chance to close its segment.
  expect(segments.filter(({ ended }) => !ended).length).toBe(1)
})
