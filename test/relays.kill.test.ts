// The same of relays (applications.kill.test.ts): whatever a relay was doing when it was killed.
import { expect, test } from 'vitest'
import { crashRelayAt } from '../lab/chaos/crash-points.ts'
import { killListRelays } from '../lab/chaos/lists.ts'
import { killRelays } from '../lab/chaos/relays.ts'

const quiet = () => {}

test('the relay is killed 50 times under load', async () => {
  const result = await killRelays({ times: 50, seed: 1, onKill: quiet })
  expect(result).toMatchObject({ kills: 50, lost: 0, duplicatesInStore: 0 })
  expect(result.recorded).toBeGreaterThan(1000)
  // The last of them is between an answer and its acknowledgement.
  expect(result.resent).toBeGreaterThan(0)
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
