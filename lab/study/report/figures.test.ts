import { describe, expect, test } from 'vitest'
import type { Found } from './addresses.ts'
import { fillDocuments } from './documents.ts'
import { FigureError, figureText, fillFigures, lookUpIn } from './figures.ts'

const found = new Map<string, Found>([
  ['rag/sdk/p99_ms', { value: 154.7, low: 140.2, high: 171 }],
  ['rag/untraced/p99_ms', { value: 33.84 }],
  ['rag/sdk/cpu_main_us', { value: 3315.4 }],
  ['rag/sdk/delivered_share', { value: 0.9996 }],
  ['rag/sdk/lost', { value: 1080 }],
  ['rag/sdk/rest_us', { value: -4.21 }],
  ['fit/sdk/slope_ms_per_mb', { value: 10.21 }],
  ['fit/sdk/r2', { value: 0.12345 }],
  ['versions/sdk', '5.0.4'],
])
const lookUp = lookUpIn(() => found)

describe('a figure', () => {
  test.each([
    ['python/rag/sdk/p99_ms', '155 ms'],
    ['python/rag/untraced/p99_ms', '33.8 ms'],
    ['python/rag/sdk/p99_ms as interval', '155 ms [140–171]'],
    ['python/rag/sdk/p99_ms | s .2', '0.15 s'],
    ['python/rag/sdk/p99_ms as plain', '155'],
    ['python/rag/sdk/cpu_main_us', '3 315 µs'],
    ['python/rag/sdk/cpu_main_us as ms', '3.3 ms'],
    ['python/rag/sdk/delivered_share', '99.9 %'],
    ['python/rag/sdk/lost', '1 080'],
    ['python/rag/sdk/rest_us', '−4.2 µs'],
    ['python/fit/sdk/slope_ms_per_mb', '10.2 ms/MB'],
    ['python/fit/sdk/r2', '0.12'],
    ['python/versions/sdk', '5.0.4'],
    ['python/rag/sdk/p99_ms ÷ python/rag/untraced/p99_ms', '4.6'],
    ['python/rag/sdk/p99_ms ÷ python/rag/untraced/p99_ms as x', '4.6×'],
    ['python/rag/sdk/p99_ms − python/rag/untraced/p99_ms', '121 ms'],
    ['python/rag/sdk/cpu_main_us × 2 ÷ 1000 as .3', '6.631 µs'],
    ['1 − python/rag/untraced/p99_ms ÷ python/rag/untraced/p99_ms', '−0.97'],
  ])('%s is %s', (mark, text) => {
    expect(figureText(mark, lookUp)).toBe(text)
  })

  test.each([
    ['python/rag/sdk/p98_ms', 'no python/rag/sdk/p98_ms; in rag/sdk there is p99_ms, cpu_main_us'],
    ['python/rga/sdk/p99_ms', 'no python/rga/sdk/p99_ms; there is rag, fit, versions'],
    ['python/rag/sdk/p99_ms as MB', 'format MB'],
    ['python/rag/sdk/lost as s', 'format s'],
    ['python/versions/sdk ÷ 2', 'is a text'],
    ['python/versions/sdk as .1', 'has no formats'],
  ])('%s is told as an error', (mark, text) => {
    expect(() => figureText(mark, lookUp)).toThrow(text)
    expect(() => figureText(mark, lookUp)).toThrow(FigureError)
  })
})

describe('a document', () => {
  const mark = '<!--= python/rag/sdk/p99_ms -->'

  test('keeps its marks and all else, and is not changed by filling it twice', () => {
    const document = `# A\n\np99: ${mark}?<!--/-->, ${mark}<!--/-->.\n| a | ${mark}1 ms<!--/--> |\n`
    const filled = fillFigures(document, lookUp)
    expect(filled).toBe(
      `# A\n\np99: ${mark}155 ms<!--/-->, ${mark}155 ms<!--/-->.\n| a | ${mark}155 ms<!--/--> |\n`,
    )
    expect(fillFigures(filled, lookUp)).toBe(filled)
  })

  test.each([
    [`a\n${mark}155 ms`, 'line 2: a mark'],
    [`a\n${mark}1 ${mark}2<!--/-->`, 'line 2: a mark'],
    ['\n\n<!--= python/rag/sdk/p98_ms -->1<!--/-->', 'line 3: no python/rag/sdk/p98_ms'],
    ['| <!--= python/rag/sdk/p99_ms | s -->1<!--/--> |', 'line 1: python/rag/sdk/p99_ms | s: in a'],
  ])('%j says where it is wrong', (document, text) => {
    expect(() => fillFigures(document, lookUp)).toThrow(text)
  })
})

test('figures in the documents are those of docs/results', () => {
  // If not: npm run lab -- figures
  expect(fillDocuments(false)).toEqual([])
})
