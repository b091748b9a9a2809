import { crc32 } from 'node:zlib'

// Reads segments the plain, slow way, straight from docs/spool-format.md. The numbers are the document's, not
// ../spool/format.ts's, so that writer and reader check each other.

/** A value as it was recorded. Entries that were undefined are left out of objects, and null in arrays. */
export type Value =
  | undefined
  | null
  | boolean
  | number
  | bigint
  | string
  | Buffer
  | Date
  | Value[]
  | { [key: string]: Value }

export interface Field {
  readonly field: number
  /** Of an attribute (field 63). */
  readonly key?: string
  readonly value: Value
}

export interface StartRecord {
  readonly type: 'start' | 'event'
  readonly serial: number
  /** Number of the observation's type. */
  readonly observationType: number
  readonly spanKind: number
  readonly flags: number
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | null
  /** Nanoseconds since 1970. */
  readonly time: bigint
  readonly context: readonly Field[]
  readonly name: Value
  readonly fields: readonly Field[]
}

export interface EndOf {
  readonly serial: number
  readonly time: bigint
}

export type SpoolRecord =
  | StartRecord
  | { readonly type: 'update'; readonly serial: number; readonly fields: readonly Field[] }
  | ({ readonly type: 'end'; readonly fields: readonly Field[] } & EndOf)
  | { readonly type: 'context'; readonly number: number; readonly fields: readonly Field[] }
  | { readonly type: 'define' }
  | { readonly type: 'vitals'; readonly vitals: Value }
  | { readonly type: 'loss'; readonly losses: readonly number[] }
  | { readonly type: 'lostEnds'; readonly ends: readonly EndOf[] }

export interface Frame {
  readonly kind: number
  readonly sequence: number
  readonly hasCrc: boolean
  /** Observations started and lost by the writer, up to the end of this frame. */
  readonly started: number
  readonly lost: number
  readonly payload: Buffer
}

/** The header's JSON, with the keys that every writer gives. */
interface HeaderJson {
  readonly writer: string
  readonly segment: number
  readonly previous: { readonly segment: number; readonly length: number } | null
  readonly [key: string]: unknown
}

export interface Segment {
  readonly header: HeaderJson
  readonly losses: readonly number[]
  readonly frames: readonly Frame[]
  /** Whether an end frame closes it. */
  readonly ended: boolean
  /** Where the good frames end. */
  readonly length: number
  /** Bytes that belong to no good frame. */
  readonly skipped: number
}

const FRAME_HEAD_BYTES = 44

/** Reads a segment's file. Throws when the header is not good; frames that are not good are skipped. */
export function readSegment(file: Buffer): Segment {
  if (file.toString('latin1', 0, 8) !== 'OFFPATH1') throw new Error('not a segment: wrong magic')
  if (file.readUInt32LE(8) !== 1) throw new Error(`unknown version ${file.readUInt32LE(8)}`)
  const headerLength = file.readUInt32LE(12)
  if (headerLength % 4 !== 0 || headerLength > 65_536 || headerLength > file.length)
    throw new Error(`wrong header length ${headerLength}`)
  const jsonLength = file.readUInt32LE(24)
  if (128 + jsonLength > headerLength) throw new Error(`wrong JSON length ${jsonLength}`)
  const json = file.subarray(128, 128 + jsonLength)
  if (crc32(Buffer.concat([file.subarray(8, 28), json])) !== file.readUInt32LE(28))
    throw new Error('wrong CRC in the header')
  const header = JSON.parse(json.toString('utf8')) as HeaderJson
  const nonce = file.subarray(16, 24)

  const frames: Frame[] = []
  let skipped = 0
  let length = headerLength
  for (let at = headerLength; at < file.length; ) {
    const frame = frameAt(file, at, nonce)
    if (frame === undefined) {
      at += 4
      skipped += 4
    } else {
      frames.push(frame)
      at += FRAME_HEAD_BYTES + frame.payload.length + 4
      length = at
    }
  }
  const losses = Array.from({ length: 12 }, (_, slot) => uint64(file, 32 + slot * 8))
  return { header, losses, frames, ended: frames.at(-1)?.kind === 4, length, skipped }
}

