import { FIELD } from '@offpath/sdk/spool-format'
import type { Before, ChunkBuilder, SpanFacts } from './chunk-builder.ts'
import { HEAD, HEAD_BITS, KIND, NO_FILE, PART } from './layout.ts'
import {
  isPlace,
  type Part,
  SEVERITY,
  type Severity,
  type StoredField,
  type StoredSpan,
  severityOf,
  type Value,
} from './span.ts'
import type { Words } from './words.ts'

/** A key's length has 16 bits. */
const MAX_KEY_BYTES = 65_534

/** What is known of the first version of a span that was closed because its writer seemed dead. */
const CLOSED: Before = { severity: SEVERITY.none, interrupted: true, usage: false }
/** Longer texts are parts, as where they are written from records. */
const MAX_TEXT_BYTES = 2048

/**
 * Puts a span that is an object into the chunk that is being built; one that can't be is rejected. `before`: of a further
 * version, what the one before said.
 */
export function putSpan(chunks: ChunkBuilder, span: StoredSpan, before: Before = CLOSED): void {
  const start = chunks.staging.at
  try {
    const facts = writeSpan(chunks.staging, span)
    chunks.end(start, span.revision === 0 ? facts : { ...facts, before })
  } catch (error) {
    chunks.reject(start, span.revision > 0, error)
  }
}

/** Writes the words of a span, but for HEAD.length. Of one that can't be written, some may have been when it throws. */
export function writeSpan(out: Words, span: StoredSpan): SpanFacts {
  const start = out.at
  out.ensure(HEAD.words)
  const { words, bytes } = out
  words[start + HEAD.kinds] =
    span.type | (span.kind << 8) | (span.startFlags << 16) | (span.statusCode << 24)
  words[start + HEAD.bits] =
    (span.interrupted ? HEAD_BITS.interrupted : 0) |
    (span.parentSpanId === null ? 0 : HEAD_BITS.parent) |
    (span.revision << 8)
  bytes.set(span.traceId, (start + HEAD.traceId) << 2)
  bytes.set(span.spanId, (start + HEAD.spanId) << 2)
  bytes.fill(0, (start + HEAD.parentSpanId) << 2, (start + HEAD.start) << 2)
  if (span.parentSpanId !== null) bytes.set(span.parentSpanId, (start + HEAD.parentSpanId) << 2)
  words[start + HEAD.start] = span.startSeconds
  words[start + HEAD.start + 1] = span.startNanos
  words[start + HEAD.end] = span.endSeconds
  words[start + HEAD.end + 1] = span.endNanos
  out.at = start + HEAD.words
  out.text(span.name)

  const facts = { maskLow: 0, maskHigh: 0, expanded: 0, oldestFile: NO_FILE }
  const add = (field: StoredField): void => {
    if (field.field < 32) facts.maskLow |= 1 << field.field
    else facts.maskHigh |= 1 << (field.field & 31)
    putField(out, field)
    facts.expanded += expandedBytes(field.value)
    facts.oldestFile = Math.min(facts.oldestFile, oldestFile(field.value))
  }
  const putText = (field: number, text: string | null): void => {
    if (text !== null && text !== '') add({ field, value: textValue(text) })
  }
  for (const field of span.fields) add(field)
  putText(FIELD.statusDescription, span.statusDescription)
  putText(FIELD.project, span.project)
  putText(FIELD.traceState, span.traceState)
  if (span.scope !== null) {
    const { name, version, attributes } = span.scope
    add({ field: FIELD.scope, value: jsonValue([name, version, attributes]) })
  }
  for (const event of span.events) {
    openField(out, FIELD.event, KIND.event, undefined)
    out.text(event.name)
    out.ensure(2)
    out.words[out.at++] = event.seconds
    out.words[out.at++] = event.nanos
    putParts(out, jsonValue(event.attributes))
  }
  for (const link of span.links) {
    openField(out, FIELD.link, KIND.link, undefined)
    out.ensure(7)
    out.bytes.write(link.traceId + link.spanId, out.at << 2, 'hex')
    out.words[out.at + 6] = link.flags
    out.at += 7
    putParts(out, jsonValue(link.attributes))
  }
  return {
    ...facts,
    severity: severityOfSpan(span),
    before: span.revision === 0 ? null : CLOSED,
  }
}

