import { type ActiveContext, activeContext, state } from '../context.ts'
import type { TimeInput } from '../recorder/recorder.ts'
import {
  INVALID_SPAN,
  remoteSpan,
  SPAN_FLAG,
  type Span,
  spanIdOf,
  traceIdOf,
} from '../recorder/span.ts'
import { recording } from '../session.ts'
import { OBSERVATION_TYPES, START_FLAG } from '../spool/format.ts'
import type { OtelSpanContext } from './otel-types.ts'

// What the observation classes, the OpenTelemetry facade and observe share: parents, ids, times, the end.

/** Bits of Span.flags that are the API's; the recorder uses the low byte. */
export const API_FLAG = {
  /** The span id was read: the span is in `state.known` until it ends. */
  known: 256,
  /** Status OK was set, which is final. */
  statusOk: 512,
} as const

const MAX_KNOWN = 10_000

export const EVENT: number = OBSERVATION_TYPES.indexOf('event')

/** Index in OBSERVATION_TYPES; what is unknown is a span, as in Langfuse. */
export function typeIndex(type: string | undefined): number {
  if (type === undefined) return 0
  const index = (OBSERVATION_TYPES as readonly string[]).indexOf(type)
  return index < 0 ? 0 : index
}

/** The parent named by a span context; null, for a new trace, when it is invalid. */
export function spanOfContext(given: OtelSpanContext): Span | null {
  const { traceId, spanId, traceFlags, isRemote } = given
  return remoteSpan(String(traceId), String(spanId), traceFlags ?? 0, isRemote === true)
}

/** Starts a span in the active context. Where nothing is recorded it has its parent's ids, else zeros. */
export function startUnder(
  parent: Span | null,
  name: string,
  type: number,
  attributes: object | undefined,
  startTime: TimeInput | undefined,
  /** An OpenTelemetry span kind << 8. */
  kind = 0,
): Span {
  const recorder = recording()
  if (recorder === undefined) return parent ?? INVALID_SPAN
  const context = activeContext()
  const propagated = context?.propagated ?? state.base
  const flags = startFlags(parent, context) | kind
  // JavaScript callers pass null where TypeScript's leave attributes out.
  const given = attributes ?? undefined
  return type === EVENT
    ? recorder.event(parent, propagated, name, type, flags, given, startTime)
    : recorder.start(parent, propagated, name, type, flags, given, startTime)
}

export function isOpen(span: Span): boolean {
  return span.serial !== 0 && (span.flags & SPAN_FLAG.ended) === 0
}

/** Start flags of an observation under `parent`, as Langfuse marks application roots. */
function startFlags(parent: Span | null, context: ActiveContext | undefined): number {
  if (parent === null) return START_FLAG.appRoot
  const remote = (parent.flags & SPAN_FLAG.remote) !== 0 ? START_FLAG.remoteParent : 0
  const claim = context?.claim
  if (claim === parent || (claim && sameTrace(claim, parent)) || isOpen(parent)) return remote
  // A parent given by its ids may be one of this process all the same.
  if (parent.serial === 0 && state.known.size > 0) {
    const known = state.known.get(parent.s0)
    if (known?.s1 === parent.s1 && sameTrace(known, parent)) return remote
  }
  return remote | START_FLAG.appRoot
}

function sameTrace(a: Span, b: Span): boolean {
  return a.t0 === b.t0 && a.t1 === b.t1 && a.t2 === b.t2 && a.t3 === b.t3
}

/** The span's id, which from now on others may name as their parent. */
export function publishedId(span: Span): string {
  if ((span.flags & API_FLAG.known) === 0 && isOpen(span)) {
    span.flags |= API_FLAG.known
    const { known } = state
    known.set(span.s0, span)
    if (known.size > MAX_KNOWN) known.delete(known.keys().next().value as number)
  }
  return spanIdOf(span)
}

export function spanContextOf(span: Span): OtelSpanContext {
  const context: OtelSpanContext = {
    traceId: traceIdOf(span),
    spanId: publishedId(span),
    traceFlags: span.flags & SPAN_FLAG.sampled,
  }
  if ((span.flags & SPAN_FLAG.remote) !== 0) context.isRemote = true
  return context
}

/** Ends a span, now or at a given time. */
export function endSpan(span: Span, endTime: unknown): void {
  if ((span.flags & API_FLAG.known) !== 0) state.known.delete(span.s0)
  state.recorder?.end(span, endTime === undefined ? undefined : usableTime(endTime))
}

/** A time as OpenTelemetry takes it; undefined (now) for null and whatever is no time. */
export function usableTime(time: unknown): TimeInput | undefined {
  if (typeof time === 'number' || time instanceof Date) return time
  if (!Array.isArray(time) || time.length !== 2) return undefined
  const [seconds, nanoseconds] = time as [number, number]
  return inRange(seconds, 2 ** 32) && inRange(nanoseconds, 2 ** 31)
    ? [seconds, nanoseconds]
    : undefined
}

function inRange(value: number, end: number): boolean {
  return value >= 0 && value < end
}
