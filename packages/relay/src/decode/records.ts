import { BLOB_LAST, FIELD, LOSS_SLOTS, RECORD, START_WORDS, TAG } from '@offpath/sdk/spool-format'
import type { Assembler } from '../assemble/assembler.ts'
import { OpenSpan } from '../assemble/open-span.ts'
import { HEAD, HEAD_BITS } from '../store/layout.ts'
import type { NewScore } from '../store/scores.ts'
import { type Place, SEVERITY, type Severity, severityOf } from '../store/span.ts'
import { Words } from '../store/words.ts'
import { MAX_DEPTH, TOO_DEEP } from './depth.ts'
import { FieldWriter } from './field-writer.ts'
import { LOST_MARKER, type Name, type NumberedString, nameOf, type Tables } from './tables.ts'
import { storeText } from './text.ts'

// Binary records, straight from the spool's words to the words that are stored. No value becomes a JavaScript object on
// the way; strings that need no change are copied word by word.

/** What a frame brought, beside what it changed in the writer's state. */
export interface FrameCount {
  /** Observations that began. */
  started: number
  records: number
  /** Updates and ends of observations that are not known: their start was lost. */
  orphans: number
  /** Records that make no sense. */
  malformed: number
  /** Fields of JSON records that are not of their type: left out. */
  malformedFields: number
  /** Records of a kind that is not known: of a later version. */
  unknown: number
  /** JSON text of each. */
  vitals: string[]
  scores: NewScore[]
  /** Totals by slot, of the newest loss record. */
  losses: number[] | null
  /** The same of scores. */
  lostScores: number[] | null
}

export function newFrameCount(): FrameCount {
  return {
    started: 0,
    records: 0,
    orphans: 0,
    malformed: 0,
    malformedFields: 0,
    unknown: 0,
    vitals: [],
    scores: [],
    losses: null,
    lostScores: null,
  }
}

/** A frame's payload: words `from` to `to` of a buffer that begins at `base` of its segment. */
export interface Payload {
  readonly bytes: Buffer
  readonly words: Int32Array
  readonly from: number
  readonly to: number
  readonly base: number
}

/** How a field is taken in. */
const TAKE = {
  not: 0,
  value: 1,
  entries: 2,
  tags: 3,
  attribute: 4,
  event: 5,
  link: 6,
  head: 7,
  level: 8,
} as const
const HANDLING: Uint8Array = (() => {
  const handling = new Uint8Array(256)
  for (const field of Object.values(FIELD)) handling[field] = TAKE.value
  handling[FIELD.metadata] = handling[FIELD.traceMetadata] = TAKE.entries
  handling[FIELD.tags] = TAKE.tags
  handling[FIELD.attribute] = TAKE.attribute
  handling[FIELD.event] = TAKE.event
  handling[FIELD.link] = TAKE.link
  handling[FIELD.type] = handling[FIELD.statusCode] = TAKE.head
  handling[FIELD.level] = TAKE.level
  return handling
})()

const MAX_KIND = 4
const MAX_STATUS_CODE = 2
/** Of what a writer says of itself in one go. */
export const MAX_VITALS_CHARS: number = 16 * 1024
const DATA_URI = 'data:application/octet-stream;base64,'
/** Bytes that become base64 at a time; three become four. */
const BASE64_BYTES = 48 * 1024
/** Bigints beyond are text: nobody counts with them. */
const MAX_DIGITS = 1024
/** WARNING. */
const MAX_LEVEL_CHARS = 7

export class RecordDecoder {
  /** References so far that led nowhere. */
  dangling = 0
  readonly #assembler: Assembler
  /** For values that are needed as a string. */
  readonly #side: FieldWriter
  #fields: FieldWriter
  #words: Int32Array = new Int32Array(0)
  #bytes: Buffer = Buffer.alloc(0)
  #base = 0
  #tables!: Tables
  #count: FrameCount = newFrameCount()
  /** The word to be read next, and where the record ends. */
  #pos = 0
  #end = 0
  #depth = 0
  // Of the fields being read:
  #span: OpenSpan | null = null

