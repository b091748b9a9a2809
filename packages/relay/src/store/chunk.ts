import { FIELD } from '@offpath/sdk/spool-format'
import {
  fieldWords,
  HEAD,
  HEAD_BITS,
  KIND,
  NO_TEXT,
  NO_TOKENS,
  PART,
  PART_LENGTH,
  payloadAt,
  spanWords,
  TRACE,
  textWords,
} from './layout.ts'
import type {
  Part,
  Plain,
  Resource,
  Scope,
  StoredEvent,
  StoredField,
  StoredLink,
  StoredSpan,
  Value,
} from './span.ts'
import type { Tokens } from './tokens.ts'

/** Loads parts of values that are looked into at once, as those of scopes and events. */
export type LoadText = (parts: readonly Part[]) => string

/** Memory for a chunk's bytes, aligned. */
export function allocateChunk(bytes: number): Buffer {
  return Buffer.from(new ArrayBuffer((bytes + 3) & ~3), 0, bytes)
}

/**
 * The spans that lie one behind the other in `bytes` (see layout.ts), in their order; with `traceId`, those of that
 * trace. Ids and inline parts are views of `bytes`. Throws a RangeError when they are no chunk.
 */
export function readSpans(
  bytes: Buffer,
  resource: Resource,
  load: LoadText,
  traceId?: Buffer,
): StoredSpan[] {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2)
  const spans: StoredSpan[] = []
  for (let at = 0; at < words.length; ) {
    const length = spanWords(words, at)
    const id = (at + HEAD.traceId) << 2
    if (traceId === undefined || traceId.compare(bytes, id, id + 16) === 0) {
      spans.push(readSpan(bytes, words, at, at + length, resource, load))
    }
    at += length
  }
  return spans
}

/** What tells a span from others, which version it is, and when it ended. */
export interface SpanHead {
  readonly traceId: Buffer
  readonly spanId: Buffer
  readonly startSeconds: number
  readonly startNanos: number
  /** Ms since 1970. */
  readonly end: number
  readonly revision: number
}

/** Heads of the spans that `readSpans` reads, in their order: all that it takes to choose some. */
export function readHeads(bytes: Buffer): SpanHead[] {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2)
  const heads: SpanHead[] = []
  for (let at = 0; at < words.length; ) {
    const length = spanWords(words, at)
    const id = (at + HEAD.traceId) << 2
    heads.push({
      traceId: bytes.subarray(id, id + 16),
      spanId: bytes.subarray(id + 16, id + 24),
      startSeconds: (words[at + HEAD.start] as number) >>> 0,
      startNanos: (words[at + HEAD.start + 1] as number) >>> 0,
      end: milliseconds(words, at + HEAD.end),
      revision: (words[at + HEAD.bits] as number) >>> 8,
    })
    at += length
  }
  return heads
}

/** A StoredSpan while it is read. */
type Reading = { -readonly [K in keyof StoredSpan]: StoredSpan[K] }

function readSpan(
  bytes: Buffer,
  words: Int32Array,
  start: number,
  end: number,
  resource: Resource,
  load: LoadText,
): StoredSpan {
  const kinds = words[start + HEAD.kinds] as number
  const bits = words[start + HEAD.bits] as number
  const id = (start + HEAD.traceId) << 2
  const fields: StoredField[] = []
  const span: Reading = {
    traceId: bytes.subarray(id, id + 16),
    spanId: bytes.subarray(id + 16, id + 24),
    parentSpanId: (bits & HEAD_BITS.parent) !== 0 ? bytes.subarray(id + 24, id + 32) : null,
    name: cachedText(bytes, words, start + HEAD.words),
    type: kinds & 255,
    kind: (kinds >>> 8) & 255,
    startFlags: (kinds >>> 16) & 255,
    statusCode: kinds >>> 24,
    startSeconds: (words[start + HEAD.start] as number) >>> 0,
    startNanos: (words[start + HEAD.start + 1] as number) >>> 0,
    endSeconds: (words[start + HEAD.end] as number) >>> 0,
    endNanos: (words[start + HEAD.end + 1] as number) >>> 0,
    interrupted: (bits & HEAD_BITS.interrupted) !== 0,
    revision: bits >>> 8,
    statusDescription: '',
    project: null,
    scope: null,
    resource,
    fields,
    events: NONE,
    links: NONE,
    traceState: '',
  }
  let at = start + HEAD.words
  at += textWords(words, at)
  while (at < end) {
    const head = words[at] as number
    const field = head & 255
    const payload = payloadAt(words, at)
    switch (field) {
      case FIELD.name:
        span.name = textOf(bytes, words, at, load)
        break
      case FIELD.statusDescription:
        span.statusDescription = textOf(bytes, words, at, load)
        break
      case FIELD.project:
        span.project = textOf(bytes, words, at, load)
        break
      case FIELD.traceState:
        span.traceState = textOf(bytes, words, at, load)
        break
      case FIELD.scope:
        span.scope = scopeOf(textOf(bytes, words, at, load))
        break
      case FIELD.event: {
        const event = readEvent(bytes, words, payload, load)
        if (span.events.length === 0) span.events = [event]
        else (span.events as StoredEvent[]).push(event)
        break
      }
      case FIELD.link: {
        const link = readLink(bytes, words, payload, load)
        if (span.links.length === 0) span.links = [link]
        else (span.links as StoredLink[]).push(link)
        break
      }
      default: {
        const value = readValue(bytes, words, payload, (head >>> 8) & 255)
        if (head >>> 16 === 0) fields.push({ field, value })
        else {
          const from = (at + 1) << 2
          fields.push({ field, key: cached(bytes, from, (head >>> 16) - 1), value })
        }
      }
    }
    at += fieldWords(words, at)
  }
  if (at !== end) throw new RangeError(`a span ends at word ${at}, not ${end}`)
  return span
}

