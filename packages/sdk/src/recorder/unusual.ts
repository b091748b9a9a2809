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
function bytesOf(value: object): Uint8Array | undefined {
  // Asked for its length, a proxy around bytes throws, and so does what merely inherits from Uint8Array.
  if (value instanceof Uint8Array && value.length >= 0) return value
  if (value instanceof DataView)
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  if (value instanceof ArrayBuffer) return new Uint8Array(value)
  if (typeof SharedArrayBuffer !== 'undefined' && value instanceof SharedArrayBuffer)
    return new Uint8Array(value)
  return undefined
}

/**
 * A plain stand-in for an unusual object, with at most `limit` entries: a Map with string keys becomes an
 * object, other Maps an array of pairs, a Set and a typed array an array, an Error its name, message, stack, cause
 * and own fields; `toJSON` is called with `key`, null: not at all; a class instance is
 * itself, for its own enumerable fields. May throw what user code throws.
 */
export function unusual(value: object, limit: number, key: string | number | null): unknown {
  const bytes = bytesOf(value)
  if (bytes !== undefined) return bytes
  if (value instanceof Date) {
    value.getTime()
    return value
  }
  const media = mediaOf(value)
  if (media !== undefined) return media
  if (key !== null) {
    const toJSON = (value as { toJSON?: unknown }).toJSON
    if (typeof toJSON === 'function') return toJSON.call(value, String(key))
  }
  if (value instanceof Error) return errorFields(value)
  if (value instanceof Map) return mapEntries(value, limit)
  if (value instanceof Set) return firstOf(value, limit)
  if (ArrayBuffer.isView(value))
    return firstOf(value as unknown as Iterable<unknown> & { length: number }, limit)
  if (
    value instanceof String ||
    value instanceof Number ||
    value instanceof Boolean ||
    value instanceof BigInt
  ) {
    return value.valueOf()
  }
  if (value instanceof RegExp) return String(value)
  if (isStream(value)) return `[${value.constructor?.name ?? 'Stream'}]`
  return value
}

function errorFields(error: Error): Record<string, unknown> {
  const fields: Record<string, unknown> = { name: error.name, message: error.message }
  if (error.stack !== undefined) fields.stack = error.stack
  if (error.cause !== undefined) fields.cause = error.cause
  if (error instanceof AggregateError) fields.errors = error.errors
  return Object.assign(fields, error)
}

function mapEntries(map: Map<unknown, unknown>, limit: number): unknown {
  const pairs = firstOf(map, limit) as [unknown, unknown][]
  for (const pair of pairs) if (!Array.isArray(pair) || typeof pair[0] !== 'string') return pairs
  return Object.fromEntries(pairs as [string, unknown][])
}

function firstOf(values: Iterable<unknown>, limit: number): unknown[] {
  const first: unknown[] = []
  for (const value of values) {
    if (first.length >= limit) {
      first.push(`[truncated: more than ${limit} entries]`)
      break
    }
    first.push(value)
  }
  return first
}

// LangfuseMedia is known by its shape: its toJSON would base64-encode the content on the request path.
function mediaOf(value: object): unknown {
  const media = value as { _contentBytes?: unknown; _contentType?: unknown }
  if (!(media._contentBytes instanceof Uint8Array) || typeof media._contentType !== 'string')
    return undefined
  return { contentType: media._contentType, content: media._contentBytes }
}

// A request or a socket leads to its server and all its connections: its name says enough.
function isStream(value: object): boolean {
  const stream = value as { pipe?: unknown; on?: unknown }
  return typeof stream.pipe === 'function' && typeof stream.on === 'function'
}
