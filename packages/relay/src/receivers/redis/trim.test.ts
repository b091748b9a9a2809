import { expect, it } from 'vitest'
import { unreadCounter } from './trim.ts'

it('counts what is gone and was not read once, also while what was read is still in the stream', () => {
  const more = unreadCounter()
  expect(more('a', 20, 0)).toBe(20)
  expect(more('a', 20, 15)).toBe(0)
  expect(more('a', 35, 15)).toBe(0)
  expect(more('a', 40, 15)).toBe(5)
  expect(more('b', 40, 30)).toBe(10)
})

it('counts from the first one on in a stream that was deleted and made anew', () => {
  const more = unreadCounter()
  expect(more('a', 20, 0)).toBe(20)
  expect(more('a', 0, 0)).toBe(0)
  expect(more('a', 5, 0)).toBe(5)
  // By the next look there is some of it again.
  expect(more('a', 90, 85)).toBe(0)
  expect(more('a', 12, 9)).toBe(3)
})

it('takes for no loss what a Redis that was started again has forgotten that it was read', () => {
  const more = unreadCounter()
  expect(more('a', 40, 35)).toBe(5)
  expect(more('a', 40, 0)).toBe(0)
  expect(more('a', 50, 10)).toBe(0)
  expect(more('a', 60, 12)).toBe(8)
})