/** Most spans have no events and no links. Frozen, so that nobody adds to all of them. */
const NONE: readonly never[] = Object.freeze([])

function readValue(bytes: Buffer, words: Int32Array, at: number, kind: number): Value {
  switch (kind) {
    case KIND.text: {
      const length = words[at] as number
      const from = (at + 1) << 2
      return { type: 'text', parts: [bytes.subarray(from, from + length)], length }
    }
    case KIND.textParts:
      return { type: 'text', parts: partsAt(bytes, words, at), length: words[at] as number }
    case KIND.jsonParts:
      return { type: 'json', parts: partsAt(bytes, words, at), length: words[at] as number }
    case KIND.int:
      return { type: 'int', value: words[at] as number }
    case KIND.double:
      return { type: 'double', value: bytes.readDoubleLE(at << 2) }
    case KIND.false:
      return { type: 'bool', value: false }
    case KIND.true:
      return { type: 'bool', value: true }
    case KIND.bigint: {
      const digits = plainText(bytes, words, at)
      const number = Number(digits)
      return { type: 'int', value: Number.isSafeInteger(number) ? number : BigInt(digits) }
    }
    case KIND.strings: {
      const values: string[] = []
      let next = at + 1
      for (let left = words[at] as number; left > 0; left--) {
        values.push(cachedText(bytes, words, next))
        next += textWords(words, next)
      }
      return { type: 'strings', values }
    }
    default:
      throw new RangeError(`no kind of value: ${kind}`)
  }
}

function partsAt(bytes: Buffer, words: Int32Array, at: number): Part[] {
  const parts: Part[] = []
  const end = at + 2 + (words[at + 1] as number)
  for (let next = at + 2; next < end; ) {
    const head = words[next] as number
    const length = head & PART_LENGTH
    if (head >>> 30 === PART.inline) {
      const from = (next + 1) << 2
      parts.push(bytes.subarray(from, from + length))
      next += 1 + ((length + 3) >> 2)
    } else {
      const file = words[next + 1] as number
      parts.push({ file, offset: (words[next + 2] as number) >>> 0, length })
      next += 3
    }
  }
  return parts
}

/** A value as text, whatever it is. */
function textOf(bytes: Buffer, words: Int32Array, at: number, load: LoadText): string {
  const value = readValue(bytes, words, payloadAt(words, at), ((words[at] as number) >>> 8) & 255)
  if (value.type === 'text' || value.type === 'json') return load(value.parts)
  return String(value.type === 'strings' ? value.values : value.value)
}

function readEvent(bytes: Buffer, words: Int32Array, at: number, load: LoadText): StoredEvent {
  const next = at + textWords(words, at)
  return {
    name: plainText(bytes, words, at),
    seconds: (words[next] as number) >>> 0,
    nanos: (words[next + 1] as number) >>> 0,
    attributes: plainOf(load(partsAt(bytes, words, next + 2))),
  }
}

function readLink(bytes: Buffer, words: Int32Array, at: number, load: LoadText): StoredLink {
  const id = at << 2
  return {
    traceId: bytes.toString('hex', id, id + 16),
    spanId: bytes.toString('hex', id + 16, id + 24),
    flags: words[at + 6] as number,
    attributes: plainOf(load(partsAt(bytes, words, at + 7))),
  }
}

