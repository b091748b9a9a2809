import { types } from 'node:util'

// Values that are neither primitives, arrays nor plain objects. Each comes back as one of those, or as
// bytes or a Date, one level deep: what is inside is looked at when it is written.

/** What stands for a value that could not be read. */
export function unreadable(error: unknown): string {
  let reason = ''
  try {
    reason = String(error instanceof Error ? error.message : error)
  } catch {
    // An error that throws when it is read has no message to show.
  }
  return reason === '' ? '[unreadable]' : `[unreadable: ${reason.slice(0, 200)}]`
}

/** Bytes of a Buffer, Uint8Array, DataView or array buffer; undefined for anything else. Never a copy. */
function bytesOf(value: object, foreign: boolean): Uint8Array | undefined {
  // Asked for its length, a proxy around bytes throws, and so does what merely inherits from Uint8Array.
  if (value instanceof Uint8Array && value.length >= 0) return value
  if (
    value instanceof DataView ||
    (foreign && (types.isUint8Array(value) || types.isDataView(value)))
  )
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  if (value instanceof ArrayBuffer) return new Uint8Array(value)
  if (typeof SharedArrayBuffer !== 'undefined' && value instanceof SharedArrayBuffer)
    return new Uint8Array(value)
  return foreign && types.isAnyArrayBuffer(value) ? new Uint8Array(value) : undefined
}

/**
 * A plain stand-in for an unusual object. Of a Map, a Set or a typed array it holds one entry more than the `limit` that
 * can be written, for `itemsCut` and `fieldsCut` to say what it leaves out: a Map with string keys becomes an object, other
 * Maps an array of pairs, a Set and a typed array an array, an Error its name, message, stack, cause
 * and own fields; `toJSON` is called with `key`, null: not at all; a class instance is
 * itself, for its own enumerable fields. May throw what user code throws.
 */
export function unusual(value: object, limit: number, key: string | number | null): unknown {
  // Of another realm (vm, Jest): what it is, `instanceof` does not see.
  const foreign = !(value instanceof Object)
  const bytes = bytesOf(value, foreign)
  if (bytes !== undefined) return bytes
  if (value instanceof Date) {
    value.getTime()
    return value
  }
  if (foreign && types.isDate(value)) return new Date((value as Date).getTime())
  const media = mediaOf(value)
  if (media !== undefined) return media
  if (key !== null) {
    const toJSON = (value as { toJSON?: unknown }).toJSON
    if (typeof toJSON === 'function') return toJSON.call(value, String(key))
  }
  if (value instanceof Error || (foreign && isForeignError(value))) return errorFields(value)
  if (value instanceof Map || (foreign && types.isMap(value))) return mapEntries(value, limit)
  if (value instanceof Set || (foreign && types.isSet(value)))
    return firstOf(value, value.size, limit)
  if (ArrayBuffer.isView(value)) {
    const numbers = value as unknown as Iterable<unknown> & { length: number }
    return firstOf(numbers, numbers.length, limit)
  }
  if (
    value instanceof String ||
    value instanceof Number ||
    value instanceof Boolean ||
    value instanceof BigInt ||
    (foreign && types.isBoxedPrimitive(value))
  ) {
    return value.valueOf()
  }
  if (value instanceof RegExp || (foreign && types.isRegExp(value))) return String(value)
  if (isStream(value)) return `[${value.constructor?.name ?? 'Stream'}]`
  return value
}

/** A DOMException is no native error to Node ≤ 22; Jest hands the outer realm's on. */
function isForeignError(value: object): value is Error {
  return types.isNativeError(value) || value instanceof DOMException
}

function errorFields(error: Error): Record<string, unknown> {
  const fields: Record<string, unknown> = { name: error.name, message: error.message }
  if (error.stack !== undefined) fields.stack = error.stack
  if (error.cause !== undefined) fields.cause = error.cause
  // An AggregateError's are its own and not enumerable.
  if (Object.hasOwn(error, 'errors')) fields.errors = (error as AggregateError).errors
  return Object.assign(fields, error)
}

/** How many entries the Map, Set or typed array has that a stand-in is for. */
const sizes = new WeakMap<object, number>()

/** What stands for the items behind the first `count` of an array, or of what it stands for. */
export function itemsCut(items: readonly unknown[], length: number, count: number): string {
  return `[truncated: ${(sizes.get(items) ?? length) - count} more]`
}

/** What stands for the fields of an object behind the first `count`. */
export function fieldsCut(object: object, count: number, maxNodes: number): string {
  const size = sizes.get(object)
  return size === undefined
    ? `[truncated: more than ${maxNodes} values]`
    : `[truncated: ${size - count} more]`
}

function firstOf(values: Iterable<unknown>, size: number, limit: number): unknown[] {
  const first: unknown[] = []
  for (const value of values) {
    first.push(value)
    if (first.length > limit) break
  }
  sizes.set(first, size)
  return first
}

function mapEntries(map: Map<unknown, unknown>, limit: number): unknown {
  const pairs: [unknown, unknown][] = []
  let named = true
  let left = limit
  for (const pair of map) {
    pairs.push(pair)
    named &&= typeof pair[0] === 'string'
    // An object leaves out what is nothing.
    if (!named || isSomething(pair[1])) left--
    if (left < 0) break
  }
  const kept = named ? pairs.filter(([, value]) => isSomething(value)) : pairs
  const standIn = named ? Object.fromEntries(kept) : kept
  sizes.set(standIn, map.size)
  return standIn
}

function isSomething(value: unknown): boolean {
  return value !== undefined && typeof value !== 'function' && typeof value !== 'symbol'
}

// LangfuseMedia is known by its shape: its toJSON would base64-encode the content on the request path.
function mediaOf(value: object): unknown {
  const media = value as { _contentBytes?: unknown; _contentType?: unknown }
  if (!types.isUint8Array(media._contentBytes) || typeof media._contentType !== 'string')
    return undefined
  return { contentType: media._contentType, content: media._contentBytes }
}

// A request or a socket leads to its server and all its connections: its name says enough.
function isStream(value: object): boolean {
  const stream = value as { pipe?: unknown; on?: unknown }
  return typeof stream.pipe === 'function' && typeof stream.on === 'function'
}
