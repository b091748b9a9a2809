import type { Split } from '../results.ts'

const EVERY = 8

/**
 * Where the time of requests goes: one in eight has its calls of the tracing API timed, by the clock. Their CPU would be
 * the better figure, but process.threadCpuUsage costs more than many of the calls (a system call and an object), and on
 * the one thread of a loop a call waits for nothing that it does not do itself; what the machine takes away counts too.
 */
export class Account {
  #seen = 0
  #requests = 0
  #callsMs = 0
  #flushMs = 0
  #networkMs = 0

  begin(): void {
    this.#requests = this.#callsMs = this.#flushMs = this.#networkMs = 0
  }

  /** Itself for every eighth request. */
  next(): Account | undefined {
    if (++this.#seen % EVERY !== 0) return undefined
    this.#requests++
    return this
  }

  /** A call of the tracing API. */
  call<T>(run: () => T): T {
    const before = performance.now()
    try {
      return run()
    } finally {
      this.#callsMs += performance.now() - before
    }
  }

  /** Time in calls that call back, such as a function that observes another. */
  spent(ms: number): void {
    this.#callsMs += ms
  }

  async flush(flush: Promise<unknown>): Promise<void> {
    const before = performance.now()
    await flush
    this.#flushMs += performance.now() - before
  }

  async network<T>(asked: Promise<T>): Promise<T> {
    const before = performance.now()
    const answer = await asked
    this.#networkMs += performance.now() - before
    return answer
  }

  figures(): Split {
    const mean = (ms: number): number => (ms * 1000) / Math.max(1, this.#requests)
    return {
      requests: this.#requests,
      recordingUs: mean(this.#callsMs),
      waitingInCallsUs: 0,
      flushUs: mean(this.#flushMs),
      networkUs: mean(this.#networkMs),
    }
  }
}
