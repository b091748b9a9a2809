import { monitorEventLoopDelay } from 'node:perf_hooks'

const EVERY_MS = 1000

/**
 * Tells the longest delay of this thread's event loop in each second, in seconds. Returns what ends it. A second's longest
 * one, for a mean hides the stall that a writer would notice, and a gauge that each scrape resets tells two scrapers half each.
 */
export function watchLoopDelay(tell: (seconds: number) => void): () => void {
  // samplePerIteration is exact on Node ≥ 24; older ones ignore it and sample every 10 ms, which they count as delay.
  const delay = monitorEventLoopDelay({ resolution: 10, samplePerIteration: true })
  // From within a turn: Node 26 takes what the first one waits for delay when it is asked before.
  const beginning = setImmediate(() => delay.enable())
  beginning.unref()
  const timer = setInterval(() => {
    tell(delay.max / 1e9)
    delay.reset()
  }, EVERY_MS)
  timer.unref()
  return () => {
    clearImmediate(beginning)
    clearInterval(timer)
    delay.disable()
  }
}
