import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { findPython } from '../scripts/pythons.ts'

// The smallest run: that it runs to its end and says what it promises to. Its figures mean nothing.

const hasPython = findPython(11) !== undefined
if (!hasPython) console.warn('no Python from 3.11 on: the bench in Python is not tried')

test.runIf(hasPython)('python measures recording and serving, and nothing is lost', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--conditions=offpath-source',
    join(import.meta.dirname, 'bench.ts'),
    'python',
    ...['--quick', '--json', '--rounds', '1', '--scale', '0.05', '--cases', 'small,fastapi-64kb'],
  ])
  const { rows, targets } = JSON.parse(stdout.trimEnd().split('\n').at(-1) as string)
  const lanes = rows.map((row: { case: string; subject: string }) => `${row.case} ${row.subject}`)
  expect(lanes).toEqual([
    ...['none', 'none', 'offpath', 'langfuse', 'otel'].map((subject) => `small ${subject}`),
    ...['none', 'none', 'offpath', 'langfuse', 'langfuse-tuned'].map(
      (subject) => `fastapi-64kb ${subject}`,
    ),
  ])
  for (const row of rows) {
    expect(row).toMatchObject({ us: expect.any(Number), lost: 0, rounds: 1 })
    // 100 requests a second of 3 observations, for a quarter of a second.
    if (row.case === 'fastapi-64kb') expect(row.delivered).toBe(row.subject === 'none' ? 0 : 75)
  }
  expect(targets.map(({ name }: { name: string }) => name)).toEqual([
    'main thread',
    'of Langfuse',
    'of OpenTelemetry',
    'p99, to the worst of untraced',
    'longest loop delay, to the worst of untraced',
    'threads added',
    'observations lost',
  ])
  expect(targets.at(-2)).toMatchObject({ measured: 0, ok: true })
})
