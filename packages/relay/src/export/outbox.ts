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
}
