// One timer for the process, running while anybody watches: what it comes late is time in which
// nothing else could run either. It wakes the process 100 times a second, for a few µs each.

const periodMs = 10
/** Timers come a millisecond or two late on any machine; only what is above this is a stall. */
const toleratedMs = 10

let countedMs = 0
let dueAt = 0
let watchers = 0
let timer: NodeJS.Timeout | undefined

/** Milliseconds of stall so far, those of the turn now running included. Never goes back. */
export function stalledMs(): number {
  return countedMs + pendingMs(performance.now())
}

/**
 * Watches the event loop for one request. The returned function ends the watch and gives the
 * milliseconds of stall since it began, whoever caused them; calls after the first give the same.
 */
export function watchLoop(): () => number {
  if (watchers++ === 0) {
    dueAt = performance.now() + periodMs
    timer = setInterval(count, periodMs).unref()
  }
  const before = stalledMs()
  let overlapped: number | undefined
  return () => {
    if (overlapped === undefined) {
      overlapped = stalledMs() - before
      if (watchers === 1) {
        count()
        clearInterval(timer)
      }
      watchers--
    }
    return overlapped
  }
}

function pendingMs(now: number): number {
  const late = now - dueAt
  return watchers > 0 && late > toleratedMs ? late : 0
}

function count(): void {
  const now = performance.now()
  countedMs += pendingMs(now)
  dueAt = now + periodMs
}
