import { closeSync, constants, openSync, readSync, unlinkSync } from 'node:fs'
import type { Store } from '../../store/store.ts'

// A writer asks by `<writer>.flush` whether all that it ended before a place is delivered; the answer is that the file
// is deleted.

interface Request {
  readonly writer: string
  readonly segment: number
  readonly offset: number
  /** Chunks that some exporter had not settled when the place was reached; null: it is not reached yet. */
  waiting: number[] | null
  /** The newest score that some exporter had not settled then; 0: none. */
  score: number
}

/** How far a writer is read and committed; null: there is no such writer. */
export type Progress = (
  writer: string,
) => { readonly segment: number; readonly offset: number; readonly complete: boolean } | null

const MAX_BYTES = 4096

export class FlushRequests {
  readonly #requests = new Map<string, Request>()
  readonly #store: Store
  readonly #onRequest: () => void

  /** `onRequest` is called when there is something for the exporters to hurry with. */
  constructor(store: Store, onRequest: () => void) {
    this.#store = store
    this.#onRequest = onRequest
  }

  /** The requests that there are now. */
  set(flushes: readonly { readonly writer: string; readonly path: string }[]): void {
    for (const path of this.#requests.keys()) {
      // The writer has given up waiting.
      if (!flushes.some((flush) => flush.path === path)) this.#requests.delete(path)
    }
    for (const { path, writer } of flushes) {
      const place = readRequest(path)
      const known = this.#requests.get(path)
      if (place === null) continue
      if (known?.segment === place.segment && known.offset === place.offset) continue
      this.#requests.set(path, { writer, ...place, waiting: null, score: 0 })
    }
  }

  /** Deletes the files of requests that are fulfilled. To be called after commits. */
  answer(progress: Progress): void {
    for (const [path, request] of this.#requests) {
      if (!this.#isFulfilled(request, progress)) continue
      this.#requests.delete(path)
      try {
        unlinkSync(path)
      } catch {
        // The writer has given up waiting.
      }
    }
  }

  #isFulfilled(request: Request, progress: Progress): boolean {
    if (request.waiting === null) {
      const at = progress(request.writer)
      if (at !== null) {
        const reached =
          at.segment > request.segment ||
          (at.segment === request.segment && at.offset >= request.offset)
        if (!reached || !at.complete) return false
      }
      request.waiting = this.#store.unsettledChunks(request.writer)
      request.score = this.#store.scores.newestOf(request.writer)
      if (request.waiting.length > 0 || request.score > 0) this.#onRequest()
    }
    const { waiting } = request
    while (waiting.length > 0 && this.#store.isSettled(waiting[0] as number)) waiting.shift()
    return waiting.length === 0 && this.#store.scores.isSettled(request.writer, request.score)
  }
}

/** Null: half written, or nothing that can be a request. */
function readRequest(path: string): { segment: number; offset: number } | null {
  try {
    const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)
    const fd = openSync(path, flags)
    try {
      const bytes = Buffer.alloc(MAX_BYTES)
      const text = bytes.toString('utf8', 0, readSync(fd, bytes, 0, MAX_BYTES, 0))
      const { segment, offset } = JSON.parse(text) as Record<string, unknown>
      return Number.isSafeInteger(segment) && Number.isSafeInteger(offset)
        ? { segment: segment as number, offset: offset as number }
        : null
    } finally {
      closeSync(fd)
    }
  } catch {
    return null
  }
}
