// Values of attributes that come by OTLP, as the store keeps them. JSON has no bytes, no lists of keys that are no object,
// no difference between 1 and 1.0 and no large integers: what it can't say stands in it as OTLP's JSON does,
// {"@otlp": AnyValue}.
import { anyFromJson } from './from-json.ts'
import type { AnyValue, KeyValue } from './message.ts'
import { anyToJson } from './to-json.ts'

const TYPED = '@otlp'
/** How the JSON text of such a value begins. */
export const TYPED_PREFIX: string = `{"${TYPED}":`

/** As JSON, wrapped where that says less. */
export function plainOf(value: AnyValue): unknown {
  const simple = simpleOf(value)
  return simple === undefined ? { [TYPED]: anyToJson(value) } : simple
}

/** Attributes of events, links, scopes and resources. Of a key that comes twice the last one is kept. */
export function plainAttributes(attributes: readonly KeyValue[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, plainOf(value)]))
}

function simpleOf(value: AnyValue): unknown {
  switch (value.type) {
    case 'text':
      return value.bytes.toString()
    case 'bool':
      return value.value
    case 'int':
      return typeof value.value === 'bigint' ? undefined : value.value
    case 'double':
      // As text it would read as an integer.
      return Number.isInteger(value.value) || !Number.isFinite(value.value)
        ? undefined
        : value.value
    case 'array': {
      const items = value.values.map((item) => (item.type === 'array' ? undefined : simpleOf(item)))
      return items.includes(undefined) ? undefined : items
    }
    default:
      return undefined
  }
}

/** The value that a wrapped one is; undefined: it is not wrapped. */
export function typedOf(value: unknown): AnyValue | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const [key, ...more] = Object.keys(value)
  if (key !== TYPED || more.length > 0) return undefined
  try {
    return anyFromJson((value as Record<string, unknown>)[TYPED])
  } catch {
    // An application may record the same key.
    return undefined
  }
}

/** For people: a wrapped value as the JSON that comes closest. */
export function shownValue(value: unknown): unknown {
  const typed = typedOf(value)
  return typed === undefined ? value : shown(typed)
}

function shown(value: AnyValue): unknown {
  switch (value.type) {
    case 'none':
      return null
    case 'text':
      return value.bytes.toString()
    case 'bool':
      return value.value
    case 'int':
      return typeof value.value === 'bigint' ? String(value.value) : value.value
    case 'double':
      return Number.isFinite(value.value) ? value.value : String(value.value)
    case 'bytes':
      return value.bytes.toString('base64')
    case 'array':
      return value.values.map(shown)
    case 'kvlist':
      return Object.fromEntries(value.values.map(({ key, value: of }) => [key, shown(of)]))
  }
}
