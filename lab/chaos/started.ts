import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { seededRandom } from '../../examples/vllm-simulator/text.ts'
import { readRelayFile } from '../../packages/relay/src/relay-file.ts'
import { startLangfuseServer } from '../../test/langfuse-server/server.ts'
import type { ChaosResult } from './account.ts'
import { type ChaosOptions, settled, tornTails } from './applications.ts'
import { makePlace, type Relay, startRelay, startWriter, type Writer } from './processes.ts'

/** A relay that an application has left may deliver for so long. */
const ALONE_MS = 70_000

/**
 * Kills `times` applications that start their relay themselves, and now and then that relay before them or with them. Two
 * applications at a time have one relay between them.
 */
export async function killStarted(options: ChaosOptions): Promise<ChaosResult> {
  const random = seededRandom(options.seed)
  const target = await startLangfuseServer({})
  const place = makePlace(target.otlpUrl)
  const env = { ...place.env, STARTS_RELAY: 'true' }
  const killRelay = (): void => {
    const pid = readRelayFile(place.env.OFFPATH_STORE_DIR as string)?.pid
    if (pid === undefined) return
    try {
      // The file may be a killed relay's, and its pid another process's by now.
      const title = readFileSync(`/proc/${pid}/cmdline`, 'latin1')
      if (title.startsWith('offpath relay')) process.kill(pid, 'SIGKILL')
    } catch {
      // It is gone already.
    }
  }
  const acknowledged = new Map<string, number>()
  const writers = new Set<Writer>()
  const start = (n: number): { run: string; writer: Writer } => {
    const writer = startWriter(`app${n}`, 20, env)
    writers.add(writer)
    return { run: `app${n}`, writer }
  }
  let previous = start(0)
  let relay: Relay | undefined
  try {
    for (let kills = 1; kills <= options.times; kills++) {
      const next = start(kills)
      await Promise.all([previous.writer.started, next.writer.started])
      await sleep(random() * 1000)
      if (random() < 0.3) killRelay()
      if (random() < 0.3) await sleep(random() * 1500)
      await previous.writer.kill()
      acknowledged.set(previous.run, previous.writer.acknowledged())
      if (random() < 0.2) killRelay()
      previous = next
      options.onKill(kills)
    }
    await previous.writer.kill()
    acknowledged.set(previous.run, previous.writer.acknowledged())
    for (const end = performance.now() + ALONE_MS; relay === undefined; ) {
      relay = await startRelay(place.env).catch((error: Error) => {
        if (performance.now() > end) throw error
        return undefined
      })
    }
    const counts = await settled(relay.url, acknowledged)
    await target.waitForSpans(counts.recorded, 60_000)
    return {
      kills: options.times,
      ...counts,
      resent: target.duplicates.identical,
      tornTails: await tornTails(relay.url),
    }
  } finally {
    await Promise.all([...writers].map((writer) => writer.kill()))
    await relay?.stop()
    await target.close()
    place.remove()
  }
}
