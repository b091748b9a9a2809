import { expect, test } from 'vitest'
import { miscounted, type Trim } from './trims.ts'

const ONE = { first: 'a', last: 'a' }
const trim = (over: Partial<Trim> = {}): Trim => {
  return { names: [], reign: 'a', unread: 5, held: 2, pids: [1, 2], ...over }
}
const count = (lost: number, pid: number | null = 1) => ({ name: 'pool-1', pid, lost })

test.each([5, 6, 7])('of five entries unread and two that were held, %d may be lost', (lost) => {
  expect(miscounted([count(lost)], [trim()], ONE)).toEqual([])
})

test('a relay that was there counts all that nobody can deliver', () => {
  const trims = [trim(), trim({ unread: 1 })]
  const wrong = ['pool-1 counts 5 lost entries, and 6 were trimmed unread']
  expect(miscounted([count(5)], trims, ONE)).toEqual(wrong)
})

test('nothing is lost that was not there', () => {
  const wrong = ['pool-1 counts 8 lost entries, and at most 7 were']
  expect(miscounted([count(8)], [trim()], ONE)).toEqual(wrong)
})

test.each<[string, Partial<Trim>, number | null]>([
  ['one that was started later', {}, 3],
  ['one that is not up', { pids: [null] }, null],
  ['a Redis that has been started again since', { reign: 'b' }, 1],
  ['a Redis that gave no answer', { reign: null, unread: 0, held: 0 }, 1],
])('%s is held to nothing', (_, over, pid) => {
  expect(miscounted([count(0, pid)], [trim(over)], ONE)).toEqual([])
})

test('a Redis that was started again may count too much', () => {
  expect(miscounted([count(100)], [trim()], { first: 'b', last: 'a' })).toEqual([])
})
