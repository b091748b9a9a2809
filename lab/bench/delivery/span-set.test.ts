import { expect, test } from 'vitest'
import { SpanSet } from './span-set.ts'

test('counts each id once, also when it has grown', () => {
  const set = new SpanSet()
  const bytes = Buffer.alloc(12)
  const ids = 200_000
  for (let pass = 0; pass < 2; pass++) {
    for (let id = 1; id <= ids; id++) {
      bytes.writeUInt32LE(Math.imul(id, 0x9e3779b1) >>> 0, 4)
      bytes.writeUInt32LE(id % 3, 8)
      set.add(bytes, 4)
    }
    expect(set.size).toBe(ids)
  }
  set.clear()
  expect(set.size).toBe(0)
})
