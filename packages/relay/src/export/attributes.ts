// OTLP attributes: KeyValue { key = 1, value = 2: AnyValue { string 1, bool 2, int 3, double 4, array 5, list of keys 6,
// bytes 7 } }.
// A key is kept as it stands on the wire, tag and length included.
import type { AnyValue, KeyValue } from '../otlp/message.ts'
import { TYPED_PREFIX, typedOf } from '../otlp/typed.ts'
import type { Part, Plain, Value } from '../store/span.ts'
import {
  int64Size,
  varintSize,
  writeBytes,
  writeInt64,
  writeText,
  writeVarint,
} from './protobuf.ts'

/** Expands parts into a buffer at a position; returns the position after them. */
export type LoadParts = (parts: readonly Part[], into: Buffer, at: number) => number

/** Tags of the `attributes` field in OTLP's messages. */
export const RESOURCE_ATTRIBUTE = 0x0a
export const SCOPE_ATTRIBUTE = 0x1a
export const SPAN_ATTRIBUTE = 0x4a
export const EVENT_ATTRIBUTE = 0x1a
export const LINK_ATTRIBUTE = 0x22

export function attributeKey(name: string): Buffer {
  const key = Buffer.alloc(Buffer.byteLength(name) + 6)
  return key.subarray(0, writeText(key, 0, 0x0a, name))
}

/** Tag, length and key, and the tag and length of an AnyValue of that many bytes, which follows. */
function writeHead(into: Buffer, at: number, tag: number, key: Buffer, anyBytes: number): number {
  into[at++] = tag
  at = writeVarint(into, at, key.length + 1 + varintSize(anyBytes) + anyBytes)
  at = writeBytes(into, at, key)
  into[at++] = 0x12
  return writeVarint(into, at, anyBytes)
}

export function writeTextAttribute(
  into: Buffer,
  at: number,
  tag: number,
  key: Buffer,
  text: string,
): number {
  const bytes = Buffer.byteLength(text)
  at = writeHead(into, at, tag, key, 1 + varintSize(bytes) + bytes)
  return writeText(into, at, 0x0a, text)
}

/** A string attribute whose bytes come from the store. */
export function writePartsAttribute(
  into: Buffer,
  at: number,
  tag: number,
  key: Buffer,
  value: { readonly parts: readonly Part[]; readonly length: number },
  load: LoadParts,
): number {
  const { parts, length } = value
  at = writeHead(into, at, tag, key, 1 + varintSize(length) + length)
  into[at++] = 0x0a
  at = writeVarint(into, at, length)
  const only = parts.length === 1 ? parts[0]! : null
  return only instanceof Uint8Array ? writeBytes(into, at, only) : load(parts, into, at)
}

export function writeBoolAttribute(
  into: Buffer,
  at: number,
  tag: number,
  key: Buffer,
  value: boolean,
): number {
  at = writeHead(into, at, tag, key, 2)
  into[at++] = 0x10
  into[at++] = value ? 1 : 0
  return at
}

/**
 * An attribute with its value's own type. JSON text that is an array becomes one, else stays text. `exact`: it came by OTLP,
 * so a double is one also where it is a whole number, which with JavaScript's SDK is an integer.
 */
export function writeTypedAttribute(
  into: Buffer,
  at: number,
  tag: number,
  key: Buffer,
  value: Value,
  load: LoadParts,
  exact = false,
): number {
  switch (value.type) {
    case 'text':
      return writePartsAttribute(into, at, tag, key, value, load)
    case 'bool':
      return writeBoolAttribute(into, at, tag, key, value.value)
    case 'json': {
      const text = Buffer.allocUnsafe(value.length)
      load(value.parts, text, 0)
      return writeAnyAttribute(into, at, tag, key, arrayOf(text.toString()))
    }
    case 'strings':
      return writeAnyAttribute(into, at, tag, key, value.values)
    case 'double':
      return writeAnyAttribute(into, at, tag, key, exact ? value : value.value)
    default:
      return writeAnyAttribute(into, at, tag, key, value.value)
  }
}

/** null is an AnyValue without a value; objects are values whose types have no other form here. */
type Any = string | number | bigint | boolean | null | readonly Any[] | AnyValue

function arrayOf(json: string): Any {
  // Anything else is left as it was written: parsing costs, and 1e400 would become null.
  if (!json.startsWith('[')) return json.startsWith(TYPED_PREFIX) ? wrapped(json) : json
  try {
    const value: unknown = JSON.parse(json)
    return isScalarArray(value) ? value : json
  } catch {
    return json
  }
}

/** Whether an attribute with this JSON text is sent as text: all but arrays of scalars and what has a type of its own. */
export function staysText(json: string): boolean {
  return typeof arrayOf(json) === 'string'
}

function wrapped(json: string): Any {
  try {
    return typedOf(JSON.parse(json)) ?? json
  } catch {
    return json
  }
}

/** Attributes that are kept as plain values: of resources, scopes, events and links. */
export function encodeAttributes(tag: number, attributes: Plain): Buffer {
  const bytes = Buffer.alloc(plainBytes(attributes))
  return bytes.subarray(0, writePlainAttributes(bytes, 0, tag, attributes))
}

