import { setTimeout as delay } from 'node:timers/promises'
import type { Stats } from '../../../packages/relay/src/http/stats.ts'
import { type Relay, startRelay } from '../processes.ts'

/** A relay that is started again whenever it ends, as by a service manager. */
export interface Keeper {
  readonly name: string
  /** How often it ended by itself, in whatever way: nobody wanted it to. */
  readonly ends: number
  /** Resolves when it is up. */
  up(): Promise<void>
  /** SIGKILL, and not started again until `up`. */
  kill(): Promise<void>
  /** SIGTERM, likewise. */
  stop(): Promise<void>
  /** SIGSTOP; the function that is returned ends it. */
  pause(): () => void
  /** Up with further variables, as to be killed at a point of crash-point.ts; resolves when it has ended. */
  upUntilEnd(env: NodeJS.ProcessEnv, timeoutMs: number): Promise<boolean>
  /** Null: it does not answer. */
  stats(): Promise<Stats | null>
}

const AGAIN_MS = 300
const ANSWER_MS = 2000

/** @param log a file that its log is added to */
export function keepRelay(name: string, env: NodeJS.ProcessEnv, log: string): Keeper {
  let relay: Relay | null = null
  let wanted = false
  let ends = 0
  let starting: Promise<void> | null = null

  const start = async (): Promise<void> => {
    while (wanted && relay === null) {
      try {
        const started = await startRelay(env, log)
        relay = started
        void started.ended.then(() => {
          if (relay !== started) return
          relay = null
          if (!wanted) return
          ends++
          void up()
        })
      } catch {
        // Its log says why.
        ends++
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
    await starting
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
    up,
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    pause() {
      const paused = relay?.child
      paused?.kill('SIGSTOP')
      return () => void paused?.kill('SIGCONT')
    },
    async upUntilEnd(more, timeoutMs) {
      const one = await startRelay({ ...env, ...more }, log).catch(() => null)
      if (one === null) return true
      const ended = await Promise.race([
        one.ended.then(() => true),
        delay(timeoutMs, false, { ref: false }),
      ])
      if (!ended) await one.kill()
      return ended
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
