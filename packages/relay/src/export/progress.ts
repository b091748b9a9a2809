// What the deliveries of spans, scores and media have alike: how their lanes get on, what is told of that, and how
// they end.
import type { Log } from '../log.ts'
import type { Clock } from './clock.ts'
import { type Attempt, SendError } from './http.ts'
import { enter, healthOf, type LaneHealth, type LaneState, stateAfter } from './lane.ts'
import { waitMs } from './retry.ts'

/** After an error of this machine's: a disk that cannot be read. */
export const LOCAL_ERROR_MS = 30_000

export interface DeliveryStatus {
  readonly name: string
  /** Without query, which may hold a key. */
  readonly url: string
  /** The worst of its lanes. */
  readonly state: LaneState
  /** When the state began, ms since 1970. */
  readonly since: number
  readonly message: string | null
  readonly inFlight: number
  /** Since the relay started: attempts, and waits before another one. */
  readonly requests: number
  readonly retries: number
  readonly bytes: number
  readonly lastError: { readonly at: number; readonly message: string } | null
  /** One for each project with keys of its own that was met so far. */
  readonly lanes: readonly {
    readonly project: string
    readonly state: LaneState
    readonly since: number
    readonly message: string | null
    /** Requests on their way, or waiting for another attempt. */
    readonly inFlight: number
  }[]
}

export interface Delivery {
  /** To be called after each commit. */
  wake(): void
  /** Sends what waits without letting requests become full, until the outbox is empty. */
  hurry(): void
  status(): DeliveryStatus
  /** Waits at most so long for requests in flight, then abandons them: they stay in the outbox. */
  stop(timeoutMs: number): Promise<void>
}

export interface ProgressOptions {
  /** Of the exporter. */
  readonly name: string
  /** Where to, for people. */
  readonly target: string
  /** What is delivered. */
  readonly of: 'observations' | 'scores' | 'media'
  readonly clock: Clock
  readonly onAttempt: (attempt: Attempt) => void
  readonly log: Log
}

export class Progress<L extends LaneHealth> {
  /** By the set of keys. */
  readonly lanes: Map<string, L> = new Map()
  /** Requests from their start until the outbox knows of them. */
  readonly underWay: Set<Promise<void>> = new Set()
  readonly #options: ProgressOptions
  readonly #stopping = new AbortController()
  readonly #abandoning = new AbortController()
  readonly #startedAt: number
  readonly #totals = { requests: 0, retries: 0, bytes: 0 }
  #lastError: DeliveryStatus['lastError'] = null

  constructor(options: ProgressOptions) {
    this.#options = options
    this.#startedAt = options.clock.now()
  }

  /** Nothing is begun any more. */
  get stopping(): AbortSignal {
    return this.#stopping.signal
  }

  /** What is in flight is given up. */
  get abandoning(): AbortSignal {
    return this.#abandoning.signal
  }

  readonly onAttempt = (attempt: Attempt): void => {
    this.#totals.requests++
    this.#totals.bytes += attempt.bytes
    this.#options.onAttempt(attempt)
  }

  add(lane: L): void {
    const { name, log } = this.#options
    if (lane.message !== null) log.warn(lane.message, { exporter: name })
    this.lanes.set(lane.key, lane)
  }

  /** An attempt has failed, and there will be another one. */
  failed(lane: L, error: SendError, waitMs: number): void {
    const { clock, log } = this.#options
    this.#totals.retries++
    this.#lastError = { at: clock.now(), message: error.message }
    log.warn(error.message, { ...this.#about(lane), waitMs })
    enter(lane, stateAfter(error), error.message, clock.now())
  }

  /** A server that refuses keys says so to all that goes with them: what waits for them may go to a shelf. */
  isForKeys(error: unknown): error is SendError {
    return error instanceof SendError && stateAfter(error) === 'unauthorized'
  }

  /** Nothing is sent with these keys for a while; then `reopened` is called. */
  close(lane: L, error: SendError, random: number, reopened: () => void): void {
    const { clock } = this.#options
    const wait = waitMs(error, lane.closings++, random)
    this.failed(lane, error, wait)
    const until = clock.elapsed() + wait
    lane.closedUntil = until
    const reopen = (): void => {
      if (lane.closedUntil !== until) return
      lane.closedUntil = 0
      reopened()
    }
    clock.sleep(wait, this.stopping).then(reopen, () => {})
  }

  isClosed({ closedUntil }: L): boolean {
    return closedUntil > 0
  }

  /** Whether something of it was on a shelf. */
  getsOn(lane: L): boolean {
    const hadClosed = lane.closings > 0
    lane.closings = 0
    lane.closedUntil = 0
    const { clock, log } = this.#options
    if (enter(lane, 'ok', null, clock.now())) log.info('delivering again', this.#about(lane))
    return hadClosed
  }

  /** Something else than a request has failed: a disk that cannot be read, no memory for compression. */
  troubled(error: unknown): void {
    const { name, of, clock, log } = this.#options
    const message = error instanceof Error ? error.message : String(error)
    this.#lastError = { at: clock.now(), message }
    const seconds = LOCAL_ERROR_MS / 1000
    log.error(`delivery of ${of} stopped for ${seconds} s: ${message}`, { exporter: name })
  }

  #about(lane: L): { exporter: string; project: string | null; of: string } {
    const { name, of } = this.#options
    return { exporter: name, project: lane.key || null, of }
  }

  status(): DeliveryStatus {
    const { name, target } = this.#options
    return {
      name,
      url: target,
      ...healthOf(this.lanes.values(), this.#startedAt),
      inFlight: this.underWay.size,
      ...this.#totals,
      lastError: this.#lastError,
    }
  }

  /** Waits at most so long for what is in flight, then gives it up. */
  async stop(timeoutMs: number): Promise<void> {
    this.#stopping.abort()
    const timer = setTimeout(() => this.#abandoning.abort(), timeoutMs)
    await Promise.all(this.underWay)
    clearTimeout(timer)
  }
}
