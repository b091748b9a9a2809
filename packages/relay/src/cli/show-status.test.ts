import { expect, test } from 'vitest'
import { fullStats } from '../http/stats.fixture.ts'
import type { Stats } from '../http/stats.ts'
import { renderStatus } from './show-status.ts'
import type { Terminal } from './terminal.ts'

const terminal = { columns: 120, style: (_: string, text: string) => text } as unknown as Terminal
const list = fullStats.redisList as NonNullable<Stats['redisList']>
const redis = fullStats.redis as NonNullable<Stats['redis']>
const [group] = redis.groups as [(typeof redis.groups)[number]]

/** The lines about the list. */
function shown(over: Partial<typeof list> = {}): string[] {
  return under('redis list', { ...fullStats, redisList: { ...list, ...over } })
}

/** What is red in the lines about Redis. */
function red(over: Partial<typeof redis>): string[] {
  const style = (name: string, text: string) => (name === 'red' ? `<${text}>` : text)
  const stats = { ...fullStats, redis: { ...redis, ...over } }
  const lines = under('redis', stats, { columns: 120, style } as unknown as Terminal)
  return lines.flatMap((line) => /<(.*)>/.exec(line)?.[1] ?? [])
}

/** A row with a title, and those below that have none. */
function under(title: string, stats: Stats, on = terminal): string[] {
  const lines = renderStatus(stats, on, true).split('\n')
  const first = lines.findIndex((line) => line.startsWith(title.padEnd(13)))
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

test('what waits in the streams of a pool, and what was lost there', () => {
  expect(under('redis', fullStats).map((line) => line.trim())).toEqual([
    'redis        redis://127.0.0.1:6379: 70 entries in 1 stream',
    'offpath:dead has 9 000 of 10 000 dead letters, beyond which the oldest are dropped; 4 dead letters dropped',
    'group langfuse: 7 held here (1 wait for keys), 20 by all relays, 50 waiting, 5 taken over, 1 damaged, 2 given up after five relays, 3 lost',
  ])
  const well = { ...group, damaged: 0, condemned: 0, lost: 0 }
  const dead = { ...redis.dead, length: 7999, trimmed: 0 }
  expect(red({ dead, groups: [well] })).toEqual([])
  expect(red({ dead, groups: [{ ...well, lost: 1200 }] })).toEqual(['1 200 lost'])
})

test('a stream to which soon nothing is added any more', () => {
  const rest = { dead: { ...redis.dead, length: null, trimmed: 0 }, groups: [] }
  const streams = [
    { stream: 'offpath:{0}', length: 7999 },
    { stream: 'offpath:{1}', length: 8000 },
    { stream: 'offpath:scores', length: 10_000 },
  ]
  expect(red({ ...rest, streams, maxLength: 10_000 })).toEqual([
    'full, or nearly: offpath:{1} has 8 000, offpath:scores has 10 000 of 10 000 entries',
  ])
})

test('dead letters that are dropped, or will be soon', () => {
  const told = (over: Partial<typeof redis.dead>) =>
    red({ groups: [], dead: { ...redis.dead, trimmed: 0, ...over } })
  expect(told({ length: 7999 })).toEqual([])
  expect(told({ length: 8000 })).toEqual([
    'offpath:dead has 8 000 of 10 000 dead letters, beyond which the oldest are dropped',
  ])
  expect(told({ length: 10, trimmed: 1 })).toEqual(['1 dead letter dropped'])
})
