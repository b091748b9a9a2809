import { BLOB_ENCODING } from '@offpath/sdk/spool-format'
import { storeText } from '../decode/text.ts'
import type { DataWriter } from '../store/data-files.ts'
import {
  CUT_MARKER,
  fieldWords,
  HOLE,
  MAX_VALUE_BYTES,
  NO_FILE,
  PART,
  partsAt,
  partWords,
} from '../store/layout.ts'
import type { Place } from '../store/span.ts'
import { Words } from '../store/words.ts'

// Large strings and byte arrays arrive in slices. A value that names one has a hole until its span is stored.

/** Where bytes of a segment can be read again; null: they can't. */
export interface Source {
  read(offset: number, length: number): Buffer | null
}

/** A slice, in the forms that it was needed in so far; in none of them, it lies in its segment. */
interface Slice {
  readonly source: Source | null
  readonly offset: number
  readonly length: number
  text: Place | null
  json: Place | null
}

export interface Blob {
  readonly id: number
  /** Of BLOB_ENCODING; -1: no slice has come yet. */
  encoding: number
  /** Bytes so far. */
  length: number
  complete: boolean
  /** A slice of it was lost. */
  broken: boolean
  /** Number of the segment in which it was named first: only the next one may name it again. 0: not yet. */
  named: number
  /** Number of the segment that its newest slice lies in. */
  segment: number
  /** It came when a segment was read again: the record that names it may be one that is not read again. */
  readonly again: boolean
  readonly slices: Slice[]
  /** Of bytes: up to two that wait for a third, to become base64. */
  carry: Buffer
  /** What values need it as. */
  asText: boolean
  asJson: boolean
}

export interface SliceHead {
  readonly id: number
  readonly encoding: number
  readonly last: boolean
  readonly offset: number
  readonly length: number
}

/**
 * A blob that no open observation names, and that may still be named or go on, is kept for so many segments behind its
 * newest slice. As many hold all that a memory-backed spool does (a segment is a 32nd of the cap): of one record with
 * several large values the first ones may come before it.
 */
const KEPT_SEGMENTS = 32
/** Of these blobs, how many of a writer are kept: the oldest go. One takes some 300 bytes. */
const MAX_UNNAMED = 10_000

const LOST = '[lost: the rest of it did not arrive]'
const BYTES_PREFIX = 'data:application/octet-stream;base64,'

/** The blobs of one writer. */
export class Blobs {
  readonly #all = new Map<number, Blob>()

  /** A value of a segment names it. */
  name(id: number, segment: number, json: boolean): void {
    const blob = this.#get(id, segment, false)
    if (blob.named === 0) blob.named = segment
    if (json) blob.asJson = true
    else blob.asText = true
  }

