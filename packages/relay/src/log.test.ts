import { expect, test } from 'vitest'
import { createLog } from './log.ts'

function collect(level: 'debug' | 'info' | 'warn' = 'info'): {
  lines: string[]
  log: ReturnType<typeof createLog>
  pass(ms: number): void
} {
  const lines: string[] = []
  let time = Date.UTC(2026, 10, 24)
  const log = createLog(
    (line) => lines.push(line),
    level,
    () => time,
  )
  const pass = (ms: number): void => {
    time += ms
  }
  return { lines, log, pass }
}

test('a line has time, level, message and fields', () => {
  const { lines, log } = collect()
  log.debug('unseen')
  log.info('ready', { url: 'http://127.0.0.1:7411', spans: 3, why: 'a "b" c', none: undefined })
  expect(lines).toEqual([
    '2026-11-24T00:00:00.000Z info  ready url=http://127.0.0.1:7411 spans=3 why="a \\"b\\" c"\n',
  ])
})

test('a repeated warning is written once in ten seconds, and the rest counted', () => {
  const { lines, log, pass } = collect('warn')
  for (let i = 0; i < 5; i++) log.warn('no answer', { exporter: 'langfuse', attempt: i })
  log.warn('no answer', { exporter: 'otlp' })
  pass(10_000)
  log.warn('no answer', { exporter: 'langfuse' })
  expect(lines.map((line) => line.slice(31).trim())).toEqual([
    'no answer exporter=langfuse attempt=0',
    'no answer exporter=otlp',
    'no answer exporter=langfuse leftOut=4',
  ])
})

test('what is wrong with one file hides no other', () => {
  const { lines, log } = collect('warn')
  for (const path of ['/a', '/b', '/a']) log.warn('left alone', { path })
  expect(lines.map((line) => line.slice(31).trim())).toEqual([
    'left alone path=/a',
    'left alone path=/b',
  ])
})

test('hostile text neither drives a terminal nor fakes a line', () => {
  const { lines, log } = collect()
  log.info('answered', { text: '\u001b[2J\nfake\u009b31m\u202e' })
  expect(lines[0]).toContain('text="\\u001b[2J\\nfake\\u009b31m\\u202e"\n')
})
