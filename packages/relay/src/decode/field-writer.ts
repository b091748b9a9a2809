import { isUtf8 } from 'node:buffer'
import { FIELD } from '@offpath/sdk/spool-format'
import type { DataWriter } from '../store/data-files.ts'
import {
  CUT_MARKER,
  HOLE,
  KIND,
  MAX_VALUE_BYTES,
  NO_FILE,
  PART,
  PART_LENGTH,
} from '../store/layout.ts'
import type { Place } from '../store/span.ts'
import type { Words } from '../store/words.ts'
import { escapeUtf8, MAX_ESCAPED, storeText } from './text.ts'

// Writes fields in the form in which spans are stored (store/layout.ts). What is long goes to the data file, and a place
// of it into the field:
//
//   open(field)  key?  one value  |  open(field)  key?  beginParts  put… place… hole…  endParts

/** Longer ones lie in the data file. */
const INLINE_BYTES = 2048
/** An inline part that is still being written goes to the data file in pieces of this. */
const PIECE_BYTES = 64 * 1024
const PIECE_CHARS = 16 * 1024
/** Keys have 16 bits for their length; longer ones than this are cut, visibly. */
const MAX_KEY_BYTES = 4096
/** Counted for a value beside its bytes: name, tag and length in a request. */
const VALUE_BYTES = 32

/** A word whose bytes are ASCII has none of these bits. */
const NOT_ASCII = 0x8080_8080 | 0

/** Fields of which a span may have several. */
const LISTED = new Set<number>([FIELD.event, FIELD.link])

export class FieldWriter {
  /** Where fields are written to. */
  readonly out: Words
  readonly data: DataWriter
  /** Of the fields since `begin`: which there are, */
  maskLow = 0
  maskHigh = 0
  /** whether some may replace others, */
  merge = false
  /** whether a blob has to be put in, */
  holes = false
  /** how long their values are, and the oldest data file they refer to. */
  expanded = 0
  oldestFile: number = NO_FILE

  #field = 0
  #head = 0
  #key = 0
  // Of the parts being written:
  #parts = 0
  #isJson = false
  #total = 0
  #isCut = false
  /** The first word of the inline part that is being written, and the byte to be written next. */
  #inline = 0
  #at = 0
  /** Word of the place that was written last, 0: none since an inline part. */
  #place = 0

  constructor(out: Words, data: DataWriter) {
    this.out = out
    this.data = data
  }

  begin(): void {
    this.maskLow = this.maskHigh = this.expanded = 0
    this.merge = this.holes = false
    this.oldestFile = NO_FILE
  }

  open(field: number): void {
    this.#field = field
    this.#key = 0
    this.out.ensure(4)
    this.#head = this.out.at++
  }

  /** The key of an entry or attribute, from text that is padded to words. */
  keyWords(source: Int32Array, from: number, length: number): void {
    if (length > MAX_KEY_BYTES) {
      this.key(Buffer.from(source.buffer, source.byteOffset + from * 4, length).toString())
      return
    }
    this.out.copyWords(source, from, from + ((length + 3) >> 2))
    this.#key = length + 1
  }

  key(text: string): void {
    const { out } = this
    let bytes = Buffer.from(text)
    if (bytes.length > MAX_KEY_BYTES) {
      bytes = Buffer.from(
        `${bytes.toString('utf8', 0, MAX_KEY_BYTES - 8).replace(/\ufffd+$/, '')}…`,
      )
    }
    out.ensure(2 + (bytes.length >> 2))
    out.words[out.at + (bytes.length >> 2)] = 0
    out.bytes.set(bytes, out.at << 2)
    out.at += (bytes.length + 3) >> 2
    this.#key = bytes.length + 1
  }

  /** As if the field had not been opened. */
  drop(): void {
    this.out.at = this.#head
  }

  #close(kind: number): void {
    const field = this.#field
    this.out.words[this.#head] = field | (kind << 8) | (this.#key << 16)
    this.expanded += VALUE_BYTES
    const bit = 1 << (field & 31)
    if (field < 32) {
      if ((this.maskLow & bit) !== 0) this.merge = true
      this.maskLow |= bit
    } else {
      if ((this.maskHigh & bit) !== 0 && !LISTED.has(field)) this.merge = true
      this.maskHigh |= bit
    }
  }

