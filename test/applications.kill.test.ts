// The promise of the project: what was flushed before a SIGKILL is neither lost nor doubled. `npm run chaos` has longer loops.
import { expect, test } from 'vitest'
import { killApplications, killPythonApplications } from '../lab/chaos/applications.ts'
import { killStarted } from '../lab/chaos/started.ts'
import { findPythons } from '../scripts/pythons.ts'

const quiet = () => {}

test('the application is killed 50 times under load', async () => {
  const result = await killApplications({ times: 50, seed: 1, onKill: quiet })
  expect(result).toMatchObject({ kills: 50, lost: 0, duplicatesInStore: 0 })
  expect(result.recorded).toBeGreaterThan(1000)
})

const hasPython = findPythons().size > 0
if (!hasPython) console.warn('no Python from 3.10 on: no application in Python is killed')

test.runIf(hasPython)('an application in Python is killed 20 times under load', async () => {
  const result = await killPythonApplications({ times: 20, seed: 1, onKill: quiet })
  expect(result).toMatchObject({ kills: 20, lost: 0, duplicatesInStore: 0 })
  expect(result.recorded).toBeGreaterThan(1000)
})

test('10 applications that start their relay are killed under load, and relays with them', async () => {
  const result = await killStarted({ times: 10, seed: 1, onKill: quiet })
  expect(result).toMatchObject({ kills: 10, lost: 0, duplicatesInStore: 0 })
  expect(result.recorded).toBeGreaterThan(1000)
})
