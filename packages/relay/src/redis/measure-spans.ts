import { FIELD } from '@offpath/sdk/spool-format'
import { HEAD, HEAD_BITS, KIND, PART, PART_LENGTH, spanWords } from '../store/layout.ts'

export interface SpanMeasures {
  /** Words where spans begin. */
  readonly starts: readonly number[]
  /** Of the spans, those that are further versions. */
  readonly revisions: number
  /** Of all values with their references resolved. */
  readonly expandedBytes: number
}

/** Counted for a span and for a field beside its value, as the store does. */
const SPAN_BYTES = 256
const FIELD_BYTES = 32

/**
 * Walks through spans that come from another process, so that the reader of the store, which trusts what it wrote, can be
 * let at them: every length is within what it is part of.
 *
 * @param bytes words of spans, aligned
 * @param dataBytes of what parts may refer to
 * @throws RangeError
 */
export function measureSpans(bytes: Buffer, dataBytes: number): SpanMeasures {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2)
  const starts: number[] = []
  let revisions = 0
  let expandedBytes = 0
  for (let at = 0; at < words.length; ) {
    const length = spanWords(words, at)
    const bits = words[at + HEAD.bits] as number
    if ((bits & 255) > (HEAD_BITS.interrupted | HEAD_BITS.parent)) {
      throw new RangeError(`no span at word ${at}`)
    }
    if (bits >>> 8 > 0) revisions++
    starts.push(at)
    const walk = new Walk(words, at + HEAD.words, at + length, dataBytes)
    walk.text()
    expandedBytes += SPAN_BYTES
    while (walk.at < walk.end) expandedBytes += FIELD_BYTES + walk.field()
    at += length
  }
  return { starts, revisions, expandedBytes }
}

/** A way through words that never leaves them. */
class Walk {
  readonly #words: Int32Array
  readonly #dataBytes: number
  at: number
  end: number

  constructor(words: Int32Array, at: number, end: number, dataBytes: number) {
    this.#words = words
    this.at = at
    this.end = end
    this.#dataBytes = dataBytes
  }

  #fail(): never {
    throw new RangeError(`a length at word ${this.at} leads beyond its span`)
  }

  #word(): number {
    if (this.at >= this.end) this.#fail()
    return this.#words[this.at++] as number
  }

  #skip(words: number): void {
    if (words < 0 || words > this.end - this.at) this.#fail()
    this.at += words
  }

  #bytes(length: number): void {
    if (length < 0) this.#fail()
    this.#skip((length + 3) >>> 2)
  }

  text(): void {
    this.#bytes(this.#word())
  }

  /** Passes over a field; returns the bytes of its value, when it is made of parts. */
  field(): number {
    const head = this.#word()
    const field = head & 255
    const kind = (head >>> 8) & 255
    const key = head >>> 16
    if (key > 0) this.#bytes(key - 1)
    // These two, and no other field, are read as what they are.
    if ((field === FIELD.event) !== (kind === KIND.event)) this.#fail()
    if ((field === FIELD.link) !== (kind === KIND.link)) this.#fail()
    switch (kind) {
      case KIND.text:
      case KIND.bigint:
        this.text()
        return 0
      case KIND.textParts:
      case KIND.jsonParts:
        return this.#parts()
      case KIND.int:
        this.#skip(1)
        return 0
      case KIND.double:
        this.#skip(2)
        return 0
      case KIND.false:
      case KIND.true:
        return 0
      case KIND.strings:
        for (let left = this.#word(); left > 0; left--) this.text()
        return 0
      case KIND.event:
        this.text()
        this.#skip(2)
        return this.#parts()
      case KIND.link:
        this.#skip(7)
        return this.#parts()
      default:
        throw new RangeError(`no kind of value: ${kind}`)
    }
  }

  #parts(): number {
    const length = this.#word()
    const count = this.#word()
    if (count < 0 || count > this.end - this.at) this.#fail()
    const end = this.at + count
    let bytes = 0
    while (this.at < end) {
      const head = this.#word()
      const size = head & PART_LENGTH
      if (head >>> 30 === PART.inline) this.#bytes(size)
      else if (head >>> 30 === PART.place) {
        const file = this.#word()
        const offset = this.#word() >>> 0
        if (file !== 0 || offset + size > this.#dataBytes) this.#fail()
      } else this.#fail()
      bytes += size
    }
    if (this.at !== end || bytes !== length) this.#fail()
    return length
  }
}
