// An element of the list: one record of docs/json-records.md, or a trace with its observations. It becomes lines of JSON
// records, of which the decoder rejects none: what it would, is told here, with its place in the element. All of an element
// is taken, or nothing: mended and pushed again, it is whole.
import { createHash, type Hash } from 'node:crypto'
import {
  BLOB_KEY,
  isLargeInteger,
  type Json,
  parse,
  STRING_KEY,
} from '../../decode/json-records.ts'
import { nanosOf, TimeError } from './times.ts'

/** Who an element is of: what stands in a segment's header. */
export interface Sender {
  readonly service: string | null
  readonly environment: string | null
  readonly release: string | null
  readonly host: string
  readonly language: string
  readonly sdk: { readonly name: string; readonly version: string }
  readonly resource: Readonly<Json>
}

export type Element =
  | {
      readonly type: 'records'
      readonly sender: Sender
      /** JSON records, to stand in one frame. */
      readonly lines: readonly string[]
      /** Observations that they start. */
      readonly started: number
    }
  | { readonly type: 'dead'; readonly reason: string }

/** Of an element, and of what is made of it: a frame takes 64 MB. */
export const MAX_ELEMENT_BYTES: number = 16 * 1024 * 1024
const MAX_TEXT_BYTES = 48 * 1024 * 1024
const MAX_OBSERVATIONS = 10_000
const MAX_SENDER_CHARS = 500
const MAX_RESOURCE_CHARS = 8000

const STARTING = ['start', 'event', 'observation']
const RECORDS = [...STARTING, 'update', 'end', 'score']
const OF_SEGMENTS = ['context', 'lost_ends', 'vitals', 'loss']
const SENDER_TEXTS = ['service', 'environment', 'release', 'host', 'language'] as const
/** Attributes of the trace, which may stand in a trace's object itself. */
const TRACE_KEYS = [
  'name',
  'user_id',
  'session_id',
  'tags',
  'metadata',
  'public',
  'input',
  'output',
]
/** What all observations of a trace's object have from it, unless they say otherwise. */
const SHARED_KEYS = ['environment', 'project', 'version', 'scope', 'trace_state']
const TIMES = ['start_time', 'end_time', 'completion_start_time', 'timestamp']
const UTF8 = new TextDecoder('utf-8', { fatal: true })

type IdOf = (what: string, digits: number) => string

class Malformed extends Error {}

/** Reads an element. What is no such thing is dead, for a reason that quotes nothing of it. */
export function readElement(bytes: Buffer): Element {
  try {
    if (bytes.length > MAX_ELEMENT_BYTES) {
      throw new Malformed(`has ${bytes.length} bytes; ${MAX_ELEMENT_BYTES} is the most`)
    }
    const object = objectOf(bytes)
    let hash: Hash | undefined
    // Of the element itself: one that is read twice has the same ids, and replaces itself.
    const idOf: IdOf = (what, digits) => {
      hash ??= createHash('sha256').update(bytes)
      return hash.copy().update(what).digest('hex').slice(0, digits)
    }
    const sender = senderOf(object)
    const records = Array.isArray(object.observations)
      ? traceRecords(object, idOf)
      : [
          completed(
            object,
            '',
            () => idOf('trace', 32),
            () => idOf('0', 16),
          ),
        ]
    const lines = records.map((record) => JSON.stringify(record))
    checkLines(lines)
    const started = records.filter(({ record }) => STARTING.includes(record as string)).length
    return { type: 'records', sender, lines, started }
  } catch (error) {
    if (error instanceof Malformed) return { type: 'dead', reason: error.message }
    // Of the stack, and what else hostile content may bring about.
    return { type: 'dead', reason: `cannot be read (${(error as Error).name})` }
  }
}

function objectOf(bytes: Buffer): Json {
  let text: string
  try {
    text = UTF8.decode(bytes)
  } catch {
    throw new Malformed('is not UTF-8')
  }
  try {
    return parse(text)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw new Malformed('is no JSON object')
    throw new Malformed(`is not JSON: ${syntaxFault(error.message)}`)
  }
}

/** V8's message, without what it quotes beyond a character. */
function syntaxFault(message: string): string {
  if (/^(Unexpected end|Unterminated)/.test(message)) return 'it ends too early'
  const at = /at position (\d+)/.exec(message)?.[1]
  if (at !== undefined) return `at character ${Number(at) + 1}`
  const token = /^Unexpected token '([!-~])'/.exec(message)?.[1]
  return token === undefined ? 'something else stands there' : `'${token}' stands where it must not`
}

