// OTLP attributes: KeyValue { key = 1, value = 2: AnyValue { string 1, bool 2, int 3, double 4, array 5 } }.
// A key is kept as it stands on the wire, tag and length included.
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

/** An attribute with its value's own type. JSON text that is an array becomes one, else stays text. */
export function writeTypedAttribute(
  into: Buffer,
  at: number,
  tag: number,
  key: Buffer,
  value: Value,
  load: LoadParts,
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
    default:
      return writeAnyAttribute(into, at, tag, key, value.value)
  }
}

/** null is an AnyValue without a value. */
type Any = string | number | bigint | boolean | null | readonly Any[]

function arrayOf(json: string): Any {
  // Anything else is left as it was written: parsing costs, and 1e400 would become null.
  if (!json.startsWith('[')) return json
  try {
    const value: unknown = JSON.parse(json)
    return isScalarArray(value) ? value : json
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
      return value === null || isScalarArray(value) ? value : JSON.stringify(value)
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
      const bytes = arraySize(value)
      return 1 + varintSize(bytes) + bytes
    }
  }
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
      into[at++] = 0x2a
      at = writeVarint(into, at, arraySize(value))
      for (const item of value) {
        into[at++] = 0x0a
        at = writeAny(into, writeVarint(into, at, anySize(item)), item)
      }
      return at
  }
}
