import { monitorEventLoopDelay, performance } from 'node:perf_hooks'

const EVERY_MS = 1000

interface Totals {
  readonly observations: number
  readonly records: number
  readonly bytes: number
  readonly lost: number
  readonly lostUpdates: number
}

/** What tracing costs the process and how its event loop does, once a second while anything is recorded. */
export class Vitals {
  /** Time spent appending records, extrapolated from sampled calls, since the last vitals. */
  recorderMs = 0
  /** Time spent handing frames over since the last vitals. */
  flushMs = 0
  #takenAt = Number.NEGATIVE_INFINITY
  #before: Totals = { observations: 0, records: 0, bytes: 0, lost: 0, lostUpdates: 0 }
  #utilization = performance.eventLoopUtilization()
  #delay: ReturnType<typeof monitorEventLoopDelay> | undefined

  /** Whether a second has passed since the last vitals, and anything was recorded in it. */
  due(now: number, records: number): boolean {
    if (now - this.#takenAt < EVERY_MS || records === this.#before.records) return false
    this.#takenAt = now
    if (this.#delay !== undefined) return true
    this.#begin()
    return false
  }

  #begin(): void {
    // samplePerIteration is exact on Node ≥ 24; older ones ignore it and sample every 10 ms.
    const options = { resolution: 10, samplePerIteration: true }
    this.#delay = monitorEventLoopDelay(options)
    this.#delay.enable()
  }

  /** The vitals since the last call, which they reset. */
  take(totals: Totals): Record<string, string | number> {
    const utilization = performance.eventLoopUtilization(this.#utilization)
    const before = this.#before
    const vitals = {
      time: `${BigInt(Date.now()) * 1_000_000n}`,
      loop_delay_max_ms: this.#delay === undefined ? 0 : this.#delay.max / 1e6,
      loop_utilization: utilization.utilization,
      rss_bytes: process.memoryUsage.rss(),
      recorder_ms: this.recorderMs,
      flush_ms: this.flushMs,
      observations: totals.observations - before.observations,
      records: totals.records - before.records,
      bytes: totals.bytes - before.bytes,
      lost: totals.lost,
      lost_updates: totals.lostUpdates,
    }
    this.#delay?.reset()
    this.#utilization = performance.eventLoopUtilization()
    this.#before = totals
    this.recorderMs = 0
    this.flushMs = 0
    return vitals
  }

  close(): void {
    this.#delay?.disable()
  }
}
