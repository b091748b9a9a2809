import { expect, test } from 'vitest'
import { streamsOf } from './streams.ts'

/** The slot of a name with a hash tag, as the specification of Redis Cluster has it: CRC-16/XMODEM modulo 16384. */
function slotOf(stream: string): number {
  let crc = 0
  for (const byte of Buffer.from(/\{(.+?)\}/.exec(stream)?.[1] ?? '')) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) {
      crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff
    }
  }
  return crc % 16_384
}

/** Streams on each of so many nodes with equal shares of the slots. */
function spread(partitions: number, nodes: number): number[] {
  const counts = Array.from({ length: nodes }, () => 0)
  for (const stream of streamsOf('offpath', partitions)) {
    const node = Math.floor((slotOf(stream) * nodes) / 16_384)
    counts[node] = (counts[node] as number) + 1
  }
  return counts
}

test('streams lie on the nodes of a cluster as docs/capacity.md says', () => {
  expect(slotOf('offpath:{0}')).toBe(13_907)
  expect(spread(8, 3)).toEqual([2, 4, 2])
  expect(spread(64, 3)).toEqual([21, 22, 21])
  expect(spread(8, 4)).toEqual([2, 2, 2, 2])
  for (const partitions of [8, 16, 32]) {
    expect(spread(partitions, 8).filter((count) => count > 0)).toHaveLength(4)
  }
  expect(Math.min(...spread(128, 8))).toBeGreaterThanOrEqual(15)
})
