import type { HeldScore, MostScores } from '../store/scores.ts'
import type { Part, StoredSpan } from '../store/span.ts'
import type { Backlog, ChunkInfo, Settlement, Unsettled } from '../store/store.ts'

/** Finished spans that lie together, as a delivery knows them. */
export type OutboxChunk = Pick<ChunkInfo, 'id' | 'spans' | 'expandedBytes' | 'states'>

/** What waits for exporters: of one that reads the spool the store, of one that reads from Redis its memory. */
export interface Outbox {
  /** Chunks that the exporter has not settled behind `after`, in order, `maxBytes` (expanded) of them and at least one. */
  nextChunks(exporter: string, after: number, maxBytes: number): readonly OutboxChunk[]
  /** Likewise the oldest of those of which no span waits for the first time. */
  againChunks(exporter: string, maxBytes: number): readonly OutboxChunk[]
  /** All spans of a chunk; none when its bytes are no good, which the outbox sees to. */
  readSpans(chunk: OutboxChunk): StoredSpan[]
  /** Writes the bytes of all parts to `into[at]`; returns the position behind them. */
  loadParts(parts: readonly Part[], into: Buffer, at: number): number
  /** Takes in what an exporter has settled. */
  acknowledge(exporter: string, settlements: readonly Settlement[]): void
  /** What an exporter has not settled. */
  backlog(exporter: string): Backlog
  /** Takes chunks out of an exporter's outbox, for it holds too many. Returns what was not settled of them, which it counts. */
  drop(exporter: string, chunks: readonly number[]): Unsettled
  /** For what waits for keys. Undefined: it takes no memory here. */
  readonly shelf?: Shelf
}

/** Where chunks go that are to wait long: elsewhere they take no memory, and hold up nothing. */
export interface Shelf {
  /** Lets go of a chunk of which nothing is on its way: all that waits of it waits for these lanes. It may stay all the same. */
  put(chunk: number, lanes: readonly string[]): void
  /** Has what waits for a lane come again as new chunks, so many at most. */
  recall(lane: string, most: number): void
}

/** The same of scores. Their ids are numbers, in the order in which they came. */
export interface ScoresWaiting {
  /** Projects of which scores wait; '' for those that name none. */
  projects(exporter: string): readonly string[]
  /** Waiting scores of a project behind `after`, in order, but those that are `taken`: at most `count`, and `maxBytes` or one. */
  next(
    exporter: string,
    project: string,
    after: number,
    taken: ReadonlySet<number>,
    most: MostScores,
  ): readonly HeldScore[]
  /** Takes in what became of scores. */
  acknowledge(
    exporter: string,
    delivered: readonly number[],
    dead: readonly { readonly id: number; readonly reason: string }[],
  ): void
  /** Drops the oldest that are not `taken` until no more than so many bytes wait. Returns how many, which it counts. */
  trim(exporter: string, maxBytes: number, taken: ReadonlySet<number>): number
  /** As that of spans, by projects; what is `taken` is on its way. */
  readonly shelf?: {
    put(project: string, taken: ReadonlySet<number>): void
    recall(project: string, most: number): void
  }
}
