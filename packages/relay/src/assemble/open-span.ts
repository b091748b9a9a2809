import { type Before, type SpanFacts, USAGE_LOW } from '../store/chunk-builder.ts'
import { HEAD, NO_FILE, textWords } from '../store/layout.ts'
import { SEVERITY, type Severity } from '../store/span.ts'
import type { Words } from '../store/words.ts'

/** Key of an observation within its writer: the serial of binary records, the span id of JSON records. */
export type SpanKey = number | string

/** A place in a writer's segments. */
export interface SpoolPlace {
  readonly segment: number
  readonly offset: number
}

const NOWHERE: SpoolPlace = { segment: 0, offset: 0 }

/**
 * An observation from its start until it is handed to the store. What was recorded of it lies in the form in which it
 * will be stored: head and name, then fields. Long values are in the data files already.
 *
 *   kept (from batches before)  +  pieces in the arena (of this batch):  words | next piece | head, name, fields
 *                                                                        words | next piece | fields
 */
export class OpenSpan implements SpanFacts {
  readonly key: SpanKey
  type: number
  statusCode = 0
  /** Of its level. */
  level: Severity = SEVERITY.none
  /** From batches before, with room for more; null: none. */
  kept: Int32Array | null = null
  keptWords = 0
  /** Of these, when they were last merged. */
  mergedWords = 0
  /** First and last piece in the arena; 0: none. */
  first = 0
  last = 0
  maskLow = 0
  maskHigh = 0
  /** Fields may have to be merged before they are stored. */
  merge = false
  /** Blobs have to be put in before it is stored. */
  holes = false
  expanded = 0
  oldestFile: number = NO_FILE
  ended = false
  endSeconds = 0
  endNanos = 0
  /** Of a further version: what the first one said. */
  before: Before | null = null
  /** Number of the segment that it began in. */
  readonly segment: number
  /** Something was recorded since it was closed as interrupted. */
  news = false
  /** Whether the store has a row of it, whether that is out of date, and up to where records are in it. */
  saved = false
  changed = true
  savedAt: SpoolPlace = NOWHERE

  constructor(key: SpanKey, type: number, segment: number) {
    this.key = key
    this.type = type
    this.segment = segment
  }

  /** What a further version is to say of this one, which ends as interrupted. */
  get asBefore(): Before {
    const usage = (this.maskLow & USAGE_LOW) !== 0
    return { severity: this.severity, interrupted: true, usage }
  }

  get severity(): Severity {
    return this.statusCode === 2 ? SEVERITY.error : this.level
  }
}

/** Words before a piece's content. */
export const PIECE_WORDS = 2

/** The word where a span's fields begin. */
export function afterName(words: Int32Array, span: number): number {
  return span + HEAD.words + textWords(words, span + HEAD.words)
}

/** Appends all that is kept of the span to `out`. */
export function copySpan(span: OpenSpan, arena: Words, out: Words): void {
  const { kept } = span
  if (kept !== null) out.copyWords(kept, 0, span.keptWords)
  for (let piece = span.first; piece !== 0; piece = arena.words[piece + 1] as number) {
    const from = piece + PIECE_WORDS
    out.copyWords(arena.words, from, from + (arena.words[piece] as number))
  }
}

/** Words of its pieces in the arena. */
export function pieceWords(span: OpenSpan, arena: Words): number {
  let sum = 0
  for (let piece = span.first; piece !== 0; piece = arena.words[piece + 1] as number) {
    sum += arena.words[piece] as number
  }
  return sum
}

/** Moves the pieces behind what is kept: over many batches a copy of each word or two, not of all in each batch. */
export function keepPieces(span: OpenSpan, arena: Words): void {
  let kept = span.kept as Int32Array
  const length = span.keptWords + pieceWords(span, arena)
  if (length > kept.length) {
    const longer = new Int32Array(Math.max(length, kept.length + (kept.length >> 1)))
    longer.set(kept.subarray(0, span.keptWords))
    span.kept = kept = longer
  }
  for (let piece = span.first; piece !== 0; piece = arena.words[piece + 1] as number) {
    const from = piece + PIECE_WORDS
    const to = from + (arena.words[piece] as number)
    kept.set(arena.words.subarray(from, to), span.keptWords)
    span.keptWords += to - from
  }
}

/** Puts what is only in the head at the end into it. */
export function completeHead(span: OpenSpan, words: Int32Array, at: number, bits: number): void {
  const kinds = words[at + HEAD.kinds] as number
  words[at + HEAD.kinds] = (kinds & 0x00ff_ff00) | span.type | (span.statusCode << 24)
  words[at + HEAD.bits] = (words[at + HEAD.bits] as number) | bits
  const startSeconds = (words[at + HEAD.start] as number) >>> 0
  const startNanos = (words[at + HEAD.start + 1] as number) >>> 0
  const { endSeconds, endNanos } = span
  // A negative duration becomes zero.
  const negative =
    endSeconds < startSeconds || (endSeconds === startSeconds && endNanos < startNanos)
  words[at + HEAD.end] = negative ? startSeconds : endSeconds
  words[at + HEAD.end + 1] = negative ? startNanos : endNanos
}
