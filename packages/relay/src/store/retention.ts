import type { Store } from './store.ts'

const EVERY_MS = 10_000
/** Deleting 100 000 rows at once blocks the loop for 0.7 s: a slice, then a turn for others. */
const SLICE_CHUNKS = 64
const BETWEEN_SLICES_MS = 20

export interface RetentionOptions {
  readonly store: Store
  readonly ageMs: number
  readonly bytes: number
  /** The oldest data file that open observations refer to. */
  readonly oldestOpenFile: () => number
  readonly now?: () => number
  /** What was to be sent again had to go before it was. */
  readonly onNotResent?: (exporter: string, spans: number) => void
  /** The store refused; it is tried again. */
  readonly onError?: (error: Error) => void
}

export interface Retention {
  /** The store is beyond its size and nothing in it may go: reading waits. */
  readonly full: () => boolean
  stop(): void
}

/** Removes what is too old or too much, a slice at a time, sparing what waits for its first delivery. */
export function startRetention(options: RetentionOptions): Retention {
  const { store, ageMs, bytes, oldestOpenFile, onNotResent, now = Date.now } = options
  let full = false
  let timer: NodeJS.Timeout | undefined
  const round = (): void => {
    let removed = 0
    try {
      const before = now() - ageMs
      removed = store.expire(before, bytes, SLICE_CHUNKS, oldestOpenFile(), onNotResent)
      // A tenth above the limit is room for what is being rotated; beyond it reading stops.
      full = store.bytes() > bytes * 1.1
    } catch (error) {
      options.onError?.(error as Error)
    }
    const more = removed === SLICE_CHUNKS
    timer = setTimeout(round, more ? BETWEEN_SLICES_MS : full ? EVERY_MS / 10 : EVERY_MS)
    timer.unref()
  }
  round()
  return { full: () => full, stop: () => clearTimeout(timer) }
}
