import type { StoreReader, TraceFilter } from '../store/read.ts'
import type { StoredSpan } from '../store/span.ts'
import type { TraceRow } from '../store/trace-list.ts'
import { isoTime, observationOf } from './observation.ts'
import type { Observation, Trace, TraceList, TraceSummary } from './shapes.ts'

// The answers of the API, which the CLI prints too: from rows of the store to the shapes of shapes.ts.

/** How much of a trace is read. */
export interface TraceBounds {
  readonly observations: number
  /** Bytes of one value, and of all values together. */
  readonly valueBytes: number
  readonly totalBytes: number
}

/** For an answer over HTTP: it is held in memory, as text and as bytes. */
export const API_BOUNDS: TraceBounds = {
  observations: 10_000,
  valueBytes: 1024 ** 2,
  totalBytes: 32 * 1024 ** 2,
}

export function listTraces(reader: StoreReader, filter: TraceFilter): TraceList {
  const { traces, next } = reader.traces(filter)
  return { traces: traces.map(summaryOf), next }
}

export type FoundTrace =
  | { readonly found: Trace }
  | { readonly found: null; readonly problem: 'unknown' }
  /** `ids`: some of the traces that it may be. */
  | { readonly found: null; readonly problem: 'ambiguous'; readonly ids: readonly string[] }

/** @param prefix a trace id or the beginning of one, lower-case hex */
export function findTrace(reader: StoreReader, prefix: string, bounds: TraceBounds): FoundTrace {
  const ids = prefix.length === 32 ? [prefix] : reader.traceIds(prefix, 6)
  if (ids.length > 1) return { found: null, problem: 'ambiguous', ids }
  const row = ids[0] === undefined ? null : reader.trace(ids[0])
  if (row === null) return { found: null, problem: 'unknown' }
  const spans = row.spans.sort(byStart)
  return {
    found: {
      trace: summaryOf(row.summary),
      observations: observationsOf(reader, spans.slice(0, bounds.observations), bounds),
      omitted: Math.max(0, spans.length - bounds.observations),
    },
  }
}

/** Spans as observations, in their order; `bounds` holds for all of them together. */
export function observationsOf(
  reader: Pick<StoreReader, 'text'>,
  spans: readonly StoredSpan[],
  bounds: Pick<TraceBounds, 'valueBytes' | 'totalBytes'>,
): Observation[] {
  const readText = reader.text.bind(reader)
  const budget = { each: bounds.valueBytes, left: bounds.totalBytes }
  return spans.map((span) => observationOf(span, readText, budget))
}

function summaryOf(row: TraceRow): TraceSummary {
  return {
    id: row.id,
    name: row.name,
    complete: row.complete,
    service: row.service,
    environment: row.environment,
    userId: row.userId,
    sessionId: row.sessionId,
    startTime: isoOf(row.firstStart),
    durationMs: Math.max(0, Math.round((row.lastEnd - row.firstStart) * 1000) / 1000),
    observations: row.spans,
    errors: row.errors,
    warnings: row.warnings,
    interrupted: row.interrupted,
    tokens: row.tokens,
  }
}

/** From milliseconds since 1970, of which a double keeps microseconds. */
function isoOf(ms: number): string {
  const micros = Math.round(ms * 1000)
  const seconds = Math.floor(micros / 1e6)
  return isoTime(seconds, (micros - seconds * 1e6) * 1000)
}

function byStart(a: StoredSpan, b: StoredSpan): number {
  return a.startSeconds - b.startSeconds || a.startNanos - b.startNanos
}
