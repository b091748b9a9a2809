import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { PlainSpan } from '../packages/relay/src/testing/plain-span.ts'
import { SpoolHarness } from '../packages/relay/src/testing/spool-harness.ts'
import { findPythons } from '../scripts/pythons.ts'

// What the Python client writes, read by the relay's own receiver into its store: the rules for writers of
// docs/spool-format.md and docs/json-records.md, from the other side.

const pythons = findPythons()
if (pythons.size === 0) console.warn('no Python from 3.10 on: the Python client is not tested')

interface Told {
  readonly expected: readonly {
    readonly name: string
    readonly input: unknown
    readonly parent?: string
    readonly interrupted?: boolean
  }[]
  readonly stats: { readonly observations: number; readonly lost: Record<string, number> }
}

let harness: SpoolHarness
beforeEach(() => {
  harness = new SpoolHarness()
})
afterEach(() => harness.close())

/** Runs exercise.py; the relay reads meanwhile, or only afterwards. */
async function exercise(
  python: string,
  part: 'spool' | 'full',
  env: Record<string, string>,
  readsMeanwhile: boolean,
  warnings: readonly string[],
): Promise<Told> {
  const child = spawn(
    python,
    ['-B', join(import.meta.dirname, 'python-client/exercise.py'), part],
    {
      env: {
        PATH: process.env.PATH,
        PYTHONPATH: join(import.meta.dirname, '../clients/python/src'),
        OFFPATH_SPOOL_DIR: harness.memory,
        OFFPATH_SPOOL_DISK_DIR: harness.disk,
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  const polling = setInterval(() => {
    if (!readsMeanwhile) return
    harness.now += 20
    harness.receiver.poll()
  }, 20)
  const [output, errors, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ])
  clearInterval(polling)
  expect({ code, errors }).toMatchObject({ code: 0 })
  expect(errors.match(/OFFPATH_\w+/g) ?? []).toEqual(warnings)
  harness.drain(10)
  return JSON.parse(output) as Told
}

function inputOf(field: unknown): unknown {
  const value = field as { text?: string; json?: unknown; int?: string }
  if (value.text !== undefined) return value.text
  return value.int === undefined ? value.json : Number(value.int)
}

/** Nothing that is not a segment of whole frames, whole records and strings that are known. */
function expectSound(counters: Readonly<Record<string, number>>): void {
  const faults = Object.keys(counters).filter((name) =>
    /corrupt|torn|bad|dangling|orphan|malformed|invalid|unnamed|unstorable|unknown/i.test(name),
  )
  expect(faults).toEqual([])
}

describe.each([...pythons])('Python 3.%i', (_, python) => {
  const plenty = { OFFPATH_SPOOL_CAP: '64MB', OFFPATH_SPOOL_DISK_CAP: '256MB' }
  test.each([
    ['meanwhile', plenty, true, []],
    [
      'afterwards, from memory and from the disk',
      { ...plenty, OFFPATH_SPOOL_CAP: '8MB' },
      false,
      ['OFFPATH_SPOOL_FULL'],
    ],
  ] as const)(
    'all that it records is stored, read %s',
    async (_how, env, readsMeanwhile, warnings) => {
      const { expected, stats } = await exercise(python, 'spool', env, readsMeanwhile, warnings)
      expect(expected.length).toBeGreaterThan(900)
      const spans = new Map(harness.spans().map((span) => [span.name, span]))
      const names = new Map([...spans.values()].map((span) => [span.spanId, span.name]))
      for (const { name, input, parent, interrupted = false } of expected) {
        const span = spans.get(name) as PlainSpan
        const found = inputOf(span.fields.input)
        if (name === 'bytes') {
          const { audio } = found as { audio: string }
          expect(audio.slice(0, 44)).toBe('data:application/octet-stream;base64,//7//v/')
          continue
        }
        // Of megabytes a difference would be told in megabytes.
        if (JSON.stringify(found) !== JSON.stringify(input)) {
          expect([name, JSON.stringify(found).slice(0, 500)]).toEqual([
            name,
            JSON.stringify(input).slice(0, 500),
          ])
          throw new Error(`${name}: its input differs far behind`)
        }
        expect([name, span.interrupted]).toEqual([name, interrupted])
        if (parent !== undefined) expect(names.get(span.parentSpanId ?? '')).toBe(parent)
      }
      expect(harness.spans()).toHaveLength(expected.length)
      expect(spans.get('root')?.fields).toMatchObject({
        userId: { text: 'u' },
        sessionId: { text: 's' },
        tags: { strings: ['a'] },
        traceMetadata: { plan: { text: 'free' } },
      })
      expect(spans.get('failing')).toMatchObject({
        status: { code: 2, message: 'ValueError: broke' },
        events: [{ name: 'exception' }],
      })
      expect(spans.get('across the fork')?.fields).not.toHaveProperty('output')

      const counters = harness.counters()
      expectSound(counters)
      // The children have counted their own.
      expect(stats.observations).toBe(expected.length - 4)
      expect(Object.values(stats.lost).every((count) => count === 0)).toBe(true)
      expect(harness.law()).toMatchObject({ accepted: expected.length, held: expected.length })
      harness.deliver()
      expect(harness.law()).toMatchObject({ delivered: expected.length, held: 0 })
      expect(harness.files('.seg')).toEqual([])
      expect(harness.files('.seg', harness.disk)).toEqual([])
    },
  )

  test('what a full spool does not take is lost and counted, by both sides alike', async () => {
    const env = { OFFPATH_SPOOL_CAP: '1MB', OFFPATH_SPOOL_DISK_CAP: '1MB' }
    const { stats } = await exercise(python, 'full', env, false, [
      'OFFPATH_SPOOL_FULL',
      'OFFPATH_SPOOL_FULL',
    ])
    const lost = stats.lost.spool_full as number
    expect(lost).toBeGreaterThan(100)
    const counters = harness.counters()
    expectSound(counters)
    expect(counters['lost.spool_full']).toBe(lost)
    expect(harness.spans()).toHaveLength(600 - lost)
    expect(harness.law()).toMatchObject({ accepted: 600 - lost })
  })
})
