import { FIELD, OBSERVATION_TYPES } from '@offpath/sdk/spool-format'
import type { Part, StoredSpan, Value } from '../store/span.ts'

/** A value as plain JSON: what it is, and its text or number. */
export type PlainSpanValue =
  | { readonly text: string }
  | { readonly json: unknown }
  | { readonly int: string }
  | { readonly double: number | string }
  | { readonly bool: boolean }
  | { readonly strings: readonly string[] }

/** A stored span as plain JSON, as in test/vectors. Times are decimal strings of nanoseconds. */
export interface PlainSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | null
  readonly name: string
  readonly type: string
  readonly kind: number
  readonly startFlags: number
  readonly startTime: string
  readonly endTime: string
  readonly interrupted: boolean
  readonly revision: number
  readonly status: { readonly code: number; readonly message: string }
  readonly project: string | null
  readonly traceState: string
  readonly scope: unknown
  /** By the names of FIELD; metadata, traceMetadata and attribute by key. */
  readonly fields: Readonly<Record<string, unknown>>
  readonly events: readonly unknown[]
  readonly links: readonly unknown[]
}

const NAMES = new Map<number, string>(Object.entries(FIELD).map(([name, field]) => [field, name]))

export function plainSpan(span: StoredSpan, load: (parts: readonly Part[]) => string): PlainSpan {
  const fields: Record<string, unknown> = {}
  for (const { field, key, value } of span.fields) {
    const name = NAMES.get(field) ?? String(field)
    const plain = plainValue(value, load)
    if (key === undefined) fields[name] = plain
    else {
      fields[name] ??= {}
      Object.defineProperty(fields[name], key, { value: plain, enumerable: true })
    }
  }
  return {
    traceId: span.traceId.toString('hex'),
    spanId: span.spanId.toString('hex'),
    parentSpanId: span.parentSpanId?.toString('hex') ?? null,
    name: span.name,
    type: OBSERVATION_TYPES[span.type] ?? String(span.type),
    kind: span.kind,
    startFlags: span.startFlags,
    startTime: nanoseconds(span.startSeconds, span.startNanos),
    endTime: nanoseconds(span.endSeconds, span.endNanos),
    interrupted: span.interrupted,
    revision: span.revision,
    status: { code: span.statusCode, message: span.statusDescription },
    project: span.project,
    traceState: span.traceState,
    scope: span.scope,
    fields,
    events: span.events.map(({ name, seconds, nanos, attributes }) => {
      return { name, time: nanoseconds(seconds, nanos), attributes }
    }),
    links: span.links,
  }
}

function plainValue(value: Value, load: (parts: readonly Part[]) => string): PlainSpanValue {
  switch (value.type) {
    case 'text':
      return { text: load(value.parts) }
    case 'json':
      return { json: JSON.parse(load(value.parts)) }
    case 'int':
      return { int: String(value.value) }
    case 'double':
      return { double: Number.isFinite(value.value) ? value.value : String(value.value) }
    case 'bool':
      return { bool: value.value }
    case 'strings':
      return { strings: value.values }
  }
}

function nanoseconds(seconds: number, nanos: number): string {
  return String(BigInt(seconds) * 1_000_000_000n + BigInt(nanos))
}
