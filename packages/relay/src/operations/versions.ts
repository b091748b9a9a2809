import type { SpanHead } from '../store/chunk.ts'
import type { StoreReader } from '../store/read.ts'

/** Which spans have newer versions: Langfuse keeps what comes last, so an older one must not be sent after it. */
export class Versions {
  readonly #reader: StoreReader
  readonly #newest = new Map<string, number>()
  #seen = 0

  constructor(reader: StoreReader) {
    this.#reader = reader
  }

  /** To be called in the turn in which something is chosen: the relay goes on storing. */
  catchUp(): void {
    const last = this.#reader.lastChunk()
    for (const chunk of this.#reader.revisedChunks(this.#seen)) {
      for (const head of this.#reader.headsOf(chunk) ?? []) {
        if (head.revision > (this.#newest.get(keyOf(head)) ?? 0)) {
          this.#newest.set(keyOf(head), head.revision)
        }
      }
    }
    this.#seen = last
  }

  isOld(head: SpanHead): boolean {
    return this.#newest.size > 0 && head.revision < (this.#newest.get(keyOf(head)) ?? 0)
  }
}

function keyOf({ traceId, spanId, startSeconds, startNanos }: SpanHead): string {
  return `${traceId.toString('hex')} ${spanId.toString('hex')} ${startSeconds} ${startNanos}`
}
