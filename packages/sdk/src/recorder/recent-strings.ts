// Large strings recorded before, so that a second mention is a reference. Open addressing without probing: a
// string has one slot, a newer one takes it over.
//
// A slot is found by a fingerprint of length, beginning and end; `===` then decides. It compares pointers first,
// and V8 stops at the first difference, so a miss costs 20 ns and a hit on an equal copy one memcmp.

const SLOTS = 1024
/** What the table may keep alive. */
const MAX_CHARS = 4 * 1024 * 1024

export class RecentStrings {
  readonly #texts: (string | undefined)[] = new Array(SLOTS).fill(undefined)
  readonly #numbers = new Int32Array(SLOTS)
  readonly #fingerprints = new Int32Array(SLOTS)
  readonly #frames = new Float64Array(SLOTS)
  #slot = 0
  #fingerprint = 0
  #chars = 0
  #lastNumber = 0
  /** The frame in progress; counts up for the life of the writer. */
  frame = 1
  /** Strings of earlier frames that the frame in progress refers to: they go along if it is carried to a new segment. */
  readonly referred: { readonly number: number; readonly text: string }[] = []

  /** The string's number, minus its blob's id, or 0 when it is new; `add` or `addBlob` must then follow. */
  find(text: string): number {
    const fingerprint = fingerprintOf(text)
    const slot = fingerprint & (SLOTS - 1)
    this.#fingerprint = fingerprint
    this.#slot = slot
    if (this.#fingerprints[slot] !== fingerprint || this.#texts[slot] !== text) return 0
    const number = this.#numbers[slot] as number
    if (this.#frames[slot] !== this.frame) {
      this.#frames[slot] = this.frame
      if (number > 0) this.referred.push({ number, text })
    }
    return number
  }

  add(text: string): number {
    const number = ++this.#lastNumber
    this.#put(text, number)
    return number
  }

  addBlob(text: string, blob: number): void {
    this.#put(text, -blob)
  }

  #put(text: string, number: number): void {
    if (this.#chars + text.length > MAX_CHARS) {
      this.forget()
      if (text.length > MAX_CHARS) return
    }
    const slot = this.#slot
    this.#chars += text.length - (this.#texts[slot]?.length ?? 0)
    this.#texts[slot] = text
    this.#numbers[slot] = number
    this.#fingerprints[slot] = this.#fingerprint
    this.#frames[slot] = this.frame
  }

  /** A new frame begins. */
  nextFrame(): void {
    this.frame++
    if (this.referred.length > 0) this.referred.length = 0
  }

  /** A new segment begins: what the old one defined can't be referred to. */
  forget(): void {
    if (this.#chars === 0) return
    this.#texts.fill(undefined)
    this.#fingerprints.fill(0)
    this.#chars = 0
  }
}

// The beginning and the end, which are two cache lines of a string that is cold: samples spread over it are nine.
function fingerprintOf(text: string): number {
  const length = text.length
  let hash = length
  for (let i = 1; i <= 16; i += 3) {
    hash = Math.imul(hash, 31) + text.charCodeAt(i)
    hash = Math.imul(hash, 31) + text.charCodeAt(length - i)
  }
  return hash ^ (hash >>> 15)
}
