import { BLOB_ENCODING, FRAME, TAG } from '../spool/format.ts'
import type { BlobQueue } from './blobs.ts'
import type { RecentStrings } from './recent-strings.ts'
import { fieldsCut, itemsCut, unreadable, unusual } from './unusual.ts'

// Writes values into the buffer of the frame in progress. Words and bytes are two views of one buffer;
// `pos`, `recordAt` and `limit` count words. Below `recordAt` all records are complete.
//
//   | frame head | record | record | record in progress … | room … | footer |
//   0            FIRST             recordAt                pos      limit

export const FIRST: number = FRAME.payload >> 2
/** Room for a record of 2 MB behind a full frame: what one turn may hold inline (1 MB), and the largest string before its UTF-8 is known to be short. Pages that nothing is written to cost nothing. */
const BASE_BYTES = 4 * 1024 * 1024
/** A record that would begin behind it begins a new frame. */
const FULL_WORDS = (2 * 1024 * 1024) >> 2
/** Below it a charCodeAt loop, four at a time, wins over the 90 ns of a native write. */
const SHORT_CHARS = 48
/** From here a string may be referred to later: finding it costs 20 ns, copying it the more the longer it is. */
const LARGE_CHARS = 256
/** From here a string leaves in slices, so that no single copy holds the loop. */
const BLOB_CHARS = 256 * 1024
const BLOB_BYTES = 256 * 1024
/** Payload of one turn written inline; what comes above it, string by string, waits for the next turns. */
const TURN_BYTES = 1024 * 1024
const DEFERRABLE_CHARS = 4096
/** A frame's payload ends at 64 MB; below DEFERRABLE_CHARS, 32 M characters in one value can take more. */
const MAX_INLINE_BYTES = 48 * 1024 * 1024
const SMALL_WORDS = 64
const MAX_NAMES = 4096
const MAX_NAME_CHARS = 128

const LOW_WORD = 0
const HIGH_WORD = 1
const double = new Float64Array(1)
const doubleWords = new Int32Array(double.buffer)

export interface EncoderLimits {
  /** Characters or bytes kept of one value, all strings in it together. */
  readonly maxValueBytes: number
  readonly maxDepth: number
  readonly maxNodes: number
}

export class Encoder {
  buffer: Buffer = Buffer.allocUnsafeSlow(BASE_BYTES)
  words: Int32Array = new Int32Array(this.buffer.buffer)
  limit: number = (BASE_BYTES >> 2) - 1
  pos: number = FIRST
  recordAt: number = FIRST
  /** Payload bytes of large strings written in this turn. */
  turnBytes = 0
  /** Names defined in this segment, numbered from 1 in their order. */
  readonly #names: Map<string, number> = new Map()
  readonly #nameTexts: string[] = ['']
  /** Which name followed a name last: keys come in the same order again and again, and comparing is cheaper than looking up. */
  readonly #followers = new Uint16Array(MAX_NAMES + 1)
  #lastName = 0

  readonly #limits: EncoderLimits
  readonly #recent: RecentStrings
  readonly #blobs: BlobQueue
  readonly #flushComplete: () => void
  readonly #ancestors: unknown[] = []
  #nodesLeft = 0
  #charsLeft = 0

  /** `flushComplete` writes the frame out and calls `clear`. */
  constructor(
    limits: EncoderLimits,
    recent: RecentStrings,
    blobs: BlobQueue,
    flushComplete: () => void,
  ) {
    this.#limits = limits
    this.#recent = recent
    this.#blobs = blobs
    this.#flushComplete = flushComplete
  }

  /** Room for the first words of a record. Nothing else flushes, so that a record and what it refers to stay together. */
  begin(words: number): void {
    if (this.pos > FULL_WORDS) this.#flushComplete()
    this.ensure(words)
  }

  ensure(words: number): void {
    if (this.pos + words > this.limit) this.#grow(words)
  }

