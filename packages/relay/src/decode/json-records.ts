import { FIELD, LOSS_REASONS, LOSS_SLOTS, OBSERVATION_TYPES } from '@offpath/sdk/spool-format'
import type { Assembler } from '../assemble/assembler.ts'
import { OpenSpan, type SpanKey } from '../assemble/open-span.ts'
import { isoTime } from '../iso-time.ts'
import { HEAD, HEAD_BITS } from '../store/layout.ts'
import type { NewScore } from '../store/scores.ts'
import { severityOf } from '../store/span.ts'
import { cutDeep, MAX_DEPTH, mayBeDeep } from './depth.ts'
import type { FieldWriter } from './field-writer.ts'
import { isMediaSource, isMediaType, mediaHead } from './media-head.ts'
import {
  type FrameCount,
  MAX_VITALS_CHARS,
  newFrameCount,
  type Payload,
  type RecordDecoder,
} from './records.ts'
import { LOST_MARKER, type Tables } from './tables.ts'

// JSON records: docs/json-records.md. One object a line; long strings lie behind the text as parts.

export const STRING_KEY = '$offpath:string'
export const BLOB_KEY = '$offpath:blob'
const MEDIA_KEY = '$offpath:media'
const OBJECT_KEY = '$offpath:object'
const KINDS = ['internal', 'server', 'client', 'producer', 'consumer']
const STATUS_CODES = ['unset', 'ok', 'error']
const LEVELS = ['DEBUG', 'DEFAULT', 'WARNING', 'ERROR']
const FLAGS = ['remote_parent', 'app_root', 'as_root']
const PART_UTF16 = 2

export type Json = Record<string, unknown>

type ValueType = 'any' | 'text' | 'object' | 'boolean' | 'integer' | 'level'
type Field = readonly [key: string, type: ValueType, field: number]

const VALUES: readonly Field[] = [
  ['input', 'any', FIELD.input],
  ['output', 'any', FIELD.output],
  ['level', 'level', FIELD.level],
  ['status_message', 'text', FIELD.statusMessage],
  ['version', 'text', FIELD.version],
  ['environment', 'text', FIELD.environment],
  ['model', 'text', FIELD.model],
  ['model_parameters', 'object', FIELD.modelParameters],
  ['usage_details', 'object', FIELD.usageDetails],
  ['cost_details', 'object', FIELD.costDetails],
  ['project', 'text', FIELD.project],
  ['trace_state', 'text', FIELD.traceState],
]
const TRACE_VALUES: readonly Field[] = [
  ['name', 'text', FIELD.traceName],
  ['user_id', 'text', FIELD.userId],
  ['session_id', 'text', FIELD.sessionId],
  ['public', 'boolean', FIELD.tracePublic],
  ['input', 'any', FIELD.traceInput],
  ['output', 'any', FIELD.traceOutput],
]
const PROMPT_VALUES: readonly Field[] = [
  ['name', 'text', FIELD.promptName],
  ['version', 'integer', FIELD.promptVersion],
]

/** Fields of a score, and what Langfuse's API calls them. */
const SCORE_TEXTS: readonly (readonly [field: string, name: string])[] = [
  ['trace_id', 'traceId'],
  ['session_id', 'sessionId'],
  ['observation_id', 'observationId'],
  ['dataset_run_id', 'datasetRunId'],
  ['data_type', 'dataType'],
  ['comment', 'comment'],
  ['config_id', 'configId'],
  ['environment', 'environment'],
]

class MalformedRecord extends Error {}

export class JsonDecoder {
  /** References so far that led nowhere. */
  dangling = 0
  readonly #assembler: Assembler
  readonly #fields: FieldWriter
  readonly #records: RecordDecoder
  #tables!: Tables
  #count: FrameCount = newFrameCount()
  /** Whether the line refers to strings or blobs at all: most do not. */
  #refers = false

  /** Numbered strings are stored by the decoder of binary records. */
  constructor(assembler: Assembler, records: RecordDecoder) {
    this.#assembler = assembler
    this.#fields = assembler.fields
    this.#records = records
  }

