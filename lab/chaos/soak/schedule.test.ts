import { expect, test } from 'vitest'
import { schedule } from './schedule.ts'

const FAULTS = ['a', 'b', 'c'].flatMap((place) =>
  ['1', '2', '3'].map((n) => ({ name: place + n, place, longestMs: 4000 })),
)

test('the same seed makes the same faults, another one others', () => {
  expect(schedule(FAULTS, 7, 60_000)).toEqual(schedule(FAULTS, 7, 60_000))
  expect(schedule(FAULTS, 7, 60_000)).not.toEqual(schedule(FAULTS, 8, 60_000))
})

test('each fault comes, also in a short run, and all end within it', () => {
  for (const totalMs of [20_000, 600_000]) {
    const planned = schedule(FAULTS, 3, totalMs)
    expect(new Set(planned.map(({ fault }) => fault.name)).size).toBe(FAULTS.length)
    for (const { atMs, forMs } of planned) expect(atMs + forMs).toBeLessThanOrEqual(totalMs)
  }
})

test('a place has one at a time, two places may have two', () => {
  const planned = schedule(FAULTS, 5, 300_000)
  const overlaps = planned.flatMap((one, i) =>
    planned
      .slice(i + 1)
      .filter(({ atMs }) => atMs < one.atMs + one.forMs)
      .map((other) => {
        return [one.fault.place, other.fault.place]
      }),
  )
  expect(overlaps.length).toBeGreaterThan(0)
  expect(overlaps.filter(([one, other]) => one === other)).toEqual([])
})
