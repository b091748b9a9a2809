/** A place in a data file. */
export interface Place {
  readonly file: number
  readonly offset: number
  readonly length: number
}

/** A piece of a value: UTF-8 bytes at hand, or where they lie. */
export type Part = Buffer | Place

/** A value as it was recorded, ready to be written as text; `length` is the bytes of all its parts. */
export type Value =
  | { readonly type: 'text'; readonly parts: readonly Part[]; readonly length: number }
  | { readonly type: 'json'; readonly parts: readonly Part[]; readonly length: number }
  | { readonly type: 'int'; readonly value: number | bigint }
  | { readonly type: 'double'; readonly value: number }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'strings'; readonly values: readonly string[] }

export interface StoredField {
  /** A number of FIELD. */
  readonly field: number
  /** Of metadata: its top-level key; of a raw attribute: its name. */
  readonly key?: string
  readonly value: Value
}

/** Plain attributes of events, links, scopes and resources. */
export type Plain = Readonly<Record<string, unknown>>

export interface StoredEvent {
  readonly name: string
  readonly seconds: number
  readonly nanos: number
  readonly attributes: Plain
}

export interface StoredLink {
  /** Hex. */
  readonly traceId: string
  readonly spanId: string
  readonly flags: number
  readonly attributes: Plain
}

export interface Scope {
  readonly name: string
  readonly version: string
  readonly attributes: Plain
}

/** The writer that spans come from: one object for all spans of a writer. */
export interface Resource {
  readonly service: string | null
  readonly environment: string | null
  readonly release: string | null
  readonly host: string
  readonly pid: number
  readonly sdk: { readonly name: string; readonly version: string }
  readonly language: string
  readonly attributes: Plain
  /**
   * It came by OTLP. `attributes` are all that are sent of it then, the rest of it is for lists and filters; and spans say
   * themselves what others say by their resource (RECEIVED_FLAG).
   */
  readonly received?: true
}

/** Of spans that came by OTLP, bits of `startFlags` beside START_FLAG: what OTLP's flags said. */
export const RECEIVED_FLAG = {
  /** Whether the parent is remote is known. */
  knows: 8,
  /** W3C's trace flags. */
  sampled: 16,
  random: 32,
} as const

/** An observation, complete: what the store keeps and exporters send. */
export interface StoredSpan {
  readonly traceId: Buffer
  readonly spanId: Buffer
  readonly parentSpanId: Buffer | null
  readonly name: string
  readonly type: number
  readonly kind: number
  readonly startFlags: number
  readonly startSeconds: number
  readonly startNanos: number
  readonly endSeconds: number
  readonly endNanos: number
  /** Its writer died before it ended. */
  readonly interrupted: boolean
  /** 0, or counts the versions of a span that ended after its writer was thought dead. */
  readonly revision: number
  readonly statusCode: number
  readonly statusDescription: string
  readonly project: string | null
  readonly scope: Scope | null
  readonly resource: Resource
  readonly fields: readonly StoredField[]
  readonly events: readonly StoredEvent[]
  readonly links: readonly StoredLink[]
  readonly traceState: string
}

export function isPlace(part: Part): part is Place {
  return !(part instanceof Uint8Array)
}

/** Whether a list of traces counts an observation among its warnings or errors. */
export const SEVERITY = { none: 0, warning: 1, error: 2 } as const
export type Severity = (typeof SEVERITY)[keyof typeof SEVERITY]

/** What a level says: ERROR, WARNING, or any other. */
export function severityOf(level: string): Severity {
  return level === 'ERROR' ? SEVERITY.error : level === 'WARNING' ? SEVERITY.warning : SEVERITY.none
}
