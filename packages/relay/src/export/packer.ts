import type { StoredSpan } from '../store/span.ts'
import { type Chunk, isAgain, markTaken, type Run } from './chunk.ts'
import type { Encoder, RequestWriter } from './encoder.ts'

/** Encoded spans, ready to be sent. */
export interface Pack {
  readonly buffer: Buffer
  /** Bytes of the buffer in use. */
  readonly length: number
  readonly runs: readonly Run[]
  /** Goes only when nothing else is under way: it holds a span of which an older version may be. */
  readonly alone: boolean
  /** Of the observations in it, the earliest end, ms since 1970; infinite: all were counted before. */
  readonly oldestEnd: number
}

/**
 * Puts spans into requests as they are read, so that their objects live for a moment only. A newer
 * version of a span begins a request: it shares none with the older one. What is sent again needs none of
 * its own: it is the newest version, and it was settled, so no other is under way.
 */
export interface Packer {
  /** Full requests, in order. */
  readonly ready: Pack[]
  /** Spans in the request that is being filled. */
  readonly spans: number
  /** Throws, and leaves the span out, when it cannot be encoded. */
  put(chunk: Chunk, index: number, span: StoredSpan): void
  /** Ends the request that is being filled. */
  seal(): void
}

/** @param take hands out buffers */
export function createPacker(encoder: Encoder, maxBytes: number, take: () => Buffer): Packer {
  const ready: Pack[] = []
  let writer: RequestWriter | null = null
  let runs: (Run & { to: number })[] = []
  let alone = false
  let oldestEnd = Number.POSITIVE_INFINITY

  const seal = (): void => {
    if (writer === null) return
    ready.push({ ...writer.finish(), runs, alone, oldestEnd })
    writer = null
    runs = []
    alone = false
    oldestEnd = Number.POSITIVE_INFINITY
  }

  const add = (span: StoredSpan): boolean => {
    writer ??= encoder.begin(take(), maxBytes)
    return writer.add(span)
  }

  const put = (chunk: Chunk, index: number, span: StoredSpan): void => {
    const isNewer = span.revision > 0
    if (isNewer && runs.length > 0) seal()
    if (!add(span)) {
      seal()
      add(span)
    }
    alone ||= isNewer
    const counted = isNewer || isAgain(chunk, index)
    if (!counted) oldestEnd = Math.min(oldestEnd, span.endSeconds * 1000 + span.endNanos / 1e6)
    markTaken(chunk, index)
    const last = runs.at(-1)
    if (last?.chunk === chunk && last.to === index && last.counted === counted) last.to++
    else runs.push({ chunk, from: index, to: index + 1, counted })
  }

  return {
    ready,
    get spans() {
      return writer?.spans ?? 0
    },
    put,
    seal,
  }
}
