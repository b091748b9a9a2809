import type { IncomingHttpHeaders } from 'node:http'

/**
 * An attribute's value with its OTLP type kept: string, bool, int (bigint), double (number), bytes
 * (Uint8Array), array, key-value list (object), and null for an AnyValue without a value.
 */
export type AttributeValue =
  | string
  | boolean
  | bigint
  | number
  | Uint8Array
  | AttributeValue[]
  | { [key: string]: AttributeValue }
  | null

export type Attributes = Record<string, AttributeValue>

interface CapturedEvent {
  name: string
  /** Nanoseconds since 1970. */
  timeUnixNano: bigint
  attributes: Attributes
  droppedAttributesCount: number
}

interface CapturedLink {
  traceId: string
  spanId: string
  traceState: string
  flags: number
  attributes: Attributes
  droppedAttributesCount: number
}

export interface CapturedSpan {
  /** 32 and 16 hex digits, lower case; `parentSpanId` is '' for a root. */
  traceId: string
  spanId: string
  parentSpanId: string
  traceState: string
  flags: number
  name: string
  /** OTLP SpanKind: 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  kind: number
  /** Nanoseconds since 1970. */
  startTimeUnixNano: bigint
  endTimeUnixNano: bigint
  /** OTLP StatusCode: 0 unset, 1 ok, 2 error. */
  status: { code: number; message: string }
  attributes: Attributes
  events: CapturedEvent[]
  links: CapturedLink[]
  droppedAttributesCount: number
  droppedEventsCount: number
  droppedLinksCount: number
  scope: { name: string; version: string; attributes: Attributes; schemaUrl: string }
  resource: { attributes: Attributes; schemaUrl: string }
  /** Public key of the project it was sent to; '' at the plain OTLP endpoint. */
  project: string
  /** Number of the request that brought it, from 1. */
  request: number
}

export interface CapturedRequest {
  /** From 1, over all POSTs of traces. */
  number: number
  path: string
  headers: IncomingHttpHeaders
  /** Public key; '' at the plain OTLP endpoint, undefined when the keys were wrong or missing. */
  project: string | undefined
  /** The body as sent; empty in count-only mode. */
  body: Buffer
  /** Bytes of the body as sent, and after decompression. */
  encodedBytes: number
  decodedBytes: number
  /** What it brought, taken or not; empty in count-only mode and when it could not be decoded. */
  spans: CapturedSpan[]
  spanCount: number
  /** Whether its spans were stored. */
  accepted: boolean
  /** The HTTP status sent, or what happened instead of an answer. */
  answer: number | 'hang' | 'reset'
  /** Why it was not accepted. */
  reason?: string
  /** `performance.now()` when its body was complete, in ms. */
  at: number
}

/**
 * What goes wrong with one request. `accept: true` stores the spans before the failure, as when an
 * answer is lost on its way: the client's resend is then a duplicate.
 */
export type Fault =
  | {
      type: 'status'
      status: number
      /** Seconds or an HTTP date. */
      retryAfter?: number | string
      body?: string
      contentType?: string
      accept?: boolean
    }
  /** Reads the request and never answers. */
  | { type: 'hang'; accept?: boolean }
  /** Resets the connection: after the body was read, or as soon as the headers are there. */
  | { type: 'reset'; when?: 'headers' | 'body'; accept?: boolean }
  /** A 200 whose body ends before its content-length. */
  | { type: 'half-body'; accept?: boolean }
  /** A 200 with an HTML page, as from a proxy that wants a login. */
  | { type: 'html'; accept?: boolean }
  /** A good answer that arrives in pieces over so many ms. */
  | { type: 'slow'; ms: number }

/** A fault for each of the next requests in turn, or a function of the request's number (from 1). */
type Faults = readonly (Fault | undefined)[] | ((requestNumber: number) => Fault | undefined)

/** A score as the API has it. */
export type Score = Readonly<Record<string, unknown>>

export interface CapturedScoreRequest {
  headers: IncomingHttpHeaders
  /** Public key; undefined when the keys were wrong or missing. */
  project: string | undefined
  /** What it brought, taken or not. */
  scores: Score[]
  isArray: boolean
  /** Of the body as sent. */
  bytes: number
  /** The HTTP status sent, or what happened instead of an answer. */
  answer: number | 'hang' | 'reset'
}

interface ScoreOptions {
  /** False: an older server, which takes one score a request. Default true. */
  arrays?: boolean
  /** A reason makes the score one that is rejected. */
  reject?: (score: Score) => string | undefined
  /** As of traces, by the number of the request with scores. */
  faults?: Faults
}

export interface LangfuseScores {
  /** All POSTs of scores that were read to their end. */
  readonly requests: CapturedScoreRequest[]
  /** Scores taken, resends included. */
  received: number
  arrays: boolean
  reject: ScoreOptions['reject'] | undefined
  faults: Faults | undefined
  /** What Langfuse would show: one score per project and id, the newest version of each. */
  all(project?: string): Score[]
  /** Resolves with `all()` once it has `count` of them; rejects after `timeoutMs`. */
  waitFor(count: number, timeoutMs?: number): Promise<Score[]>
}

