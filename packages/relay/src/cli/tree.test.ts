import { expect, test } from 'vitest'
import { observation } from './observation.fixture.ts'
import { branches } from './tree.ts'

/** `id<parent@second` as observations. */
function draw(...specs: string[]): string[] {
  const observations = specs.map((spec) => {
    const [, id, parent, at] = /^(\w+)(?:<(\w+))?(?:@(\d))?$/.exec(spec)!
    return observation({
      id: id!,
      name: id!,
      parentId: parent ?? null,
      startTime: `2026-11-24T00:00:0${at ?? 0}.000000000Z`,
    })
  })
  return branches(observations).map(({ lead, observation, orphan }) => {
    return `${lead}${observation.name}${orphan ? ' (orphan)' : ''}`
  })
}

test('children stand under their parents, by start', () => {
  expect(draw('c<a@3', 'b<a@1', 'd<b@2', 'a@0', 'e@4')).toEqual([
    'a',
    '├─ b',
    '│  └─ d',
    '└─ c',
    'e',
  ])
})

test('one whose parent is elsewhere is a root, and marked', () => {
  expect(draw('a<z@0', 'b<a@1')).toEqual(['a (orphan)', '└─ b'])
})

test('parents in a circle, or of themselves, are drawn once', () => {
  expect(draw('a<b@0', 'b<a@1').map((line) => line.replace(/ .*/, ''))).toHaveLength(2)
  expect(draw('a<a@0')).toEqual(['a (orphan)'])
})

test('a chain of 20 000 neither overflows the stack nor the terminal', () => {
  const chain = Array.from({ length: 20_000 }, (_, i) => (i === 0 ? 'n0' : `n${i}<n${i - 1}`))
  const drawn = draw(...chain)
  expect(drawn).toHaveLength(20_000)
  expect(Math.max(...drawn.map((line) => line.length))).toBeLessThan(100)
})
