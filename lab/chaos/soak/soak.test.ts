import { expect, test } from 'vitest'
import { soak } from './soak.ts'

// Of `npm run chaos -- soak` as much as a test may take; how it goes on is by its seed.
test('whatever goes wrong, every observation is accounted for', async () => {
  const lines: string[] = []
  const result = await soak({
    seconds: 10,
    seed: 2,
    long: false,
    signal: new AbortController().signal,
    onProgress: (line) => lines.push(line),
  })
  expect(result).toMatchObject({ lost: 0, held: 0, wrong: [], directory: null })
  const { accepted, delivered, deadLettered, dropped } = result
  const counted = Object.values(dropped).reduce((sum, count) => sum + count, 0)
  expect(accepted).toBe(delivered + deadLettered + counted)
  expect(accepted).toBeGreaterThan(500)
  expect(deadLettered).toBeGreaterThan(0)
  // Delivery is at least once: without any the faults have missed every request.
  expect(result.duplicates).toBeGreaterThan(0)
  expect(Object.keys(result.faults).length).toBeGreaterThan(10)
  expect(lines.join('\n')).toContain('drains')
}, 180_000)
