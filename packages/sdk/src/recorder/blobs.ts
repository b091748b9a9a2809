import { BLOB_ENCODING, BLOB_LAST } from '../spool/format.ts'

const SLICE_BYTES = 256 * 1024
/** 256 KB as UTF-16, at most 384 KB as UTF-8. */
const SLICE_CHARS = 128 * 1024
/** Above it each new blob first writes a slice of the oldest: what waits is bounded, at the speed of a copy. */
const MAX_WAITING_BYTES = 32 * 1024 * 1024
/** Words of a slice's payload before its bytes. */
const SLICE_HEAD_WORDS = 5

interface Blob {
  readonly id: number
  content: string | Uint8Array
  readonly encoding: number
  /** Of the content when it was taken in: bytes can be transferred away, to a worker for example. */
  readonly length: number
  /** Characters or bytes taken so far. */
  taken: number
  /** Bytes written so far. */
  offset: number
  /** A slice was lost: only the closing slice is still to be written, to say so. */
  broken: boolean
}

/**
 * Large strings and byte arrays on their way out, kept by reference, a slice of 256 KB at a time. `writeSlice` writes
 * the oldest one's next slice and says whether the spool took it.
 */
export class BlobQueue {
  readonly #waiting: Blob[] = []
  #bytes = 0
  #lastId = 0
  readonly #writeSlice: () => boolean
  // The slice that `encode` made last.
  #taken = 0
  #length = 0
  #last = false
  /** The blob that was added last is broken already: the spool refuses, and too much waits. */
  refused = false

  constructor(writeSlice: () => boolean) {
    this.#writeSlice = writeSlice
  }

  get length(): number {
    return this.#waiting.length
  }

  /** Takes a string or bytes in, to be written later. Returns the blob's id. */
  add(content: string | Uint8Array, encoding: number): number {
    let refused = false
    while (this.#bytes > MAX_WAITING_BYTES && !refused) refused = !this.#writeSlice()
    this.refused = refused
    const id = ++this.#lastId
    const kept = refused ? '' : content
    const { length } = kept
    this.#waiting.push({
      id,
      content: kept,
      encoding,
      length,
      taken: 0,
      offset: 0,
      broken: refused,
    })
    this.#bytes += length
    return id
  }

  /**
   * Puts the next slice's payload into `buffer` at `start` and returns its length in bytes, 0 when nothing waits.
   * `commit` or `fail` must follow.
   */
  encode(buffer: Buffer, start: number): number {
    const blob = this.#waiting[0]
    if (blob === undefined) return 0
    if (!blob.broken && blob.content.length !== blob.length) this.fail()
    const content = blob.content
    const from = blob.taken
    const body = start + SLICE_HEAD_WORDS * 4
    let to = from
    let length = 0
    if (!blob.broken && typeof content === 'string') {
      to = textSliceEnd(content, from)
      const slice = content.slice(from, to)
      length = buffer.write(slice, body, blob.encoding === BLOB_ENCODING.utf16 ? 'utf16le' : 'utf8')
    } else if (!blob.broken) {
      const slice = (content as Uint8Array).subarray(from, from + SLICE_BYTES)
      buffer.set(slice, body)
      length = slice.length
      to = from + length
    }
    const last = blob.broken || to >= content.length
    buffer.writeUInt32LE(blob.id, start)
    buffer.writeUInt32LE((last ? BLOB_LAST : 0) | (blob.encoding << 8), start + 4)
    // A broken blob's closing slice lies behind a gap, which tells the reader.
    const offset = blob.broken ? blob.offset + 1 : blob.offset
    buffer.writeUInt32LE(offset % 2 ** 32, start + 8)
    buffer.writeUInt32LE(Math.floor(offset / 2 ** 32), start + 12)
    buffer.writeUInt32LE(length, start + 16)
    const end = body + length
    const padded = (end + 3) & ~3
    buffer.fill(0, end, padded)
    this.#taken = to
    this.#length = length
    this.#last = last
    return padded - start
  }

  /** The slice is in the spool. */
  commit(): void {
    const blob = this.#waiting[0]
    if (blob === undefined) return
    this.#bytes -= this.#taken - blob.taken
    blob.taken = this.#taken
    blob.offset += this.#length
    if (this.#last) {
      if (!blob.broken) this.#bytes -= blob.length - blob.taken
      this.#waiting.shift()
    }
  }

  /** The slice was dropped: the blob can't be complete any more, only its closing slice is still to be written. */
  fail(): void {
    const blob = this.#waiting[0]
    if (blob === undefined || blob.broken) return
    this.#bytes -= blob.length - blob.taken
    blob.broken = true
    blob.content = ''
    blob.taken = 0
  }
}

/** End of the slice from `from`, never through a surrogate pair. */
function textSliceEnd(text: string, from: number): number {
  const end = from + SLICE_CHARS
  if (end >= text.length) return text.length
  return (text.charCodeAt(end - 1) & 0xfc00) === 0xd800 ? end - 1 : end
}
