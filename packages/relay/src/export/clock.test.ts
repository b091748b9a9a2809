import { expect, test } from 'vitest'
import { systemClock } from './clock.ts'

test('never wakes before the time has elapsed: nobody would look again', async () => {
  const { signal } = new AbortController()
  const early: number[] = []
  for (let i = 0; i < 50; i++) {
    const began = systemClock.elapsed()
    await systemClock.sleep(2, signal)
    const took = systemClock.elapsed() - began
    if (took < 2) early.push(took)
  }
  expect(early).toEqual([])
})

test('a wait is ended by its signal', async () => {
  const ending = new AbortController()
  const waiting = systemClock.sleep(60_000, ending.signal)
  ending.abort(new Error('stopping'))
  await expect(waiting).rejects.toThrow('stopping')
  await expect(systemClock.sleep(0, ending.signal)).rejects.toThrow('stopping')
})
