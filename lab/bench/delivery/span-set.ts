const FIRST_SLOTS = 1 << 16

/**
 * Which spans were seen, by their ids: 8 random bytes each, of which two are alike once in a run of a hundred thousand
 * times what is measured here. A span takes 11 to 32 bytes, and no object.
 *
 *   slots: [low, high] [0, 0 = free] …    as many as a power of two; a taken one sends on to the next
 */
export class SpanSet {
  #slots = new Uint32Array(2 * FIRST_SLOTS)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Takes the id that lies there; no id is all zeros. */
  add(bytes: Buffer, at: number): void {
    if (4 * this.#size >= (3 * this.#slots.length) >> 1) this.#grow()
    this.#put(bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4))
  }

  #put(low: number, high: number): void {
    const slots = this.#slots
    const mask = (slots.length >> 1) - 1
    for (let slot = low & mask; ; slot = (slot + 1) & mask) {
      const there = slots[2 * slot]
      const above = slots[2 * slot + 1]
      if (there === low && above === high) return
      if (there !== 0 || above !== 0) continue
      slots[2 * slot] = low
      slots[2 * slot + 1] = high
      this.#size++
      return
    }
  }

  #grow(): void {
    const before = this.#slots
    this.#slots = new Uint32Array(2 * before.length)
    this.#size = 0
    for (let i = 0; i < before.length; i += 2) {
      const low = before[i] as number
      const high = before[i + 1] as number
      if (low !== 0 || high !== 0) this.#put(low, high)
    }
  }

  clear(): void {
    this.#slots = new Uint32Array(2 * FIRST_SLOTS)
    this.#size = 0
  }
}
