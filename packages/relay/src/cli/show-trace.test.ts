import { styleText } from 'node:util'
import { expect, test } from 'vitest'
import type { Observation, Trace } from '../http/shapes.ts'
import { observation } from './observation.fixture.ts'
import { renderTrace, usageText } from './show-trace.ts'
import type { Terminal } from './terminal.ts'
import { columnsOf } from './text.ts'

function terminal(columns?: number): Terminal {
  return {
    print: () => true,
    complain: () => {},
    columns,
    style: (_, text) => text,
  }
}

const colourful: Terminal = {
  ...terminal(120),
  style: (style, text) => styleText(style, text, { validateStream: false }),
}

function trace(...observations: Observation[]): Trace {
  return {
    trace: {
      id: '0000000000000000000000000000000a',
      name: 'api',
      complete: true,
      service: 'shop',
      environment: 'prod',
      userId: 'u-17',
      sessionId: null,
      startTime: '2026-11-24T00:00:00.000000000Z',
      durationMs: 2000,
      observations: observations.length,
      errors: 1,
      warnings: 2,
      interrupted: 1,
      tokens: null,
    },
    observations,
    omitted: 3,
  }
}

const root = observation({ name: 'api', durationMs: 2000, input: { messages: ['Xin chào 世界'] } })
const generation = observation({
  id: '0000000000000002',
  parentId: root.id,
  name: 'vllm',
  type: 'generation',
  startTime: '2026-11-24T00:00:01.000250000Z',
  model: 'qwen3',
  timeToFirstTokenMs: 210.4,
  usage: { input: 1412, output: 128 },
  output: 'line 1\nline 2',
  interrupted: true,
})
const failed = observation({
  id: '0000000000000003',
  parentId: root.id,
  name: 'lookup',
  startTime: '2026-11-24T00:00:01.500000000Z',
  durationMs: 0.25,
  level: 'ERROR',
  statusMessage: 'upstream died',
})

test('a trace is a tree with times, tokens, levels and previews', () => {
  expect(renderTrace(trace(root, generation, failed), terminal(), false)).toBe(`\
trace 0000000000000000000000000000000a
api  shop  2026-11-24 00:00:00.000  2.00 s  3 observations  1 error  2 warnings  1 interrupted  prod  user u-17

api        span            +0 ms     2.00 s
│  in   {"messages":["Xin chào 世界"]}
├─ vllm    generation    +1.00 s     1.00 s  qwen3 · first token 210 ms · 1 412 → 128 tokens · interrupted
│     out  line 1 line 2
└─ lookup  span          +1.50 s     0.3 ms  ERROR
      !    upstream died
… and 3 observations more
`)
})

test('bars show where in the trace an observation lies', () => {
  const lines = renderTrace(trace(root, generation, failed), terminal(120), false).split('\n')
  expect(lines[3]).toContain('████████████████████')
  expect(lines[5]).toMatch(/1\.00 s {12}██████████ {2}qwen3/)
  expect(lines[7]).toMatch(/0\.3 ms {17}▏ {6}ERROR/)
})

test('no preview is wider than the terminal', () => {
  const wide = observation({ input: '世界'.repeat(200), output: 'x'.repeat(5000) })
  const lines = renderTrace(trace(wide), terminal(80), false).split('\n').slice(4, 6)
  for (const line of lines) expect(columnsOf(line)).toBeLessThanOrEqual(80)
  expect(lines[0]).toMatch(/世…$/)
})

test('full values keep their lines', () => {
  const text = renderTrace(trace(generation), terminal(40), true)
  expect(text).toContain('out  line 1\n        line 2\n')
})

test('nothing in a trace drives the terminal', () => {
  const evil = '\u001b[2J\u001b]0;owned\u0007\u009b31m\u202e\r\b'
  const hostile = observation({
    name: `a${evil}b`,
    model: `m${evil}`,
    level: `L${evil}`,
    statusMessage: `s${evil}`,
    input: `i${evil}`,
    output: { [evil]: evil },
    metadata: { [evil]: evil },
  })
  for (const full of [false, true]) {
    const text = renderTrace(trace(hostile), terminal(120), full)
    expect(text).not.toMatch(/(?!\n)[\p{Cc}\u202e]/u)
    expect(text).toContain('a b')
  }
  const coloured = renderTrace(trace(hostile), colourful, false)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: our own colours are all there may be.
  expect(coloured.replace(/\u001b\[\d+m/g, '')).not.toMatch(/(?!\n)\p{Cc}/u)
})

test.each([
  [null, undefined],
  [{ input: 5, output: 6, total: 11 }, '5 → 6 tokens'],
  [{ prompt_tokens: 5, completion_tokens: 1000 }, '5 → 1 000 tokens'],
  [{ total_tokens: 1 }, '1 token'],
  [{ input: 'x' }, undefined],
  [[1], undefined],
])('tokens of %j are %s', (usage, text) => {
  expect(usageText(usage)).toBe(text)
})
