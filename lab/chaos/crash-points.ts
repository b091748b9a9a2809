import type { CrashPoint } from '../../packages/relay/src/crash-point.ts'
import { crashAt } from '../../packages/relay/src/testing/crash-at.ts'
import { startLangfuseServer } from '../../test/langfuse-server/server.ts'
import type { ChaosResult } from './account.ts'
import { settled, tornTails } from './applications.ts'
import { makePlace, startRelay, startWriter } from './processes.ts'

const OBSERVATIONS = 3000

/** Starts a relay that kills itself at the named point; resolves when it has. */
export async function startAndCrash(point: CrashPoint, env: NodeJS.ProcessEnv): Promise<void> {
  // It may die before it has said that it is ready.
  const relay = await startRelay({ ...env, ...crashAt(point) }).catch(() => undefined)
  await relay?.ended
}

/**
 * An application records and ends; the relay that reads it kills itself at the named point, and a second one
 * finishes.
 */
export async function crashRelayAt(point: CrashPoint): Promise<ChaosResult> {
  const target = await startLangfuseServer({})
  const place = makePlace(target.otlpUrl)
  try {
    const writer = startWriter('writer', 0, place.env, OBSERVATIONS)
    await writer.closed
    const acknowledged = new Map([['writer', writer.acknowledged()]])

    await startAndCrash(point, place.env)
    const relay = await startRelay(place.env)
    const counts = await settled(relay.url, acknowledged)
    await target.waitForSpans(counts.recorded, 60_000)
    const torn = await tornTails(relay.url)
    await relay.stop()
    return { kills: 1, ...counts, resent: target.duplicates.identical, tornTails: torn }
  } finally {
    await target.close()
    place.remove()
  }
}
