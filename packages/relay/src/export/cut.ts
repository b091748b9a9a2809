import { FIELD } from '@offpath/sdk/spool-format'
import type { Part, StoredField, StoredSpan, Value } from '../store/span.ts'
import { type LoadParts, plainBytes } from './attributes.ts'

/** What a field takes beside its value and the key a user gave it: our names, tags, lengths. */
const FIELD_BYTES = 96
/** Likewise for a span: ids, times, lengths, attributes that are always the same. */
const SPAN_BYTES = 768

/** An upper bound for the encoded span; for all but tiny values a close one. */
export function spanBytes(span: StoredSpan): number {
  const { environment, release } = span.resource
  let bytes =
    SPAN_BYTES +
    textBytes(span.name) +
    textBytes(span.statusDescription) +
    textBytes(span.traceState) +
    textBytes(environment) +
    textBytes(release) +
    fieldsBytes(span.fields)
  for (const event of span.events) {
    bytes += 64 + textBytes(event.name) + plainBytes(event.attributes)
  }
  for (const link of span.links) bytes += 64 + plainBytes(link.attributes)
  return bytes
}

function fieldsBytes(fields: readonly StoredField[]): number {
  let bytes = 0
  for (let i = 0; i < fields.length; i++) {
    const { field, key, value } = fields[i]!
    bytes += FIELD_BYTES + textBytes(key) + valueBytes(value)
    if (field === FIELD.attribute && mayBeArray(value)) bytes += ARRAY_GROWTH * value.length
  }
  return bytes
}

/** JSON of it may become an array of numbers: of "-1," the protobuf takes 13 bytes. */
const ARRAY_GROWTH = 4

function mayBeArray(value: Value): value is Extract<Value, { type: 'json' }> {
  if (value.type !== 'json') return false
  const first = value.parts[0]
  return !(first instanceof Uint8Array) || first[0] === 0x5b
}

function textBytes(text: string | null | undefined): number {
  return text ? 3 * text.length : 0
}

function valueBytes(value: Value): number {
  switch (value.type) {
    case 'text':
    case 'json':
      return value.length
    case 'strings':
      // As JSON text a character takes up to six bytes.
      return value.values.reduce((bytes, text) => bytes + 16 + 6 * text.length, 0)
    case 'int':
      return typeof value.value === 'bigint' ? String(value.value).length : 32
    default:
      return 32
  }
}

/**
 * The span with its longest values cut to one common length, so that it takes `maxBytes` at most:
 * a string that was recorded once and is referred to a thousand times must not become a bomb.
 * What else a span has is bounded by what is written to the spool.
 */
export function cutSpan(span: StoredSpan, maxBytes: number, load: LoadParts): StoredSpan {
  const lengths = span.fields.flatMap(({ value }) => (isLong(value) ? value.length : []))
  const total = lengths.reduce((sum, length) => sum + length, 0)
  const longest = commonLength(lengths, maxBytes - (spanBytes(span) - total))
  const cut = (field: StoredField): StoredField =>
    isLong(field.value) && field.value.length > longest
      ? { ...field, value: cutValue(field.value, longest, load) }
      : field
  return { ...span, fields: span.fields.map(cut) }
}

function isLong(value: Value): value is Extract<Value, { type: 'text' | 'json' }> {
  return value.type === 'text' || value.type === 'json'
}

/** The largest length to which all may be cut so that their sum keeps within the budget. */
function commonLength(lengths: number[], budget: number): number {
  lengths.sort((a, b) => a - b)
  let rest = Math.max(0, budget)
  for (const [index, length] of lengths.entries()) {
    const share = Math.floor(rest / (lengths.length - index))
    if (length > share) return share
    rest -= length
  }
  return Number.POSITIVE_INFINITY
}

function cutValue(
  value: { readonly parts: readonly Part[]; readonly length: number },
  length: number,
  load: LoadParts,
): Value {
  const marker = Buffer.from(`… [cut by offpath: ${value.length} bytes]`)
  const wanted = Math.max(0, length - marker.length)
  const parts: Part[] = []
  let taken = 0
  for (const part of value.parts) {
    if (taken === wanted) break
    const rest = wanted - taken
    const piece = part.length <= rest ? part : firstBytes(part, rest)
    parts.push(piece)
    taken += piece.length
  }
  const text = Buffer.allocUnsafe(wanted)
  load(parts, text, 0)
  const whole = Buffer.concat([text.subarray(0, characterEnd(text)), marker])
  return { type: 'text', parts: [whole], length: whole.length }
}

function firstBytes(part: Part, length: number): Part {
  return part instanceof Uint8Array ? part.subarray(0, length) : { ...part, length }
}

/** Length of UTF-8 text without the character that its end may have split. */
function characterEnd(text: Buffer): number {
  let start = text.length - 1
  while (start > 0 && (text[start]! & 0xc0) === 0x80) start--
  if (start < 0) return 0
  const lead = text[start]!
  const width = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
  return start + width <= text.length ? text.length : start
}
