// Large strings recorded before, so that a second mention is a reference. A string has four slots to be in; a newer one
// takes over the one that was not used for longest. (With one slot each, the 160 strings of an agent's 80 steps were in each
// other's way: a dozen pairs, each written anew at every step.)
//
// A slot is found by a fingerprint of length, beginning and end; `===` then decides. It compares pointers first,
// and V8 stops at the first difference, so a miss costs 20 ns and a hit on an equal copy one memcmp.
//
// What is remembered is kept alive: it moves to V8's old generation and makes the process larger (4 MB of it by 22 MB,
// measured with 64 KB contexts). So little is kept, and more only where it would have been of use:
//
//   this epoch │ the one before │ older: the text goes, the fingerprint stays
//                                 └ asked for again: the next epochs are longer

const SLOTS = 1024
const WAYS = 4
/** Characters that an epoch has room for, at first and at the most. */
const MIN_EPOCH_CHARS = 256 * 1024
const MAX_EPOCH_CHARS = 2 * 1024 * 1024
/** After so many epochs in which nothing was missed they become shorter. */
const CALM_EPOCHS = 8

export class RecentStrings {
  readonly #texts: (string | undefined)[] = new Array(SLOTS).fill(undefined)
  readonly #numbers = new Int32Array(SLOTS)
  readonly #fingerprints = new Int32Array(SLOTS)
  readonly #frames = new Float64Array(SLOTS)
  /** In which a slot's text was last used. */
  readonly #epochs = new Int32Array(SLOTS)
  #epoch = 1
  #epochChars = MIN_EPOCH_CHARS
  /** Characters used in this epoch, those of texts that came again too late among them, and epochs without any such. */
  #chars = 0
  #missed = 0
  #calm = 0
  #slot = 0
  #fingerprint = 0
  #lastNumber = 0
  /** The frame in progress; counts up for the life of the writer. */
  frame = 1
  /** Strings of earlier frames that the frame in progress refers to: they go along if it is carried to a new segment. */
  readonly referred: { readonly number: number; readonly text: string }[] = []

  /** The string's number, minus its blob's id, or 0 when it is new; `add` or `addBlob` must then follow. */
  find(text: string): number {
    const fingerprint = fingerprintOf(text)
    const slot = this.#slotOf(fingerprint)
    this.#fingerprint = fingerprint
    this.#slot = slot
    if (this.#fingerprints[slot] !== fingerprint) return 0
    const known = this.#texts[slot]
    if (known === undefined) this.#missed++
    if (known !== text) return 0
    if (this.#epochs[slot] !== this.#epoch) this.#use(slot, text.length)
    const number = this.#numbers[slot] as number
    if (this.#frames[slot] !== this.frame) {
      this.#frames[slot] = this.frame
      if (number > 0) this.referred.push({ number, text })
    }
    return number
  }

  #slotOf(fingerprint: number): number {
    const first = fingerprint & (SLOTS - WAYS)
    let oldest = first + (this.#lastNumber & (WAYS - 1))
    for (let slot = first; slot < first + WAYS; slot++) {
      if (this.#fingerprints[slot] === fingerprint) return slot
      if ((this.#epochs[slot] as number) < (this.#epochs[oldest] as number)) oldest = slot
    }
    return oldest
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
    if (text.length > 2 * MAX_EPOCH_CHARS) return
    const slot = this.#slot
    this.#texts[slot] = text
    this.#numbers[slot] = number
    this.#fingerprints[slot] = this.#fingerprint
    this.#frames[slot] = this.frame
    this.#use(slot, text.length)
  }

  #use(slot: number, length: number): void {
    this.#epochs[slot] = this.#epoch
    if (this.#chars > 0 && this.#chars + length > this.#epochChars) this.#nextEpoch()
    this.#chars += length
    this.#epochs[slot] = this.#epoch
  }

  /** Texts that were not used in the epoch that ends are let go. */
  #nextEpoch(): void {
    const ended = this.#epoch++
    this.#chars = 0
    for (let slot = 0; slot < SLOTS; slot++) {
      if ((this.#epochs[slot] as number) < ended) this.#texts[slot] = undefined
    }
    if (this.#missed > 0) {
      this.#epochChars = Math.min(MAX_EPOCH_CHARS, this.#epochChars * 2)
      this.#calm = 0
    } else if (++this.#calm >= CALM_EPOCHS) {
      this.#epochChars = Math.max(MIN_EPOCH_CHARS, this.#epochChars / 2)
      this.#calm = 0
    }
    this.#missed = 0
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
    this.#chars = this.#missed = 0
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
  // All bits of it decide on the slot: messages often begin and end alike.
  hash = Math.imul(hash ^ (hash >>> 15), 0x9e37_79b1)
  return hash ^ (hash >>> 15)
}
