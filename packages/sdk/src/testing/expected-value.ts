import type { Value } from './decode.ts'

// What docs/values.md says of each value, written plainly: the encoder must record just this.

export interface Limits {
  readonly maxValueBytes: number
  readonly maxDepth: number
  readonly maxNodes: number
}

export function expectedValue(value: unknown, limits: Limits): Value {
  if (typeof value === 'string') return cut(value, limits.maxValueBytes)
  const budget = { nodes: limits.maxNodes, chars: limits.maxValueBytes }

  function any(value: unknown, ancestors: readonly object[], key: string): Value {
    budget.nodes--
    switch (typeof value) {
      case 'string': {
        const kept = cut(value, budget.chars)
        budget.chars = Math.max(0, budget.chars - value.length)
        return kept
      }
      case 'number':
      case 'boolean':
      case 'bigint':
        return value
      case 'object':
        return value === null ? null : object(value, ancestors, key)
      default:
        return undefined
    }
  }

  function object(value: object, ancestors: readonly object[], key: string): Value {
    let plain: unknown
    try {
      plain = standIn(value, budget.nodes, key)
    } catch (error) {
      plain = unreadable(error)
    }
    if (typeof plain !== 'object' || plain === null) return any(plain, ancestors, '')
    // Not asked of an array: a proxy around one may throw.
    const items = Array.isArray(plain) ? plain : undefined
    if (items === undefined && plain instanceof Date) return plain
    if (items === undefined && plain instanceof Uint8Array) return bytes(plain)
    if (ancestors.includes(value)) return '[Circular]'
    if (ancestors.length >= limits.maxDepth) return `[truncated: deeper than ${limits.maxDepth}]`
    const inside = [...ancestors, value]
    return items === undefined ? fields(plain, inside) : array(items, inside)
  }

  function bytes(value: Uint8Array): Value {
    if (value.length > budget.chars) return `[truncated: ${value.length} bytes]`
    budget.chars -= value.length
    return Buffer.from(value)
  }

  function array(values: readonly unknown[], ancestors: readonly object[]): Value[] {
    const items: Value[] = []
    try {
      const length = values.length
      for (let i = 0; i < length; i++) {
        if (budget.nodes <= 0) return [...items, `[truncated: ${length - i} more]`]
        items.push(any(values[i], ancestors, `${i}`) ?? null)
      }
    } catch (error) {
      items.push(unreadable(error))
    }
    return items
  }

  function fields(object: object, ancestors: readonly object[]): { [key: string]: Value } {
    const entries = new Map<string, Value>()
    let count = 0
    try {
      for (const key of enumerableKeys(object)) {
        const value = propertyOf(object, key)
        if (value === undefined || typeof value === 'function' || typeof value === 'symbol')
          continue
        if (budget.nodes <= 0) {
          const size = sizes.get(object)
          const marker =
            size === undefined ? `more than ${limits.maxNodes} values` : `${size - count} more`
          entries.set('…', `[truncated: ${marker}]`)
          break
        }
        const shownKey = key.length > 128 ? String(any(key, ancestors, '')) : key
        const recorded = any(value, ancestors, key)
        if (recorded !== undefined) entries.set(shownKey, recorded)
        count++
      }
    } catch (error) {
      entries.set('…', unreadable(error))
    }
    return Object.fromEntries(entries)
  }

  return any(value, [], '')
}

function cut(text: string, max: number): string {
  if (text.length <= max) return text
  let end = max
  if (end > 0 && /[\ud800-\udbff]/.test(text.charAt(end - 1))) end--
  return `${text.slice(0, end)}…[truncated: ${end} of ${text.length} characters]`
}

function unreadable(error: unknown): string {
  let reason = ''
  try {
    reason = String(error instanceof Error ? error.message : error)
  } catch {
    // Then without a reason.
  }
  return reason === '' ? '[unreadable]' : `[unreadable: ${reason.slice(0, 200)}]`
}

function propertyOf(object: object, key: string): unknown {
  try {
    return (object as Record<string, unknown>)[key]
  } catch (error) {
    return unreadable(error)
  }
}

/** Own enumerable string keys; lazily, as a proxy may throw at any of them. */
function* enumerableKeys(object: object): Generator<string> {
  for (const key in object) if (Object.hasOwn(object, key)) yield key
}

/** A primitive, a date, bytes, an array, or an object to be read by its own enumerable fields. */
function standIn(value: object, limit: number, key: string): unknown {
  if (isPlain(value)) return value
  const first = special(value, limit, key)
  if (first === value || typeof first !== 'object' || first === null || isPlain(first)) return first
  return special(first, limit, undefined)
}

function isPlain(value: object): boolean {
  if (Array.isArray(value)) return true
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return false
  return typeof (value as { toJSON?: unknown }).toJSON !== 'function'
}

/** `key`: what a toJSON is called with; undefined: it is not called. */
function special(value: object, limit: number, key: string | undefined): unknown {
  if (value instanceof Uint8Array)
    return value.length === 0 ? new Uint8Array() : new Uint8Array(value)
  if (value instanceof DataView)
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer)
    return new Uint8Array(value)
  if (value instanceof Date) return new Date(value.getTime())
  const { _contentBytes, _contentType } = value as Record<string, unknown>
  if (_contentBytes instanceof Uint8Array && typeof _contentType === 'string')
    return { contentType: _contentType, content: _contentBytes }
  if (key !== undefined) {
    const { toJSON } = value as { toJSON?: unknown }
    if (typeof toJSON === 'function') return toJSON.call(value, key)
  }
  if (value instanceof Error) return errorFields(value)
  if (value instanceof Map) return ofMap(value, limit)
  if (value instanceof Set) return value.size >= 0 && [...value]
  if (ArrayBuffer.isView(value)) return [...(value as unknown as Iterable<unknown>)]
  if (
    value instanceof String ||
    value instanceof Number ||
    value instanceof Boolean ||
    value instanceof BigInt
  )
    return value.valueOf()
  if (value instanceof RegExp) return `${value}`
  const { pipe, on } = value as Record<string, unknown>
  if (typeof pipe === 'function' && typeof on === 'function')
    return `[${value.constructor?.name ?? 'Stream'}]`
  return value
}

function errorFields(error: Error): Record<string, unknown> {
  const fields: Record<string, unknown> = { name: error.name, message: error.message }
  if (error.stack !== undefined) fields.stack = error.stack
  if (error.cause !== undefined) fields.cause = error.cause
  if (error instanceof AggregateError) fields.errors = error.errors
  for (const [key, value] of Object.entries(error)) fields[key] = value
  return fields
}

/** Sizes of the Maps that objects stand for. */
const sizes = new WeakMap<object, number>()

/** Its kind is judged by the entries that can be recorded, and one more. */
function ofMap(map: Map<unknown, unknown>, limit: number): unknown {
  const entries = [...map]
  const isNamed = ([key]: [unknown, unknown]) => typeof key === 'string'
  const isNothing = ([, value]: [unknown, unknown]) =>
    value === undefined || typeof value === 'function' || typeof value === 'symbol'
  const looked: [unknown, unknown][] = []
  for (const entry of entries) {
    looked.push(entry)
    if (!isNamed(entry)) return entries
    if (looked.filter((entry) => !isNothing(entry)).length > limit) break
  }
  const object = Object.fromEntries(looked)
  sizes.set(object, map.size)
  return object
}
