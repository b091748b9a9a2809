import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'

// Writes segments the plain, slow way, straight from docs/spool-format.md and docs/json-records.md. The numbers are
// the documents' own, not the SDK's, so that this is a second implementation of the format.

/** A value of the spool. Plain JavaScript values stand for the usual tags, tagged ones for the others. */
export type PlainValue =
  | undefined
  | null
  | boolean
  | number
  | bigint
  | string
  | Date
  | Buffer
  | Tagged
  | readonly PlainValue[]
  | { readonly [key: string]: PlainValue }
  | PlainEntries

/** An object whose keys may come twice or be names. */
export class PlainEntries {
  readonly entries: readonly (readonly [PlainValue, PlainValue])[]
  constructor(entries: readonly (readonly [PlainValue, PlainValue])[]) {
    this.entries = entries
  }
}

export class Tagged {
  readonly bytes: Buffer
  constructor(bytes: Buffer) {
    this.bytes = bytes
  }
}

export type PlainField =
  | readonly [field: number, value: PlainValue]
  | readonly [field: 63, key: PlainValue, value: PlainValue]

export interface PlainStart {
  readonly type: 'start' | 'event'
  readonly serial: number
  readonly observationType?: number
  readonly kind?: number
  readonly flags?: number
  /** Hex. */
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  /** Nanoseconds since 1970. */
  readonly time: bigint
  readonly context?: number
  readonly name: PlainValue
  readonly fields?: readonly PlainField[]
}

export type PlainRecord =
  | PlainStart
  | { readonly type: 'update'; readonly serial: number; readonly fields: readonly PlainField[] }
  | {
      readonly type: 'end'
      readonly serial: number
      readonly time: bigint
      readonly fields?: readonly PlainField[]
    }
  | { readonly type: 'context'; readonly number: number; readonly fields: readonly PlainField[] }
  | { readonly type: 'define'; readonly values: readonly PlainValue[] }
  | { readonly type: 'vitals'; readonly vitals: PlainValue }
  | { readonly type: 'loss'; readonly losses: readonly number[] }
  | { readonly type: 'lostEnds'; readonly ends: readonly (readonly [number, bigint])[] }
  /** Any words, as they are. */
  | { readonly type: 'raw'; readonly bytes: Buffer }

/** `started` and `lost` are the running totals behind the frame; by default the starts so far, and 0. */
export type PlainFrame = { readonly started?: number; readonly lost?: number } & (
  | { readonly records: readonly PlainRecord[] }
  /** A string is the text of a whole observation, for what JSON.stringify can't make. */
  | { readonly json: readonly (object | string)[]; readonly parts?: readonly PlainPart[] }
  | { readonly blob: PlainSlice }
  | { readonly end: true }
  | { readonly kind: number; readonly payload: Buffer }
)

export interface PlainPart {
  readonly number: number
  readonly text: string
  readonly utf16?: boolean
}

export interface PlainSlice {
  readonly id: number
  readonly encoding: 'bytes' | 'utf8' | 'utf16'
  readonly offset: number
  readonly content: Buffer | string
  readonly last?: boolean
}

export interface PlainSegment {
  readonly writer?: string
  readonly number?: number
  readonly previous?: { readonly segment: number; readonly length: number } | null
  /** Further keys of the header's JSON. */
  readonly header?: Readonly<Record<string, unknown>>
  readonly nonce?: Buffer
  readonly crc?: boolean
  readonly losses?: readonly number[]
  /** Observations started in segments before this one. */
  readonly startedBefore?: number
  readonly frames: readonly PlainFrame[]
}

export const WRITER = '00000000000000aa'

/** The bytes of a segment. */
export function encodeSegment(segment: PlainSegment): Buffer {
  return Buffer.concat([encodeHeader(segment), ...encodeFrames(segment)])
}

/** Writes a segment into the directory under its name; returns the path. */
export function writeSegment(directory: string, segment: PlainSegment): string {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const path = join(directory, segmentName(segment.writer ?? WRITER, segment.number ?? 1))
  writeFileSync(path, encodeSegment(segment), { mode: 0o600 })
  return path
}

export function segmentName(writer: string, number: number): string {
  return `${writer}-${String(number).padStart(8, '0')}.seg`
}

function nonceOf(segment: PlainSegment): Buffer {
  return segment.nonce ?? NONCE
}
const NONCE = randomBytes(8)