  constructor(assembler: Assembler) {
    this.#assembler = assembler
    this.#fields = assembler.fields
    this.#side = new FieldWriter(new Words(1024), assembler.data)
  }

  /**
   * Takes in the records of a frame. `wanted` says, in a segment that is read again, which observations are still of
   * interest: of the others' records only definitions are.
   */
  records(
    payload: Payload,
    tables: Tables,
    wanted: ((serial: number) => boolean) | null,
  ): FrameCount {
    const { words, to } = payload
    this.setPayload(payload, tables)
    const count = newFrameCount()
    this.#count = count
    for (let at = payload.from; at < to; ) {
      const length = (words[at] as number) >>> 8
      if (length === 0 || at + length > to) {
        count.malformed++
        break
      }
      this.#record(at, at + length, wanted)
      count.records++
      at += length
    }
    return count
  }

  /** What strings and contexts are looked up in. */
  setPayload({ bytes, words, base }: Payload, tables: Tables): void {
    this.#words = words
    this.#bytes = bytes
    this.#base = base
    this.#tables = tables
    this.#fields = this.#assembler.fields
  }

  /** Serials of observations that end in records of words `from` to `to`. */
  ends(words: Int32Array, from: number, to: number, ended: Set<number | string>): void {
    for (let at = from; at < to; ) {
      const length = (words[at] as number) >>> 8
      const end = at + length
      if (length === 0 || end > to) return
      const type = (words[at] as number) & 255
      if (type === RECORD.end || type === RECORD.event) ended.add(uint64(words, at + 1))
      else if (type === RECORD.lostEnds) {
        for (let i = at + 1; i + 4 <= end; i += 4) ended.add(uint64(words, i))
      }
      at = end
    }
  }

