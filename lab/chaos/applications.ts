import { seededRandom } from '../../examples/vllm-simulator/text.ts'
import { findPythons } from '../../scripts/pythons.ts'
import { startLangfuseServer } from '../../test/langfuse-server/server.ts'
import { UsageError } from '../command-line.ts'
import { account, type ChaosResult, storedTraces } from './account.ts'
import { makePlace, startPythonWriter, startRelay, startWriter, type Writer } from './processes.ts'

export interface ChaosOptions {
  readonly times: number
  readonly seed: number
  readonly onKill: (kills: number) => void
}

/** Open spans of a writer that is gone are given up after some seconds. */
const PATIENCE_MS = 60_000

/** Kills `times` applications, each between two flushes or in one, while a relay reads. */
export function killApplications(options: ChaosOptions): Promise<ChaosResult> {
  return killWriters(options, startWriter)
}

/** Kills `times` applications in Python, each between two records or in one, while a relay reads. */
export function killPythonApplications(options: ChaosOptions): Promise<ChaosResult> {
  const [python] = findPythons().values()
  if (python === undefined) throw new UsageError('no Python from 3.10 on is found')
  return killWriters(options, (run, pauseMs, env) => startPythonWriter(python, run, pauseMs, env))
}

async function killWriters(
  options: ChaosOptions,
  start: (run: string, pauseMs: number, env: NodeJS.ProcessEnv) => Writer,
): Promise<ChaosResult> {
  const random = seededRandom(options.seed)
  const target = await startLangfuseServer({})
  const place = makePlace(target.otlpUrl)
  const relay = await startRelay(place.env)
  const acknowledged = new Map<string, number>()
  try {
    for (let kills = 1; kills <= options.times; kills++) {
      const run = `app${kills}`
      const writer = start(run, 1, place.env)
      await writer.started
      await new Promise((resolve) => setTimeout(resolve, random() * 80))
      await writer.kill()
      acknowledged.set(run, writer.acknowledged())
      options.onKill(kills)
    }
    const counts = await settled(relay.url, acknowledged)
    return {
      kills: options.times,
      ...counts,
      resent: target.duplicates.identical,
      tornTails: await tornTails(relay.url),
    }
  } finally {
    await relay.stop()
    await target.close()
    place.remove()
  }
}

/** Waits until the store holds all that was acknowledged, or has not got anything new for a minute. */
export async function settled(
  relayUrl: string,
  acknowledged: ReadonlyMap<string, number>,
): Promise<ReturnType<typeof account>> {
  let stored = 0
  for (let grewAt = performance.now(); ; ) {
    const counts = account(acknowledged, await storedTraces(relayUrl))
    if (counts.lost === 0) return counts
    if (counts.stored > stored) grewAt = performance.now()
    else if (performance.now() - grewAt > PATIENCE_MS) return counts
    stored = counts.stored
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}

/** Segments that ended in half a frame, as the relay has counted them. */
export async function tornTails(relayUrl: string): Promise<number> {
  const stats = (await (await fetch(`${relayUrl}/api/stats`)).json()) as {
    counters?: { tornTails?: number }
  }
  return stats.counters?.tornTails ?? 0
}
