import type { OpenRow } from '../store/store.ts'
import { OpenSpan, type SpanKey, type SpoolPlace } from './open-span.ts'

// Open observations as rows of the store, for when the segments that hold their records are deleted.

/** What a row says beside the words. */
interface Facts {
  readonly key: SpanKey
  readonly given: boolean
  readonly type: number
  readonly statusCode: number
  readonly level: OpenSpan['level']
  readonly maskLow: number
  readonly maskHigh: number
  readonly merge: boolean
  readonly holes: boolean
  readonly expanded: number
  readonly oldestFile: number
  readonly ended: boolean
  readonly endSeconds: number
  readonly endNanos: number
  readonly before: OpenSpan['before']
  readonly news: boolean
  readonly segment: number
  readonly savedAt: SpoolPlace
}

/** Serials and span ids don't mix: an id may look like a number. */
export function rowKey(key: SpanKey): string {
  return typeof key === 'number' ? `#${key}` : key
}

/** `given`: it was closed as interrupted, and its writer may end it after all. */
export function rowOf(span: OpenSpan, given: boolean): OpenRow {
  const words = span.kept as Int32Array
  const facts: Facts = {
    key: span.key,
    given,
    type: span.type,
    statusCode: span.statusCode,
    level: span.level,
    maskLow: span.maskLow,
    maskHigh: span.maskHigh,
    merge: span.merge,
    holes: span.holes,
    expanded: span.expanded,
    oldestFile: span.oldestFile,
    ended: span.ended,
    endSeconds: span.endSeconds,
    endNanos: span.endNanos,
    before: span.before,
    news: span.news,
    segment: span.segment,
    savedAt: span.savedAt,
  }
  return {
    key: rowKey(span.key),
    words: new Uint8Array(words.buffer, words.byteOffset, span.keptWords << 2),
    state: JSON.stringify(facts),
  }
}

export function openSpanOf(row: OpenRow): { span: OpenSpan; given: boolean } {
  const { key, type, segment, given, ...facts } = JSON.parse(row.state) as Facts
  const span = new OpenSpan(key, type, segment)
  const bytes = Uint8Array.from(row.words)
  Object.assign(span, facts)
  span.kept = new Int32Array(bytes.buffer, 0, bytes.length >> 2)
  span.keptWords = span.mergedWords = span.kept.length
  span.saved = true
  span.changed = false
  return { span, given }
}
