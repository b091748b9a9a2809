import { MAX_DEPTH as MAX_TEXT_DEPTH, mayBeDeep } from '../decode/depth.ts'
import {
  type AnyValue,
  checkCount,
  type KeyValue,
  MAX_DEPTH,
  MalformedError,
  NO_VALUE,
  newCount,
  type PartCount,
  type ResourceSpans,
  type ScopeSpans,
  type TraceRequest,
  type WireEvent,
  type WireLink,
  type WireSpan,
} from './message.ts'

// OTLP's JSON: protobuf's own, but for ids in hex and enums as numbers (opentelemetry.io/docs/specs/otlp,
// "JSON Protobuf Encoding"). Names of enums, which others write all the same, are understood.

type Json = Readonly<Record<string, unknown>>

const KINDS = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER']
const CODES = ['UNSET', 'OK', 'ERROR']
const NO_ID = Buffer.alloc(0)

/**
 * Reads a trace request in JSON. A span that is malformed is left out, and counted.
 *
 * @param count is set to what was found, also when it throws
 * @throws MalformedError, TooManyError
 */
export function fromJson(bytes: Buffer, count: PartCount = newCount()): TraceRequest {
  countParts(bytes, count)
  let json: unknown
  try {
    json = JSON.parse(bytes.toString())
  } catch (error) {
    throw new MalformedError(`it is no JSON: ${withoutContent(error as Error)}`)
  }
  let malformed = 0
  let fault = ''
  const spansOf = (value: unknown): WireSpan[] => {
    const spans = list(value, 'spans')
    count.spans += spans.length
    checkCount(count)
    return spans.flatMap((one) => {
      try {
        return [span(object(one, 'a span'))]
      } catch (error) {
        if (!(error instanceof MalformedError)) throw error
        malformed++
        fault ||= error.message
        return []
      }
    })
  }
  const request = object(json, 'a request')
  const resourceSpans = list(request.resourceSpans, 'resourceSpans').map((one): ResourceSpans => {
    const { resource, scopeSpans } = object(one, 'an item of resourceSpans')
    return {
      attributes: keyValues(optional(resource, 'resource').attributes),
      scopeSpans: list(scopeSpans, 'scopeSpans').map((each): ScopeSpans => {
        const { scope, spans } = object(each, 'an item of scopeSpans')
        const { name, version, attributes } = optional(scope, 'scope')
        return {
          scope: {
            name: text(name, 'scope.name'),
            version: text(version, 'scope.version'),
            attributes: keyValues(attributes),
          },
          spans: spansOf(spans),
        }
      }),
    }
  })
  return { resourceSpans, malformed, fault }
}

/** V8 quotes what it stumbles over, which is somebody's data. */
function withoutContent({ message }: Error): string {
  return /(?:at )?position \d+/.exec(message)?.[0] ?? 'it ends too early, or is something else'
}

function span(json: Json): WireSpan {
  const status = optional(json.status, 'status')
  return {
    traceId: id(json.traceId),
    spanId: id(json.spanId),
    parentSpanId: id(json.parentSpanId),
    traceState: text(json.traceState, 'traceState'),
    name: text(json.name, 'name'),
    kind: enumeration(json.kind, 'kind', 'SPAN_KIND_', KINDS),
    start: nanoseconds(json.startTimeUnixNano, 'startTimeUnixNano'),
    end: nanoseconds(json.endTimeUnixNano, 'endTimeUnixNano'),
    attributes: keyValues(json.attributes),
    events: list(json.events, 'events').map((one): WireEvent => {
      const event = object(one, 'an event')
      return {
        time: nanoseconds(event.timeUnixNano, 'timeUnixNano'),
        name: text(event.name, 'the name of an event'),
        attributes: keyValues(event.attributes),
      }
    }),
    links: list(json.links, 'links').map((one): WireLink => {
      const link = object(one, 'a link')
      return {
        traceId: id(link.traceId),
        spanId: id(link.spanId),
        flags: uint32(link.flags, 'the flags of a link'),
        attributes: keyValues(link.attributes),
      }
    }),
    statusCode: enumeration(status.code, 'status.code', 'STATUS_CODE_', CODES),
    statusMessage: text(status.message, 'status.message'),
    flags: uint32(json.flags, 'flags'),
  }
}

function keyValues(value: unknown, depth = 0): KeyValue[] {
  return list(value, 'attributes').map((one) => {
    const { key, value } = object(one, 'an attribute')
    return { key: text(key, 'key'), value: anyFromJson(value, depth) }
  })
}

/**
 * A value of an attribute.
 *
 * @throws MalformedError
 */
export function anyFromJson(value: unknown, depth = 0): AnyValue {
  if (value === undefined || value === null) return NO_VALUE
  if (depth > MAX_DEPTH) throw new MalformedError(`a value has more than ${MAX_DEPTH} levels`)
  const json = object(value, 'a value')
  const { stringValue, boolValue, intValue, doubleValue, arrayValue, kvlistValue, bytesValue } =
    json
  if (isThere(stringValue)) {
    return { type: 'text', bytes: Buffer.from(text(stringValue, 'stringValue')) }
  }
  if (isThere(boolValue)) {
    if (typeof boolValue !== 'boolean') throw new MalformedError('boolValue is not true or false')
    return { type: 'bool', value: boolValue }
  }
  if (isThere(intValue)) return { type: 'int', value: int64(intValue) }
  if (isThere(doubleValue)) return { type: 'double', value: double(doubleValue) }
  if (isThere(arrayValue)) {
    const { values } = object(arrayValue, 'arrayValue')
    return {
      type: 'array',
      values: list(values, 'values').map((item) => anyFromJson(item, depth + 1)),
    }
  }
  if (isThere(kvlistValue)) {
    return {
      type: 'kvlist',
      values: keyValues(object(kvlistValue, 'kvlistValue').values, depth + 1),
    }
  }
  if (isThere(bytesValue)) {
    return { type: 'bytes', bytes: Buffer.from(text(bytesValue, 'bytesValue'), 'base64') }
  }
  return NO_VALUE
}

