import type { Clock } from './clock.ts'
import { SendError } from './http.ts'

export interface RetryOptions {
  clock: Clock
  /** In [0, 1). */
  random(): number
  /** Ends waiting, not sending: the last attempt may come to its end. */
  stopping: AbortSignal
  /** Called before each wait. */
  onRetry(error: SendError, waitMs: number): void
  /** Whether somebody else sees to it; default: nobody does. */
  givesUp?(error: SendError): boolean
}

/** Milliseconds: first wait at most, doubled with each attempt up to the last. */
const BUSY = { first: 1_000, last: 60_000 }
/** Wrong keys or a wrong URL heal by somebody's hand: asking often helps nobody. */
const REFUSED = { first: 30_000, last: 300_000 }
const MAX_RETRY_AFTER_MS = 600_000

/**
 * Sends again, for ever, what failed for a reason that passes. What the server rejects for the spans'
 * own sake goes to the layer above.
 */
export function retry<Asked, Answered>(
  next: (request: Asked, signal: AbortSignal) => Promise<Answered>,
  options: RetryOptions,
): (request: Asked, signal: AbortSignal) => Promise<Answered> {
  return async (request, signal) => {
    for (let attempt = 0; ; attempt++) {
      try {
        return await next(request, signal)
      } catch (error) {
        if (!(error instanceof SendError) || error.code === 'rejected') throw error
        if (options.givesUp?.(error)) throw error
        const wait = waitMs(error, attempt, options.random())
        options.onRetry(error, wait)
        await options.clock.sleep(wait, options.stopping)
      }
    }
  }
}

/**
 * How long to wait before attempt + 1. Full jitter (a uniform share of a doubling bound) spreads the
 * relays of a fleet; Retry-After comes before it, so that they do not return all at once either.
 */
export function waitMs(error: SendError, attempt: number, random: number): number {
  if (error.code === 'refused') {
    const bound = Math.min(REFUSED.last, REFUSED.first * 2 ** attempt)
    return Math.round(bound * (1 + random * 0.2))
  }
  const asked = Math.min(error.retryAfterMs, MAX_RETRY_AFTER_MS)
  const bound = asked > 0 ? BUSY.first : Math.min(BUSY.last, BUSY.first * 2 ** attempt)
  return Math.round(asked + bound * random)
}
