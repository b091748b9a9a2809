import { expect, test } from 'vitest'
import { killRedis } from './redis-loss.ts'

test('a Redis that is killed keeps what it has written; a replica that was cut off has less', async () => {
  const { always, everysec, failover, cutOff } = await killRedis({
    times: 2,
    seed: 1,
    onKill: () => {},
  })
  for (const each of [always, everysec, failover, cutOff]) {
    expect(each.acknowledged).toBeGreaterThan(100)
  }
  // Nothing was flushed to a disk with everysec, perhaps, but it was written: the kernel has it.
  expect([always.lost, everysec.lost]).toEqual([0, 0])
  expect(cutOff.lost).toBeGreaterThan(0)
})