/** What a further version of the span has to know of it. */
export function beforeOf(span: StoredSpan): Before {
  return {
    severity: severityOfSpan(span),
    interrupted: span.interrupted,
    usage: span.fields.some(({ field }) => field === FIELD.usageDetails),
  }
}

function severityOfSpan({ statusCode, fields }: StoredSpan): Severity {
  const level = fields.find(({ field }) => field === FIELD.level)?.value
  if (statusCode === 2) return SEVERITY.error
  return severityOf(level?.type === 'text' ? inlineText(level) : '')
}

function openField(out: Words, field: number, kind: number, key: string | undefined): void {
  out.ensure(1)
  const head = out.at++
  let length = 0
  if (key !== undefined) {
    // As a text without its length.
    out.text(key)
    const bytes = out.words[head + 1] as number
    out.words.copyWithin(head + 1, head + 2, out.at)
    out.at--
    if (bytes > MAX_KEY_BYTES) throw new RangeError(`a key of ${bytes} bytes`)
    length = bytes + 1
  }
  out.words[head] = field | (kind << 8) | (length << 16)
}

function putField(out: Words, { field, key, value }: StoredField): void {
  openField(out, field, kindOf(value), key)
  switch (value.type) {
    case 'text':
      // The list of traces looks for user, session and the like in this form.
      if (isShort(value)) out.copyBytes(value.parts[0] as Buffer)
      else putParts(out, value)
      break
    case 'json':
      putParts(out, value)
      break
    case 'int':
      if (isInt32(value.value)) {
        out.ensure(1)
        out.words[out.at++] = value.value
      } else out.text(String(value.value))
      break
    case 'double':
      out.ensure(2)
      out.bytes.writeDoubleLE(value.value, out.at << 2)
      out.at += 2
      break
    case 'strings':
      out.ensure(1)
      out.words[out.at++] = value.values.length
      for (const text of value.values) out.text(text)
      break
    case 'bool':
      break
  }
}

function kindOf(value: Value): number {
  switch (value.type) {
    case 'text':
      return isShort(value) ? KIND.text : KIND.textParts
    case 'json':
      return KIND.jsonParts
    case 'int':
      return isInt32(value.value) ? KIND.int : KIND.bigint
    case 'double':
      return KIND.double
    case 'bool':
      return value.value ? KIND.true : KIND.false
    case 'strings':
      return KIND.strings
  }
}

function isShort({ parts, length }: Extract<Value, { type: 'text' }>): boolean {
  return length <= MAX_TEXT_BYTES && parts.length === 1 && !isPlace(parts[0] as Part)
}

function isInt32(value: number | bigint): value is number {
  return typeof value === 'number' && (value | 0) === value
}

function putParts(out: Words, { parts, length }: { parts: readonly Part[]; length: number }): void {
  out.ensure(2)
  const at = out.at
  out.words[at] = length
  out.at += 2
  for (const part of parts) {
    if (isPlace(part)) {
      out.ensure(3)
      out.words[out.at++] = (PART.place << 30) | part.length
      out.words[out.at++] = part.file
      out.words[out.at++] = part.offset
    } else if (part.length > 0) out.copyBytes(part)
  }
  out.words[at + 1] = out.at - at - 2
}

function textValue(text: string): Value {
  const bytes = Buffer.from(text)
  return { type: 'text', parts: [bytes], length: bytes.length }
}

function jsonValue(value: unknown): { type: 'json'; parts: Part[]; length: number } {
  const bytes = Buffer.from(JSON.stringify(value))
  return { type: 'json', parts: [bytes], length: bytes.length }
}

function inlineText({ parts }: { parts: readonly Part[] }): string {
  return parts.length === 1 && !isPlace(parts[0] as Part) ? (parts[0] as Buffer).toString() : ''
}

function expandedBytes(value: Value): number {
  return 32 + (value.type === 'text' || value.type === 'json' ? value.length : 0)
}

function oldestFile(value: Value): number {
  let oldest = NO_FILE
  if (value.type !== 'text' && value.type !== 'json') return oldest
  for (const part of value.parts) if (isPlace(part)) oldest = Math.min(oldest, part.file)
  return oldest
}
