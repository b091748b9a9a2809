import { execFile } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { SUBJECTS } from './bench/subjects.ts'

// The smallest run of each bench: that it runs to its end and says what it promises to. Its figures mean nothing.

interface Result {
  readonly bench: string
  readonly node: string
  readonly command: string
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  readonly targets: readonly Readonly<Record<string, unknown>>[]
}

const run = (...args: string[]) =>
  promisify(execFile)(process.execPath, [
    '--conditions=offpath-source',
    join(import.meta.dirname, 'bench.ts'),
    ...args,
  ])

async function bench(...args: string[]): Promise<Result> {
  const { stdout } = await run(...args, '--quick', '--json', '--rounds', '1')
  const result = JSON.parse(stdout.trimEnd().split('\n').at(-1) as string) as Result
  expect(result).toMatchObject({ bench: args[0], node: process.version })
  for (const row of result.rows) {
    expect(row.case).toEqual(expect.any(String))
    if (row.us !== null) expect(row.us).toEqual(expect.any(Number))
    expect(SUBJECTS).toContain(row.subject)
  }
  for (const target of result.targets) {
    expect(target).toMatchObject({
      name: expect.any(String),
      case: expect.any(String),
      measured: expect.any(Number),
      limit: expect.any(Number),
      ok: expect.any(Boolean),
    })
  }
  return result
}

const lanes = (result: Result, inCase: string) =>
  result.rows.filter((row) => row.case === inCase).map((row) => row.subject)

test('recorder measures each subject, and nothing twice', async () => {
  const subjects = ['none', 'offpath', 'langfuse', 'otel']
  const result = await bench(
    'recorder',
    '--scale',
    '0.1',
    '--cases',
    'small',
    '--subjects',
    subjects.join(),
  )
  expect(lanes(result, 'small')).toEqual(['none', ...subjects])
  expect(result.rows.map((row) => row.lost)).toEqual([0, 0, 0, 0, 0])
  expect(result.targets.map((target) => target.name)).toEqual(['of Langfuse', 'of OpenTelemetry'])
})

test('load delivers through each subject', async () => {
  const result = await bench(
    'load',
    '--scale',
    '0.1',
    '--cases',
    'rag',
    '--subjects',
    'none,offpath,langfuse',
  )
  expect(lanes(result, 'rag')).toEqual(['none', 'none', 'offpath', 'langfuse'])
  for (const row of result.rows) {
    // 100 requests a second of 3 observations, for 0.4 s.
    expect(row.lost).toBe(0)
    expect(row.delivered).toBe(row.subject === 'none' ? 0 : 120)
    for (const field of ['loop_delay_max_ms', 'p50_ms', 'p99_ms', 'rss_mb', 'total_us']) {
      expect(row[field]).toEqual(expect.any(Number))
    }
  }
})

test('relay drains what a process has left', async () => {
  const result = await bench('relay', '--scale', '0.02')
  expect(result.rows).toMatchObject([
    { case: 'small-store', lost: 0 },
    { case: 'small-export', delivered: 2000, lost: 0 },
    { case: '4kb-export', delivered: 1049, lost: 0 },
  ])
})

test('delivery gets all there: from a store, through Redis, and after an outage', async () => {
  const result = await bench(
    'delivery',
    ...['--scale', '0.01', '--cases', 'small-export,small-redis,outage', '--dir', tmpdir()],
  )
  const measured = '--scale 0.01 --cases small-export,small-redis,outage --quick --json --rounds 1'
  expect(result.command).toBe(`npm run bench -- delivery ${measured}`)
  expect(result.rows).toMatchObject([
    { case: 'small-export', subject: 'offpath', delivered: 2000, lost: 0 },
    { case: 'small-export', subject: 'otel' },
    { case: 'small-redis', subject: 'offpath', delivered: 1500, lost: 0 },
    { case: 'outage', delivered: 1728, lost: 0, dropped: 0 },
  ])
  for (const field of ['forward_us', 'pool_us', 'redis_us', 'redis_memory_bytes']) {
    expect(result.rows[2]?.[field]).toEqual(expect.any(Number))
  }
  expect(result.targets.map((target) => target.name)).toContain('through Redis')
})

test.each([
  [
    ['delivery', '--backlog-gb', '1000000'],
    / has .* GB free, .* name another directory with --dir/,
  ],
  [['delivery', '--dir', '/nowhere'], /--dir \/nowhere: ENOENT/],
  [['recorder', '--dir', '/tmp'], /--dir: it is for delivery, not for recorder/],
  [['delivery', '--out', '/nowhere/a.json'], /--out .*: there is no folder \/nowhere/],
  [['delivery', '--cases', 'large'], /--cases large/],
])('%j is refused with what to do', async (args, says) => {
  await expect(run(...args)).rejects.toMatchObject({ code: 2, stderr: expect.stringMatching(says) })
})