  boolean(value: boolean): void {
    this.#close(value ? KIND.true : KIND.false)
  }

  int(value: number): void {
    const { out } = this
    out.ensure(1)
    out.words[out.at++] = value
    this.#close(KIND.int)
  }

  double(low: number, high: number): void {
    const { out } = this
    out.ensure(2)
    out.words[out.at] = low
    out.words[out.at + 1] = high
    out.at += 2
    this.#close(KIND.double)
  }

  bigint(digits: string): void {
    this.out.text(digits)
    this.#close(KIND.bigint)
  }

  strings(values: readonly string[]): void {
    const { out } = this
    out.ensure(1)
    out.words[out.at++] = values.length
    for (const value of values) {
      out.text(value)
      this.expanded += value.length + VALUE_BYTES
    }
    this.#close(KIND.strings)
  }

  /** A text value; the text is well-formed, or made so. */
  text(text: string): void {
    if (text.length > INLINE_BYTES / 3) {
      const bytes = Buffer.from(text)
      if (bytes.length > INLINE_BYTES) {
        this.textIn(bytes, 0, bytes.length, false)
        return
      }
    }
    const at = this.out.at
    this.out.text(text)
    this.expanded += this.out.words[at] as number
    this.#close(KIND.text)
  }

  /** A text value from UTF-8 that is padded to words. */
  textWords(source: Int32Array, bytes: Buffer, from: number, length: number): void {
    if (length > INLINE_BYTES) {
      this.textIn(bytes, from << 2, length, false)
      return
    }
    const { out } = this
    const count = (length + 3) >> 2
    out.ensure(count + 1)
    const { words, at } = out
    words[at] = length
    let all = 0
    for (let i = 0; i < count; i++) {
      const word = source[from + i] as number
      words[at + 1 + i] = word
      all |= word
    }
    if ((all & NOT_ASCII) !== 0 && !isUtf8(bytes.subarray(from << 2, (from << 2) + length))) {
      this.text(bytes.toString('utf8', from << 2, (from << 2) + length))
      return
    }
    out.at = at + 1 + count
    this.expanded += length
    this.#close(KIND.text)
  }

  /** A text value, any encoding. */
  textIn(bytes: Buffer, from: number, length: number, utf16: boolean): void {
    if (utf16 && length <= (INLINE_BYTES / 3) * 2) {
      this.text(bytes.toString('utf16le', from, from + length))
      return
    }
    this.beginParts(false)
    this.place(storeText(this.data, bytes, from, from + length, utf16, false))
    this.endParts()
  }

  // --- values in parts ---

  beginParts(json: boolean): void {
    this.out.ensure(8)
    this.#isJson = json
    this.#parts = this.out.at
    this.#total = 0
    this.#isCut = false
    this.#place = 0
    this.#openInline(this.#parts + 2)
  }

  get isJson(): boolean {
    return this.#isJson
  }

