import { LOSS_REASONS } from '@offpath/sdk/spool-format'
import type { Resource } from '../store/span.ts'
import { Blobs, blobsIn } from './blobs.ts'
import { afterName, type OpenSpan, type SpanKey } from './open-span.ts'

/** Of an open span beside its words. */
const SPAN_BYTES = 512

export function givenBytes({ keptWords }: OpenSpan): number {
  return SPAN_BYTES + (keptWords << 2)
}

/** What is known of a writer: its open observations, its blobs, what it says of itself. */
export class WriterState {
  readonly id: string
  readonly resource: Resource
  /** Started and not finished; those that wait for blobs are among them, and second versions that do. */
  readonly open: Map<SpanKey, OpenSpan> = new Map()
  /**
   * Closed as interrupted while the writer may live on: an end, if it comes after all, makes a second version. They stay
   * until the writer is dead, which is an hour after it was thought so, and as long as the receiver has room for them.
   */
  readonly given: Map<SpanKey, OpenSpan> = new Map()
  /** Ended, but a blob is not complete. */
  readonly waiting: Set<OpenSpan> = new Set()
  readonly blobs: Blobs = new Blobs()
  /** Keys of finished spans of which the store has a row; emptied by a commit. */
  gone: SpanKey[] = []
  /** Number of the segment that is being read. */
  segment = 0
  /** Totals of the last good frame, and the starts that were seen or counted as corrupt up to there. */
  started = 0
  lost = 0
  seen = 0
  /** Losses by slot of LOSS_REASONS, as last told: of observations, then of scores. */
  readonly losses: number[] = [...LOSS_REASONS, ...LOSS_REASONS].map(() => 0)
  /** The latest time that any of its records bears. */
  lastSeconds = 0
  lastNanos = 0

  constructor(id: string, resource: Resource) {
    this.id = id
    this.resource = resource
  }

  /** Observations started and not finished; a second version that waits for a blob is none. */
  get unfinished(): number {
    let count = this.open.size
    for (const { before } of this.waiting) if (before !== null) count--
    return count
  }

  /** What `given` takes in memory, about. */
  get givenBytes(): number {
    let bytes = 0
    for (const span of this.given.values()) bytes += givenBytes(span)
    return bytes
  }

  /** Between batches: ids of the blobs that go into what is not finished, or may be finished again. */
  neededBlobs(): Set<number> {
    const needed = new Set<number>()
    for (const spans of [this.open, this.given]) {
      for (const { holes, kept, keptWords } of spans.values()) {
        if (!holes || kept === null) continue
        for (const id of blobsIn(kept, afterName(kept, 0), keptWords)) needed.add(id)
      }
    }
    return needed
  }

  sawTime(seconds: number, nanos: number): void {
    if (seconds < this.lastSeconds) return
    if (seconds === this.lastSeconds && nanos <= this.lastNanos) return
    this.lastSeconds = seconds
    this.lastNanos = nanos
  }

  /** The oldest data file that its unfinished observations refer to. */
  get oldestFile(): number {
    let oldest = this.blobs.oldestFile
    for (const span of this.open.values()) oldest = Math.min(oldest, span.oldestFile)
    for (const span of this.given.values()) oldest = Math.min(oldest, span.oldestFile)
    return oldest
  }
}
