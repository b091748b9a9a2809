import { seededRandom } from '../../examples/vllm-simulator/text.ts'
import { startLangfuseServer } from '../../test/langfuse-server/server.ts'
import type { ChaosResult } from './account.ts'
import { type ChaosOptions, settled, tornTails } from './applications.ts'
import { startAndCrash } from './crash-points.ts'
import { makePlace, startRelay, startWriter } from './processes.ts'

/**
 * Kills the relay `times` times while an application records, and lets a last one finish. What the last kill found on its way is
 * sent again, whatever the others found.
 */
export async function killRelays(options: ChaosOptions): Promise<ChaosResult> {
  const random = seededRandom(options.seed)
  const target = await startLangfuseServer({})
  const place = makePlace(target.otlpUrl)
  const writer = startWriter('writer', 20, place.env)
  try {
    await writer.started
    for (let kills = 1; kills < options.times; kills++) {
      const relay = await startRelay(place.env)
      await new Promise((resolve) => setTimeout(resolve, random() * 250))
      await relay.kill()
      options.onKill(kills)
    }
    await startAndCrash('acknowledge', place.env)
    options.onKill(options.times)
    await writer.kill()
    const acknowledged = new Map([['writer', writer.acknowledged()]])
    const relay = await startRelay(place.env)
    const counts = await settled(relay.url, acknowledged)
    await target.waitForSpans(counts.recorded, 60_000)
    const torn = await tornTails(relay.url)
    await relay.stop()
    return {
      kills: options.times,
      ...counts,
      resent: target.duplicates.identical,
      tornTails: torn,
    }
  } finally {
    await writer.kill()
    await target.close()
    place.remove()
  }
}