  #openInline(word: number): void {
    this.#inline = word
    this.#at = (word + 1) << 2
  }

  /**
   * Ends the inline part. It goes to the data file when it has become long, or when what stands before it lies at the
   * end of the file: a value of one place is copied at once where it is exported.
   */
  #closeInline(): void {
    const { out } = this
    const start = (this.#inline + 1) << 2
    const length = this.#at - start
    if (length === 0) {
      out.at = this.#inline
      return
    }
    if (length > INLINE_BYTES || this.#endOfPlace() === this.data.mark()) {
      this.#storeInline()
      return
    }
    this.#total += length
    const end = (this.#at + 3) & ~3
    for (let i = this.#at; i < end; i++) out.bytes[i] = 0
    out.words[this.#inline] = length
    out.at = end >> 2
    this.#place = 0
  }

  #storeInline(): void {
    const { out } = this
    const start = (this.#inline + 1) << 2
    out.at = this.#inline
    this.#total += this.#at - start
    this.#putPlace(this.data.append(out.bytes.subarray(start, this.#at)))
  }

  /** Offset behind the place that was written last, if it is in the file that is written to; else -1. */
  #endOfPlace(): number {
    const { words } = this.out
    const last = this.#place
    if (last === 0 || words[last + 1] !== this.data.file) return -1
    return ((words[last + 2] as number) >>> 0) + ((words[last] as number) & PART_LENGTH)
  }

  /** A string is about to be stored that goes into the parts: what stands before it is stored before it. */
  beforeStored(): void {
    if (this.#at === (this.#inline + 1) << 2) return
    this.#storeInline()
    this.out.ensure(2)
    this.#openInline(this.out.at)
  }

  /**
   * Whether the inline part stands in the data file between the place before it and this one: strings that are repeated
   * in the order in which they came first are one place again, with what lies between them.
   */
  #isBetween({ file, offset }: Place): boolean {
    const start = (this.#inline + 1) << 2
    const from = offset - (this.#at - start)
    if (file !== this.data.file || this.#endOfPlace() !== from) return false
    return this.data.holds(file, from, this.out.bytes, start, this.#at)
  }

  #putPlace({ file, offset, length }: Place): void {
    const { out } = this
    if (file < this.oldestFile) this.oldestFile = file
    const { words } = out
    const last = this.#place
    // What lies behind the place before makes it longer.
    if (
      last !== 0 &&
      words[last + 1] === file &&
      ((words[last + 2] as number) >>> 0) + ((words[last] as number) & PART_LENGTH) === offset &&
      ((words[last] as number) & PART_LENGTH) + length < PART_LENGTH
    ) {
      words[last] = (words[last] as number) + length
      return
    }
    out.ensure(4)
    out.words[out.at] = (PART.place << 30) | length
    out.words[out.at + 1] = file
    out.words[out.at + 2] = offset
    this.#place = out.at
    out.at += 3
  }

  /** What lies in the data file. */
  place(place: Place): void {
    if (this.#total + place.length > MAX_VALUE_BYTES) {
      // Once: a million references must not become a million markers.
      if (!this.#isCut) this.putAscii(CUT_MARKER)
      this.#isCut = true
      return
    }
    const between = this.#at - ((this.#inline + 1) << 2)
    if (between > 0 && this.#isBetween(place)) {
      this.out.at = this.#inline
      this.#total += between
      this.#putPlace({ file: place.file, offset: place.offset - between, length: between })
    } else this.#closeInline()
    this.#total += place.length
    if (place.length > 0) this.#putPlace(place)
    this.out.ensure(2)
    this.#openInline(this.out.at)
  }

  /** Where a blob goes when the span has ended. Bytes come as a data URI, `bare` as base64 alone. */
  hole(blob: number, bare = false): void {
    this.#closeInline()
    const { out } = this
    out.ensure(4)
    out.words[out.at++] =
      (PART.hole << 30) | (this.#isJson ? HOLE.json : 0) | (bare ? HOLE.bare : 0)
    out.words[out.at++] = blob
    this.holes = true
    this.#place = 0
    this.#openInline(out.at)
  }

  endParts(): void {
    this.closeParts()
    this.#close(this.#isJson ? KIND.jsonParts : KIND.textParts)
  }

  /** As `endParts`, where the parts are not all of the field. */
  closeParts(): void {
    this.#closeInline()
    const { out } = this
    out.words[this.#parts] = this.#total
    out.words[this.#parts + 1] = out.at - this.#parts - 2
    this.expanded += this.#total
  }

  /** The text of the parts that were written last. */
  partsText(): string {
    const { words, bytes } = this.out
    const pieces: Buffer[] = []
    const end = this.#parts + 2 + (words[this.#parts + 1] as number)
    for (let at = this.#parts + 2; at < end; ) {
      const head = words[at] as number
      const length = head & PART_LENGTH
      switch (head >>> 30) {
        case PART.inline:
          pieces.push(bytes.subarray((at + 1) << 2, ((at + 1) << 2) + length))
          at += 1 + ((length + 3) >> 2)
          break
        case PART.place: {
          const offset = (words[at + 2] as number) >>> 0
          pieces.push(this.data.read({ file: words[at + 1] as number, offset, length }))
          at += 3
          break
        }
        default:
          at += 2
      }
    }
    return Buffer.concat(pieces).toString()
  }

  // --- events and links: attributes follow, as parts, then the end ---

  openEvent(field: number, name: string, seconds: number, nanos: number): void {
    this.open(field)
    const { out } = this
    out.text(name)
    out.ensure(2)
    out.words[out.at++] = seconds
    out.words[out.at++] = nanos
  }

  endEvent(): void {
    this.#close(KIND.event)
  }

  /** Ids in hex; false when they are none, and nothing is written. */
  openLink(field: number, traceId: string, spanId: string, flags: number): boolean {
    if (!/^[0-9a-f]{32}$/.test(traceId) || !/^[0-9a-f]{16}$/.test(spanId)) return false
    this.open(field)
    const { out } = this
    out.ensure(8)
    out.bytes.write(traceId + spanId, out.at << 2, 'hex')
    out.words[out.at + 6] = flags
    out.at += 7
    return true
  }

  endLink(): void {
    this.#close(KIND.link)
  }

  /** Room for so many bytes of an inline part. */
  #room(bytes: number): void {
    const { out } = this
    if (this.#at - (this.#inline << 2) > PIECE_BYTES) {
      out.at = (this.#at + 3) >> 2
      this.#closeInline()
      out.ensure(2)
      this.#openInline(out.at)
    }
    if (this.#at + bytes + 8 > out.bytes.length) {
      out.at = (this.#at + 3) >> 2
      out.ensure((bytes >> 2) + 4)
    }
  }

  /** A byte of ASCII. */
  putByte(byte: number): void {
    this.#room(1)
    this.out.bytes[this.#at++] = byte
  }

  /** Short text of ASCII. */
  putAscii(text: string): void {
    const { length } = text
    this.#room(length)
    const { bytes } = this.out
    let at = this.#at
    for (let i = 0; i < length; i++) bytes[at++] = text.charCodeAt(i)
    this.#at = at
  }

  /** Text as it is. */
  putText(text: string): void {
    for (let from = 0; from < text.length; ) {
      let to = Math.min(text.length, from + PIECE_CHARS)
      // Not between the halves of a pair.
      if (to < text.length && (text.charCodeAt(to - 1) & 0xfc00) === 0xd800) to--
      this.#room((to - from) * 3)
      const piece = from === 0 && to === text.length ? text : text.slice(from, to)
      this.#at += this.out.bytes.write(piece, this.#at, 'utf8')
      from = to
    }
  }

  /** UTF-8 as it is; short. */
  putBytes(source: Uint8Array): void {
    const { length } = source
    this.#room(length)
    const { bytes } = this.out
    let at = this.#at
    for (let i = 0; i < length; i++) bytes[at++] = source[i] as number
    this.#at = at
  }

  /** The inside of a JSON string, from UTF-8. */
  putEscaped(source: Buffer, from: number, length: number): void {
    if (length > PIECE_BYTES) {
      this.place(storeText(this.data, source, from, from + length, false, true))
      return
    }
    this.#room(length * MAX_ESCAPED)
    const { bytes } = this.out
    const to = from + length
    let at = this.#at
    let all = 0
    let i = from
    for (const loopTo = Math.min(to, from + LOOP_BYTES); i < loopTo; i++) {
      const byte = source[i] as number
      if (byte < 0x20 || byte === 0x22 || byte === 0x5c) break
      all |= byte
      bytes[at++] = byte
    }
    if (i < to) {
      at = escapeUtf8(source, i, to, bytes, at)
      all = 0x80
    }
    if (all >= 0x80 && !isUtf8(source.subarray(from, to))) {
      this.putJsonString(source.toString('utf8', from, to))
      return
    }
    this.#at = at
  }

  /** The inside of a JSON string, from UTF-16LE. */
  putEscapedUtf16(source: Buffer, from: number, length: number): void {
    if (length > INLINE_BYTES) {
      this.place(storeText(this.data, source, from, from + length, true, true))
    } else this.putJsonString(source.toString('utf16le', from, from + length))
  }

  /** The inside of a JSON string. */
  putJsonString(text: string): void {
    this.putText(JSON.stringify(text).slice(1, -1))
  }
}

/** From here on a string is cheaper than a loop over the bytes. */
const LOOP_BYTES = 64
