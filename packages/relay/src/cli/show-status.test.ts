import { expect, test } from 'vitest'
import { fullStats } from '../http/stats.fixture.ts'
import type { Stats } from '../http/stats.ts'
import { renderStatus } from './show-status.ts'
import type { Terminal } from './terminal.ts'

const terminal = { columns: 120, style: (_: string, text: string) => text } as unknown as Terminal
const list = fullStats.redisList as NonNullable<Stats['redisList']>

/** The lines about the list. */
function shown(over: Partial<typeof list> = {}): string[] {
  const text = renderStatus({ ...fullStats, redisList: { ...list, ...over } }, terminal, true)
  const lines = text.split('\n')
  const first = lines.findIndex((line) => line.startsWith('redis list'))
  const rest = lines.slice(first + 1)
  return [
    lines[first] ?? '',
    ...rest.slice(
      0,
      rest.findIndex((line) => !line.startsWith('  ')),
    ),
  ]
}

test('what waits in a list, what was taken, and what was no record', () => {
  expect(shown().map((line) => line.trim())).toEqual([
    'redis list   redis://127.0.0.1:6379 offpath:list: 40 waiting, 4 being taken, 7 B not read yet, 30 taken, 5 given back for dead relays',
    '2 were no record, the last one is not UTF-8',
    '2 in the stream {offpath:list}:dead, with reasons',
  ])
})

test('why nothing is taken from a list', () => {
  const trouble = { state: 'refused', trouble: 'WRONGTYPE \u001b[2Jno list' } as const
  expect(shown({ ...trouble, length: null })[0]).toContain('unknown waiting')
  expect(shown(trouble)[1]).toMatch(/refused: WRONGTYPE .*no list/)
  expect(shown(trouble)[1]).not.toContain('\u001b')
  expect(shown({ waiting: 'the store is full' })[1]).toContain(
    'nothing is taken: the store is full',
  )
})