  #get(id: number, segment: number, again: boolean): Blob {
    let blob = this.#all.get(id)
    if (blob === undefined) {
      blob = {
        id,
        encoding: -1,
        length: 0,
        complete: false,
        broken: false,
        named: 0,
        segment,
        again,
        slices: [],
        carry: Buffer.alloc(0),
        asText: false,
        asJson: false,
      }
      this.#all.set(id, blob)
    }
    return blob
  }

  /** Whether nothing more is to come of any blob that the fields from word `from` to `to` name. */
  allSettled(words: Int32Array, from: number, to: number): boolean {
    for (const id of blobsIn(words, from, to)) {
      const blob = this.#all.get(id)
      if (blob !== undefined && !blob.complete && !blob.broken) return false
    }
    return true
  }

  /**
   * Takes a slice of a segment in. Its bytes are at `bytes[at]`; with a source, which is given when the segment is read
   * again, they are left at `at` of that until they are needed. Returns whether the blob is settled now.
   */
  slice(
    head: SliceHead,
    segment: number,
    bytes: Buffer,
    at: number,
    source: Source | null,
    data: DataWriter,
  ): boolean {
    const { id, encoding, offset, length, last } = head
    const blob = this.#get(id, segment, source !== null)
    if (blob.complete || blob.broken) return false
    // Read again, of a blob that was saved with it.
    if (source !== null && offset < blob.length) return false
    if (blob.encoding === -1) blob.encoding = encoding
    if (offset !== blob.length || encoding !== blob.encoding || encoding > BLOB_ENCODING.utf16) {
      blob.broken = true
      return true
    }
    const slice: Slice = { source, offset: at, length, text: null, json: null }
    if (source === null) {
      this.#storeSlices(blob, data)
      this.#store(blob, slice, bytes, at, last, data)
    }
    blob.length += length
    blob.segment = segment
    blob.slices.push(slice)
    if (last) blob.complete = true
    return last
  }

  #store(
    blob: Blob,
    slice: Slice,
    bytes: Buffer,
    at: number,
    last: boolean,
    data: DataWriter,
  ): void {
    const end = at + slice.length
    if (blob.encoding === BLOB_ENCODING.bytes) {
      const all = Buffer.concat([blob.carry, bytes.subarray(at, end)])
      const whole = last ? all.length : all.length - (all.length % 3)
      blob.carry = Buffer.from(all.subarray(whole))
      const text = all.toString('base64', 0, whole)
      data.ensure(text.length)
      const mark = data.mark()
      data.at += data.buffer.write(text, data.at, 'latin1')
      slice.text = slice.json = data.since(mark)
      return
    }
    const utf16 = blob.encoding === BLOB_ENCODING.utf16
    // What a text alone can't hold, JSON can: before a record says which of them it is, both are kept.
    const isEither =
      !blob.asText && !blob.asJson && utf16 && !bytes.toString('utf16le', at, end).isWellFormed()
    if (blob.asJson || isEither) slice.json = storeText(data, bytes, at, end, utf16, true)
    if (blob.asText || !blob.asJson) slice.text = storeText(data, bytes, at, end, utf16, false)
  }

  /** All slices go to the data file: the segment that holds them will be deleted. */
  storeAll(data: DataWriter): void {
    for (const blob of this.#all.values()) this.#storeSlices(blob, data)
  }

  #storeSlices(blob: Blob, data: DataWriter): void {
    const { slices } = blob
    for (let i = 0; i < slices.length; i++) {
      const slice = slices[i] as Slice
      if (slice.source === null || slice.text !== null || slice.json !== null) continue
      const bytes = slice.source.read(slice.offset, slice.length)
      if (bytes === null) {
        blob.broken = true
        // The segment will be closed, and another file may get its descriptor.
        slices.length = i
        return
      }
      this.#store(blob, slice, bytes, 0, blob.complete && i === slices.length - 1, data)
    }
  }

  /** The places of a blob's text, and whether it is all of it. */
  #places(blob: Blob, json: boolean, data: DataWriter): { places: Place[]; whole: boolean } {
    this.#storeSlices(blob, data)
    const places: Place[] = []
    for (const slice of blob.slices) {
      const other = json ? slice.text : slice.json
      let place = json ? slice.json : slice.text
      if (place === null && other !== null) {
        const bytes = data.read(other)
        place = json
          ? storeText(data, bytes, 0, bytes.length, false, true)
          : data.append(Buffer.from(JSON.parse(`"${bytes}"`) as string))
        if (json) slice.json = place
        else slice.text = place
      }
      if (place !== null) places.push(place)
    }
    return { places, whole: blob.complete && !blob.broken }
  }

  /**
   * Puts the blobs into the holes of the fields from word `from` to the end of `out`. What is missing of a blob is told
   * by a marker. Returns the bytes that came in, the oldest data file they lie in, and how many blobs were not whole.
   */
  fill(out: Words, from: number, data: DataWriter): Filled {
    const filled: Filled = { bytes: 0, oldestFile: NO_FILE, lost: 0 }
    scratch.at = 0
    const { words } = out
    for (let at = from; at < out.at; ) {
      const end = at + fieldWords(words, at)
      const payload = partsAt(words, at)
      if (payload !== 0) this.#fillParts(words, at, payload, data, filled)
      else scratch.copyWords(words, at, end)
      at = end
    }
    out.at = from
    out.copyWords(scratch.words, 0, scratch.at)
    scratch.reset(SCRATCH_WORDS)
    return filled
  }

  #fillParts(
    words: Int32Array,
    at: number,
    payload: number,
    data: DataWriter,
    filled: Filled,
  ): void {
    scratch.copyWords(words, at, payload + 2)
    const parts = scratch.at
    let added = 0
    const end = payload + 2 + (words[payload + 1] as number)
    for (let next = payload + 2; next < end; ) {
      const head = words[next] as number
      const size = partWords(head)
      if (head >>> 30 === PART.hole) {
        const room = MAX_VALUE_BYTES - (words[payload] as number) - added
        added += this.#fillHole(words[next + 1] as number, head, room, data, filled)
      } else scratch.copyWords(words, next, next + size)
      next += size
    }
    scratch.words[parts - 2] = (words[payload] as number) + added
    scratch.words[parts - 1] = scratch.at - parts
    filled.bytes += added
  }

  #fillHole(id: number, head: number, room: number, data: DataWriter, filled: Filled): number {
    const json = (head & HOLE.json) !== 0
    const blob = this.#all.get(id)
    if (blob !== undefined && blob.length > room) return putInline(CUT_MARKER)
    const isBytes = blob?.encoding === BLOB_ENCODING.bytes && (head & HOLE.bare) === 0
    const { places, whole } = blob ? this.#places(blob, json, data) : { places: [], whole: false }
    let added = isBytes ? putInline(BYTES_PREFIX) : 0
    for (const place of places) {
      if (place.length === 0) continue
      scratch.ensure(3)
      scratch.words[scratch.at++] = (PART.place << 30) | place.length
      scratch.words[scratch.at++] = place.file
      scratch.words[scratch.at++] = place.offset
      filled.oldestFile = Math.min(filled.oldestFile, place.file)
      added += place.length
    }
    if (!whole) {
      filled.lost++
      added += putInline(LOST)
    }
    return added
  }

  /** Nothing more comes: what is not complete never will be. */
  breakAll(): void {
    for (const blob of this.#all.values()) if (!blob.complete) blob.broken = true
  }

  /**
   * A segment was read to its end: forgets blobs that are not `needed` by what is open and that no record to come names.
   * Returns how many of them no record has named.
   */
  forget(segment: number, needed: ReadonlySet<number>): number {
    let unnamed = 0
    const kept: number[] = []
    const remove = (id: number): void => {
      const blob = this.#all.get(id)
      if (blob?.named === 0 && !blob.again) unnamed++
      this.#all.delete(id)
    }
    for (const [id, blob] of this.#all) {
      // The next segment may name it again.
      if (needed.has(id) || blob.named === segment) continue
      const isOver = blob.named !== 0 && (blob.complete || blob.broken)
      if (isOver || blob.segment <= segment - KEPT_SEGMENTS) remove(id)
      else kept.push(id)
    }
    for (const id of kept.slice(0, Math.max(0, kept.length - MAX_UNNAMED))) remove(id)
    return unnamed
  }

  /** The oldest data file that any slice lies in. */
  get oldestFile(): number {
    let oldest = NO_FILE
    for (const { slices } of this.#all.values()) {
      for (const { text, json } of slices) {
        oldest = Math.min(oldest, text?.file ?? oldest, json?.file ?? oldest)
      }
    }
    return oldest
  }

  /** Copies slices that lie in data files before `file` to the one that is written to. */
  leaveFiles(file: number, data: DataWriter): void {
    const moved = (place: Place | null): Place | null =>
      place === null || place.file >= file ? place : data.append(data.read(place))
    for (const { slices } of this.#all.values()) {
      for (const slice of slices) {
        slice.text = moved(slice.text)
        slice.json = moved(slice.json)
      }
    }
  }

  get size(): number {
    return this.#all.size
  }

  /** For the store; slices must be in the data file. */
  save(): string {
    return JSON.stringify(
      [...this.#all.values()].map(({ carry, slices, ...blob }) => ({
        ...blob,
        carry: carry.toString('hex'),
        slices: slices.map(({ text, json, length }) => ({ text, json, length })),
      })),
    )
  }

  restore(saved: string): void {
    for (const { carry, slices, ...blob } of JSON.parse(saved)) {
      this.#all.set(blob.id, {
        ...blob,
        carry: Buffer.from(carry, 'hex'),
        slices: slices.map((slice: Slice) => ({ ...slice, source: null, offset: 0 })),
      })
    }
  }
}

/** Ids of the blobs that go into the holes of the fields from word `from` to `to`. */
export function* blobsIn(words: Int32Array, from: number, to: number): Iterable<number> {
  for (let at = from; at < to; at += fieldWords(words, at)) {
    const payload = partsAt(words, at)
    if (payload === 0) continue
    const end = payload + 2 + (words[payload + 1] as number)
    for (let next = payload + 2; next < end; next += partWords(words[next] as number)) {
      if ((words[next] as number) >>> 30 === PART.hole) yield words[next + 1] as number
    }
  }
}

export interface Filled {
  bytes: number
  oldestFile: number
  lost: number
}

const SCRATCH_WORDS = 64 * 1024
const scratch = new Words(SCRATCH_WORDS)

function putInline(ascii: string): number {
  scratch.text(ascii)
  return ascii.length
}
