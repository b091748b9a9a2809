import { expect, test } from 'vitest'
import { longestOfEach } from './delays.ts'
import type { Stall } from './results.ts'

test('of the delays between two batches the longest is kept, collections apart, in the order of time', () => {
  const delays: Stall[] = [
    [2500, 5],
    [900, 3],
    [950, 7],
    [990, 9],
    [3500, 8],
  ]
  const batches = [
    [2000, 1, 1, 10],
    [1000, 1, 1, 10],
    [3000, 1, 1, 10],
  ] as const
  const collections: Stall[] = [[991, 9]]
  expect(longestOfEach(batches, delays, collections)).toEqual([
    [950, 7],
    [2500, 5],
  ])
  expect(longestOfEach([], delays, [])).toEqual([])
})