/** Protobuf's JSON has null where nothing is set. */
function isThere(value: unknown): boolean {
  return value !== undefined && value !== null
}

function object(value: unknown, what: string): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json
  throw new MalformedError(`${what} is no object`)
}

function optional(value: unknown, what: string): Json {
  return isThere(value) ? object(value, what) : {}
}

function list(value: unknown, what: string): readonly unknown[] {
  if (!isThere(value)) return []
  if (Array.isArray(value)) return value
  throw new MalformedError(`${what} is no list`)
}

function text(value: unknown, what: string): string {
  if (!isThere(value)) return ''
  if (typeof value === 'string') return value
  throw new MalformedError(`${what} is no text`)
}

/** What is no hex has no bytes, and is no id then. */
function id(value: unknown): Buffer {
  return typeof value === 'string' && /^(?:[0-9a-f]{2})+$/i.test(value)
    ? Buffer.from(value, 'hex')
    : isThere(value) && value !== ''
      ? Buffer.alloc(1)
      : NO_ID
}

function integer(value: unknown, what: string): bigint {
  if (!isThere(value)) return 0n
  if (typeof value === 'number' && Number.isInteger(value)) return BigInt(value)
  if (typeof value === 'string' && /^-?\d{1,20}$/.test(value)) return BigInt(value)
  throw new MalformedError(`${what} is no whole number`)
}

function nanoseconds(value: unknown, what: string): bigint {
  const time = integer(value, what)
  if (time >= 0n && time < 2n ** 64n) return time
  throw new MalformedError(`${what} is no time`)
}

function int64(value: unknown): number | bigint {
  const whole = integer(value, 'intValue')
  if (whole < -(2n ** 63n) || whole >= 2n ** 63n) throw new MalformedError('intValue is too large')
  const number = Number(whole)
  return Number.isSafeInteger(number) ? number : whole
}

function uint32(value: unknown, what: string): number {
  const whole = integer(value, what)
  if (whole >= 0n && whole < 2n ** 32n) return Number(whole)
  throw new MalformedError(`${what} is out of range`)
}

function double(value: unknown): number {
  if (typeof value === 'number') return value
  const named = ['NaN', 'Infinity', '-Infinity']
  if (typeof value === 'string' && (named.includes(value) || /^[-+.\deE]+$/.test(value))) {
    const number = Number(value)
    if (value === 'NaN' || !Number.isNaN(number)) return number
  }
  throw new MalformedError('doubleValue is no number')
}

function enumeration(
  value: unknown,
  what: string,
  prefix: string,
  names: readonly string[],
): number {
  if (typeof value !== 'string' || !value.startsWith(prefix)) return uint32(value, what)
  const index = names.indexOf(value.slice(prefix.length))
  if (index !== -1) return index
  throw new MalformedError(`${what} has a name that is not known`)
}

/**
 * Counts what becomes objects before they are made. Nesting is bounded here too, for what is deep elsewhere than in values.
 *
 * @throws TooManyError
 */
function countParts(bytes: Buffer, count: PartCount): void {
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number
    if (byte === 0x22) at = endOfString(bytes, at)
    else if (byte === 0x7b || byte === 0x5b || byte === 0x2c) {
      if (byte === 0x7b) count.messages++
      count.parts++
      checkCount(count)
    }
  }
}

/** Many brackets are no depth: the messages of a chat have hundreds, side by side. */
function isDeep(bytes: Buffer): boolean {
  let depth = 0
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number
    if (byte === 0x22) at = endOfString(bytes, at)
    else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > MAX_TEXT_DEPTH) return true
    } else if (byte === 0x7d || byte === 0x5d) depth--
  }
  return false
}

function endOfString(bytes: Buffer, from: number): number {
  for (let at = bytes.indexOf(0x22, from + 1); at !== -1; at = bytes.indexOf(0x22, at + 1)) {
    let slashes = 0
    while (bytes[at - 1 - slashes] === 0x5c) slashes++
    if (slashes % 2 === 0) return at
  }
  return bytes.length
}

/** Whether text is JSON of an object or an array, as SDKs put inputs and the like into text attributes. */
export function looksLikeJson(bytes: Buffer): boolean {
  const first = /[^ \t\r\n]/.exec(bytes.toString('latin1', 0, 64))?.[0]
  return (first === '{' || first === '[') && isValidJson(bytes)
}

/** Whether text is JSON, and not so deep that its readers would fail. */
export function isValidJson(bytes: Buffer): boolean {
  const json = bytes.toString()
  if (mayBeDeep(json) && isDeep(bytes)) return false
  try {
    JSON.parse(json)
    return true
  } catch {
    return false
  }
}
