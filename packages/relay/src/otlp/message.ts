// A trace request of OTLP (opentelemetry-proto 1.x, ExportTraceServiceRequest and TracesData, which are the same on the
// wire), as both encodings are read. What a relay does not keep is not here: counts of what others dropped, schema URLs, the
// trace state of links.

/** UTF-8 text is left as the bytes that came: most of it goes to the store as it is. */
export type AnyValue =
  | { readonly type: 'none' }
  | { readonly type: 'text'; readonly bytes: Buffer }
  | { readonly type: 'bool'; readonly value: boolean }
  /** A bigint when it is no safe integer. */
  | { readonly type: 'int'; readonly value: number | bigint }
  | { readonly type: 'double'; readonly value: number }
  | { readonly type: 'bytes'; readonly bytes: Buffer }
  | { readonly type: 'array'; readonly values: readonly AnyValue[] }
  | { readonly type: 'kvlist'; readonly values: readonly KeyValue[] }

export interface KeyValue {
  readonly key: string
  readonly value: AnyValue
}

export interface WireEvent {
  /** Nanoseconds since 1970, as all times here. */
  readonly time: bigint
  readonly name: string
  readonly attributes: readonly KeyValue[]
}

export interface WireLink {
  readonly traceId: Buffer
  readonly spanId: Buffer
  readonly flags: number
  readonly attributes: readonly KeyValue[]
}

/** Ids may be of any length: whoever takes spans in says which are none. */
export interface WireSpan {
  readonly traceId: Buffer
  readonly spanId: Buffer
  /** Empty: a root. */
  readonly parentSpanId: Buffer
  readonly traceState: string
  readonly name: string
  readonly kind: number
  readonly start: bigint
  readonly end: bigint
  readonly attributes: readonly KeyValue[]
  readonly events: readonly WireEvent[]
  readonly links: readonly WireLink[]
  readonly statusCode: number
  readonly statusMessage: string
  readonly flags: number
}

export interface WireScope {
  readonly name: string
  readonly version: string
  readonly attributes: readonly KeyValue[]
}

export interface ScopeSpans {
  readonly scope: WireScope
  readonly spans: readonly WireSpan[]
}

export interface ResourceSpans {
  readonly attributes: readonly KeyValue[]
  readonly scopeSpans: readonly ScopeSpans[]
}

export interface TraceRequest {
  readonly resourceSpans: readonly ResourceSpans[]
  /** Spans that are none: the others are taken all the same. */
  readonly malformed: number
  /** What is wrong with the first of them; '': nothing. */
  readonly fault: string
}

/** Levels of arrays and lists in a value, as in other implementations of protobuf. */
export const MAX_DEPTH = 64
/**
 * Spans, attributes, values … in one request: each takes memory, however short it is. The batches of the Collector, 8192
 * spans, may have 30 attributes a span.
 */
const MAX_MESSAGES = 500_000
/** Each takes 20 µs, and 40 where the store is asked for it. */
const MAX_SPANS = 50_000
/** Fields in protobuf; commas, brackets and braces in JSON. */
const MAX_PARTS: number = 4 * MAX_MESSAGES

/** What a request was found to have. */
export interface PartCount {
  spans: number
  messages: number
  parts: number
}

/** @throws TooManyError */
export function checkCount({ spans, messages, parts }: PartCount): void {
  if (spans > MAX_SPANS || messages > MAX_MESSAGES || parts > MAX_PARTS) throw new TooManyError()
}

export function newCount(): PartCount {
  return { spans: 0, messages: 0, parts: 0 }
}

/** Half a million spans of a request may have one each, so it has no stack, which would take 5 µs. */
export class Fault extends Error {
  constructor(message: string) {
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    super(message)
    Error.stackTraceLimit = stackTraceLimit
  }
}

/** What was sent cannot be read as what it is said to be. */
export class MalformedError extends Fault {}

/** It can be, and has too many parts. */
export class TooManyError extends Error {
  readonly code = 'OFFPATH_OPERATION'
  constructor() {
    super(
      `more than ${MAX_SPANS} spans, ${MAX_MESSAGES} attributes and values or ${MAX_PARTS} fields in one request`,
    )
  }
}

export const NO_VALUE: AnyValue = { type: 'none' }