export function writePlainAttributes(
  into: Buffer,
  at: number,
  tag: number,
  attributes: Plain,
): number {
  for (const [name, value] of Object.entries(attributes)) {
    at = writeAnyAttribute(into, at, tag, attributeKey(name), anyOf(value))
  }
  return at
}

/** An upper bound for what `writePlainAttributes` writes. */
export function plainBytes(attributes: Plain): number {
  let bytes = 0
  for (const [name, value] of Object.entries(attributes)) {
    bytes += 32 + 3 * name.length + anySize(anyOf(value))
  }
  return bytes
}

/** A value as OTLP takes it: scalars and arrays of them, all else as JSON text. */
function anyOf(value: unknown): Any {
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'boolean':
    case 'bigint':
      return value
    case 'object':
      if (value === null || isScalarArray(value)) return value
      return typedOf(value) ?? JSON.stringify(value)
    default:
      return null
  }
}

function isScalarArray(value: unknown): value is Any[] {
  return Array.isArray(value) && value.every((item) => typeof item !== 'object' || item === null)
}

function writeAnyAttribute(into: Buffer, at: number, tag: number, key: Buffer, value: Any): number {
  return writeAny(into, writeHead(into, at, tag, key, anySize(value)), value)
}

function isInt64(value: number | bigint): boolean {
  return (
    (typeof value === 'bigint' || Number.isInteger(value)) && value >= -(2 ** 63) && value < 2 ** 63
  )
}

function anySize(value: Any): number {
  switch (typeof value) {
    case 'string': {
      const bytes = Buffer.byteLength(value)
      return 1 + varintSize(bytes) + bytes
    }
    case 'boolean':
      return 2
    case 'number':
    case 'bigint':
      return isInt64(value) ? 1 + int64Size(value) : 9
    default: {
      if (value === null) return 0
      if ('type' in value) return typedSize(value)
      const bytes = arraySize(value)
      return 1 + varintSize(bytes) + bytes
    }
  }
}

function typedSize(value: AnyValue): number {
  switch (value.type) {
    case 'none':
      return 0
    case 'text':
    case 'bytes':
      return fieldSize(value.bytes.length)
    case 'bool':
      return 2
    case 'int':
      return 1 + int64Size(value.value)
    case 'double':
      return 9
    case 'array':
      return fieldSize(arraySize(value.values))
    case 'kvlist':
      return fieldSize(pairsSize(value.values))
  }
}

/** Of a field with a length and so many bytes. */
function fieldSize(bytes: number): number {
  return 1 + varintSize(bytes) + bytes
}

function pairsSize(pairs: readonly KeyValue[]): number {
  return pairs.reduce((sum, pair) => sum + fieldSize(pairSize(pair)), 0)
}

function pairSize({ key, value }: KeyValue): number {
  return fieldSize(Buffer.byteLength(key)) + fieldSize(typedSize(value))
}

function arraySize(values: readonly Any[]): number {
  let bytes = 0
  for (const value of values) {
    const size = anySize(value)
    bytes += 1 + varintSize(size) + size
  }
  return bytes
}

function writeAny(into: Buffer, at: number, value: Any): number {
  switch (typeof value) {
    case 'string':
      return writeText(into, at, 0x0a, value)
    case 'boolean':
      into[at++] = 0x10
      into[at++] = value ? 1 : 0
      return at
    case 'number':
    case 'bigint':
      if (isInt64(value)) {
        into[at++] = 0x18
        return writeInt64(into, at, value)
      }
      into[at++] = 0x21
      return into.writeDoubleLE(Number(value), at)
    default:
      if (value === null) return at
      if ('type' in value) return writeTyped(into, at, value)
      into[at++] = 0x2a
      at = writeVarint(into, at, arraySize(value))
      for (const item of value) {
        into[at++] = 0x0a
        at = writeAny(into, writeVarint(into, at, anySize(item)), item)
      }
      return at
  }
}

function writeTyped(into: Buffer, at: number, value: AnyValue): number {
  switch (value.type) {
    case 'none':
      return at
    case 'text':
    case 'bytes':
      into[at++] = value.type === 'text' ? 0x0a : 0x3a
      return writeBytes(into, writeVarint(into, at, value.bytes.length), value.bytes)
    case 'bool':
      return writeAny(into, at, value.value)
    case 'int':
      into[at++] = 0x18
      return writeInt64(into, at, value.value)
    case 'double':
      into[at++] = 0x21
      return into.writeDoubleLE(value.value, at)
    case 'array':
      return writeAny(into, at, value.values)
    case 'kvlist':
      into[at++] = 0x32
      at = writeVarint(into, at, pairsSize(value.values))
      for (const pair of value.values) {
        into[at++] = 0x0a
        at = writeText(into, writeVarint(into, at, pairSize(pair)), 0x0a, pair.key)
        into[at++] = 0x12
        at = writeTyped(into, writeVarint(into, at, typedSize(pair.value)), pair.value)
      }
      return at
  }
}
