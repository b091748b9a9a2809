/** Wall-clock milliseconds of `performance.now() === 0`. A span keeps the one it started with. */
export interface Clock {
  readonly offset: number
}

const CHECK_EVERY_MS = 1000
// Date.now() is cut to whole milliseconds: a smaller difference is no drift.
const TOLERANCE_MS = 2

let current: Clock = { offset: performance.timeOrigin }
let checkedAt = Number.NEGATIVE_INFINITY

/**
 * The clock for spans that start now (`now` is performance.now()). Looked at once a second, so that a
 * suspended machine or a stepped wall clock is wrong for a second and not for the life of the process.
 */
export function clockAt(now: number): Clock {
  if (now - checkedAt > CHECK_EVERY_MS) {
    checkedAt = now
    const offset = Date.now() - now
    if (Math.abs(offset - current.offset) > TOLERANCE_MS) current = { offset }
  }
  return current
}