  #grow(words: number): void {
    if (words > SMALL_WORDS && (this.pos + words) << 2 > MAX_INLINE_BYTES)
      throw new RangeError('too many strings in one record')
    let bytes = this.buffer.length
    while ((bytes >> 2) - 1 < this.pos + words) bytes *= 2
    this.#replaceBuffer(bytes)
  }

  #replaceBuffer(bytes: number): void {
    const old = this.buffer
    this.buffer = Buffer.allocUnsafeSlow(bytes)
    this.words = new Int32Array(this.buffer.buffer)
    this.limit = (bytes >> 2) - 1
    old.copy(this.buffer, 0, 0, this.pos << 2)
  }

  /** After a flush: the next frame begins, and an outgrown buffer goes. */
  clear(): void {
    this.recordAt = FIRST
    this.pos = FIRST
    if (this.buffer.length > BASE_BYTES) this.#replaceBuffer(BASE_BYTES)
  }

  /** A value of the user's, within the limits. Never throws. */
  value(value: unknown): void {
    if (typeof value === 'string') {
      if (value.length <= this.#limits.maxValueBytes) this.string(value)
      else this.#truncated(value, this.#limits.maxValueBytes)
      return
    }
    this.#nodesLeft = this.#limits.maxNodes
    this.#charsLeft = this.#limits.maxValueBytes
    const start = this.pos
    const names = this.nameCount
    try {
      this.#any(value, 0, '')
    } catch (error) {
      // The stack overflowed, the record would be too large, or a proxy answered differently when asked again.
      this.pos = start
      this.forgetNames(names)
      this.#recent.forget()
      this.string(unreadable(error))
    }
  }

  /** How many names the segment has. */
  get nameCount(): number {
    return this.#names.size
  }

  /** The first `count` names of the segment, in their order. */
  firstNames(count: number): string[] {
    return this.#nameTexts.slice(1, count + 1)
  }

  /** Keeps the first `count` names of the segment. */
  forgetNames(count: number): void {
    const texts = this.#nameTexts
    for (let number = count + 1; number < texts.length; number++) {
      this.#names.delete(texts[number] as string)
    }
    texts.length = count + 1
    this.#lastName = 0
  }

  /** `key`: where the value stands, for its toJSON. */
  #any(value: unknown, depth: number, key: string | number): void {
    this.#nodesLeft--
    switch (typeof value) {
      case 'string':
        if (value.length <= this.#charsLeft) {
          this.#charsLeft -= value.length
          this.string(value)
        } else {
          this.#truncated(value, this.#charsLeft)
          this.#charsLeft = 0
        }
        return
      case 'number':
        this.number(value)
        return
      case 'boolean':
        this.tag(value ? TAG.true : TAG.false)
        return
      case 'object':
        if (value === null) this.tag(TAG.null)
        else this.#object(value, depth, key)
        return
      case 'bigint':
        this.#bigint(value)
        return
      default:
        // undefined, functions and symbols: what JSON.stringify leaves out.
        this.tag(TAG.undefined)
    }
  }

  tag(tag: number): void {
    this.ensure(1)
    this.words[this.pos++] = tag
  }

  number(value: number): void {
    this.ensure(3)
    const words = this.words
    const at = this.pos
    if ((value | 0) === value && (value !== 0 || 1 / value > 0)) {
      words[at] = TAG.int
      words[at + 1] = value
      this.pos = at + 2
    } else {
      words[at] = TAG.double
      double[0] = value
      words[at + 1] = doubleWords[LOW_WORD] as number
      words[at + 2] = doubleWords[HIGH_WORD] as number
      this.pos = at + 3
    }
  }

  date(milliseconds: number): void {
    this.ensure(3)
    double[0] = milliseconds
    this.words[this.pos] = TAG.date
    this.words[this.pos + 1] = doubleWords[LOW_WORD] as number
    this.words[this.pos + 2] = doubleWords[HIGH_WORD] as number
    this.pos += 3
  }

  #bigint(value: bigint): void {
    const digits = value.toString()
    this.ensure(2 + (digits.length >> 2))
    this.#pad(this.pos + 1, digits.length)
    this.buffer.write(digits, (this.pos + 1) << 2, 'latin1')
    this.#closeBytes(TAG.bigint, digits.length, 1)
  }

  /** A string that repeats within the segment (object keys, observation names): written once, then a number. */
  name(name: string): void {
    const guess = this.#followers[this.#lastName] as number
    if (this.#nameTexts[guess] === name && guess !== 0) {
      this.#lastName = guess
      this.ensure(1)
      this.words[this.pos++] = TAG.name | (guess << 8)
    } else if (typeof name === 'string') this.#lookUpName(name)
    else this.value(name)
  }

  #lookUpName(name: string): void {
    const known = this.#names.get(name)
    if (known !== undefined) {
      this.#followers[this.#lastName] = known
      this.#lastName = known
      this.ensure(1)
      this.words[this.pos++] = TAG.name | (known << 8)
    } else if (
      this.#names.size < MAX_NAMES &&
      name.length <= MAX_NAME_CHARS &&
      name.isWellFormed()
    ) {
      const number = this.#nameTexts.push(name) - 1
      this.#names.set(name, number)
      this.ensure(2 + name.length)
      const length = this.#writeUtf8(name, 2)
      this.words[this.pos + 1] = number
      this.#closeBytes(TAG.nameDefinition, length, 2)
    } else {
      this.string(name)
    }
  }

  string(text: string): void {
    const length = text.length
    if (length >= SHORT_CHARS) {
      if (length < LARGE_CHARS) this.#plainString(text)
      else this.#largeString(text)
      return
    }
    this.ensure(1 + (SHORT_CHARS >> 2))
    const { words, pos } = this
    let at = pos + 1
    let i = 0
    let seen = 0
    for (const end = length - 3; i < end; i += 4) {
      const a = text.charCodeAt(i)
      const b = text.charCodeAt(i + 1)
      const c = text.charCodeAt(i + 2)
      const d = text.charCodeAt(i + 3)
      seen |= a | b | c | d
      words[at++] = a | (b << 8) | (c << 16) | (d << 24)
    }
    if (i < length) {
      let last = 0
      for (let shift = 0; i < length; i++, shift += 8) {
        const code = text.charCodeAt(i)
        seen |= code
        last |= code << shift
      }
      words[at++] = last
    }
    if (seen > 127) {
      this.#plainString(text)
      return
    }
    words[pos] = TAG.utf8 | (length << 8)
    this.pos = at
  }

  // UTF-16 for text that is mostly outside Latin-1: the raw copy costs a tenth of transcoding Vietnamese.
  #plainString(text: string): void {
    if (looksTwoByte(text)) {
      this.ensure(1 + ((text.length + 1) >> 1))
      this.#closeBytes(TAG.utf16, this.#writeUtf16(text, 1), 1)
      return
    }
    this.ensure(2 + text.length)
    const length = this.#writeUtf8(text, 1)
    // As many bytes as characters: ASCII, so there is no surrogate to look for.
    if (length === text.length || text.isWellFormed()) this.#closeBytes(TAG.utf8, length, 1)
    else this.#closeBytes(TAG.utf16, this.#writeUtf16(text, 1), 1)
  }

  #largeString(text: string): void {
    const known = this.#recent.find(text)
    if (known > 0) {
      this.ensure(2)
      this.words[this.pos] = TAG.stringReference
      this.words[this.pos + 1] = known
      this.pos += 2
      return
    }
    if (known < 0) {
      this.#blobReference(TAG.textBlob, -known)
      return
    }
    if (
      text.length > BLOB_CHARS ||
      (this.turnBytes > TURN_BYTES && text.length >= DEFERRABLE_CHARS)
    ) {
      const encoding =
        looksTwoByte(text) || !text.isWellFormed() ? BLOB_ENCODING.utf16 : BLOB_ENCODING.utf8
      const blob = this.#blobs.add(text, encoding)
      if (!this.#blobs.refused) this.#recent.addBlob(text, blob)
      this.#blobReference(TAG.textBlob, blob)
      return
    }
    const number = this.#recent.add(text)
    let length: number
    let tag: number = TAG.numberedUtf16
    if (looksTwoByte(text)) {
      this.ensure(2 + ((text.length + 1) >> 1))
      length = this.#writeUtf16(text, 2)
    } else {
      this.ensure(3 + text.length)
      length = this.#writeUtf8(text, 2)
      if (length === text.length || text.isWellFormed()) tag = TAG.numberedUtf8
      else length = this.#writeUtf16(text, 2)
    }
    this.words[this.pos + 1] = number
    this.turnBytes += length
    this.#closeBytes(tag, length, 2)
  }

  #blobReference(tag: number, blob: number): void {
    this.ensure(2)
    this.words[this.pos] = tag
    this.words[this.pos + 1] = blob
    this.pos += 2
  }

  bytes(bytes: Uint8Array): void {
    if (
      bytes.length > BLOB_BYTES ||
      (this.turnBytes > TURN_BYTES && bytes.length >= DEFERRABLE_CHARS)
    ) {
      this.#blobReference(TAG.bytesBlob, this.#blobs.add(bytes, BLOB_ENCODING.bytes))
      return
    }
    this.ensure(2 + (bytes.length >> 2))
    this.#pad(this.pos + 1, bytes.length)
    this.buffer.set(bytes, (this.pos + 1) << 2)
    this.turnBytes += bytes.length
    this.#closeBytes(TAG.bytes, bytes.length, 1)
  }

  // Room for three bytes a character is there: nearly three words for four characters, plus the tag's.
  #writeUtf8(text: string, skip: number): number {
    const start = (this.pos + skip) << 2
    const length = this.buffer.write(text, start, 'utf8')
    for (let end = start + length; (end & 3) !== 0; end++) this.buffer[end] = 0
    return length
  }

  #writeUtf16(text: string, skip: number): number {
    const length = text.length << 1
    this.#pad(this.pos + skip, length)
    this.buffer.write(text, (this.pos + skip) << 2, 'utf16le')
    return length
  }

  /** Zeroes the last word of `length` bytes from word `at`, before they are written. */
  #pad(at: number, length: number): void {
    if ((length & 3) !== 0) this.words[at + (length >> 2)] = 0
  }

  #closeBytes(tag: number, length: number, skip: number): void {
    this.words[this.pos] = tag | (length << 8)
    this.pos += skip + ((length + 3) >> 2)
  }

  #truncated(text: string, kept: number): void {
    // Not through a surrogate pair.
    const end = kept > 0 && (text.charCodeAt(kept - 1) & 0xfc00) === 0xd800 ? kept - 1 : kept
    this.string(`${text.slice(0, end)}…[truncated: ${end} of ${text.length} characters]`)
  }

  #object(value: object, depth: number, key: string | number): void {
    let plain: unknown = value
    let usual = false
    try {
      usual = isPlain(value)
      if (!usual) plain = this.#standIn(value, key)
    } catch (error) {
      plain = unreadable(error)
    }
    if (usual) {
      this.#container(value, value, depth, true)
    } else if (typeof plain !== 'object' || plain === null) {
      this.#any(plain, depth, '')
    } else if (Array.isArray(plain)) {
      // Not asked what else it is: a proxy around an array may throw.
      this.#container(value, plain, depth, false)
    } else if (plain instanceof Uint8Array) {
      this.#bytesWithin(plain)
    } else if (plain instanceof Date) {
      this.date(plain.getTime())
    } else {
      this.#container(value, plain, depth, false)
    }
  }

  #standIn(value: object, key: string | number): unknown {
    const plain = unusual(value, this.#nodesLeft, key)
    if (plain === value || typeof plain !== 'object' || plain === null || isPlain(plain))
      return plain
    // A toJSON that returned a Map, a Date …: not asked for its own toJSON, as in JSON.stringify.
    return unusual(plain, this.#nodesLeft, null)
  }

  #bytesWithin(bytes: Uint8Array): void {
    if (bytes.length <= this.#charsLeft) {
      this.#charsLeft -= bytes.length
      this.bytes(bytes)
    } else {
      this.string(`[truncated: ${bytes.length} bytes]`)
    }
  }

  #container(identity: object, plain: object, depth: number, usual: boolean): void {
    const ancestors = this.#ancestors
    for (let i = 0; i < depth; i++) {
      if (ancestors[i] === identity) {
        this.string('[Circular]')
        return
      }
    }
    if (depth >= this.#limits.maxDepth) {
      this.string(`[truncated: deeper than ${this.#limits.maxDepth}]`)
      return
    }
    ancestors[depth] = identity
    if (Array.isArray(plain)) this.#array(plain, depth + 1)
    else this.#fields(plain as Record<string, unknown>, depth + 1, usual)
    ancestors[depth] = undefined
  }

  #array(values: readonly unknown[], depth: number): void {
    this.ensure(1)
    const at = this.pos++
    let count = 0
    let reading = true
    try {
      for (const length = values.length; count < length; count++) {
        if (this.#nodesLeft <= 0) {
          this.string(itemsCut(values, length, count))
          count++
          break
        }
        const item = values[count]
        reading = false
        this.#any(item, depth, count)
        reading = true
      }
    } catch (error) {
      if (!reading) throw error
      this.string(unreadable(error))
      count++
    }
    this.words[at] = TAG.array | (count << 8)
  }

  #fields(object: Record<string, unknown>, depth: number, usual: boolean): void {
    this.ensure(1)
    const at = this.pos++
    let count = 0
    let reading = true
    try {
      const inherits = !usual && !isPlain(object)
      for (const key in object) {
        if (inherits && !Object.hasOwn(object, key)) continue
        let value: unknown
        try {
          value = object[key]
        } catch (error) {
          value = unreadable(error)
        }
        if (value === undefined || typeof value === 'function' || typeof value === 'symbol')
          continue
        if (this.#nodesLeft <= 0) {
          this.string('…')
          this.string(fieldsCut(object, count, this.#limits.maxNodes))
          count++
          break
        }
        reading = false
        if (key.length <= MAX_NAME_CHARS) this.name(key)
        else this.#any(key, depth, '')
        this.#any(value, depth, key)
        reading = true
        count++
      }
    } catch (error) {
      if (!reading) throw error
      this.string('…')
      this.string(unreadable(error))
      count++
    }
    this.words[at] = TAG.object | (count << 8)
  }
}

/** An array or an object literal without a toJSON: what is written as it is. */
function isPlain(value: object): boolean {
  if (Array.isArray(value)) return true
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return false
  return typeof (value as { toJSON?: unknown }).toJSON !== 'function'
}

/** Whether one of a few sampled characters lies outside Latin-1. */
function looksTwoByte(text: string): boolean {
  const step = text.length >> 3
  if (step === 0) {
    for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 255) return true
    return false
  }
  for (let i = 0, at = step >> 1; i < 8; i++, at += step) if (text.charCodeAt(at) > 255) return true
  return false
}