function plainOf(json: string): Plain {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Plain)
      : {}
  } catch {
    return {}
  }
}

// Equal scopes are one object: exporters encode a scope once.
const scopes = new Map<string, Scope>()
const MAX_SCOPES = 1024

/** From the JSON array [name, version, attributes]. */
function scopeOf(json: string): Scope {
  let scope = scopes.get(json)
  if (scope === undefined) {
    const array: unknown = JSON.parse(json)
    const [name, version, attributes] = Array.isArray(array) ? array : [array]
    scope = {
      name: String(name ?? ''),
      version: typeof version === 'string' ? version : '',
      attributes: plainOf(JSON.stringify(attributes ?? {})),
    }
    if (scopes.size >= MAX_SCOPES) scopes.clear()
    scopes.set(json, scope)
  }
  return scope
}

function plainText(bytes: Buffer, words: Int32Array, at: number): string {
  const length = words[at] as number
  const from = (at + 1) << 2
  return length <= 0 ? '' : bytes.toString('utf8', from, from + length)
}

function cachedText(bytes: Buffer, words: Int32Array, at: number): string {
  return cached(bytes, (at + 1) << 2, words[at] as number)
}

// Names and keys repeat: comparing their bytes is cheaper than decoding them.
interface Known {
  readonly bytes: Buffer
  readonly text: string
}
const known: (Known | undefined)[] = new Array(2048).fill(undefined)
const MAX_KNOWN_BYTES = 64

function cached(bytes: Buffer, from: number, length: number): string {
  if (length <= 0) return ''
  if (length > MAX_KNOWN_BYTES) return bytes.toString('utf8', from, from + length)
  const to = from + length
  const last = bytes[to - 1] as number
  const middle = bytes[from + (length >> 1)] as number
  const slot = ((bytes[from] as number) * 31 + middle * 7 + last * 131 + length * 17) & 2047
  const entry = known[slot]
  if (entry !== undefined && entry.bytes.length === length) {
    let i = 0
    while (i < length && entry.bytes[i] === bytes[from + i]) i++
    if (i === length) return entry.text
  }
  const text = bytes.toString('utf8', from, to)
  known[slot] = { bytes: Buffer.from(bytes.subarray(from, to)), text }
  return text
}

/** What a chunk holds of a trace. Times in milliseconds since 1970. */
export interface TraceSection {
  readonly traceId: Buffer
  readonly spans: number
  readonly errors: number
  readonly warnings: number
  readonly interrupted: number
  /** 0: no root among the spans; 1: a root whose parent lives elsewhere; 2: a root without parent. */
  readonly root: number
  readonly first: number
  readonly last: number
  /** Of the root. */
  readonly name: string | null
  readonly traceName: string | null
  readonly user: string | null
  readonly session: string | null
  readonly environment: string | null
  readonly tokens: Tokens | null
}

/** The traces that lie one behind the other in `bytes`. Throws a RangeError when they are none. */
export function readTraces(bytes: Buffer): TraceSection[] {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2)
  const sections: TraceSection[] = []
  for (let at = 0; at < words.length; at += words[at] as number) {
    const length = words[at] as number
    if (!(length > TRACE.words) || at + length > words.length) {
      throw new RangeError(`no trace at word ${at}`)
    }
    let next = at + TRACE.words
    const text = (): string | null => {
      if (words[next] === NO_TEXT) {
        next++
        return null
      }
      const read = plainText(bytes, words, next)
      next += textWords(words, next)
      return read
    }
    const id = (at + TRACE.traceId) << 2
    sections.push({
      traceId: bytes.subarray(id, id + 16),
      spans: words[at + TRACE.spans] as number,
      errors: words[at + TRACE.errors] as number,
      warnings: (words[at + TRACE.root] as number) >> 8,
      interrupted: words[at + TRACE.interrupted] as number,
      root: (words[at + TRACE.root] as number) & 255,
      first: milliseconds(words, at + TRACE.first),
      last: milliseconds(words, at + TRACE.last),
      name: text(),
      traceName: text(),
      user: text(),
      session: text(),
      environment: text(),
      tokens: next < at + length ? tokensAt(words, next) : null,
    })
  }
  return sections
}

function tokensAt(words: Int32Array, at: number): Tokens {
  const count = (index: number): number | null => {
    const tokens = words[at + index] as number
    return tokens === NO_TOKENS ? null : tokens
  }
  return { input: count(0), output: count(1), total: count(2) }
}

function milliseconds(words: Int32Array, at: number): number {
  return ((words[at] as number) >>> 0) * 1000 + ((words[at + 1] as number) >>> 0) / 1e6
}
