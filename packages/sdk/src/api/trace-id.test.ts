import { expect, it } from 'vitest'
import { createTraceId } from './trace-id.ts'

it('is random without a seed', async () => {
  const ids = await Promise.all([createTraceId(), createTraceId(), createTraceId('')])
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/)
  expect(new Set(ids).size).toBe(3)
})

it.each([
  ['seed', '19b25856e1c150ca834cffc8b59b23ad'],
  ['Tiếng Việt 😀', 'bd7b4426e12470860f7738247d3c13ff'],
])('comes from the seed %s', async (seed, id) => {
  expect(await createTraceId(seed)).toBe(id)
})
