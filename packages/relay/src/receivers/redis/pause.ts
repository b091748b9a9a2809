import { setTimeout as delay } from 'node:timers/promises'

/** Waits; less when the signal is aborted. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {})
}

/** Does it again and again, with a pause between, until the signal is aborted. */
export async function each(
  ms: number,
  signal: AbortSignal,
  work: () => Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    await work()
    await pause(ms, signal)
  }
}