  #record(at: number, end: number, wanted: ((serial: number) => boolean) | null): void {
    const words = this.#words
    const type = (words[at] as number) & 255
    this.#end = end
    this.#depth = 0
    this.#fields = this.#assembler.fields
    const piece = this.#assembler.beginPiece()
    try {
      if (wanted !== null && this.#isUnwanted(type, at, wanted)) {
        this.#assembler.dropPiece(piece)
        this.#defineRecord(type, at)
        return
      }
      switch (type) {
        case RECORD.start:
        case RECORD.event:
          this.#start(piece, at, type === RECORD.event)
          return
        case RECORD.update:
          this.#update(piece, at, at + 3)
          return
        case RECORD.end:
          this.#update(piece, at, at + 5)
          this.#ends(at + 1)
          return
        case RECORD.lostEnds:
          this.#assembler.dropPiece(piece)
          for (let i = at + 1; i + 4 <= end; i += 4) {
            if (wanted === null || wanted(uint64(words, i))) this.#ends(i)
          }
          return
        case RECORD.context:
          this.#pos = at + 2
          this.keepContext((words[at + 1] as number) >>> 0, () => this.#readFields(null))
          break
        case RECORD.vitals:
          this.#vitals(piece, at)
          return
        case RECORD.loss:
          this.#count.losses = Array.from({ length: LOSS_SLOTS }, (_, slot) =>
            at + 3 + slot * 2 <= end ? uint64(words, at + 1 + slot * 2) : 0,
          )
          break
        case RECORD.define:
          this.#defineRecord(type, at)
          break
        default:
          this.#count.unknown++
      }
      this.#assembler.dropPiece(piece)
    } catch {
      // The frame's checks let it through and it is not whole: counted, the next one is tried.
      this.#assembler.dropPiece(piece)
      this.#count.malformed++
    }
  }

  // --- records ---

  #start(piece: number, at: number, isEvent: boolean): void {
    const words = this.#words
    const fields = this.#fields
    const { out } = fields
    if (at + START_WORDS > this.#end) throw new MalformedRecord()
    const kinds = words[at + 3] as number
    const target = out.words
    const head = out.at
    target[head] = 0
    target[head + HEAD.kinds] = (oneOf((kinds >>> 8) & 255, MAX_KIND) << 8) | (kinds & 0x00ff_0000)
    const hasParent = (words[at + 10] as number) !== 0 || (words[at + 11] as number) !== 0
    target[head + HEAD.bits] = hasParent ? HEAD_BITS.parent : 0
    for (let i = 0; i < 10; i++) target[head + HEAD.traceId + i] = words[at + 4 + i] as number
    out.at = head + HEAD.words
    this.#pos = at + START_WORDS
    this.#nameText()

    const { writer } = this.#assembler
    const span = new OpenSpan(uint64(words, at + 1), kinds & 255, writer.segment)
    const context = words[at + 14] as number
    if (context !== 0) this.useContext(context >>> 0)
    this.#readFields(span)
    this.#count.started++
    const seconds = (words[at + 12] as number) >>> 0
    const nanos = (words[at + 13] as number) >>> 0
    writer.sawTime(seconds, nanos)
    this.#assembler.addPiece(span, piece)
    this.#assembler.start(span)
    if (isEvent) this.#assembler.end(span.key, seconds, nanos)
  }

  /** The observation's name, at the place that spans have it. */
  #nameText(): void {
    const { out } = this.#fields
    const head = this.#words[this.#pos] as number
    const tag = head & 255
    const name = tag === TAG.name || tag === TAG.nameDefinition ? this.#name(head) : undefined
    if (name !== undefined) {
      out.ensure(1)
      out.words[out.at++] = name.length
      out.copyWords(name.words, 0, name.words.length)
    } else out.text(tag === TAG.name ? LOST_MARKER : this.#text())
  }

  /** Puts the fields of a context into the piece that is open. */
  useContext(number: number): void {
    const fields = this.#fields
    const context = this.#tables.contexts.get(number)
    if (context === undefined) {
      this.dangling++
      return
    }
    fields.out.copyWords(context.words, 0, context.words.length)
    fields.maskLow |= context.maskLow
    fields.maskHigh |= context.maskHigh
    fields.merge ||= context.merge
    fields.holes ||= context.holes
    fields.expanded += context.expanded
    fields.oldestFile = Math.min(fields.oldestFile, context.oldestFile)
  }

  #update(piece: number, at: number, fieldsAt: number): void {
    const { writer } = this.#assembler
    if (fieldsAt > this.#end) throw new MalformedRecord()
    const serial = uint64(this.#words, at + 1)
    const span = writer.open.get(serial) ?? writer.given.get(serial)
    this.#pos = fieldsAt
    if (span === undefined || span.ended) {
      this.#assembler.dropPiece(piece)
      if (fieldsAt === at + 3) this.#count.orphans++
      this.#defineFields()
      return
    }
    this.#readFields(span)
    this.#assembler.addPiece(span, piece)
  }

  /** The observation whose serial and end time are at `at` has ended. */
  #ends(at: number): void {
    const words = this.#words
    const serial = uint64(words, at)
    const seconds = (words[at + 2] as number) >>> 0
    const nanos = (words[at + 3] as number) >>> 0
    this.#assembler.writer.sawTime(seconds, nanos)
    if (!this.#assembler.end(serial, seconds, nanos)) this.#count.orphans++
  }

  /** Keeps the fields that `put` puts into the piece that is open, which is to be dropped. */
  keepContext(number: number, put: () => void): void {
    const fields = this.#fields
    const { out } = fields
    const from = out.at
    put()
    this.#tables.contexts.set(number, {
      words: out.words.slice(from, out.at),
      maskLow: fields.maskLow,
      maskHigh: fields.maskHigh,
      merge: fields.merge,
      holes: fields.holes,
      expanded: fields.expanded,
      oldestFile: fields.oldestFile,
    })
  }

  #vitals(piece: number, at: number): void {
    this.#pos = at + 1
    if (((this.#words[this.#pos] as number) & 255) !== TAG.object) throw new MalformedRecord()
    const vitals = this.#jsonText()
    if (vitals.length > MAX_VITALS_CHARS) throw new MalformedRecord()
    this.#count.vitals.push(vitals)
    this.#assembler.dropPiece(piece)
  }

  // --- records of which only definitions are taken ---

  #isUnwanted(type: number, at: number, wanted: (serial: number) => boolean): boolean {
    switch (type) {
      case RECORD.start:
      case RECORD.event:
      case RECORD.update:
      case RECORD.end:
        return !wanted(uint64(this.#words, at + 1))
      case RECORD.vitals:
      case RECORD.loss:
        return true
      default:
        return false
    }
  }

  #defineRecord(type: number, at: number): void {
    switch (type) {
      case RECORD.start:
      case RECORD.event:
        this.#pos = at + START_WORDS
        this.#define()
        break
      case RECORD.update:
        this.#pos = at + 3
        break
      case RECORD.end:
        this.#pos = at + 5
        break
      default:
        this.#pos = at + 1
        while (this.#pos < this.#end) this.#define()
    }
    if (type !== RECORD.loss) this.#defineFields()
  }

  #defineFields(): void {
    while (this.#pos < this.#end) {
      const field = this.#words[this.#pos++] as number
      if (field === FIELD.attribute) this.#define()
      this.#define()
    }
  }

  /** Passes over a value, taking in what it defines. */
  #define(): void {
    for (let left = 1; left > 0; left--) {
      this.#check()
      const head = this.#words[this.#pos] as number
      switch (head & 255) {
        case TAG.nameDefinition:
          this.#defineName(head)
          break
        case TAG.numberedUtf8:
        case TAG.numberedUtf16:
          this.#defineString(head)
          break
        case TAG.array:
          this.#pos++
          left += head >>> 8
          break
        case TAG.object:
          this.#pos++
          left += (head >>> 8) * 2
          break
        default:
          this.#pos += valueWords(head)
      }
    }
  }

  // --- fields ---

  #readFields(span: OpenSpan | null): void {
    const words = this.#words
    const end = this.#end
    this.#span = span
    while (this.#pos < end) this.#readField(words[this.#pos++] as number)
    if (this.#pos !== end) throw new MalformedRecord()
  }

  #readField(field: number): void {
    const fields = this.#fields
    switch (field >>> 0 < 256 ? HANDLING[field] : TAKE.not) {
      case TAKE.level:
        this.#level()
        fields.open(field)
        this.#value(false)
        return
      case TAKE.value:
        fields.open(field)
        this.#value(false)
        return
      case TAKE.entries:
        this.#entries(field)
        return
      case TAKE.head:
        this.#head(field)
        return
      case TAKE.tags: {
        const tags = this.#strings()
        if (tags.length === 0) return
        fields.open(field)
        fields.strings(tags)
        return
      }
      case TAKE.attribute:
        fields.open(field)
        this.#key()
        this.#value(false)
        return
      case TAKE.event:
        this.#event(field)
        return
      case TAKE.link:
        this.#link(field)
        return
      default:
        // Of a later version.
        this.#define()
    }
  }

  /** Type and status lie in a span's head. */
  #head(field: number): void {
    this.#check()
    const span = this.#span
    if (((this.#words[this.#pos] as number) & 255) === TAG.int && span !== null) {
      const value = this.#words[this.#pos + 1] as number
      if (field === FIELD.type) this.#assembler.setType(span, value & 255)
      else this.#assembler.setStatusCode(span, oneOf(value, MAX_STATUS_CODE))
    }
    this.#define()
  }

  /** Errors and warnings are counted: the level is looked at, and stored as other values are. */
  #level(): void {
    const head = this.#words[this.#pos] as number
    const isNone = (head & 255) === TAG.null || (head & 255) === TAG.undefined
    if (this.#span !== null && !isNone) this.#span.level = this.#severity(head)
  }

  #severity(head: number): Severity {
    const tag = head & 255
    if (tag === TAG.name) return severityOf(this.#tables.names.get(head >>> 8)?.text ?? '')
    if (tag !== TAG.utf8 && tag !== TAG.nameDefinition) return SEVERITY.none
    const length = head >>> 8
    const from = (this.#pos + (tag === TAG.utf8 ? 1 : 2)) << 2
    const first = this.#bytes[from]
    // The others, most of all, are not decoded.
    if (length > MAX_LEVEL_CHARS || (first !== 0x45 && first !== 0x57)) return SEVERITY.none
    return severityOf(this.#bytes.toString('latin1', from, from + length))
  }

  /** Metadata: a field for each key of an object; a value that is no object has none. */
  #entries(field: number): void {
    const head = this.#words[this.#pos] as number
    const fields = this.#fields
    if ((head & 255) !== TAG.object) {
      fields.open(field)
      this.#value(false)
      return
    }
    this.#pos++
    for (let left = head >>> 8; left > 0; left--) {
      fields.open(field)
      this.#key()
      this.#value(true)
    }
  }

  /** The key of an entry or attribute. */
  #key(): void {
    this.#check()
    const words = this.#words
    const head = words[this.#pos] as number
    const fields = this.#fields
    const tag = head & 255
    if (tag === TAG.name || tag === TAG.nameDefinition) {
      const name = this.#name(head)
      if (name !== undefined) fields.keyWords(name.words, 0, name.length)
      else fields.key(LOST_MARKER)
    } else fields.key(this.#text())
  }

  #strings(): string[] {
    const head = this.#words[this.#pos] as number
    if ((head & 255) !== TAG.array) {
      const isNone = (head & 255) === TAG.null || (head & 255) === TAG.undefined
      if (!isNone) return [this.#text()]
      this.#pos++
      return []
    }
    this.#pos++
    const values: string[] = []
    for (let left = head >>> 8; left > 0; left--) values.push(this.#text())
    return values
  }

  /** Array [name, seconds, nanoseconds, attributes]. */
  #event(field: number): void {
    const fields = this.#fields
    const head = this.#words[this.#pos] as number
    if ((head & 255) !== TAG.array || head >>> 8 !== 4) throw new MalformedRecord()
    this.#pos++
    fields.openEvent(field, this.#text(), this.#number(), this.#number())
    this.#attributes()
    fields.endEvent()
  }

  /** Array [trace id, span id, flags, attributes]. */
  #link(field: number): void {
    const fields = this.#fields
    const head = this.#words[this.#pos] as number
    if ((head & 255) !== TAG.array || head >>> 8 !== 4) throw new MalformedRecord()
    this.#pos++
    if (!fields.openLink(field, this.#text(), this.#text(), this.#number())) {
      throw new MalformedRecord()
    }
    this.#attributes()
    fields.endLink()
  }

  #attributes(): void {
    this.#fields.beginParts(true)
    this.#json()
    this.#fields.closeParts()
  }

  #number(): number {
    const head = this.#words[this.#pos] as number
    const at = this.#pos + 1
    this.#pos += valueWords(head)
    if ((head & 255) === TAG.int) return this.#words[at] as number
    if ((head & 255) === TAG.double) return this.#bytes.readDoubleLE(at << 2)
    throw new MalformedRecord()
  }

  // --- values ---

  /** The value of the field that is open. Null is a value of metadata's entries only; undefined is none. */
  #value(nullCounts: boolean): void {
    this.#check()
    const words = this.#words
    const fields = this.#fields
    const head = words[this.#pos] as number
    const length = head >>> 8
    switch (head & 255) {
      case TAG.undefined:
        this.#pos++
        fields.drop()
        break
      case TAG.null:
        if (nullCounts) this.#jsonValue()
        else {
          this.#pos++
          fields.drop()
        }
        break
      case TAG.true:
      case TAG.false:
        this.#pos++
        fields.boolean((head & 255) === TAG.true)
        break
      case TAG.int:
        fields.int(words[this.#pos + 1] as number)
        this.#pos += 2
        break
      case TAG.double:
        fields.double(words[this.#pos + 1] as number, words[this.#pos + 2] as number)
        this.#pos += 3
        break
      case TAG.bigint: {
        const digits = this.#text()
        if (digits.length <= MAX_DIGITS && /^-?\d+$/.test(digits)) fields.bigint(digits)
        else fields.text(digits)
        break
      }
      case TAG.utf8: {
        const from = this.#pos + 1
        this.#pass(from, length)
        fields.textWords(words, this.#bytes, from, length)
        break
      }
      case TAG.utf16: {
        const from = this.#pos + 1
        this.#pass(from, length)
        fields.textIn(this.#bytes, from << 2, length, true)
        break
      }
      case TAG.name:
      case TAG.nameDefinition: {
        const name = this.#name(head)
        if (name === undefined) fields.text(LOST_MARKER)
        else fields.textWords(name.words, name.bytes, 0, name.length)
        break
      }
      case TAG.array:
      case TAG.object:
      case TAG.date:
        this.#jsonValue()
        break
      default:
        fields.beginParts(false)
        this.#stringParts(head)
        fields.endParts()
    }
  }

  #jsonValue(): void {
    this.#fields.beginParts(true)
    this.#json()
    this.#fields.endParts()
  }

  /** The value as JSON text, into the parts that are open. */
  #json(): void {
    this.#check()
    const words = this.#words
    const fields = this.#fields
    if (this.#depth >= MAX_DEPTH) {
      this.#define()
      fields.putAscii(`"${TOO_DEEP}"`)
      return
    }
    this.#depth++
    const head = words[this.#pos] as number
    const length = head >>> 8
    switch (head & 255) {
      case TAG.undefined:
      case TAG.null:
        this.#pos++
        fields.putAscii('null')
        break
      case TAG.true:
        this.#pos++
        fields.putAscii('true')
        break
      case TAG.false:
        this.#pos++
        fields.putAscii('false')
        break
      case TAG.int:
        fields.putAscii(String(words[this.#pos + 1]))
        this.#pos += 2
        break
      case TAG.double: {
        const value = this.#bytes.readDoubleLE((this.#pos + 1) << 2)
        fields.putAscii(Number.isFinite(value) ? String(value === 0 ? 0 : value) : 'null')
        this.#pos += 3
        break
      }
      case TAG.date: {
        const date = new Date(this.#bytes.readDoubleLE((this.#pos + 1) << 2))
        fields.putAscii(Number.isNaN(date.getTime()) ? 'null' : `"${date.toISOString()}"`)
        this.#pos += 3
        break
      }
      case TAG.utf8: {
        const from = this.#pos + 1
        this.#pass(from, length)
        fields.putByte(QUOTE)
        fields.putEscaped(this.#bytes, from << 2, length)
        fields.putByte(QUOTE)
        break
      }
      case TAG.array:
        this.#pos++
        fields.putByte(OPEN_ARRAY)
        for (let i = 0; i < length; i++) {
          if (i > 0) fields.putByte(COMMA)
          this.#json()
        }
        fields.putByte(CLOSE_ARRAY)
        break
      case TAG.object:
        this.#jsonObject(length)
        break
      default:
        fields.putByte(QUOTE)
        this.#stringParts(head)
        fields.putByte(QUOTE)
    }
    this.#depth--
  }

  #jsonObject(count: number): void {
    const fields = this.#fields
    this.#pos++
    fields.putByte(OPEN_OBJECT)
    let some = false
    for (let i = 0; i < count; i++) {
      this.#check()
      const head = this.#words[this.#pos] as number
      const tag = head & 255
      let json: Buffer
      if (tag === TAG.name || tag === TAG.nameDefinition) {
        json = this.#name(head)?.json ?? LOST_KEY
      } else json = Buffer.from(`${JSON.stringify(this.#text())}:`)
      if (((this.#words[this.#pos] as number) & 255) === TAG.undefined) {
        this.#pos++
        continue
      }
      if (some) fields.putByte(COMMA)
      some = true
      fields.putBytes(json)
      this.#json()
    }
    fields.putByte(CLOSE_OBJECT)
  }

  /** The characters of a string value, into the parts that are open. */
  #stringParts(head: number): void {
    const fields = this.#fields
    const length = head >>> 8
    const from = (this.#pos + 1) << 2
    switch (head & 255) {
      case TAG.bigint:
        this.#pass(this.#pos + 1, length)
        fields.putEscaped(this.#bytes, from, length)
        return
      case TAG.utf16:
        this.#pass(this.#pos + 1, length)
        fields.putEscapedUtf16(this.#bytes, from, length)
        return
      case TAG.name:
      case TAG.nameDefinition:
        fields.putJsonString(this.#name(head)?.text ?? LOST_MARKER)
        return
      case TAG.numberedUtf8:
      case TAG.numberedUtf16:
        fields.place(this.#placeOf(this.#defineString(head)))
        return
      case TAG.stringReference: {
        const entry = this.#tables.strings.get((this.#words[this.#pos + 1] as number) >>> 0)
        this.#pos += 2
        const place = entry === undefined ? null : this.#placeOf(entry)
        if (place !== null) fields.place(place)
        else this.#lost()
        return
      }
      case TAG.bytes:
        this.#pass(this.#pos + 1, length)
        this.#base64(from, length)
        return
      case TAG.textBlob:
      case TAG.bytesBlob: {
        const id = (this.#words[this.#pos + 1] as number) | 0
        this.#pos += 2
        const { writer } = this.#assembler
        writer.blobs.name(id, this.#tables.segment, fields.isJson)
        fields.hole(id)
        return
      }
      default:
        throw new MalformedRecord()
    }
  }

  #base64(from: number, length: number): void {
    const fields = this.#fields
    fields.putAscii(DATA_URI)
    for (let at = from; at < from + length; at += BASE64_BYTES) {
      fields.putText(this.#bytes.toString('base64', at, Math.min(from + length, at + BASE64_BYTES)))
    }
  }

  #lost(): void {
    this.dangling++
    this.#fields.putAscii(LOST_MARKER)
  }

  /** For values in the parts that are open; null: there is no such string. */
  placeOfString(number: number): Place | null {
    const entry = this.#tables.strings.get(number)
    return entry === undefined ? null : this.#placeOf(entry)
  }

  /** Where the text of a numbered string lies in the store, stored now if it does not yet. */
  #placeOf(entry: NumberedString): Place {
    const json = this.#fields.isJson
    const { data } = this.#assembler
    const known = json ? entry.json : entry.text
    if (known !== null && known.file >= data.oldestKept) return known
    const { offset, length, utf16 } = entry
    const inFrame = offset - this.#base
    const atHand = inFrame >= 0 && inFrame + length <= this.#bytes.length
    const bytes = atHand ? this.#bytes : this.#tables.source.read(offset, length)
    if (bytes === null) {
      this.dangling++
      return data.append(Buffer.from(LOST_MARKER))
    }
    const from = atHand ? inFrame : 0
    this.#fields.beforeStored()
    const place = storeText(data, bytes, from, from + length, utf16, json)
    if (json) entry.json = place
    else entry.text = place
    // Nothing had to be escaped: the same bytes are both.
    if (json && !utf16 && place.length === length) entry.text = place
    return place
  }

  // --- names and strings ---

  #name(head: number): Name | undefined {
    if ((head & 255) === TAG.nameDefinition) return this.#defineName(head)
    this.#pos++
    const name = this.#tables.names.get(head >>> 8)
    if (name === undefined) this.dangling++
    return name
  }

  #defineName(head: number): Name {
    const length = head >>> 8
    const number = (this.#words[this.#pos + 1] as number) >>> 0
    const from = (this.#pos + 2) << 2
    this.#pass(this.#pos + 2, length)
    const name = nameOf(this.#bytes.subarray(from, from + length))
    this.#tables.names.set(number, name)
    return name
  }

  #defineString(head: number): NumberedString {
    const length = head >>> 8
    const number = (this.#words[this.#pos + 1] as number) >>> 0
    const entry: NumberedString = {
      offset: this.#base + ((this.#pos + 2) << 2),
      length,
      utf16: (head & 255) === TAG.numberedUtf16,
      text: null,
      json: null,
    }
    this.#pass(this.#pos + 2, length)
    this.#tables.strings.set(number, entry)
    return entry
  }

  /** Moves behind `length` bytes at word `from`, if they lie in the record. */
  #pass(from: number, length: number): void {
    this.#pos = from + ((length + 3) >> 2)
    if (this.#pos > this.#end) throw new MalformedRecord()
  }

  /** The value at `pos` as a string, whatever it is: for the small and rare. */
  #text(): string {
    const head = this.#words[this.#pos] as number
    const length = head >>> 8
    const from = (this.#pos + 1) << 2
    switch (head & 255) {
      case TAG.bigint:
      case TAG.utf8:
        this.#pass(this.#pos + 1, length)
        return this.#bytes.toString('utf8', from, from + length)
      case TAG.utf16:
        this.#pass(this.#pos + 1, length)
        return this.#bytes.toString('utf16le', from, from + length)
      case TAG.name:
      case TAG.nameDefinition:
        return this.#name(head)?.text ?? LOST_MARKER
      case TAG.numberedUtf8:
      case TAG.numberedUtf16:
        return this.#bytesOf(this.#defineString(head))
      case TAG.stringReference: {
        const entry = this.#tables.strings.get((this.#words[this.#pos + 1] as number) >>> 0)
        this.#pos += 2
        if (entry !== undefined) return this.#bytesOf(entry)
        this.dangling++
        return LOST_MARKER
      }
      case TAG.undefined:
      case TAG.null:
        this.#pos++
        return ''
      default:
        return this.#jsonText()
    }
  }

  #bytesOf({ offset, length, utf16 }: NumberedString): string {
    const bytes = this.#tables.source.read(offset, length)
    if (bytes !== null) return bytes.toString(utf16 ? 'utf16le' : 'utf8')
    this.dangling++
    return LOST_MARKER
  }

  /** The value at `pos` as JSON text: for the small and rare. */
  #jsonText(): string {
    const outer = this.#fields
    const side = this.#side
    this.#fields = side
    side.out.reset(1024)
    side.open(0)
    this.#jsonValue()
    this.#fields = outer
    return side.partsText()
  }

  /** Nothing is read behind the record. */
  #check(): void {
    if (this.#pos >= this.#end) throw new MalformedRecord()
  }

  /** A blob slice. Returns whether it is one; `source` leaves its bytes in the segment. */
  slice({ bytes, from, to, base }: Payload, tables: Tables, again: boolean): boolean {
    const at = from << 2
    if (to - from < 5) return false
    const flags = bytes.readUInt32LE(at + 4)
    const length = bytes.readUInt32LE(at + 16)
    if (at + 20 + length > to << 2) return false
    const head = {
      id: bytes.readInt32LE(at),
      encoding: (flags >>> 8) & 255,
      last: (flags & BLOB_LAST) !== 0,
      offset: bytes.readUInt32LE(at + 8) + bytes.readUInt32LE(at + 12) * 2 ** 32,
      length,
    }
    const { writer, data } = this.#assembler
    const settled = again
      ? writer.blobs.slice(head, tables.segment, bytes, base + at + 20, tables.source, data)
      : writer.blobs.slice(head, tables.segment, bytes, at + 20, null, data)
    if (settled) this.#assembler.blobSettled()
    return true
  }
}

class MalformedRecord extends Error {}

const QUOTE = 0x22
const COMMA = 0x2c
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const LOST_KEY: Buffer = Buffer.from(`${JSON.stringify(LOST_MARKER)}:`)

/** A code from 0 to `most`; 0 for any other, which exporters could not write. */
function oneOf(code: number, most: number): number {
  return code >= 0 && code <= most ? code : 0
}

function uint64(words: Int32Array, at: number): number {
  return ((words[at] as number) >>> 0) + ((words[at + 1] as number) >>> 0) * 2 ** 32
}

/** Words of a value that holds no others. */
function valueWords(head: number): number {
  switch (head & 255) {
    case TAG.int:
    case TAG.stringReference:
    case TAG.textBlob:
    case TAG.bytesBlob:
      return 2
    case TAG.double:
    case TAG.date:
      return 3
    case TAG.bigint:
    case TAG.utf8:
    case TAG.utf16:
    case TAG.bytes:
      return 1 + (((head >>> 8) + 3) >> 2)
    default:
      return 1
  }
}