  /** As RecordDecoder.records. */
  records(
    payload: Payload,
    tables: Tables,
    wanted: ((key: SpanKey) => boolean) | null,
  ): FrameCount {
    this.#tables = tables
    const count = newFrameCount()
    this.#count = count
    const text = textOf(payload.bytes, payload.from << 2, payload.to << 2)
    if (text === null) {
      count.malformed++
      return count
    }
    this.#records.setPayload(payload, tables)
    if (!this.#parts(payload, text.end)) count.malformed++
    for (const line of text.lines) {
      count.records++
      const piece = this.#assembler.beginPiece()
      try {
        this.#record(piece, line, wanted)
      } catch {
        // Malformed, nested beyond the stack, or with a `toString` of its own: the next one is tried.
        this.#assembler.dropPiece(piece)
        count.malformed++
      }
    }
    return count
  }

  /** Keys of observations that end in a frame. */
  ends(bytes: Buffer, from: number, to: number, ended: Set<SpanKey>): void {
    for (const line of textOf(bytes, from, to)?.lines ?? []) {
      try {
        const record = parse(line)
        const { record: type } = record
        if (type === 'end' || type === 'event' || type === 'observation') {
          ended.add(String(record.span_id))
        }
        for (const { span_id } of lostEnds(record)) ended.add(String(span_id))
      } catch {
        // Was counted when it was read first.
      }
    }
  }

  /** Takes in the strings behind the text. */
  #parts({ bytes, to, base }: Payload, from: number): boolean {
    const end = to << 2
    let at = from
    while (at + 8 <= end) {
      const head = bytes.readUInt32LE(at)
      const length = head >>> 8
      if (at + 8 + length > end) return false
      this.#tables.strings.set(bytes.readUInt32LE(at + 4), {
        offset: base + at + 8,
        length,
        utf16: (head & 255) === PART_UTF16,
        text: null,
        json: null,
      })
      at += 8 + ((length + 3) & ~3)
    }
    return at === end
  }

  #record(piece: number, line: string, wanted: ((key: SpanKey) => boolean) | null): void {
    const record = parse(line)
    this.#refers = line.includes('"$offpath:')
    switch (record.record) {
      case 'start':
      case 'event':
      case 'observation': {
        const key = keyOf(record)
        if (wanted !== null && !wanted(key)) break
        this.#start(piece, key, record)
        this.#count.started++
        return
      }
      case 'update': {
        const key = keyOf(record)
        if (wanted !== null && !wanted(key)) break
        this.#update(piece, key, record)
        return
      }
      case 'end': {
        const key = keyOf(record)
        // Before the fields: an end without a time changes nothing.
        const time = timeOf(record.end_time)
        if (wanted !== null && !wanted(key)) break
        this.#update(piece, key, record)
        this.#end(key, time)
        return
      }
      case 'lost_ends':
        for (const lost of lostEnds(record)) {
          const key = keyOf(lost)
          const time = timeOf(lost.end_time)
          if (wanted === null || wanted(key)) this.#end(key, time)
        }
        break
      case 'context':
        this.#records.keepContext(contextNumber(record), () => this.#putFields(null, record))
        break
      case 'vitals':
        if (line.length > MAX_VITALS_CHARS) throw new MalformedRecord()
        if (wanted === null) this.#count.vitals.push(line)
        break
      case 'score': {
        const score = this.#score(record)
        if (wanted === null) this.#count.scores.push(score)
        break
      }
      case 'loss':
        if (wanted === null) {
          this.#count.losses = lossesOf(record.totals)
          if (isGiven(record.scores)) this.#count.lostScores = lossesOf(record.scores)
        }
        break
      default:
        if (typeof record.record !== 'string') throw new MalformedRecord()
        this.#count.unknown++
    }
    this.#assembler.dropPiece(piece)
  }

  #start(piece: number, key: string, record: Json): void {
    const { out } = this.#fields
    const { words, bytes, at } = out
    const parent = record.parent_span_id ?? null
    const type = OBSERVATION_TYPES.indexOf((record.type ?? 'span') as never)
    const kind = KINDS.indexOf((record.kind ?? 'internal') as string)
    if (type < 0) this.#leaveOut()
    if (kind < 0) this.#leaveOut()
    for (const flag of FLAGS) this.#check(record[flag], 'boolean')
    const flags =
      (record.remote_parent === true ? 1 : 0) |
      (record.app_root === true ? 2 : 0) |
      (record.as_root === true ? 4 : 0)
    const [seconds, nanos] = timeOf(record.start_time)
    words.fill(0, at, at + HEAD.words)
    words[at + HEAD.kinds] = (Math.max(0, kind) << 8) | (flags << 16)
    words[at + HEAD.bits] = parent === null ? 0 : HEAD_BITS.parent
    putHex(bytes, (at + HEAD.traceId) << 2, record.trace_id, 16)
    putHex(bytes, (at + HEAD.spanId) << 2, record.span_id, 8)
    if (parent !== null) putHex(bytes, (at + HEAD.parentSpanId) << 2, parent, 8)
    words[at + HEAD.start] = seconds
    words[at + HEAD.start + 1] = nanos
    out.at = at + HEAD.words
    out.text(this.#check(record.name, 'text', false) ? (record.name as string) : '')

    const { writer } = this.#assembler
    const span = new OpenSpan(key, Math.max(0, type), writer.segment)
    if (record.context !== undefined) this.#records.useContext(contextNumber(record))
    const isEvent = record.record === 'event'
    const isWhole = record.record === 'observation'
    const end = isWhole ? timeOf(record.end_time) : null
    this.#putFields(span, { ...record, name: undefined, type: undefined })
    writer.sawTime(seconds, nanos)
    this.#assembler.addPiece(span, piece)
    this.#assembler.start(span)
    if (isEvent) this.#assembler.end(key, seconds, nanos)
    if (end === null) return
    writer.sawTime(...end)
    this.#assembler.end(key, ...end)
  }

  #update(piece: number, key: string, record: Json): void {
    const { writer } = this.#assembler
    const span = writer.open.get(key) ?? writer.given.get(key)
    if (span === undefined || span.ended) {
      this.#assembler.dropPiece(piece)
      if (record.record === 'update') this.#count.orphans++
      return
    }
    this.#putFields(span, record)
    this.#assembler.addPiece(span, piece)
  }

  #end(key: string, [seconds, nanos]: readonly [number, number]): void {
    this.#assembler.writer.sawTime(seconds, nanos)
    if (!this.#assembler.end(key, seconds, nanos)) this.#count.orphans++
  }

  // --- fields ---

  #putFields(span: OpenSpan | null, record: Json): void {
    const { name, type, level, status } = record
    if (this.#check(name, 'text', false)) this.#put(FIELD.name, name)
    if (span !== null && isGiven(type)) {
      const index = OBSERVATION_TYPES.indexOf(type as never)
      if (index >= 0) this.#assembler.setType(span, index)
      else this.#leaveOut()
    }
    if (span !== null && LEVELS.includes(level as string)) span.level = severityOf(level as string)
    this.#each(VALUES, record)
    this.#entries(FIELD.metadata, record.metadata)
    if (isGiven(record.completion_start_time)) {
      const [seconds, nanos] = timeOf(record.completion_start_time)
      // Whole milliseconds as a Date's JSON has them.
      const time = isoTime(seconds, nanos).replace(/000000Z$/, 'Z')
      this.#putJson(FIELD.completionStartTime, time)
    }
    if (this.#check(record.prompt, 'object')) this.#each(PROMPT_VALUES, record.prompt as Json)
    if (this.#check(record.trace, 'object')) this.#trace(record.trace as Json)
    if (this.#check(record.attributes, 'object')) {
      this.#entries(FIELD.attribute, record.attributes)
    }
    if (this.#check(status, 'object')) this.#status(span, status as Json)
    if (this.#check(record.scope, 'object')) this.#scope(record.scope as Json)
    for (const event of this.#objects(record.events)) this.#event(event)
    for (const link of this.#objects(record.links)) this.#link(link)
  }

  #each(fields: readonly Field[], object: Json): void {
    for (const [key, type, field] of fields) {
      if (this.#check(object[key], type)) this.#put(field, object[key])
    }
  }

  #trace(trace: Json): void {
    const { metadata, tags } = trace
    this.#each(TRACE_VALUES, trace)
    this.#entries(FIELD.traceMetadata, metadata)
    if (!isGiven(tags)) return
    if (!Array.isArray(tags) || tags.some((tag) => typeof tag !== 'string')) this.#leaveOut()
    else if (tags.length > 0) {
      this.#fields.open(FIELD.tags)
      this.#fields.strings(tags)
    }
  }

  #status(span: OpenSpan | null, { code, message }: Json): void {
    if (isGiven(code)) {
      const number = statusCodeOf(code)
      if (number < 0) this.#leaveOut()
      else if (span !== null) this.#assembler.setStatusCode(span, number)
    }
    if (this.#check(message, 'text', false)) this.#put(FIELD.statusDescription, message)
  }

  /** It has its id and time from its writer, so that it replaces itself when it is delivered twice. */
  #score(record: Json): NewScore {
    const { id, name, value, metadata, timestamp, project } = record
    if (!isName(id) || !isName(name) || !isScoreValue(value)) throw new MalformedRecord()
    const [seconds, nanos] = timeOf(timestamp)
    const { environment } = this.#assembler.writer.resource
    const score: Json = { id, name, value, ...(environment !== null && { environment }) }
    for (const [field, known] of SCORE_TEXTS) {
      if (this.#check(record[field], 'text', false)) score[known] = record[field]
    }
    // Microseconds, as Langfuse's SDK sends.
    score.timestamp = isoTime(seconds, nanos).replace(/...Z$/, 'Z')
    if (isGiven(metadata)) score.metadata = metadata
    return {
      project: this.#check(project, 'text', false) ? (project as string) : '',
      json: JSON.stringify(score),
    }
  }

  #leaveOut(): void {
    this.#count.malformedFields++
  }

  /** Whether a value is there and of its type; one that is not is counted. Some text may be a reference. */
  #check(value: unknown, type: ValueType, mayRefer = true): boolean {
    if (!isGiven(value)) return false
    if (type === 'any' || isOf(value, type)) return true
    if (type === 'text' && mayRefer && this.#isReference(value)) return true
    this.#leaveOut()
    return false
  }

  /** The objects of a list. */
  #objects(list: unknown): Json[] {
    if (!isGiven(list)) return []
    const objects = arrayOf(list)
    if (!Array.isArray(list)) this.#leaveOut()
    else this.#count.malformedFields += list.length - objects.length
    return objects
  }

  /** Metadata that is no object stands as it is. */
  #entries(field: number, value: unknown): void {
    if (!isOf(value, 'object') || this.#isReference(value)) {
      this.#put(field, value)
      return
    }
    const object = plainObject(value as Json)
    for (const key in object) {
      this.#fields.open(field)
      this.#fields.key(key)
      this.#value(object[key], field !== FIELD.attribute)
    }
  }

  #scope({ name, version, attributes }: Json): void {
    const scope = [
      this.#check(name, 'text', false) ? name : '',
      this.#check(version, 'text', false) ? version : null,
      this.#check(attributes, 'object') ? attributes : {},
    ]
    this.#putJson(FIELD.scope, scope)
  }

  #event({ name, time, attributes }: Json): void {
    const [seconds, nanos] = timeOf(time)
    const text = this.#check(name, 'text', false) ? (name as string) : ''
    this.#fields.openEvent(FIELD.event, text, seconds, nanos)
    this.#attributes(attributes)
    this.#fields.endEvent()
  }

  #link(link: Json): void {
    const { trace_id, span_id, flags, attributes } = link
    const fields = this.#fields
    const bits = this.#check(flags, 'integer') ? (flags as number) : 1
    if (!fields.openLink(FIELD.link, String(trace_id), String(span_id), bits | 0)) {
      throw new MalformedRecord()
    }
    this.#attributes(attributes)
    fields.endLink()
  }

  #attributes(attributes: unknown): void {
    this.#fields.beginParts(true)
    this.#json(this.#check(attributes, 'object') ? attributes : {})
    this.#fields.closeParts()
  }

  // --- values ---

  #put(field: number, value: unknown): void {
    if (!isGiven(value)) return
    this.#fields.open(field)
    this.#value(value, false)
  }

  #putJson(field: number, value: unknown): void {
    this.#fields.open(field)
    this.#jsonValue(value)
  }

  #value(value: unknown, nullCounts: boolean): void {
    const fields = this.#fields
    switch (typeof value) {
      case 'string':
        fields.text(value)
        return
      case 'boolean':
        fields.boolean(value)
        return
      case 'number':
        this.#number(value)
        return
    }
    if (value === null || value === undefined) {
      if (nullCounts) this.#jsonValue(null)
      else fields.drop()
    } else if (isLargeInteger(value)) fields.bigint(value.rawJSON)
    else if (this.#isReference(value)) {
      fields.beginParts(false)
      this.#reference(value as Json)
      fields.endParts()
    } else this.#jsonValue(value)
  }

  #number(value: number): void {
    if ((value | 0) === value && !Object.is(value, -0)) this.#fields.int(value)
    else if (Number.isSafeInteger(value) && value !== 0) this.#fields.bigint(String(value))
    else {
      double.writeDoubleLE(value)
      this.#fields.double(double.readInt32LE(0), double.readInt32LE(4))
    }
  }

  #jsonValue(value: unknown): void {
    this.#fields.beginParts(true)
    this.#json(value)
    this.#fields.endParts()
  }

  #json(value: unknown): void {
    const fields = this.#fields
    if (!this.#refers || typeof value !== 'object' || value === null || isLargeInteger(value)) {
      fields.putText(JSON.stringify(value))
      return
    }
    if (this.#isReference(value)) {
      fields.putAscii('"')
      this.#reference(value as Json)
      fields.putAscii('"')
      return
    }
    if (Array.isArray(value)) {
      fields.putAscii('[')
      value.forEach((item, index) => {
        if (index > 0) fields.putAscii(',')
        this.#json(item)
      })
      fields.putAscii(']')
      return
    }
    const object = plainObject(value as Json)
    let before = '{'
    for (const key in object) {
      fields.putText(`${before}${JSON.stringify(key)}:`)
      this.#json(object[key])
      before = ','
    }
    fields.putAscii(before === '{' ? '{}' : '}')
  }

  #isReference(value: unknown): boolean {
    if (!this.#refers || !isObject(value)) return false
    const keys = Object.keys(value)
    if (keys.length !== 1) return false
    return keys[0] === STRING_KEY || keys[0] === BLOB_KEY || isMedia(value[MEDIA_KEY])
  }

  /** A data URI, which says where it came from: exporters know it by that. */
  #media({ content_type, data, source }: Json): void {
    if (!isMediaType(content_type)) this.#leaveOut()
    if (!isMediaSource(source)) this.#leaveOut()
    this.#fields.putAscii(mediaHead(content_type, source))
    if (typeof data === 'string') {
      // What is no base64 must not end the string that it is in.
      this.#fields.putText(this.#fields.isJson ? JSON.stringify(data).slice(1, -1) : data)
    } else this.#reference(data as Json, true)
  }

  #reference(reference: Json, bare = false): void {
    const fields = this.#fields
    const media = reference[MEDIA_KEY]
    if (media !== undefined) {
      this.#media(media as Json)
      return
    }
    const blob = reference[BLOB_KEY]
    if (blob !== undefined) {
      const id = Number(blob) | 0
      this.#assembler.writer.blobs.name(id, this.#tables.segment, fields.isJson)
      fields.hole(id, bare)
      return
    }
    const place = this.#records.placeOfString(Number(reference[STRING_KEY]))
    if (place !== null) fields.place(place)
    else {
      this.dangling++
      fields.putAscii(LOST_MARKER)
    }
  }
}

