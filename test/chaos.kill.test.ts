// The promise of the project: what was flushed before a SIGKILL is neither lost nor doubled. `npm run chaos` has longer loops.
import { expect, test } from 'vitest'
import { killApplications, killPythonApplications } from '../lab/chaos/applications.ts'
import { crashRelayAt } from '../lab/chaos/crash-points.ts'
import { killListRelays } from '../lab/chaos/lists.ts'
import { killRelays } from '../lab/chaos/relays.ts'
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

test('the relay is killed 50 times under load', async () => {
  const result = await killRelays({ times: 50, seed: 1, onKill: quiet })
  expect(result).toMatchObject({ kills: 50, lost: 0, duplicatesInStore: 0 })
  expect(result.recorded).toBeGreaterThan(1000)
  // The last of them is between an answer and its acknowledgement.
  expect(result.resent).toBeGreaterThan(0)
})

test('10 applications that start their relay are killed under load, and relays with them', async () => {
  const result = await killStarted({ times: 10, seed: 1, onKill: quiet })
  expect(result).toMatchObject({ kills: 10, lost: 0, duplicatesInStore: 0 })
  expect(result.recorded).toBeGreaterThan(1000)
})

test('a relay that takes from a list is killed 10 times under load', async () => {
  const result = await killListRelays({ times: 10, seed: 1, onKill: quiet })
  expect(result).toMatchObject({ kills: 10, lost: 0 })
  expect(result.recorded).toBeGreaterThan(1000)
})

test.each(['read', 'commit', 'unlink', 'send', 'acknowledge'] as const)(
  'the relay is killed at "%s"',
  async (point) => {
    const result = await crashRelayAt(point)
    expect(result).toMatchObject({ kills: 1, lost: 0, duplicatesInStore: 0 })
    // Only between the target's answer and its acknowledgement is a request known to have arrived.
    if (point === 'acknowledge') expect(result.resent).toBeGreaterThan(0)
  },
)
