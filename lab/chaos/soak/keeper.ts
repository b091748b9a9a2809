import { setTimeout as delay } from 'node:timers/promises'
import type { Stats } from '../../../packages/relay/src/http/stats.ts'
import { type Relay, startRelay } from '../processes.ts'

/** A relay that is started again whenever it ends, as by a service manager. */
export interface Keeper {
  readonly name: string
  /** How often it ended by itself, in whatever way: nobody wanted it to. */
  readonly ends: number
  /** Of its process; null: it is not up. */
  readonly pid: number | null
  /** Resolves when it is up; rejects when it cannot be started for minutes. */
  up(): Promise<void>
  /** SIGKILL, and not started again until `up`. */
  kill(): Promise<void>
  /** SIGTERM, likewise. */
  stop(): Promise<void>
  /** SIGSTOP; the function that is returned ends it. */
  pause(): () => void
  /** Up with variables by which it is killed at a point of crash-point.ts; false: it did not come there. */
  upUntilKilled(env: NodeJS.ProcessEnv, timeoutMs: number): Promise<boolean>
  /** Null: it does not answer. */
  stats(): Promise<Stats | null>
}

const AGAIN_MS = 300
/** Longer than any fault that is in its way. */
const START_MS = 120_000
const ANSWER_MS = 2000

/**
 * @param log a file that its log is added to
 * @param mayEnd it cannot start as things are, and says so: that is no end by itself
 */
export function keepRelay(
  name: string,
  env: NodeJS.ProcessEnv,
  log: string,
  mayEnd: () => boolean = () => false,
): Keeper {
  let relay: Relay | null = null
  let wanted = false
  let ends = 0
  let starting: Promise<void> | null = null

  const start = async (): Promise<void> => {
    for (const end = performance.now() + START_MS; wanted && relay === null; ) {
      const isExcused = mayEnd()
      try {
        const started = await startRelay(env, log)
        relay = started
        void started.ended.then(() => {
          if (relay !== started) return
          relay = null
          if (!wanted) return
          ends++
          // Who asks it next, or waits for it, is told.
          up().catch(() => {})
        })
      } catch (error) {
        if (!isExcused && !mayEnd()) ends++
        if (performance.now() > end) {
          throw new Error(`${name} cannot be started: ${(error as Error).message}; see ${log}`)
        }
        await delay(AGAIN_MS)
      }
    }
  }
  const up = (): Promise<void> => {
    wanted = true
    starting ??= start().finally(() => {
      starting = null
    })
    return starting
  }
  const end = async (signal: 'SIGKILL' | 'SIGTERM'): Promise<void> => {
    wanted = false
    await starting?.catch(() => {})
    const ending = relay
    relay = null
    // One that is stopped hears SIGTERM when it goes on.
    ending?.child.kill('SIGCONT')
    ending?.child.kill(signal)
    await ending?.ended
  }

  return {
    name,
    get ends() {
      return ends
    },
    get pid() {
      return relay?.child.pid ?? null
    },
    up,
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    pause() {
      const paused = relay?.child
      paused?.kill('SIGSTOP')
      return () => void paused?.kill('SIGCONT')
    },
    async upUntilKilled(more, timeoutMs) {
      const one = await startRelay({ ...env, ...more }, log).catch(() => null)
      if (one === null) return false
      const ended = await Promise.race([
        one.ended.then(() => true),
        delay(timeoutMs, false, { ref: false }),
      ])
      if (!ended) await one.kill()
      return ended && one.child.signalCode === 'SIGKILL'
    },
    async stats() {
      if (relay === null) return null
      try {
        const signal = AbortSignal.timeout(ANSWER_MS)
        return (await (await fetch(`${relay.url}/api/stats`, { signal })).json()) as Stats
      } catch {
        return null
      }
    },
  }
}