const double = Buffer.alloc(8)

/** Content with its type: `data` is bytes of a blob, or base64. */
function isMedia(value: unknown): value is Json {
  if (!isObject(value)) return false
  const { data } = value
  return typeof data === 'string' || (isObject(data) && isContent(data))
}

function isContent(data: Json): boolean {
  const keys = Object.keys(data)
  return keys.length === 1 && (keys[0] === STRING_KEY || keys[0] === BLOB_KEY)
}

function textOf(bytes: Buffer, from: number, to: number): { lines: string[]; end: number } | null {
  if (to - from < 4) return null
  const length = bytes.readUInt32LE(from)
  const end = from + 4 + ((length + 3) & ~3)
  if (length > to - from - 4 || end > to) return null
  const text = bytes.toString('utf8', from + 4, from + 4 + length)
  return { lines: text.split('\n').filter((line) => line.trim() !== ''), end }
}

/** What JSON.parse gives for an integer that a number can't hold, by the reviver below. */
export interface LargeInteger {
  readonly rawJSON: string
}

// ES2026; in Node since 21.
const { rawJSON, isRawJSON } = JSON as unknown as {
  rawJSON(text: string): LargeInteger
  isRawJSON(value: unknown): value is LargeInteger
}

export function isLargeInteger(value: unknown): value is LargeInteger {
  return isRawJSON(value)
}

