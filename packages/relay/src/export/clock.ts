import { setTimeout as delay } from 'node:timers/promises'

/** Time as the delivery sees it, so that an hour's outage can be a test of milliseconds. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number
  /** Resolves after `ms`; rejects with the signal's reason when it is aborted before. */
  sleep(ms: number, signal: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now(),
  async sleep(ms, signal) {
    signal.throwIfAborted()
    await delay(ms, undefined, { signal }).catch(() => signal.throwIfAborted())
  },
}