function senderOf(object: Json): Sender {
  const texts: Partial<Record<(typeof SENDER_TEXTS)[number], string>> = {}
  for (const key of SENDER_TEXTS) {
    const value = object[key]
    if (!isGiven(value)) continue
    if (typeof value !== 'string') throw new Malformed(`${key} is ${typeName(value)}, and not text`)
    if (value.length > MAX_SENDER_CHARS) {
      throw new Malformed(`${key} has more than ${MAX_SENDER_CHARS} characters`)
    }
    texts[key] = value
  }
  const resource = object.resource ?? {}
  if (!isObject(resource)) throw new Malformed('resource is no object')
  if (JSON.stringify(resource).length > MAX_RESOURCE_CHARS) {
    throw new Malformed(`resource has more than ${MAX_RESOURCE_CHARS} characters`)
  }
  const { name, version } = isObject(object.sdk) ? object.sdk : {}
  return {
    service: texts.service ?? null,
    environment: texts.environment ?? null,
    release: texts.release ?? null,
    host: texts.host ?? '',
    language: texts.language ?? '',
    sdk: { name: shortText(name) ?? 'redis-list', version: shortText(version) ?? '' },
    resource,
  }
}

/** Shared attributes stand once, as a context that the observations name: they may be large, and the observations many. */
function traceRecords(object: Json, idOf: IdOf): Json[] {
  if (isGiven(object.record)) throw new Malformed('has observations, so it has no record')
  const observations = object.observations as unknown[]
  if (observations.length === 0) throw new Malformed('observations is empty')
  if (observations.length > MAX_OBSERVATIONS) {
    throw new Malformed(`has ${observations.length} observations; ${MAX_OBSERVATIONS} is the most`)
  }
  if (isGiven(object.trace) && !isObject(object.trace)) throw new Malformed('trace is no object')
  const traceId = isGiven(object.trace_id)
    ? hexOf(object.trace_id, 'trace_id', 32)
    : idOf('trace', 32)
  const trace = { ...pick(object, TRACE_KEYS), ...(object.trace as Json | undefined) }
  const context = { ...pick(object, SHARED_KEYS), trace }
  const records = observations.map((one, index): Json => {
    const place = `observations[${index}]`
    if (!isObject(one)) throw new Malformed(`${place} is no object`)
    const record = completed(
      one,
      `${place}.`,
      () => traceId,
      () => idOf(String(index), 16),
    )
    if (!STARTING.includes(record.record as string) || record.record === 'start') {
      throw new Malformed(`${place}.record: within a trace an observation is whole`)
    }
    return { ...record, context: 1 }
  })
  return [{ record: 'context', context: 1, ...context }, ...records]
}

/** The record as the decoder takes it: what was left out is there, ids and times are as they have to be. */
function completed(given: Json, place: string, traceId: () => string, newId: () => string): Json {
  const record: Json = { ...given, record: kindOf(given, place) }
  for (const key of ['service', 'release', 'host', 'language', 'sdk', 'resource'])
    delete record[key]
  if (isGiven(record.context)) {
    throw new Malformed(`${place}context is for segments of a spool: write the fields themselves`)
  }
  for (const key of TIMES) {
    if (isGiven(record[key])) record[key] = timeOf(record[key], place + key)
  }
  const starts = STARTING.includes(record.record as string)
  const isWhole = starts && record.record !== 'start'
  const needs = (key: string): void => {
    if (!isGiven(record[key])) throw new Malformed(`${place}${key} is missing`)
  }
  if (record.record === 'score') {
    score(record, place, newId)
    return record
  }
  if (starts) needs('start_time')
  if (record.record === 'observation' || record.record === 'end') needs('end_time')
  if (!isWhole) needs('span_id')
  if (record.record === 'start') needs('trace_id')
  record.span_id = isGiven(record.span_id) ? hexOf(record.span_id, `${place}span_id`, 16) : newId()
  if (starts) {
    record.trace_id = isGiven(record.trace_id)
      ? hexOf(record.trace_id, `${place}trace_id`, 32)
      : traceId()
    // As some libraries say that there is none.
    if (record.parent_span_id === '') delete record.parent_span_id
    if (isGiven(record.parent_span_id)) {
      record.parent_span_id = hexOf(record.parent_span_id, `${place}parent_span_id`, 16)
    }
  }
  eachOf(record, 'events', place, (event, at) => {
    return { ...event, time: timeOf(event.time, `${at}.time`) }
  })
  eachOf(record, 'links', place, (link, at) => ({
    ...link,
    trace_id: hexOf(link.trace_id, `${at}.trace_id`, 32),
    span_id: hexOf(link.span_id, `${at}.span_id`, 16),
  }))
  return record
}

