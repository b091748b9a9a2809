import type { AnyValue, KeyValue } from './message.ts'
import { Reader } from './reader.ts'

// From protobuf to OTLP's JSON, as the file exporter of the OpenTelemetry Collector writes it: ids in hex, 64-bit numbers
// as text.

type Json = Record<string, unknown>
type Read = (reader: Reader, into: Json) => void

const hex: (name: string) => Read = (name) => (reader, into) => {
  into[name] = reader.view().toString('hex')
}
const text: (name: string) => Read = (name) => (reader, into) => {
  into[name] = reader.text()
}
const time: (name: string) => Read = (name) => (reader, into) => {
  into[name] = String(reader.fixed64())
}
const uint: (name: string) => Read = (name) => (reader, into) => {
  into[name] = reader.uint32()
}
const fixed: (name: string) => Read = (name) => (reader, into) => {
  into[name] = reader.fixed32()
}
const one: (name: string, fields: () => Fields) => Read = (name, fields) => (reader, into) => {
  into[name] = message(reader, fields())
}
const many: (name: string, fields: () => Fields) => Read = (name, fields) => (reader, into) => {
  const list = into[name] as Json[] | undefined
  const read = message(reader, fields())
  if (list === undefined) into[name] = [read]
  else list.push(read)
}

type Fields = Readonly<Record<number, Read>>

const ANY: Fields = {
  1: text('stringValue'),
  2: (reader, into) => {
    into.boolValue = reader.uint32() !== 0
  },
  3: (reader, into) => {
    into.intValue = String(reader.int64())
  },
  4: (reader, into) => {
    into.doubleValue = doubleOf(reader.double())
  },
  5: (reader, into) => {
    into.arrayValue = { values: [], ...message(reader, { 1: many('values', () => ANY) }) }
  },
  6: (reader, into) => {
    into.kvlistValue = { values: [], ...message(reader, { 1: many('values', () => KEY_VALUE) }) }
  },
  7: (reader, into) => {
    into.bytesValue = reader.view().toString('base64')
  },
}
const KEY_VALUE: Fields = { 1: text('key'), 2: one('value', () => ANY) }
const attributes = many('attributes', () => KEY_VALUE)
const STATUS: Fields = { 2: text('message'), 3: uint('code') }
const EVENT: Fields = { 1: time('timeUnixNano'), 2: text('name'), 3: attributes }
const LINK: Fields = { 1: hex('traceId'), 2: hex('spanId'), 4: attributes, 6: fixed('flags') }
const SPAN: Fields = {
  1: hex('traceId'),
  2: hex('spanId'),
  3: text('traceState'),
  4: hex('parentSpanId'),
  5: text('name'),
  6: uint('kind'),
  7: time('startTimeUnixNano'),
  8: time('endTimeUnixNano'),
  9: attributes,
  11: many('events', () => EVENT),
  13: many('links', () => LINK),
  15: one('status', () => STATUS),
  16: fixed('flags'),
}
const SCOPE: Fields = { 1: text('name'), 2: text('version'), 3: attributes }
const SCOPE_SPANS: Fields = { 1: one('scope', () => SCOPE), 2: many('spans', () => SPAN) }
const RESOURCE: Fields = { 1: attributes }
const RESOURCE_SPANS: Fields = {
  1: one('resource', () => RESOURCE),
  2: many('scopeSpans', () => SCOPE_SPANS),
}
const REQUEST: Fields = { 1: many('resourceSpans', () => RESOURCE_SPANS) }

/** A request of ours in protobuf as an object whose JSON is OTLP's. */
export function toJson(bytes: Buffer): object {
  const reader = new Reader(bytes)
  const request: Json = {}
  while (reader.next()) field(reader, REQUEST, request)
  return request
}

function message(reader: Reader, fields: Fields): Json {
  const read: Json = {}
  const outer = reader.enter()
  while (reader.next()) field(reader, fields, read)
  reader.leave(outer)
  return read
}

function field(reader: Reader, fields: Fields, into: Json): void {
  const read = fields[reader.field]
  if (read === undefined) reader.skip()
  else read(reader, into)
}

/** JSON has no such numbers. */
function doubleOf(value: number): number | string {
  return Number.isFinite(value) && !Object.is(value, -0)
    ? value
    : Object.is(value, -0)
      ? '-0'
      : String(value)
}

/** A value as OTLP's JSON has it. */
export function anyToJson(value: AnyValue): Json {
  switch (value.type) {
    case 'none':
      return {}
    case 'text':
      return { stringValue: value.bytes.toString() }
    case 'bool':
      return { boolValue: value.value }
    case 'int':
      return { intValue: String(value.value) }
    case 'double':
      return { doubleValue: doubleOf(value.value) }
    case 'bytes':
      return { bytesValue: value.bytes.toString('base64') }
    case 'array':
      return { arrayValue: { values: value.values.map(anyToJson) } }
    case 'kvlist':
      return {
        kvlistValue: {
          values: value.values.map(({ key, value: of }: KeyValue) => ({
            key,
            value: anyToJson(of),
          })),
        },
      }
  }
}
