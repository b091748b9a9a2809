// Spool, store and outbox against a plain model. `npm run chaos -- model` runs it with other seeds, as long as you like; a run
// that fails there goes to regressions.ts.
import { expect, test } from 'vitest'
import { regressions } from './regressions.ts'
import { metNothing, runSeeds, runSteps } from './trial.ts'

const RUNS = 25
/** The same each time: the suite fails for a change, never by luck. */
const SEED = 1

test.each(regressions)('$what', async ({ steps }) => {
  const met = metNothing()
  await runSteps(steps, met)
  expect(met.observations).toBeGreaterThan(0)
})

test('whatever happens, all is delivered or counted', { timeout: 120_000 }, async () => {
  const met = metNothing()
  await runSeeds(RUNS, SEED, met)
  // All that limits were shrunk for has happened.
  for (const [what, times] of Object.entries(met)) expect(times, what).toBeGreaterThan(0)
  expect(met.observations).toBeGreaterThan(RUNS)
  expect(met.kills).toBeGreaterThan(RUNS)
  expect(met.requests).toBeGreaterThan(RUNS)
})
