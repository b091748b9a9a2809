import { describe, expect, test } from 'vitest'
import { hasRoom, schedule } from './schedule.ts'

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

describe('a fault of a least length', () => {
  const LONG = { name: 'a-long', place: 'a', longestMs: 65_000, leastMs: 65_000 }
  const SEEDS = Array.from({ length: 50 }, (_, seed) => seed)
  const longOf = (seed: number, totalMs: number) =>
    schedule([...FAULTS, LONG], seed, totalMs).filter(({ fault }) => fault === LONG)

  test.each([66_500, 300_000])('comes once in a run of %d ms, as long as it is', (totalMs) => {
    expect(hasRoom(LONG, totalMs)).toBe(true)
    for (const seed of SEEDS) {
      const [long, ...more] = longOf(seed, totalMs)
      expect(long?.forMs).toBe(65_000)
      expect(long!.atMs + 65_000).toBeLessThanOrEqual(totalMs)
      expect(more).toEqual([])
    }
  })

  test('comes again as long as it takes no more than a quarter of the run', () => {
    expect(longOf(3, 600_000).length).toBe(2)
    expect(longOf(3, 3_600_000).length).toBe(13)
  })

  test('is not there in a run that is shorter', () => {
    expect(hasRoom(LONG, 66_000)).toBe(false)
    expect(longOf(3, 66_000)).toEqual([])
  })

  test('has its place for itself, and does not hold up the others', () => {
    for (const seed of SEEDS) {
      const planned = schedule([...FAULTS, LONG], seed, 300_000)
      const long = planned.find(({ fault }) => fault === LONG)!
      const during = planned.filter(
        ({ atMs, forMs }) => atMs < long.atMs + long.forMs && long.atMs < atMs + forMs,
      )
      const places = during.map(({ fault }) => fault.place)
      expect(places.filter((place) => place === 'a')).toEqual(['a'])
      expect(places.length).toBeGreaterThan(10)
      expect(new Set(planned.map(({ fault }) => fault.name)).size).toBe(FAULTS.length + 1)
    }
  })
})
