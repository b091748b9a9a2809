import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { stalledMs, watchLoop } from './loop-stall.ts'

function block(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}

test('a block is seen in the turn it happens in', () => {
  const startedAt = performance.now()
  const stalled = watchLoop()
  block(200)
  const ms = stalled()
  expect(ms).toBeGreaterThanOrEqual(190)
  expect(ms).toBeLessThanOrEqual(performance.now() - startedAt - 10)
  expect(stalled()).toBe(ms)
})

// Another process may hold the core for a moment, and that is a stall too: hence bounds and retries.
test('a block counts for all who overlap it, and for nobody later', { retry: 5 }, async () => {
  const a = watchLoop()
  await sleep(30)
  const b = watchLoop()
  block(200)
  const inA = a()
  await sleep(30)
  const inB = b()
  const c = watchLoop()
  await sleep(30)
  const inC = c()
  for (const ms of [inA, inB]) {
    expect(ms).toBeGreaterThanOrEqual(189)
    expect(ms).toBeLessThan(260)
  }
  expect(inC).toBeLessThan(60)
})

test('blocks of several turns add up; the counter never goes back', async () => {
  const stalled = watchLoop()
  const startedAt = performance.now()
  const start = stalledMs()
  let last = start
  for (let turn = 0; turn < 4; turn++) {
    await sleep(25)
    block(50)
    expect(stalledMs()).toBeGreaterThanOrEqual(last)
    last = stalledMs()
  }
  await sleep(25)
  expect(stalledMs()).toBeGreaterThanOrEqual(last)
  const ms = stalled()
  expect(ms).toBeGreaterThanOrEqual(4 * 39)
  expect(ms).toBeLessThan(performance.now() - startedAt)
  expect(stalledMs() - start).toBeGreaterThanOrEqual(ms)
})

test('while nobody watches nothing is counted', () => {
  const before = stalledMs()
  block(50)
  expect(stalledMs()).toBe(before)
  const stalled = watchLoop()
  expect(stalled()).toBe(0)
})
