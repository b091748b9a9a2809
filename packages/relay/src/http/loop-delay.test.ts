import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { watchLoopDelay } from './loop-delay.ts'

test('what holds the loop up is delay', async () => {
  const told: number[] = []
  const end = watchLoopDelay((seconds) => told.push(seconds))
  // Older Nodes sample by a timer, whose first sample is none.
  await sleep(50)
  const until = performance.now() + 300
  while (performance.now() < until);
  await sleep(850)
  end()
  await sleep(1050)
  expect(told).toHaveLength(1)
  expect(told[0]).toBeGreaterThanOrEqual(0.29)
})

test('waiting is none', () => {
  // In a process that has nothing else to do: a test runner has.
  const module = pathToFileURL(join(import.meta.dirname, 'loop-delay.ts')).href
  const script = `
    import { watchLoopDelay } from ${JSON.stringify(module)}
    watchLoopDelay((seconds) => {
      console.log(seconds)
      process.exit()
    })
    setTimeout(() => {}, 5000)`
  const told = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    stdio: 'pipe',
  })
  expect(Number(told)).toBeLessThan(0.5)
})
