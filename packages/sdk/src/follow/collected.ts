import { state } from '../context.ts'

/** What a generator yielded or a stream gave, kept by reference within the limits of one value. */
export class Collected {
  readonly #maxItems = state.options?.maxNodes ?? Number.POSITIVE_INFINITY
  readonly #maxBytes = state.options?.maxValueBytes ?? Number.POSITIVE_INFINITY
  readonly #items: unknown[] = []
  #bytes = 0
  #skipped = 0
  #onlyText = true
  #onlyBytes = true

  add(item: unknown): void {
    if (this.#items.length >= this.#maxItems || this.#bytes > this.#maxBytes) {
      this.#skipped++
      return
    }
    if (typeof item === 'string') {
      this.#onlyBytes = false
      this.#bytes += item.length
    } else {
      this.#onlyText = false
      if (item instanceof Uint8Array) this.#bytes += item.length
      else this.#onlyBytes = false
    }
    this.#items.push(item)
  }

  /** Strings joined, bytes as the UTF-8 text they are or else as bytes, other items as an array. */
  output(): unknown {
    const items = this.#items
    const marker = `[truncated: ${this.#skipped} more items]`
    if (this.#onlyText || this.#onlyBytes) {
      const whole = this.#onlyText ? items.join('') : textOrBytes(items as Uint8Array[])
      return this.#skipped > 0 && typeof whole === 'string' ? `${whole}…${marker}` : whole
    }
    return this.#skipped > 0 ? [...items, marker] : items
  }
}

function textOrBytes(chunks: readonly Uint8Array[]): string | Uint8Array {
  const bytes = Buffer.concat(chunks)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return bytes
  }
}
