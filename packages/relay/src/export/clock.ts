import { setTimeout as delay } from 'node:timers/promises'

/** Time as the delivery sees it, so that a day's outage can be a test of seconds. */
export interface Clock {
  /** Milliseconds since 1970, for times that are shown: the wall clock may be set at any moment. */
  now(): number
  /** Milliseconds since some moment, never set: for intervals. */
  elapsed(): number
  /** Resolves when `ms` have elapsed; rejects with the signal's reason when it is aborted before. */
  sleep(ms: number, signal: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  async sleep(ms, signal) {
    signal.throwIfAborted()
    const end = performance.now() + ms
    // A timer counts whole milliseconds and may fire a part of one early.
    for (let left = ms; left > 0; left = end - performance.now()) {
      await delay(left, undefined, { signal }).catch(() => signal.throwIfAborted())
    }
  },
}