function frameAt(file: Buffer, at: number, nonce: Buffer): Frame | undefined {
  if (file.length - at < FRAME_HEAD_BYTES + 4) return undefined
  if (file.toString('latin1', at, at + 4) !== 'OPF1') return undefined
  if (!file.subarray(at + 4, at + 12).equals(nonce)) return undefined
  const length = file.readUInt32LE(at + 12)
  if (length % 4 !== 0 || length > 64 * 1024 * 1024) return undefined
  if (at + FRAME_HEAD_BYTES + length + 4 > file.length) return undefined
  const footer = file.readUInt32LE(at + FRAME_HEAD_BYTES + length)
  if ((footer ^ nonce.readUInt32LE(0)) >>> 0 !== length) return undefined
  const payload = file.subarray(at + FRAME_HEAD_BYTES, at + FRAME_HEAD_BYTES + length)
  const hasCrc = (file.readUInt8(at + 21) & 1) === 1
  if (hasCrc) {
    const crc = crc32(Buffer.concat([file.subarray(at, at + 40), payload]))
    if (crc !== file.readUInt32LE(at + 40)) return undefined
  }
  return {
    kind: file.readUInt8(at + 20),
    sequence: file.readUInt32LE(at + 16),
    hasCrc,
    started: uint64(file, at + 24),
    lost: uint64(file, at + 32),
    payload,
  }
}

function uint64(bytes: Buffer, at: number): number {
  return Number(bytes.readBigUInt64LE(at))
}

/** The blobs of a writer, by id: a string or bytes, or undefined when a slice is missing. */
export type Blobs = Map<number, string | Buffer | undefined>

/** Joins the slices in frames of kind 3, in their order. */
export function joinBlobs(frames: Iterable<Frame>): Blobs {
  const slices = new Map<number, { bytes: Buffer[]; length: number; encoding: number }>()
  const blobs: Blobs = new Map()
  for (const { kind, payload } of frames) {
    if (kind !== 3) continue
    const id = payload.readUInt32LE(0)
    const flags = payload.readUInt32LE(4)
    const offset = uint64(payload, 8)
    const length = payload.readUInt32LE(16)
    const encoding = (flags >>> 8) & 255
    const blob = slices.get(id) ?? { bytes: [], length: 0, encoding }
    slices.set(id, blob)
    if (offset !== blob.length || encoding !== blob.encoding) {
      blobs.set(id, undefined)
      blob.length = Number.NaN
      continue
    }
    const slice = payload.subarray(20, 20 + length)
    // A slice of text never splits a character: each is good text by itself.
    if (encoding === 1 && !Buffer.from(slice.toString('utf8')).equals(slice))
      throw new Error(`slice of blob ${id} is not UTF-8`)
    blob.bytes.push(slice)
    blob.length += length
    if ((flags & 1) === 1) {
      const whole = Buffer.concat(blob.bytes)
      blobs.set(id, encoding === 0 ? whole : text(whole, encoding === 2))
    }
  }
  return blobs
}

function text(bytes: Buffer, utf16: boolean): string {
  return bytes.toString(utf16 ? 'utf16le' : 'utf8')
}

/** What the records of one segment define for those behind them. */
export interface Tables {
  readonly names: Map<number, string>
  readonly strings: Map<number, string>
  readonly contexts: Map<number, readonly Field[]>
  /** Of the whole writer. */
  readonly blobs: Blobs
  /** Names, strings, contexts and blobs that were referred to and not there. */
  dangling: number
}

export function newTables(blobs: Blobs): Tables {
  return { names: new Map(), strings: new Map(), contexts: new Map(), blobs, dangling: 0 }
}

/** The records of a frame of kind 1. Throws when one of them does not fill its length exactly. */
export function readRecords(payload: Buffer, tables: Tables): SpoolRecord[] {
  const records: SpoolRecord[] = []
  for (let at = 0; at < payload.length; ) {
    const head = payload.readUInt32LE(at)
    const end = at + (head >>> 8) * 4
    if (end <= at || end > payload.length) throw new Error(`wrong record length at ${at}`)
    const reader: Reader = { bytes: payload.subarray(at + 4, end), at: 0, tables }
    records.push(readRecord(head & 255, reader))
    if (reader.at !== reader.bytes.length) throw new Error(`record at ${at} has bytes left over`)
    at = end
  }
  return records
}

interface Reader {
  readonly bytes: Buffer
  at: number
  readonly tables: Tables
}

function readRecord(type: number, reader: Reader): SpoolRecord {
  switch (type) {
    case 1:
    case 4:
      return readStart(type === 1 ? 'start' : 'event', reader)
    case 2:
      return { type: 'update', serial: readUint64(reader), fields: readFields(reader) }
    case 3:
      return {
        type: 'end',
        serial: readUint64(reader),
        time: readTime(reader),
        fields: readFields(reader),
      }
    case 5: {
      const number = readWord(reader)
      const fields = readFields(reader)
      reader.tables.contexts.set(number, fields)
      return { type: 'context', number, fields }
    }
    case 6:
      while (reader.at < reader.bytes.length) readValue(reader)
      return { type: 'define' }
    case 7:
      return { type: 'vitals', vitals: readValue(reader) }
    case 8:
      return { type: 'loss', losses: Array.from({ length: 12 }, () => readUint64(reader)) }
    case 9: {
      const ends: EndOf[] = []
      while (reader.at < reader.bytes.length)
        ends.push({ serial: readUint64(reader), time: readTime(reader) })
      return { type: 'lostEnds', ends }
    }
    default:
      throw new Error(`unknown record type ${type}`)
  }
}

