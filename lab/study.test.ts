import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, expect, test } from 'vitest'
import type { Results } from './study/results.ts'

// The smallest run: that it runs to its end and says what it promises to. Its figures mean nothing.

const directory = mkdtempSync(join(tmpdir(), 'offpath-study-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

async function lab(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const file = join(import.meta.dirname, 'study.ts')
  return promisify(execFile)(process.execPath, ['--conditions=offpath-source', file, ...args], {
    maxBuffer: 64 * 1024 * 1024,
  })
}

async function refusal(...args: string[]): Promise<string> {
  try {
    await lab(...args)
  } catch (error) {
    return (error as { stderr: string }).stderr.trim()
  }
  throw new Error('it was taken')
}

test('a study measures each arm and what it is compared with, and writes its reports', async () => {
  const out = join(directory, 'js.json')
  const { stdout } = await lab(
    ...['js', '--arm', 'offpath', '--case', 'chat', '--rounds', '1', '--seconds', '0.5'],
    ...['--out', out, '--json'],
  )
  const lines = stdout.trimEnd().split('\n')
  const results = JSON.parse(lines.at(-1) as string) as Results
  expect(JSON.parse(readFileSync(out, 'utf8'))).toEqual(results)
  expect(results).toMatchObject({ study: 'js', rounds: 1, skipped: [] })
  const lanes = results.cells.map(({ arm, again }) => `${arm}${again ? ' again' : ''}`)
  expect(lanes.sort()).toEqual(['offpath', 'untraced', 'untraced again'])
  for (const cell of results.cells) {
    expect(cell).toMatchObject({ case: 'chat', requests: 50, failed: 0 })
    expect(cell.meanMs).toBeGreaterThan(30)
    const recorded = cell.arm === 'offpath' ? 150 : 0
    expect(cell.service.recorded).toBe(recorded)
    expect(cell.delivered).toBe(recorded)
    expect(cell.batches.reduce((sum, batch) => sum + batch[3], 0)).toBe(recorded)
  }
  const offpath = results.cells.find(({ arm }) => arm === 'offpath')
  expect(offpath?.besideUs).toBeGreaterThan(0)
  expect(readFileSync(join(directory, 'js.md'), 'utf8')).toContain('| Offpath |')
  expect(readFileSync(join(directory, 'js.html'), 'utf8')).toContain('<svg')
})

test('own requests take the place of the cases', async () => {
  const bodies = join(directory, 'bodies.jsonl')
  writeFileSync(bodies, `${JSON.stringify({ messages: [{ role: 'user', content: 'hello' }] })}\n`)
  const { stdout } = await lab(
    ...['js', '--arm', 'untraced', '--bodies', bodies, '--rate', '40', '--rounds', '1'],
    ...['--seconds', '0.5', '--out', join(directory, 'own.json'), '--json'],
  )
  const { cells } = JSON.parse(stdout.trimEnd().split('\n').at(-1) as string) as Results
  expect(cells.map((cell) => [cell.case, cell.requests, cell.failed])).toEqual([
    ['own', 20, 0],
    ['own', 20, 0],
  ])
})

test('what is not there is told with what is', async () => {
  expect(await refusal('js', '--arm', 'langfuse-9')).toContain(
    '--arm langfuse-9: there are untraced',
  )
  expect(await refusal('js', '--slow', '--rate', '20')).toContain('--slow with --rate: one or the')
  expect(await refusal('js', '--case', 'own')).toContain('--case own: there are chat, rag')
  expect(await refusal('report', '--file', 'nowhere.json')).toBe(
    '--file nowhere.json: no such file',
  )
  expect(await refusal('js', '--arm', 'langfuse,langfuse-few', '--case', 'rag')).toContain(
    '--arm with --case: langfuse-few runs in agent',
  )
  const bad = join(directory, 'bad.jsonl')
  writeFileSync(bad, '{"messages":[{"role":"user","content":"x"}]}\n{"prompt":"x"}\n')
  expect(await refusal('js', '--bodies', bad)).toContain('line 2 has no messages')
})
