import { setTimeout as delay } from 'node:timers/promises'
import { seededRandom } from '../../examples/vllm-simulator/text.ts'
import { startRedisServer } from '../../packages/relay/src/testing/redis-server.ts'
import { startLangfuseServer } from '../../test/langfuse-server/server.ts'
import type { ChaosResult } from './account.ts'
import { type ChaosOptions, settled, tornTails } from './applications.ts'
import { makePlace, startRelay } from './processes.ts'

const LIST = 'chaos'
/** Of one LPUSH. */
const ELEMENTS = 20
const PAUSE_MS = 5

/**
 * Kills the relay `times` times while an application pushes to its list, and lets a last one finish. What a relay had written and
 * not removed comes twice: a list promises at least once.
 */
export async function killListRelays(options: ChaosOptions): Promise<ChaosResult> {
  const random = seededRandom(options.seed)
  const target = await startLangfuseServer({})
  const redis = await startRedisServer({ args: ['--appendonly', 'yes'] })
  const place = makePlace(target.otlpUrl)
  const env = { ...place.env, OFFPATH_REDIS_URL: redis.url, OFFPATH_REDIS_LIST: LIST }
  let pushed = 0
  let pushes = true
  const push = async (): Promise<void> => {
    for (; pushes; pushed += ELEMENTS) {
      const elements = Array.from({ length: ELEMENTS }, (_, n) => elementOf(pushed + n + 1))
      await redis.ask('LPUSH', LIST, ...elements)
      await delay(PAUSE_MS)
    }
  }
  const pushing = push()
  try {
    for (let kills = 1; kills <= options.times; kills++) {
      const relay = await startRelay(env)
      await delay(random() * 250)
      await relay.kill()
      options.onKill(kills)
    }
    pushes = false
    await pushing
    const relay = await startRelay(env)
    const counts = await settled(relay.url, new Map([[LIST, pushed]]))
    await target.waitForSpans(counts.recorded, 60_000)
    const torn = await tornTails(relay.url)
    await relay.stop()
    const resent = target.duplicates.identical
    return { kills: options.times, ...counts, resent, tornTails: torn }
  } finally {
    pushes = false
    await pushing.catch(() => {})
    await redis.close()
    await target.close()
    place.remove()
  }
}

function elementOf(number: number): string {
  const start = Date.now() / 1000
  const element = { name: `${LIST}-${number}`, start_time: start, end_time: start + 0.01 }
  return JSON.stringify({ service: 'chaos', ...element, input: { number } })
}
