import type { Clock } from './clock.ts'
import { hexToWord, wordToHex } from './ids.ts'

export const SPAN_FLAG = { sampled: 1, ended: 2, remote: 4 } as const

const NO_CLOCK: Clock = { offset: 0 }

/**
 * What is kept of an observation: ids only, as int32 words (they fit V8's small integers, so a span is one
 * allocation). One hidden class for all, whatever the observation's type.
 */
export class Span {
  /** Number of the observation in its writer; 0 when nothing is recorded of it. */
  serial = 0
  t0 = 0
  t1 = 0
  t2 = 0
  t3 = 0
  s0 = 0
  s1 = 0
  /** Index in OBSERVATION_TYPES. */
  type = 0
  flags = 0
  clock: Clock = NO_CLOCK
  propagated: Propagated | null = null
}

/** Zero ids: what a disabled recorder hands out. */
export const INVALID_SPAN: Span = new Span()

/** The trace id, 32 hex digits. */
export function traceIdOf(span: Span): string {
  return wordToHex(span.t0) + wordToHex(span.t1) + wordToHex(span.t2) + wordToHex(span.t3)
}

/** The span id, 16 hex digits. */
export function spanIdOf(span: Span): string {
  return wordToHex(span.s0) + wordToHex(span.s1)
}

/**
 * A parent that lives elsewhere, from W3C ids (32 and 16 hex digits) and trace flags (bit 0 = sampled).
 * Null when an id is malformed or all zeros.
 */
export function remoteSpan(
  traceId: string,
  spanId: string,
  traceFlags: number,
  isRemote: boolean,
): Span | null {
  if (!/^[0-9a-f]{32}$/i.test(traceId) || !/^[0-9a-f]{16}$/i.test(spanId)) return null
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return null
  const span = new Span()
  span.t0 = hexToWord(traceId, 0)
  span.t1 = hexToWord(traceId, 8)
  span.t2 = hexToWord(traceId, 16)
  span.t3 = hexToWord(traceId, 24)
  span.s0 = hexToWord(spanId, 0)
  span.s1 = hexToWord(spanId, 8)
  span.flags = (traceFlags & 1 ? SPAN_FLAG.sampled : 0) | (isRemote ? SPAN_FLAG.remote : 0)
  return span
}

export interface PropagatedAttributes {
  readonly userId?: string | undefined
  readonly sessionId?: string | undefined
  readonly traceName?: string | undefined
  readonly version?: string | undefined
  readonly environment?: string | undefined
  readonly tags?: readonly string[] | undefined
  readonly metadata?: Readonly<Record<string, string>> | undefined
  readonly promptName?: string | undefined
  readonly promptVersion?: number | undefined
  readonly project?: string | undefined
}

/** Trace attributes in force in a context: immutable, shared by its spans, written once a segment. */
export class Propagated implements PropagatedAttributes {
  readonly userId: string | undefined
  readonly sessionId: string | undefined
  readonly traceName: string | undefined
  readonly version: string | undefined
  readonly environment: string | undefined
  readonly tags: readonly string[] | undefined
  readonly metadata: Readonly<Record<string, string>> | undefined
  readonly promptName: string | undefined
  readonly promptVersion: number | undefined
  readonly project: string | undefined
  // The recorder's own: which segment knows it, under which number, and the last frame that used it.
  segment = 0
  number = 0
  frame = 0

  constructor(attributes: PropagatedAttributes) {
    this.userId = attributes.userId
    this.sessionId = attributes.sessionId
    this.traceName = attributes.traceName
    this.version = attributes.version
    this.environment = attributes.environment
    this.tags = attributes.tags
    this.metadata = attributes.metadata
    this.promptName = attributes.promptName
    this.promptVersion = attributes.promptVersion
    this.project = attributes.project
  }
}
