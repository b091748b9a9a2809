import { expect, test } from 'vitest'
import { RecentStrings } from './recent-strings.ts'

/** What two messages of each of an agent's 80 steps look like: of different lengths, beginnings and ends. */
function texts(count: number): string[] {
  return Array.from({ length: count }, (_, i) =>
    `${i} of the history `.repeat(80).slice(0, 300 + ((i * 7919) % 1000)),
  )
}

test('the strings of a long history do not push each other out', () => {
  const recent = new RecentStrings()
  const history = texts(160)
  for (const text of history) {
    expect(recent.find(text)).toBe(0)
    recent.add(text)
  }
  expect(history.map((text) => recent.find(text))).toEqual(history.map((_, i) => i + 1))
})

test('with more strings than there is room for, the ones used last are known', () => {
  const recent = new RecentStrings()
  const all = texts(6000)
  for (const text of all) if (recent.find(text) === 0) recent.add(text)
  const known = all.map((text) => recent.find(text) !== 0)
  const share = (part: boolean[]) => part.filter(Boolean).length / part.length
  expect(share(known.slice(0, 3000))).toBeLessThan(0.05)
  expect(share(known.slice(-100))).toBeGreaterThan(0.9)
})
