import { FIELD } from '@offpath/sdk/spool-format'
import { FieldWriter } from '../decode/field-writer.ts'
import { type ChunkBuilder, MAX_SPAN_WORDS } from '../store/chunk-builder.ts'
import type { DataWriter } from '../store/data-files.ts'
import { HEAD, HEAD_BITS, textWords } from '../store/layout.ts'
import { Words } from '../store/words.ts'
import { leaveFiles } from './leave-files.ts'
import { mergeFields } from './merge.ts'
import {
  completeHead,
  copySpan,
  keepPieces,
  type OpenSpan,
  PIECE_WORDS,
  pieceWords,
  type SpanKey,
} from './open-span.ts'
import type { WriterState } from './writer-state.ts'

/** Observations that a writer may have open. Beyond it the oldest are closed: an application leaks them. */
const MAX_OPEN = 100_000

/** Fields that gather, and replace nothing. */
const LISTED_HIGH = (1 << (FIELD.event & 31)) | (1 << (FIELD.link & 31))

/** Memory for what one batch records of its spans; it grows and shrinks back. */
const ARENA_WORDS = 512 * 1024
const SCRATCH_WORDS = 4096

/**
 * From records to finished spans, for all writers of a spool. Within a batch what is recorded lies in the arena; what is
 * still open at its end is copied out of it.
 */
export class Assembler {
  readonly fields: FieldWriter
  readonly data: DataWriter
  /** Spans that are in the arena. */
  readonly #touched: OpenSpan[] = []
  /** Whose they are. */
  readonly #touchedBy: WriterState[] = []
  readonly #arena = new Words(ARENA_WORDS)
  readonly #chunks: ChunkBuilder
  readonly #scratch = new Words(SCRATCH_WORDS)
  /** Observations closed by `start`, since the relay started. */
  interrupted = 0
  /** Blobs that were named and did not come, since the relay started. */
  lostBlobs = 0
  writer!: WriterState

  constructor(chunks: ChunkBuilder, data: DataWriter) {
    this.#chunks = chunks
    this.data = data
    // A piece is never at 0: that means none.
    this.#arena.at = PIECE_WORDS
    this.fields = new FieldWriter(this.#arena, data)
  }

  /** Whose records come next. */
  use(writer: WriterState): void {
    this.writer = writer
    this.#chunks.use(writer.id, writer.resource)
  }

  /** Words in use: a batch should end before they are many. */
  get arenaWords(): number {
    return this.#arena.at
  }

  /** Opens a piece, whose content goes to `fields`. */
  beginPiece(): number {
    const arena = this.#arena
    arena.ensure(PIECE_WORDS + HEAD.words)
    const piece = arena.at
    arena.at += PIECE_WORDS
    this.fields.begin()
    return piece
  }

  /** As if the piece had not been opened. */
  dropPiece(piece: number): void {
    this.#arena.at = piece
  }

  /** The piece is the span's next one. */
  addPiece(span: OpenSpan, piece: number): void {
    const arena = this.#arena
    const length = arena.at - piece - PIECE_WORDS
    const { fields } = this
    if (length === 0) {
      arena.at = piece
      return
    }
    arena.words[piece] = length
    arena.words[piece + 1] = 0
    if (span.first === 0) {
      span.first = piece
      this.#touched.push(span)
      this.#touchedBy.push(this.writer)
    } else arena.words[span.last + 1] = piece
    span.last = piece
    if (
      fields.merge ||
      (span.maskLow & fields.maskLow) !== 0 ||
      (span.maskHigh & fields.maskHigh & ~LISTED_HIGH) !== 0
    ) {
      span.merge = true
    }
    if (fields.holes) span.holes = true
    span.maskLow |= fields.maskLow
    span.maskHigh |= fields.maskHigh
    span.expanded += fields.expanded
    if (fields.oldestFile < span.oldestFile) span.oldestFile = fields.oldestFile
    span.changed = span.news = true
  }

  /** Type and status code lie in the span itself: a piece that sets them may be empty. */
  setType(span: OpenSpan, type: number): void {
    span.type = type
    span.changed = span.news = true
  }

  setStatusCode(span: OpenSpan, code: number): void {
    span.statusCode = code
    span.changed = span.news = true
  }

  /** A started span. One of the same key that is still open ends here, interrupted. */
  start(span: OpenSpan): void {
    const { open } = this.writer
    const other = open.get(span.key)
    if (other !== undefined) this.#close(other)
    open.set(span.key, span)
    if (open.size > MAX_OPEN) this.#close(open.values().next().value as OpenSpan)
  }

  /** Nothing more is expected of the span. */
  #close(span: OpenSpan): void {
    const isEnded = this.writer.waiting.delete(span)
    if (isEnded) this.#finish(span, 0)
    else this.interrupt(span)
    if (!isEnded) this.interrupted++
  }

  /** Ends an observation; false when none of that key is known. */
  end(key: SpanKey, seconds: number, nanos: number): boolean {
    const { writer } = this
    let span = writer.open.get(key)
    if (span === undefined) {
      span = writer.given.get(key)
      if (span === undefined) return false
      // It was thought interrupted: what comes now is its second version.
      writer.given.delete(key)
      writer.open.set(key, span)
    }
    span.ended = true
    span.endSeconds = seconds
    span.endNanos = nanos
    this.#finishOrWait(span)
    return true
  }

