import { readdirSync } from 'node:fs'
import { constants, monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks'
import { STALL_MS } from '../delays.ts'
import type { ServiceFigures, Spread, Stall } from '../results.ts'
import type { ChildUsage } from './tracers/tracer.ts'

const TICK_MS = 1
const DELAY_MS = 2
const PAUSE_MS = 1
/** The largest are kept. */
const MOST_STALLS = 5000
const NO_CHILD: ChildUsage = { cpuUs: 0, rssBytes: 0, threads: 0 }

type Measured = Pick<
  ServiceFigures,
  'mainUs' | 'processUs' | 'lag' | 'gc' | 'stalls' | 'delays' | 'rssMb' | 'threads'
>

/**
 * What the process under load says of itself. A ticker that is due each millisecond tells how long the loop was held (it
 * costs some 2 % of a core, the same in each arm); the longest delay is the loop's own measure of each of its turns, or the ticker's.
 */
export class Meter {
  readonly #usageOfChildren: () => Promise<ChildUsage>
  readonly #turns = monitorEventLoopDelay({ resolution: 1, samplePerIteration: true })
  readonly #collections = new PerformanceObserver((list) => this.#note(list.getEntries()))
  #gc = noCollections()
  #late: number[] = []
  #stalls: Stall[] = []
  #delays: Stall[] = []
  #due = 0
  #ticker: NodeJS.Timeout | undefined
  #sampler: NodeJS.Timeout | undefined
  #longestTurnMs = 0
  #rssBytes = 0
  #threads = 0
  #main: NodeJS.CpuUsage = { user: 0, system: 0 }
  #process: NodeJS.CpuUsage = { user: 0, system: 0 }
  #childrenUs = 0
  beganAt = 0
  loadedAt = 0

  constructor(usageOfChildren: (() => Promise<ChildUsage>) | undefined) {
    this.#usageOfChildren = usageOfChildren ?? (async () => NO_CHILD)
    this.#turns.enable()
  }

  async begin(): Promise<void> {
    this.#childrenUs = (await this.#usageOfChildren()).cpuUs
    this.#late = []
    this.#stalls = []
    this.#delays = []
    this.#rssBytes = process.memoryUsage.rss()
    this.#sampler = setInterval(() => {
      this.#rssBytes = Math.max(this.#rssBytes, process.memoryUsage.rss())
    }, 100)
    this.#gc = noCollections()
    this.#collections.observe({ entryTypes: ['gc'] })
    this.#turns.reset()
    this.beganAt = epochNow()
    this.#main = process.threadCpuUsage()
    this.#process = process.cpuUsage()
    this.#schedule()
  }

  async loaded(): Promise<void> {
    clearTimeout(this.#ticker)
    clearInterval(this.#sampler)
    this.#longestTurnMs = this.#turns.max / 1e6
    this.#note(this.#collections.takeRecords())
    this.#collections.disconnect()
    this.loadedAt = epochNow()
    const children = await this.#usageOfChildren()
    this.#rssBytes += children.rssBytes
    this.#threads = readdirSync('/proc/self/task').length + children.threads
  }

  /** CPU is counted up to this call. */
  async figures(requests: number): Promise<Measured> {
    const main = process.threadCpuUsage(this.#main)
    const own = process.cpuUsage(this.#process)
    const childrenUs = (await this.#usageOfChildren()).cpuUs - this.#childrenUs
    const answered = Math.max(1, requests)
    const lag = spread(this.#late)
    return {
      mainUs: (main.user + main.system) / answered,
      processUs: (own.user + own.system + childrenUs) / answered,
      lag: { ...lag, maxMs: Math.max(lag.maxMs, this.#longestTurnMs) },
      gc: this.#gc,
      stalls: largestOf(this.#stalls),
      delays: largestOf(this.#delays).map(briefly),
      rssMb: this.#rssBytes / 2 ** 20,
      threads: this.#threads,
    }
  }

  #note(entries: readonly PerformanceEntry[]): void {
    const gc = this.#gc
    for (const { startTime, duration, detail } of entries as readonly CollectionEntry[]) {
      gc.totalMs += duration
      if (duration > PAUSE_MS) {
        gc.pauses.push(briefly([performance.timeOrigin + startTime + duration, duration]))
      }
      if (detail.kind !== constants.NODE_PERFORMANCE_GC_MAJOR) continue
      gc.full++
      gc.fullMaxMs = Math.max(gc.fullMaxMs, duration)
    }
  }

  #schedule(): void {
    this.#due = performance.now() + TICK_MS
    this.#ticker = setTimeout(this.#tick, TICK_MS)
  }

  readonly #tick = (): void => {
    const late = Math.max(0, performance.now() - this.#due)
    this.#late.push(late)
    if (late > DELAY_MS) (late > STALL_MS ? this.#stalls : this.#delays).push([epochNow(), late])
    this.#schedule()
  }
}

/** In the order of time. */
function largestOf(stalls: readonly Stall[]): Stall[] {
  return stalls
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, MOST_STALLS)
    .sort(([a], [b]) => a - b)
}

/** There are many: the digits would be most of the results. */
function briefly([endedAt, ms]: Stall): Stall {
  return [Number(endedAt.toFixed(1)), Number(ms.toFixed(2))]
}

function noCollections(): { full: number; fullMaxMs: number; totalMs: number; pauses: Stall[] } {
  return { full: 0, fullMaxMs: 0, totalMs: 0, pauses: [] }
}

/** What Node's types leave out of entries of the type `gc`. */
interface CollectionEntry extends PerformanceEntry {
  readonly detail: { readonly kind: number }
}

/** By the monotonic clock, as the profiler's. */
function epochNow(): number {
  return performance.timeOrigin + performance.now()
}

function spread(late: readonly number[]): Spread {
  const sorted = Float64Array.from(late).sort()
  const at = (part: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0
  return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: sorted.at(-1) ?? 0 }
}
