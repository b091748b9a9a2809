import type { SpanHead } from '../store/chunk.ts'
import type { StoreReader } from '../store/read.ts'
import type { Turns } from './turns.ts'

/** Which spans have newer versions: Langfuse keeps what comes last, so an older one must not be sent after it. */
export class Versions {
  readonly #reader: StoreReader
  readonly #newest = new Map<string, number>()
  #seen = 0

  constructor(reader: StoreReader) {
    this.#reader = reader
  }

  /**
   * True: all versions are known, and what is chosen is to be marked in this turn, as the relay goes on storing. False: this
   * turn is over, and there are more; to be called again in the next.
   */
  catchUp(turns: Pick<Turns, 'isOver'>): boolean {
    while (this.#seen < this.#reader.lastChunk()) {
      const { chunks, last } = this.#reader.revisedChunks(this.#seen)
      for (const chunk of chunks) {
        for (const head of this.#reader.headsOf(chunk) ?? []) {
          if (head.revision > (this.#newest.get(keyOf(head)) ?? 0)) {
            this.#newest.set(keyOf(head), head.revision)
          }
        }
        this.#seen = chunk
        if (turns.isOver) return false
      }
      this.#seen = last
      if (turns.isOver) return false
    }
    return true
  }

  isOld(head: SpanHead): boolean {
    return this.#newest.size > 0 && head.revision < (this.#newest.get(keyOf(head)) ?? 0)
  }
}

function keyOf({ traceId, spanId, startSeconds, startNanos }: SpanHead): string {
  return `${traceId.toString('hex')} ${spanId.toString('hex')} ${startSeconds} ${startNanos}`
}