export interface CapturedMediaRequest {
  method: 'POST' | 'PUT' | 'PATCH'
  headers: IncomingHttpHeaders
  /** Public key; undefined when the keys were wrong or missing; '' of a PUT, which has none. */
  project: string | undefined
  /** JSON of a POST or PATCH. */
  content: Record<string, unknown> | undefined
  /** Of the body as sent. */
  bytes: number
  /** The HTTP status sent, or what happened instead of an answer. */
  answer: number | 'hang' | 'reset'
}

export interface StoredMedia {
  readonly project: string
  readonly mediaId: string
  readonly sha256Hash: string
  readonly contentType: string
  readonly contentLength: number
  readonly content: Buffer
  /** How often it was uploaded. */
  readonly puts: number
  /** 0: not told yet. */
  readonly uploadHttpStatus: number
  /** `trace observation field` of each place that has it. */
  readonly places: readonly string[]
}

/** By the method and its number from 1. */
type MediaFaults = (method: 'POST' | 'PUT' | 'PATCH', number: number) => Fault | undefined

interface MediaOptions {
  faults?: MediaFaults
  /** A reason makes the POST one that is answered with 400. */
  reject?: (content: Readonly<Record<string, unknown>>) => string | undefined
}

export interface LangfuseMedia {
  /** All requests for media and uploads that were read to their end. */
  readonly requests: CapturedMediaRequest[]
  faults: MediaFaults | undefined
  reject: MediaOptions['reject'] | undefined
  /** Scheme, host and port of upload URLs; undefined: of this server. */
  storage: string | undefined
  /** What Langfuse would show: uploaded, and said to be so. */
  all(project?: string): StoredMedia[]
  /** Resolves with `all()` once it has `count` of them; rejects after `timeoutMs`. */
  waitFor(count: number, timeoutMs?: number): Promise<StoredMedia[]>
}

export interface LangfuseServerOptions {
  /** Default 0: a free one. */
  port?: number
  /** Public key → secret key. Default {'pk-lf-test': 'sk-lf-test'}. */
  projects?: Record<string, string>
  /** A body longer than this, as sent or after decompression, is answered with 413. Default 512 MiB. */
  maxBodyBytes?: number
  /** Every answer waits so long. Default 0. */
  latencyMs?: number
  faults?: Faults
  /** A reason makes the span poison: its whole request is answered with 400. */
  rejectSpan?: (span: CapturedSpan) => string | undefined
  /** Count spans without decoding or keeping them, so that the server costs a benchmark little. */
  countOnly?: boolean
  scores?: ScoreOptions
  media?: MediaOptions
  /** GET /__stats answers with `stats()`, POST /__clear forgets. */
  control?: boolean
}

export interface LangfuseServerStats {
  requests: number
  accepted: number
  /** Requests by answer: '200', '429', 'hang', 'reset' … */
  answers: Record<string, number>
  /** Spans accepted, resends included. */
  received: number
  /** Different traces; 0 in count-only mode. */
  traces: number
  /** Spans after deduplication; equal to `received` in count-only mode, which does not look. */
  stored: number
  duplicates: { identical: number; changed: number }
  encodedBytes: number
  decodedBytes: number
}

export interface LangfuseServer {
  /** Base URL, for LANGFUSE_BASE_URL: http://127.0.0.1:port */
  readonly url: string
  readonly port: number
  /** Plain OTLP endpoint: url + '/v1/traces', without keys. */
  readonly otlpUrl: string
  /** Public key → secret key; may be changed while it runs. */
  readonly projects: Map<string, string>
  /** All POSTs of traces in the order of their completion. */
  readonly requests: CapturedRequest[]
  /** Spans accepted, resends included. */
  readonly received: number
  /** Resends of a known span: bit for bit the same content, or another content. */
  readonly duplicates: { identical: number; changed: number }
  faults: Faults | undefined
  latencyMs: number
  maxBodyBytes: number
  rejectSpan: ((span: CapturedSpan) => string | undefined) | undefined
  readonly scores: LangfuseScores
  readonly media: LangfuseMedia
  /**
   * What Langfuse would show: one span per project, trace id, span id and start time, the newest
   * version of each, in the order of first arrival.
   */
  spans(project?: string): CapturedSpan[]
  /** Resolves with `spans()` once it has `count` of them; rejects after `timeoutMs`. */
  waitForSpans(count: number, timeoutMs?: number): Promise<CapturedSpan[]>
  /** Resolves once `condition()` holds; looks after each request. Rejects after `timeoutMs`. */
  waitFor(condition: () => boolean, timeoutMs?: number): Promise<void>
  stats(): LangfuseServerStats
  /** Forgets requests, spans and counts; request numbers start at 1 again. */
  clear(): void
  /** Ends it with all connections, hanging ones too. */
  close(): Promise<void>
}
