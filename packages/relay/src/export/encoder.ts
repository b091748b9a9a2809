import type { StoredSpan } from '../store/span.ts'
import type { LoadParts } from './attributes.ts'

export interface EncodingOptions {
  readonly load: LoadParts
  /** Bound for one span; beyond it its longest values are cut, with a marker. */
  readonly maxSpanBytes: number
  /** The span without its media, which go another way; the same span when it has none. */
  readonly cutMedia?: ((span: StoredSpan) => StoredSpan) | undefined
}

/** A request being written. */
export interface RequestWriter {
  readonly spans: number
  /** Appends a span. False, and nothing is written, when the request would become too long. */
  add(span: StoredSpan): boolean
  /** Ends the request. The buffer may be another one than `begin` was given: a longer one. */
  finish(): { buffer: Buffer; length: number }
}

/** Makes an exporter's requests of spans. The same spans give the same bytes, so that a resend is the same request. */
export interface Encoder {
  /** Begins a request of at most `maxBytes`, unless one span alone is longer, in a buffer. */
  begin(buffer: Buffer, maxBytes: number): RequestWriter
  /** A request of just these spans, in a buffer of its own. */
  encode(spans: readonly StoredSpan[]): Buffer
}