/**
 * A record's object: integers that a number can't hold stay exact, and what is nested too deep is cut.
 *
 * @throws an Error when the text is no JSON object
 */
export function parse(line: string): Json {
  const isDeep = mayBeDeep(line)
  let value: unknown
  try {
    // A reviver is slow: only where a long number stands outside of quotes.
    value = /[^"\d]\d{16}/.test(line)
      ? JSON.parse(line, exactIntegers as (key: string, value: unknown) => unknown)
      : JSON.parse(line)
  } catch (error) {
    // A reviver recurses, where parsing alone does not: so deep, integers are rounded.
    if (!isDeep || !(error instanceof RangeError)) throw error
    value = JSON.parse(line)
  }
  if (!isObject(value)) throw new MalformedRecord()
  // The record is a level itself.
  return isDeep ? (cutDeep(value, MAX_DEPTH + 1) as Json) : value
}

function exactIntegers(_key: string, value: unknown, context: { source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value
  const { source = '' } = context
  return /^-?\d+$/.test(source) ? rawJSON(source) : value
}

function isName(value: unknown): boolean {
  return typeof value === 'string' && value !== ''
}

function isScoreValue(value: unknown): boolean {
  return typeof value === 'number' || typeof value === 'string' || isLargeInteger(value)
}

/** Null and missing fields change nothing. */
function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null
}

function isOf(value: unknown, type: Exclude<ValueType, 'any'>): boolean {
  switch (type) {
    case 'text':
      return typeof value === 'string'
    case 'object':
      return isObject(value) && !isLargeInteger(value)
    case 'boolean':
      return typeof value === 'boolean'
    case 'integer':
      return Number.isSafeInteger(value)
    case 'level':
      return LEVELS.includes(value as string)
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** An object that looks like a reference and is none stands in another one. */
function plainObject(value: Json): Json {
  const inner = value[OBJECT_KEY]
  return isObject(inner) && Object.keys(value).length === 1 ? inner : value
}

function arrayOf(value: unknown): Json[] {
  return Array.isArray(value) ? value.filter((one) => isOf(one, 'object')) : []
}

function lostEnds(record: Json): Json[] {
  return record.record === 'lost_ends' ? arrayOf(record.ends) : []
}

function lossesOf(totals: unknown): number[] {
  const losses = new Array<number>(LOSS_SLOTS).fill(0)
  LOSS_REASONS.forEach((reason, slot) => {
    if (isObject(totals) && typeof totals[reason] === 'number') losses[slot] = totals[reason]
  })
  return losses
}

/** 0 unset, 1 ok, 2 error, given as a number or by name; -1: neither. */
function statusCodeOf(code: unknown): number {
  return code === 0 || code === 1 || code === 2 ? code : STATUS_CODES.indexOf(code as string)
}

/** An observation's id within its writer. */
function keyOf({ span_id }: Json): string {
  if (typeof span_id !== 'string' || !/^[0-9a-f]{16}$/.test(span_id)) throw new MalformedRecord()
  return span_id
}

function contextNumber({ context }: Json): number {
  if (!Number.isSafeInteger(context) || (context as number) < 1) throw new MalformedRecord()
  return context as number
}

function putHex(bytes: Buffer, at: number, value: unknown, length: number): void {
  if (typeof value !== 'string' || value.length !== length * 2 || !/^[0-9a-f]+$/.test(value)) {
    throw new MalformedRecord()
  }
  bytes.write(value, at, 'hex')
}

/** Seconds and nanoseconds of a decimal string of nanoseconds since 1970. */
function timeOf(value: unknown): [seconds: number, nanos: number] {
  if (typeof value !== 'string' || !/^\d{1,20}$/.test(value)) throw new MalformedRecord()
  const seconds = Number(value.slice(0, -9))
  if (seconds > 0xffff_ffff) throw new MalformedRecord()
  return [seconds, Number(value.slice(-9))]
}
