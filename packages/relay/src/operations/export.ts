// A store's spans as OTLP JSON lines, in the order in which they were stored, with what it takes to have them again.

import type { Encoder } from '../export/encoder.ts'
import { javascript5 } from '../export/langfuse.ts'
import { createEncoder } from '../export/otlp.ts'
import { withHints } from '../otlp/hints.ts'
import { toJson } from '../otlp/to-json.ts'
import type { SpanHead } from '../store/chunk.ts'
import type { StoreReader } from '../store/read.ts'
import type { StoredSpan } from '../store/span.ts'
import { TraceKeys } from '../store/trace-keys.ts'
import { Versions } from './versions.ts'

export interface ExportFilter {
  /** Ends of spans, in ms since 1970: from then on, and before then. */
  readonly from: number
  readonly to: number
  readonly service: string | undefined
  /** Hex, whole; undefined: all. */
  readonly traceId: string | undefined
}

export interface Exported {
  spans: number
  /** Chunks of spans that cannot be read. */
  unreadable: number
}

/** Of a line, in protobuf, unless one span alone is longer. */
const LINE_BYTES = 4 * 1024 * 1024
/** Chunks that are looked at at a time. */
const SLICE = 32
/** With all characters escaped it still fits into the longest line that is imported. */
const MAX_SPAN_BYTES = 20 * 1024 * 1024

/**
 * Objects of a line each. Of a span with several versions the newest alone is there; what is stored meanwhile is not.
 *
 * @param spanBytes most that a span may take; of larger ones the longest values are cut, visibly
 * @param exported counts what was written
 */
export function* exportedLines(
  reader: StoreReader,
  filter: ExportFilter,
  spanBytes: number,
  exported: Exported,
): Generator<object> {
  const encoder = createEncoder({
    dialect: javascript5,
    load: reader.loadParts,
    maxSpanBytes: Math.min(spanBytes, MAX_SPAN_BYTES),
  })
  for (const spans of chunks(reader, filter, exported)) {
    exported.spans += spans.length
    yield* lines(
      spans.map((span) => withHints(span, reader.loadParts)),
      encoder,
    )
  }
}

function* lines(spans: readonly StoredSpan[], encoder: Encoder): Generator<object> {
  for (let at = 0; at < spans.length; ) {
    const writer = encoder.begin(Buffer.allocUnsafeSlow(64 * 1024), LINE_BYTES)
    while (at < spans.length && writer.add(spans[at] as StoredSpan)) at++
    const { buffer, length } = writer.finish()
    yield toJson(buffer.subarray(0, length))
  }
}

function* chunks(
  reader: StoreReader,
  filter: ExportFilter,
  exported: Exported,
): Generator<StoredSpan[]> {
  const versions = new Versions(reader)
  // In a process of its own: nobody waits for a turn.
  versions.catchUp({ isOver: false })
  // After it, or a span whose next version comes in between is in neither.
  const last = reader.lastChunk()
  const traceId = filter.traceId === undefined ? undefined : Buffer.from(filter.traceId, 'hex')
  for (const id of traceId === undefined ? ended(reader, filter) : ofTrace(reader, traceId)) {
    if (id > last) return
    const heads = reader.headsOf(id)
    const spans = reader.spansOf(id)
    if (heads === null || spans === null) {
      // Retention may have removed it meanwhile.
      if (reader.hasChunk(id)) exported.unreadable++
      continue
    }
    const wanted = spans.filter((span, index) => {
      const head = heads[index] as SpanHead
      return (
        head.end >= filter.from &&
        head.end < filter.to &&
        (traceId === undefined || span.traceId.equals(traceId)) &&
        (filter.service === undefined || span.resource.service === filter.service) &&
        !versions.isOld(head)
      )
    })
    if (wanted.length > 0) yield wanted
  }
}

function* ended(reader: StoreReader, filter: ExportFilter): Generator<number> {
  for (let after: number | null = 0; after !== null; ) {
    const found = reader.chunksEnded(after, filter, SLICE)
    after = found.last
    for (const { id } of found.chunks) yield id
  }
}

function ofTrace(reader: StoreReader, traceId: Buffer): number[] {
  const traces = new TraceKeys<true>()
  traces.set(traceId, true)
  return [...reader.chunksWith(traces, 0)].reverse()
}
