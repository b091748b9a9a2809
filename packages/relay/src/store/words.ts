/**
 * Memory that grows and is written in words of 4 bytes, little-endian. `words` and `bytes` are views of the same memory
 * and are others after `ensure`.
 */
export class Words {
  words: Int32Array
  bytes: Buffer
  /** The next word. */
  at = 0

  constructor(words: number) {
    this.words = new Int32Array(words)
    this.bytes = Buffer.from(this.words.buffer)
  }

  ensure(words: number): void {
    if (this.at + words > this.words.length) this.#grow(words)
  }

  #grow(words: number): void {
    let length = this.words.length * 2
    while (length < this.at + words) length *= 2
    const { bytes, at } = this
    this.words = new Int32Array(length)
    this.bytes = Buffer.from(this.words.buffer)
    bytes.copy(this.bytes, 0, 0, at << 2)
  }

  /** Empties it. Memory beyond `words` is given back. */
  reset(words: number): void {
    this.at = 0
    if (this.words.length <= words) return
    this.words = new Int32Array(words)
    this.bytes = Buffer.from(this.words.buffer)
  }

  /** A word of the length in bytes, then the bytes and zeros up to the next word. */
  text(text: string): void {
    this.ensure(2 + text.length)
    const length = this.bytes.write(text, (this.at + 1) << 2, 'utf8')
    this.closeBytes(length)
  }

  /** As `text`, for bytes. */
  copyBytes(source: Uint8Array): void {
    this.ensure(2 + (source.length >> 2))
    this.bytes.set(source, (this.at + 1) << 2)
    this.closeBytes(source.length)
  }

  /** The length word and the padding for bytes that were put behind it. */
  closeBytes(length: number): void {
    this.words[this.at] = length
    const end = (this.at + 1 + ((length + 3) >> 2)) << 2
    for (let i = ((this.at + 1) << 2) + length; i < end; i++) this.bytes[i] = 0
    this.at = end >> 2
  }

  copyWords(source: Int32Array, from: number, to: number): void {
    const count = to - from
    this.ensure(count)
    const { words, at } = this
    // A view costs as much as copying some 60 words.
    if (count < 64) for (let i = 0; i < count; i++) words[at + i] = source[from + i] as number
    else words.set(source.subarray(from, to), at)
    this.at = at + count
  }
}