function kindOf({ record, type, end_time, start_time }: Json, place: string): string {
  if (!isGiven(record)) {
    if (isGiven(end_time)) return 'observation'
    if (type === 'event') return 'event'
    if (isGiven(start_time)) {
      throw new Malformed(`${place}end_time is missing: without it, say "record":"start"`)
    }
    throw new Malformed(`${place}start_time and end_time are missing, and so is record`)
  }
  if (RECORDS.includes(record as string)) return record as string
  if (OF_SEGMENTS.includes(record as string)) {
    throw new Malformed(`${place}record "${record}" is for segments of a spool`)
  }
  throw new Malformed(`${place}record is none of ${RECORDS.join(', ')}`)
}

function score(record: Json, place: string, newId: () => string): void {
  if (!isGiven(record.id)) record.id = newId()
  if (typeof record.value === 'boolean') record.value = record.value ? 1 : 0
  for (const key of ['id', 'name']) {
    if (typeof record[key] !== 'string' || record[key] === '') {
      throw new Malformed(`${place}${key} of a score is missing, or no text`)
    }
  }
  if (typeof record.value !== 'number' && typeof record.value !== 'string') {
    if (!isLargeInteger(record.value)) throw new Malformed(`${place}value is no number and no text`)
  }
  if (!isGiven(record.timestamp)) throw new Malformed(`${place}timestamp is missing`)
}

function eachOf(
  record: Json,
  key: string,
  place: string,
  change: (one: Json, at: string) => Json,
): void {
  const list = record[key]
  if (!Array.isArray(list)) return
  record[key] = list.map((one, index) => {
    return isObject(one) ? change(one, `${place}${key}[${index}]`) : one
  })
}

function timeOf(value: unknown, place: string): string {
  try {
    return nanosOf(isLargeInteger(value) ? value.rawJSON : value)
  } catch (error) {
    if (error instanceof TimeError) throw new Malformed(`${place} ${error.message}`)
    throw error
  }
}

/** Upper case and the dashes of a UUID are no harm. */
function hexOf(value: unknown, place: string, digits: number): string {
  const text = typeof value === 'string' ? value.replaceAll('-', '').toLowerCase() : ''
  if (text.length !== digits || !/^[0-9a-f]*[1-9a-f][0-9a-f]*$/.test(text)) {
    throw new Malformed(`${place} is not ${digits} hex digits, or all of them are 0`)
  }
  return text
}

/** Parts and blobs are there in segments alone: an observation would wait for them for ever. */
function checkLines(lines: readonly string[]): void {
  let bytes = 0
  for (const line of lines) {
    bytes += Buffer.byteLength(line)
    if (!line.includes(`"${STRING_KEY}":`) && !line.includes(`"${BLOB_KEY}":`)) continue
    JSON.parse(line, (_key, value) => {
      if (!isObject(value)) return value
      const [key, ...more] = Object.keys(value)
      if (more.length === 0 && (key === STRING_KEY || key === BLOB_KEY)) {
        throw new Malformed(`${key} is for segments of a spool: write the value itself`)
      }
      return value
    })
  }
  if (bytes > MAX_TEXT_BYTES) throw new Malformed(`comes to more than ${MAX_TEXT_BYTES} bytes`)
}

function pick(object: Json, keys: readonly string[]): Json {
  return Object.fromEntries(
    keys.flatMap((key) => (isGiven(object[key]) ? [[key, object[key]]] : [])),
  )
}

function shortText(value: unknown): string | undefined {
  return typeof value === 'string' && value.length <= MAX_SENDER_CHARS ? value : undefined
}

function typeName(value: unknown): string {
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null
}

function isObject(value: unknown): value is Json {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !isLargeInteger(value)
  )
}
