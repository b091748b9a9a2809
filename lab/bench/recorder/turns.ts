/** Resolves in the next turn of the event loop: what was scheduled for this one has run. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/**
 * Main-thread CPU of what runs between `start` and `stop`, summed over any number of pairs. A pair itself costs about
 * 25 µs, in all subjects alike.
 */
export class Stopwatch {
  /** Microseconds. */
  used = 0
  #before = 0

  start(): void {
    this.#before = mainThreadCpu()
  }

  stop(): void {
    this.used += mainThreadCpu() - this.#before
  }
}

const never = new Int32Array(new SharedArrayBuffer(4))

// Linux charges a running thread at timer ticks (4 ms) and when it is switched out: a short sleep makes the count exact.
function mainThreadCpu(): number {
  Atomics.wait(never, 0, 0, 0.05)
  const { user, system } = process.threadCpuUsage()
  return user + system
}