function readStart(type: 'start' | 'event', reader: Reader): StartRecord {
  const serial = readUint64(reader)
  const kinds = readWord(reader)
  const traceId = readHex(reader, 16)
  const spanId = readHex(reader, 8)
  const parent = readHex(reader, 8)
  const time = readTime(reader)
  const number = readWord(reader)
  const context = number === 0 ? [] : reader.tables.contexts.get(number)
  if (context === undefined) reader.tables.dangling++
  return {
    type,
    serial,
    observationType: kinds & 255,
    spanKind: (kinds >>> 8) & 255,
    flags: kinds >>> 16,
    traceId,
    spanId,
    parentSpanId: parent === '0000000000000000' ? null : parent,
    time,
    context: context ?? [],
    name: readValue(reader),
    fields: readFields(reader),
  }
}

function readFields(reader: Reader): Field[] {
  const fields: Field[] = []
  while (reader.at < reader.bytes.length) {
    const field = readWord(reader)
    if (field === 63) {
      const key = readValue(reader)
      fields.push({ field, key: String(key), value: readValue(reader) })
    } else {
      fields.push({ field, value: readValue(reader) })
    }
  }
  return fields
}

function readWord(reader: Reader): number {
  const word = reader.bytes.readUInt32LE(reader.at)
  reader.at += 4
  return word
}

function readUint64(reader: Reader): number {
  const number = uint64(reader.bytes, reader.at)
  reader.at += 8
  return number
}

function readTime(reader: Reader): bigint {
  const seconds = readWord(reader)
  return BigInt(seconds) * 1_000_000_000n + BigInt(readWord(reader))
}

function readHex(reader: Reader, length: number): string {
  reader.at += length
  return reader.bytes.toString('hex', reader.at - length, reader.at)
}

/** `length` bytes and the zeros that pad them to a multiple of 4. */
function readBytes(reader: Reader, length: number): Buffer {
  const { bytes, at } = reader
  const end = at + length
  const padded = Math.ceil(end / 4) * 4
  if (padded > bytes.length) throw new Error('bytes beyond the end of the record')
  for (let i = end; i < padded; i++) if (bytes[i] !== 0) throw new Error('padding is not zero')
  reader.at = padded
  return Buffer.from(bytes.subarray(at, end))
}

function readValue(reader: Reader): Value {
  const { tables } = reader
  const head = readWord(reader)
  const info = head >>> 8
  switch (head & 255) {
    case 0:
      return undefined
    case 1:
      return null
    case 2:
      return true
    case 3:
      return false
    case 4:
      return readWord(reader) | 0
    case 5:
      return readDouble(reader)
    case 6:
      return BigInt(readBytes(reader, info).toString('latin1'))
    case 7:
      return text(readBytes(reader, info), false)
    case 8:
      return text(readBytes(reader, info), true)
    case 9:
      return tables.names.get(info) ?? missing(tables, `name ${info}`)
    case 10: {
      const number = readWord(reader)
      const name = text(readBytes(reader, info), false)
      tables.names.set(number, name)
      return name
    }
    case 11:
    case 12: {
      const number = readWord(reader)
      const string = text(readBytes(reader, info), (head & 255) === 12)
      tables.strings.set(number, string)
      return string
    }
    case 13: {
      const number = readWord(reader)
      return tables.strings.get(number) ?? missing(tables, `string ${number}`)
    }
    case 14:
    case 16: {
      const id = readWord(reader)
      return tables.blobs.get(id) ?? missing(tables, `blob ${id}`)
    }
    case 15:
      return readBytes(reader, info)
    case 17:
      return Array.from({ length: info }, () => readValue(reader) ?? null)
    case 18:
      return readObject(reader, info)
    case 19:
      return new Date(readDouble(reader))
    default:
      throw new Error(`unknown tag ${head & 255}`)
  }
}

function readDouble(reader: Reader): number {
  reader.at += 8
  return reader.bytes.readDoubleLE(reader.at - 8)
}

function readObject(reader: Reader, count: number): { [key: string]: Value } {
  const object = {}
  for (let i = 0; i < count; i++) {
    const key = String(readValue(reader))
    const value = readValue(reader)
    if (value === undefined) continue
    // Not by assignment: a key may be `__proto__`.
    Object.defineProperty(object, key, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    })
  }
  return object
}

function missing(tables: Tables, what: string): string {
  tables.dangling++
  return `[lost: ${what}]`
}