function encodeHeader(segment: PlainSegment): Buffer {
  const { writer = WRITER, number = 1, previous = null, losses = [] } = segment
  const json = Buffer.from(
    JSON.stringify({
      writer,
      segment: number,
      previous,
      pid: process.pid,
      pidStartTime: null,
      pidNamespace: 'pid:[of nobody here]',
      bootId: null,
      thread: 0,
      heartbeatSeconds: 10,
      host: 'test-host',
      service: 'test-service',
      environment: null,
      release: null,
      sdk: { name: 'plain-writer', version: '1' },
      language: 'javascript',
      startTime: '1790000000000000000',
      resource: {},
      ...segment.header,
    }),
  )
  const bytes = Buffer.alloc(Math.ceil((128 + json.length) / 4) * 4)
  bytes.write('OFFPATH1', 0, 'latin1')
  bytes.writeUInt32LE(1, 8)
  bytes.writeUInt32LE(bytes.length, 12)
  nonceOf(segment).copy(bytes, 16)
  bytes.writeUInt32LE(json.length, 24)
  bytes.writeUInt32LE(crc32(Buffer.concat([bytes.subarray(8, 28), json])), 28)
  losses.forEach((count, slot) => {
    bytes.writeBigUInt64LE(BigInt(count), 32 + slot * 8)
  })
  json.copy(bytes, 128)
  return bytes
}

function encodeFrames(segment: PlainSegment): Buffer[] {
  let started = segment.startedBefore ?? 0
  return segment.frames.map((frame, sequence) => {
    const { kind, payload, starts } = payloadOf(frame)
    started = frame.started ?? started + starts
    return encodeFrame(segment, { kind, payload, sequence, started, lost: frame.lost ?? 0 })
  })
}

function payloadOf(frame: PlainFrame): { kind: number; payload: Buffer; starts: number } {
  if ('records' in frame) {
    const starts = frame.records.filter(({ type }) => type === 'start' || type === 'event').length
    return { kind: 1, payload: Buffer.concat(frame.records.map(encodeRecord)), starts }
  }
  if ('json' in frame) {
    const starts = frame.json.filter(
      (record) =>
        typeof record === 'string' ||
        ['start', 'event', 'observation'].includes((record as { record?: string }).record ?? ''),
    ).length
    return { kind: 2, payload: encodeJsonRecords(frame.json, frame.parts ?? []), starts }
  }
  if ('blob' in frame) return { kind: 3, payload: encodeSlice(frame.blob), starts: 0 }
  if ('end' in frame) return { kind: 4, payload: Buffer.alloc(0), starts: 0 }
  return { kind: frame.kind, payload: frame.payload, starts: 0 }
}

function encodeFrame(
  segment: PlainSegment,
  frame: { kind: number; payload: Buffer; sequence: number; started: number; lost: number },
): Buffer {
  const { kind, payload, sequence, started, lost } = frame
  const head = Buffer.alloc(44)
  head.write('OPF1', 0, 'latin1')
  nonceOf(segment).copy(head, 4)
  head.writeUInt32LE(payload.length, 12)
  head.writeUInt32LE(sequence, 16)
  head[20] = kind
  head[21] = segment.crc ? 1 : 0
  head.writeBigUInt64LE(BigInt(started), 24)
  head.writeBigUInt64LE(BigInt(lost), 32)
  if (segment.crc) {
    head.writeUInt32LE(crc32(Buffer.concat([head.subarray(0, 40), payload])), 40)
  }
  const footer = payload.length ^ nonceOf(segment).readUInt32LE(0)
  return Buffer.concat([head, payload, words(footer >>> 0)])
}

function encodeJsonRecords(
  records: readonly (object | string)[],
  parts: readonly PlainPart[],
): Buffer {
  const lines = records.map((record) =>
    typeof record === 'string' ? record : JSON.stringify(record),
  )
  const text = Buffer.from(lines.map((line) => `${line}\n`).join(''))
  return Buffer.concat([
    words(text.length),
    padded(text),
    ...parts.flatMap(({ number, text: part, utf16 }) => {
      const bytes = Buffer.from(part, utf16 ? 'utf16le' : 'utf8')
      return [words((bytes.length << 8) | (utf16 ? 2 : 1), number), padded(bytes)]
    }),
  ])
}

function encodeSlice({ id, encoding, offset, content, last }: PlainSlice): Buffer {
  const bytes = Buffer.isBuffer(content)
    ? content
    : Buffer.from(content, encoding === 'utf16' ? 'utf16le' : 'utf8')
  const flags = (last ? 1 : 0) | (['bytes', 'utf8', 'utf16'].indexOf(encoding) << 8)
  return Buffer.concat([
    words(id, flags),
    uint64(BigInt(offset)),
    words(bytes.length),
    padded(bytes),
  ])
}

function encodeRecord(record: PlainRecord): Buffer {
  if (record.type === 'raw') return record.bytes
  const [type, body] = recordBody(record)
  return Buffer.concat([words(type | ((body.length / 4 + 1) << 8)), body])
}

