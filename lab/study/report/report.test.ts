import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import type { Results } from '../results.ts'
import { isBenchResult } from './bench-addresses.ts'
import { renderReport, writeReport } from './report.ts'
import { syntheticResults } from './synthetic.ts'

const folder = mkdtempSync(join(tmpdir(), 'report-'))
afterAll(() => rmSync(folder, { recursive: true }))

const results = syntheticResults()
const { markdown, html } = renderReport(results)

test('the page needs nothing from elsewhere and runs nothing', () => {
  expect(html).not.toMatch(/<script|<link|<img|@import|url\(|javascript:| on[a-z]+=/i)
  expect(html.match(/(?:src|href)="[^"#][^"]*"/g)).toEqual(['href="../method.md"'])
})

test('texts from results are texts in the page', () => {
  const evil = `</svg><img src=x onerror="alert(1)">&amp;'`
  const arms = results.arms.map((arm) => ({ ...arm, title: `${arm.title} ${evil}`, what: evil }))
  const cases = results.cases.map((each) => ({ ...each, title: evil }))
  const skipped = [{ arm: evil, reason: evil }]
  const changed = { ...results, arms, cases, skipped, command: evil, versions: { [evil]: evil } }
  const page = renderReport(changed).html
  expect(page).not.toContain('<img')
  expect(page.match(/<\/svg>/g)?.length).toBe(html.match(/<\/svg>/g)?.length)
})

test('the page has each chart once, with a sentence and its unit', () => {
  const ids = [...html.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id)
  expect(new Set(ids).size).toBe(ids.length)
  for (const link of html.matchAll(/href="#([^"]+)"/g)) expect(ids).toContain(link[1])
  for (const id of ['rag-latency', 'rag-lag', 'rag-cpu', 'rag-split', 'rag-curves']) {
    expect(ids).toContain(id)
  }
  for (const id of ['stall', 'fit', 'sizes', 'rates', 'stalled-packages', 'stalled-threads']) {
    expect(ids).toContain(id)
  }
  expect(html).not.toMatch(/NaN|undefined|Infinity/)
})

test('nothing is drawn beside its picture', () => {
  for (const [, width, height, inner] of html.matchAll(
    /<svg viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*>(.*?)<\/svg>/g,
  )) {
    for (const [, name, value] of (inner as string).matchAll(
      / (x1|x2|cx|x|y1|y2|cy|y)="([^"]+)"/g,
    )) {
      const most = Number((name as string).includes('x') ? width : height)
      expect(Number(value)).toBeGreaterThanOrEqual(-0.1)
      expect(Number(value)).toBeLessThanOrEqual(most + 0.1)
    }
  }
})

test('Markdown tables have as many cells in each line', () => {
  for (const block of markdown.split('\n\n').filter((each) => each.startsWith('|'))) {
    const cells = block
      .trim()
      .split('\n')
      .map((line) => line.replaceAll('\\|', '').split('|').length)
    expect(new Set(cells).size, block).toBe(1)
  }
  expect(markdown).not.toMatch(/NaN|undefined|Infinity/)
})

test('every table of arms says what was delivered', () => {
  const heads = markdown
    .split('\n')
    .filter((line) => /^\|.* arm \|/.test(line) && !/ per MB|in commands|\| why/.test(line))
  expect(heads.length).toBeGreaterThan(10)
  for (const head of heads) expect(head).toContain('| delivered % |')
})

test('a run of some arms says so in its title', () => {
  const command = 'npm run lab -- python --arm sdk-5 --case rag,vi'
  const cases = results.cases.filter(({ name }) => name === 'rag' || name === 'vi')
  const arms = results.arms.slice(0, 2)
  const part = renderReport({ ...results, command, cases, arms })
  expect(part.markdown).toMatch(/^# .*: Python, 2 arms in rag, vi\n/)
  expect(markdown).toMatch(/^# .*: Python\n/)
})

test('a case that fills its thread untraced already says so, and what to do', () => {
  const slower = results.cells.map((cell) => {
    const mainUs = cell.case === 'rag' && cell.arm === 'untraced' ? 4200 : cell.service.mainUs
    return { ...cell, service: { ...cell.service, mainUs } }
  })
  const busy = renderReport({ ...results, cells: slower })
  const hint = /Untraced the service takes 42 % of its thread’s time here: .* --slow /g
  for (const report of [busy.markdown, busy.html]) expect(report.match(hint)).toHaveLength(1)
  for (const report of [markdown, html]) expect(report).not.toContain('--slow')
})

test('the picture of a stall stands alone', () => {
  const { stall = '' } = renderReport(results)
  expect(stall).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/)
  expect(stall).not.toMatch(/<script|<image|@import|url\(|href|NaN|undefined/)
  expect(stall).toContain('prefers-color-scheme:dark')
})

test('Markdown says what is lost, what is noise, and what did not run', () => {
  expect(markdown).toMatch(/\| SDK 4 \|.* \*\*\d+ \(0\.\d+ %\)\*\* \|/)
  expect(markdown).toMatch(/\*untraced, again\* \| 3 600 \| [\d.]+ \| ≈ /)
  expect(markdown).toContain('| `redis-lpush` | redis-server: not found |')
})

test('a report is written beside its raw results, with the way to the method from there', () => {
  const file = join(folder, 'python.json')
  writeFileSync(file, JSON.stringify(results))
  const written = writeReport(file)
  expect(written).toEqual(
    ['python.md', 'python.html', 'stall-python.svg'].map((name) => join(folder, name)),
  )
  expect(readFileSync(join(folder, 'python.md'), 'utf8')).toMatch(
    /\]\((\.\.\/)+.*docs\/method\.md\)/,
  )
  writeFileSync(file, '{"format":2}')
  expect(() => writeReport(file)).toThrow('no results of format 1')
})

const root = join(import.meta.dirname, '../../..')
const read = (file: string) => JSON.parse(readFileSync(join(root, file), 'utf8')) as Results
const committed = globSync('docs/results/*.json', { cwd: root })

test.each(committed.filter((file) => !isBenchResult(read(file))))(
  'the reports beside %s are those of its results',
  (file) => {
    const base = join(root, file.replace(/\.json$/, ''))
    const report = renderReport(read(file))
    // If not: npm run lab -- report --file docs/results/…
    expect(existsSync(`${base}.md`) && readFileSync(`${base}.md`, 'utf8')).toBe(report.markdown)
    expect(existsSync(`${base}.html`) && readFileSync(`${base}.html`, 'utf8')).toBe(report.html)
    const picture = join(dirname(base), `stall-${basename(base)}.svg`)
    expect(existsSync(picture) && readFileSync(picture, 'utf8')).toBe(report.stall)
  },
)