  #finishOrWait(span: OpenSpan): void {
    const { writer } = this
    if (span.holes && !this.#filled(span)) {
      writer.waiting.add(span)
      span.changed = true
    } else this.#finish(span, 0)
  }

  /** Whether all blobs that the span names are settled. */
  #filled(span: OpenSpan): boolean {
    const { writer } = this
    const words = this.#scratch
    words.reset(SCRATCH_WORDS)
    copySpan(span, this.#arena, words)
    return writer.blobs.allSettled(words, afterName(words.words, 0))
  }

  /** Some blob was settled: spans that waited for it alone are finished. */
  blobSettled(): void {
    for (const span of this.writer.waiting) {
      if (!this.#filled(span)) continue
      this.writer.waiting.delete(span)
      this.#finish(span, 0)
    }
  }

  /** The writer is gone, or thought to be: the span ends with what was recorded of it. */
  interrupt(span: OpenSpan): void {
    const { writer } = this
    span.endSeconds = writer.lastSeconds
    span.endNanos = writer.lastNanos
    this.#finish(span, HEAD_BITS.interrupted)
  }

  /** The writer is gone: spans that had ended and waited for blobs do so no longer. */
  endWaiting(): void {
    const { writer } = this
    writer.blobs.breakAll()
    for (const span of writer.waiting) this.#finish(span, 0)
    writer.waiting.clear()
  }

  #finish(span: OpenSpan, bits: number): void {
    const { writer } = this
    const start = this.#chunks.staging.at
    try {
      this.#put(span, bits)
    } catch (error) {
      this.#chunks.reject(start, span.before !== null, error)
    }
    writer.open.delete(span.key)
    if (span.saved) writer.gone.push(span.key)
    // Of no interest to `endBatch` any more.
    span.first = 0
    span.news = false
  }

  /** Puts the span into the chunk. Whatever it throws is for this span alone. */
  #put(span: OpenSpan, bits: number): void {
    const { writer } = this
    const out = this.#chunks.staging
    const start = out.at
    copySpan(span, this.#arena, out)
    const fieldsAt = afterName(out.words, start)
    if (span.merge) mergeFields(out, fieldsAt)
    if (span.holes) {
      const filled = writer.blobs.fill(out, fieldsAt, this.data)
      span.expanded += filled.bytes
      span.oldestFile = Math.min(span.oldestFile, filled.oldestFile)
      this.lostBlobs += filled.lost
    }
    completeHead(span, out.words, start, bits | (span.before === null ? 0 : 1 << 8))
    this.#chunks.end(start, span)
  }

  /** An open span that can't be kept is given up. Returns whether it was kept. */
  #keepOrReject(span: OpenSpan, writer: WriterState): boolean {
    try {
      this.#keep(span)
      return true
    } catch (error) {
      this.#chunks.reject(this.#chunks.staging.at, span.before !== null, error)
    }
    writer.open.delete(span.key)
    writer.given.delete(span.key)
    writer.waiting.delete(span)
    if (span.saved) writer.gone.push(span.key)
    span.first = 0
    return false
  }

  /**
   * Closes all open observations of a writer that is thought dead, or is. `mayReturn`: they are remembered, for the writer
   * may end them after all. Returns how many there were.
   */
  interruptAll(mayReturn: boolean): number {
    const { writer } = this
    this.endWaiting()
    const spans = [...writer.open.values()]
    for (const span of spans) {
      const { asBefore } = span
      if (mayReturn && !this.#keepOrReject(span, writer)) continue
      this.interrupt(span)
      if (!mayReturn) continue
      span.before = asBefore
      span.saved = false
      span.changed = true
      writer.given.set(span.key, span)
    }
    if (!mayReturn) {
      for (const span of writer.given.values()) if (span.news) this.interrupt(span)
      writer.given.clear()
    }
    return spans.length
  }

  /**
   * Between batches: what the writer's observations and blobs have in data files before `file` is copied to the one that is
   * written to, or retention could not remove those. Returns whether rows of the store are out of date.
   */
  leaveFiles({ open, given, blobs }: WriterState, file: number): boolean {
    let isOutdated = false
    for (const spans of [open, given]) {
      for (const span of spans.values()) {
        if (span.oldestFile >= file || span.kept === null) continue
        const { kept } = span
        span.oldestFile = leaveFiles(kept, afterName(kept, 0), span.keptWords, file, this.data)
        span.changed = true
        isOutdated ||= span.saved
      }
    }
    blobs.leaveFiles(file, this.data)
    return isOutdated
  }

  /** At the end of a batch: what is open moves out of the arena. */
  endBatch(): void {
    this.#touched.forEach((span, i) => {
      if (span.first !== 0) this.#keepOrReject(span, this.#touchedBy[i] as WriterState)
    })
    this.#touched.length = this.#touchedBy.length = 0
    this.#arena.reset(ARENA_WORDS)
    this.#arena.at = PIECE_WORDS
  }

  /**
   * Fields are merged when the span is twice as long as when they were merged last: at every batch, a span of 100 000
   * events took 51 ms of each.
   */
  #keep(span: OpenSpan): void {
    const arena = this.#arena
    const length = span.keptWords + pieceWords(span, arena)
    const isMergeDue = span.merge && length >= 2 * span.mergedWords
    if (span.kept === null || isMergeDue || length > MAX_SPAN_WORDS) this.#keepMerged(span)
    else keepPieces(span, arena)
    span.first = span.last = 0
  }

  #keepMerged(span: OpenSpan): void {
    const words = this.#scratch
    words.reset(SCRATCH_WORDS)
    copySpan(span, this.#arena, words)
    if (span.merge) {
      mergeFields(words, afterName(words.words, 0))
      span.merge = false
    }
    if (words.at > MAX_SPAN_WORDS) throw new RangeError('it is longer than 256 MB')
    span.kept = words.words.slice(0, words.at)
    span.keptWords = span.mergedWords = words.at
  }
}

/** The word where a span's fields begin. */
function afterName(words: Int32Array, span: number): number {
  return span + HEAD.words + textWords(words, span + HEAD.words)
}