function recordBody(record: Exclude<PlainRecord, { type: 'raw' }>): [type: number, body: Buffer] {
  switch (record.type) {
    case 'start':
    case 'event':
      return [record.type === 'start' ? 1 : 4, startBody(record)]
    case 'update':
      return [2, Buffer.concat([uint64(BigInt(record.serial)), encodeFields(record.fields)])]
    case 'end':
      return [
        3,
        Buffer.concat([
          uint64(BigInt(record.serial)),
          timeWords(record.time),
          encodeFields(record.fields ?? []),
        ]),
      ]
    case 'context':
      return [5, Buffer.concat([words(record.number), encodeFields(record.fields)])]
    case 'define':
      return [6, Buffer.concat(record.values.map(encodeValue))]
    case 'vitals':
      return [7, encodeValue(record.vitals)]
    case 'loss':
      return [
        8,
        Buffer.concat(
          Array.from({ length: 12 }, (_, slot) => uint64(BigInt(record.losses[slot] ?? 0))),
        ),
      ]
    case 'lostEnds':
      return [
        9,
        Buffer.concat(
          record.ends.flatMap(([serial, time]) => [uint64(BigInt(serial)), timeWords(time)]),
        ),
      ]
  }
}

function startBody(start: PlainStart): Buffer {
  const { observationType = 0, kind = 0, flags = 0, parentSpanId, context = 0 } = start
  return Buffer.concat([
    uint64(BigInt(start.serial)),
    words(observationType | (kind << 8) | (flags << 16)),
    Buffer.from(start.traceId, 'hex'),
    Buffer.from(start.spanId, 'hex'),
    Buffer.from(parentSpanId ?? '0000000000000000', 'hex'),
    timeWords(start.time),
    words(context),
    encodeValue(start.name),
    encodeFields(start.fields ?? []),
  ])
}

function encodeFields(fields: readonly PlainField[]): Buffer {
  return Buffer.concat(
    fields.map(([field, ...values]) => Buffer.concat([words(field), ...values.map(encodeValue)])),
  )
}

export function encodeValue(value: PlainValue): Buffer {
  switch (typeof value) {
    case 'undefined':
      return words(0)
    case 'boolean':
      return words(value ? 2 : 3)
    case 'number':
      return Number.isInteger(value) && Math.abs(value) < 2 ** 31 && !Object.is(value, -0)
        ? words(4, value)
        : Buffer.concat([words(5), float64(value)])
    case 'bigint':
      return sized(6, Buffer.from(String(value)))
    case 'string':
      return value.isWellFormed() ? sized(7, Buffer.from(value)) : utf16(value).bytes
  }
  if (value === null) return words(1)
  if (value instanceof Tagged) return value.bytes
  if (value instanceof Date) return Buffer.concat([words(19), float64(value.getTime())])
  if (Buffer.isBuffer(value)) return sized(15, value)
  if (value instanceof PlainEntries) return object(value.entries)
  if (Array.isArray(value)) {
    return Buffer.concat([words(17 | (value.length << 8)), ...value.map(encodeValue)])
  }
  return object(Object.entries(value as Record<string, PlainValue>))
}

function object(entries: readonly (readonly [PlainValue, PlainValue])[]): Buffer {
  return Buffer.concat([words(18 | (entries.length << 8)), ...entries.flat().map(encodeValue)])
}

export const utf16 = (text: string): Tagged => new Tagged(sized(8, Buffer.from(text, 'utf16le')))
export const name = (number: number): Tagged => new Tagged(words(9 | (number << 8)))
export const nameDefinition = (number: number, text: string): Tagged =>
  new Tagged(sized(10, Buffer.from(text), number))
export const numbered = (number: number, text: string): Tagged =>
  new Tagged(sized(11, Buffer.from(text), number))
export const numberedUtf16 = (number: number, text: string): Tagged =>
  new Tagged(sized(12, Buffer.from(text, 'utf16le'), number))
export const reference = (number: number): Tagged => new Tagged(words(13, number))
export const textBlob = (id: number): Tagged => new Tagged(words(14, id))
export const bytesBlob = (id: number): Tagged => new Tagged(words(16, id))
export const rawWords = (...numbers: number[]): Tagged => new Tagged(words(...numbers))

function sized(tag: number, bytes: Buffer, ...before: number[]): Buffer {
  return Buffer.concat([words(tag | (bytes.length << 8), ...before), padded(bytes)])
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)])
}

function timeWords(time: bigint): Buffer {
  return words(Number(time / 1_000_000_000n), Number(time % 1_000_000_000n))
}

function words(...numbers: number[]): Buffer {
  const bytes = Buffer.alloc(numbers.length * 4)
  numbers.forEach((number, index) => {
    bytes.writeInt32LE(number | 0, index * 4)
  })
  return bytes
}

function uint64(number: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(number)
  return bytes
}

function float64(number: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(number)
  return bytes
}
