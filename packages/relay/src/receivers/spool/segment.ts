import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import {
  FRAME,
  FRAME_FOOTER_BYTES,
  FRAME_HAS_CRC,
  FRAME_KIND,
  FRAME_MAGIC,
  HEADER,
  LOSS_SLOTS,
  MAX_FRAME_PAYLOAD,
  MAX_HEADER_BYTES,
  SEGMENT_MAGIC,
  VERSION,
} from '@offpath/sdk/spool-format'
import { cutDeep, MAX_DEPTH } from '../../decode/depth.ts'

// A segment file being read, frame by frame. Nothing in it is believed before it is checked, and no memory is taken for
// more bytes than are there.

const READ_BYTES = 4 * 1024 * 1024
const INCOMPLETE = 'half a frame'
const SEARCH_BYTES = 256 * 1024
const OVERHEAD = FRAME.payload + FRAME_FOOTER_BYTES
/** Magic and nonce. */
const MARK_BYTES = FRAME.nonce + 8
const PROBE = Buffer.alloc(OVERHEAD)

export interface WriterHeader {
  readonly writer: string
  readonly segment: number
  readonly previous: { readonly segment: number; readonly length: number } | null
  readonly pid: number
  readonly pidStartTime: string | null
  readonly pidNamespace: string | null
  readonly bootId: string | null
  readonly thread: number
  readonly heartbeatSeconds: number
  readonly host: string
  readonly service: string | null
  readonly environment: string | null
  readonly release: string | null
  readonly sdk: { readonly name: string; readonly version: string }
  readonly language: string
  readonly startTime: string
  readonly resource: Readonly<Record<string, unknown>>
  /** Behind the segment's frames the file still holds those of another one. */
  readonly recycled: boolean
}

export interface Frame {
  readonly kind: number
  /** Offset of the frame in the segment, and that of `bytes[0]`. */
  readonly offset: number
  readonly base: number
  readonly sequence: number
  readonly started: number
  readonly lost: number
  /** The payload lies in `bytes` from `from` to `to`, multiples of 4. Valid until the next read. */
  readonly bytes: Buffer
  readonly words: Int32Array
  readonly from: number
  readonly to: number
}

/** Bytes of a segment that are no frame, and why. */
export interface Fault {
  readonly offset: number
  readonly bytes: number
  readonly fault: string
}

/**
 * Opens a segment file: no link, no device, and nobody else's. Throws an Error that says why not.
 *
 * @param owner user id of the directory's owner, whose files are expected there beside our own
 */
export function openSegmentFile(path: string, owner?: number): number {
  const fd = openSync(
    path,
    constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0),
  )
  const stat = fstatSync(fd)
  const uid = process.getuid?.()
  const isExpected =
    uid === undefined ||
    stat.uid === uid ||
    (owner === undefined ? uid === 0 || (stat.mode & 0o040) !== 0 : stat.uid === owner)
  if (stat.isFile() && isExpected) return fd
  closeSync(fd)
  throw new Error(stat.isFile() ? `belongs to user ${stat.uid}` : 'is not a regular file')
}

export interface SegmentStart {
  readonly header: WriterHeader
  readonly nonce: Buffer
  /** Where the first frame begins. */
  readonly length: number
}

/** The header; null while it is not there completely. Throws an Error that says what is wrong with it. */
export function readHeader(fd: number): SegmentStart | null {
  let bytes = Buffer.alloc(4096)
  let got = readSync(fd, bytes, 0, bytes.length, 0)
  if (got < HEADER.json) return null
  if (!bytes.subarray(0, SEGMENT_MAGIC.length).equals(Buffer.from(SEGMENT_MAGIC))) {
    throw new Error('is no segment')
  }
  const version = bytes.readUInt32LE(HEADER.version)
  if (version !== VERSION) throw new Error(`has version ${version}; this relay reads ${VERSION}`)
  const length = bytes.readUInt32LE(HEADER.length)
  const jsonLength = bytes.readUInt32LE(HEADER.jsonLength)
  if (length > MAX_HEADER_BYTES || length % 4 !== 0 || HEADER.json + jsonLength > length) {
    throw new Error('has a damaged header (lengths)')
  }
  if (length > got) {
    bytes = Buffer.alloc(length)
    got = readSync(fd, bytes, 0, length, 0)
    if (got < length) return null
  }
  const json = bytes.subarray(HEADER.json, HEADER.json + jsonLength)
  const crc = crc32(json, crc32(bytes.subarray(HEADER.version, HEADER.crc)))
  if (crc !== bytes.readUInt32LE(HEADER.crc)) throw new Error('has a damaged header (checksum)')
  const header = headerOf(json.toString())
  const nonce = Buffer.from(bytes.subarray(HEADER.nonce, HEADER.nonce + 8))
  return { header, nonce, length }
}

/** The header's JSON; what a writer leaves out is null, 0 or empty. */
function headerOf(json: string): WriterHeader {
  const given = JSON.parse(json) as Record<string, unknown>
  const text = (key: string): string | null => {
    const value = given[key]
    return typeof value === 'string' ? value : null
  }
  const number = (key: string): number => Number(given[key] ?? 0) || 0
  const { writer, segment, previous, resource } = given
  const sdk = (given.sdk ?? {}) as Record<string, unknown>
  if (typeof writer !== 'string' || !Number.isSafeInteger(segment)) {
    throw new Error('has a header without writer or segment number')
  }
  return {
    writer,
    segment: segment as number,
    previous: isPrevious(previous) ? previous : null,
    pid: number('pid'),
    pidStartTime: text('pidStartTime'),
    pidNamespace: text('pidNamespace'),
    bootId: text('bootId'),
    thread: number('thread'),
    heartbeatSeconds: number('heartbeatSeconds'),
    host: text('host') ?? '',
    service: text('service'),
    environment: text('environment'),
    release: text('release'),
    sdk: { name: String(sdk.name ?? ''), version: String(sdk.version ?? '') },
    language: text('language') ?? '',
    startTime: text('startTime') ?? '0',
    resource: isObject(resource) ? (cutDeep(resource, MAX_DEPTH) as typeof resource) : {},
    recycled: given.recycled === true,
  }
}

function isPrevious(value: unknown): value is { segment: number; length: number } {
  return (
    isObject(value) && Number.isSafeInteger(value.segment) && Number.isSafeInteger(value.length)
  )
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The loss block's totals, by slot. */
export function readLosses(fd: number): number[] {
  const bytes = Buffer.alloc(LOSS_SLOTS * 8)
  readSync(fd, bytes, 0, bytes.length, HEADER.loss)
  return Array.from({ length: LOSS_SLOTS }, (_, slot) => uint64(bytes, slot * 8))
}

/** The memory that segments are read into, one after the other. It grows to the largest frame met. */
export class ReadBuffer {
  words: Int32Array = new Int32Array(READ_BYTES / 4)
  bytes: Buffer = Buffer.from(this.words.buffer)

  /** Room for so many bytes; the first `kept` stay. */
  grow(bytes: number, kept: number): void {
    const before = this.bytes
    this.words = new Int32Array((bytes + 3) >> 2)
    this.bytes = Buffer.from(this.words.buffer)
    before.copy(this.bytes, 0, 0, kept)
  }

  /** Gives back what a large frame took. */
  shrink(): void {
    if (this.bytes.length > READ_BYTES) this.grow(READ_BYTES, 0)
  }
}

export class SegmentReader {
  /** The next byte to be looked at: a frame begins here, or what is no frame. */
  offset: number
  /** An end frame was read. */
  ended = false
  readonly fd: number
  readonly #nonce: Buffer
  readonly #buffer: ReadBuffer
  /** What a frame's footer is xor-ed with. */
  readonly #footerMask: number
  /** What is wrong at `offset`, and up to where no other frame was found; '': nothing is known to be. */
  #fault = ''
  #searched = 0

  /** `offset` is that of the first frame; `buffer` is shared by segments that are read one after the other. */
  constructor(fd: number, nonce: Buffer, offset: number, buffer: ReadBuffer) {
    this.fd = fd
    this.#nonce = nonce
    this.offset = offset
    this.#buffer = buffer
    this.#footerMask = nonce.readInt32LE(0)
  }

  /**
   * Where the frames end that are there completely, for a recycled file, whose size does not tell. A frame's footer is
   * seen before its payload is read: the writer puts it there last, and one of an earlier use does not fit.
   */
  extent(size: number): number {
    let at = this.offset
    let got = readSync(this.fd, PROBE, FRAME_FOOTER_BYTES, FRAME.payload, at)
    while (got >= FRAME.payload && this.#isMark(PROBE, FRAME_FOOTER_BYTES)) {
      const payload = PROBE.readUInt32LE(FRAME_FOOTER_BYTES + FRAME.length)
      const next = at + payload + OVERHEAD
      if (payload > MAX_FRAME_PAYLOAD || next > size) break
      // The footer, and the head behind it, in one read.
      got =
        readSync(this.fd, PROBE, 0, PROBE.length, next - FRAME_FOOTER_BYTES) - FRAME_FOOTER_BYTES
      if (PROBE.readInt32LE(0) !== (payload ^ this.#footerMask)) break
      at = next
    }
    return at
  }

  /** The next frame of this segment behind `offset`; -1: there is none up to `end`. */
  resync(end: number): number {
    return this.#search(this.offset + 4, end)
  }

  /** Whether a frame of this segment begins at `offset`. */
  begun(): boolean {
    const got = readSync(this.fd, PROBE, 0, FRAME.payload, this.offset)
    return got >= MARK_BYTES && this.#isMark(PROBE, 0)
  }

  #isMark(bytes: Buffer, at: number): boolean {
    return (
      bytes.readUInt32LE(at) === FRAME_MAGIC &&
      this.#nonce.compare(bytes, at + FRAME.nonce, at + MARK_BYTES) === 0
    )
  }

  /**
   * Reads complete frames up to `end` (the file's size, or less) and gives them to `take`, which returns false to
   * stop behind the frame. Bytes that are no frame are passed over and told to `skip`, once another frame follows them.
   * Returns true when it was stopped: there may be more.
   */
  read(end: number, take: (frame: Frame) => boolean, skip: (fault: Fault) => void): boolean {
    // What was half a frame may be a whole one now.
    if (this.#fault === INCOMPLETE) this.#fault = ''
    while (!this.ended && this.offset < end) {
      if (this.#fault === '' && this.#frames(end, take)) return true
      if (this.ended || this.#fault === '') return false
      // Half a frame, or no frame: both end where another one begins.
      const next = this.#search(Math.max(this.offset + 4, this.#searched), end)
      if (next === -1) return false
      skip({ offset: this.offset, bytes: next - this.offset, fault: this.#fault })
      this.offset = next
      this.#fault = ''
      this.#searched = 0
    }
    return false
  }

  /** Whether what is left at `offset` begins like a frame: torn, or still being written. */
  get isTorn(): boolean {
    return this.#fault === INCOMPLETE
  }

  /** Reads frames until one is not good, or `end`. Returns true when it was stopped. */
  #frames(end: number, take: (frame: Frame) => boolean): boolean {
    const buffer = this.#buffer
    let base = this.offset
    let filled = 0
    let at = 0
    for (;;) {
      const left = filled - at
      let wanted = OVERHEAD
      if (left >= OVERHEAD) {
        const { bytes, words } = buffer
        const length = this.#checkHead(bytes, words, at, end - base - at)
        if (length === 0) return false
        if (left >= length) {
          if (!this.#checkBody(bytes, words, at, length)) return false
          this.offset = base + at + length
          this.#searched = 0
          const kind = bytes[at + FRAME.kind] as number
          if (kind === FRAME_KIND.end) this.ended = true
          const goOn = take({
            kind,
            offset: base + at,
            base,
            sequence: (words[(at + FRAME.sequence) >> 2] as number) >>> 0,
            started: uint64(bytes, at + FRAME.started),
            lost: uint64(bytes, at + FRAME.lost),
            bytes,
            words,
            from: at + FRAME.payload,
            to: at + length - FRAME_FOOTER_BYTES,
          })
          if (!goOn) return true
          if (this.ended) return false
          at += length
          continue
        }
        wanted = length
      }
      // More is needed: what is left moves to the front.
      if (end - base - at < wanted) {
        if (end - base - at > 0) this.#fault = INCOMPLETE
        return false
      }
      if (at > 0) buffer.bytes.copyWithin(0, at, filled)
      base += at
      filled -= at
      at = 0
      if (wanted > buffer.bytes.length) buffer.grow(wanted, filled)
      const { bytes } = buffer
      const length = Math.min(bytes.length - filled, end - base - filled)
      const got = readSync(this.fd, bytes, filled, length, base + filled)
      if (got === 0) {
        this.#fault = INCOMPLETE
        return false
      }
      filled += got
    }
  }

  /** Length of the whole frame; 0: it is none, or more than the `left` bytes. */
  #checkHead(bytes: Buffer, words: Int32Array, at: number, left: number): number {
    if (words[at >> 2] !== (FRAME_MAGIC | 0)) return this.#bad('no frame begins here')
    if (this.#nonce.compare(bytes, at + FRAME.nonce, at + MARK_BYTES) !== 0) {
      return this.#bad('a frame of another segment')
    }
    const payload = (words[(at + FRAME.length) >> 2] as number) >>> 0
    if (payload > MAX_FRAME_PAYLOAD || payload % 4 !== 0) {
      return this.#bad('a frame with a wrong length')
    }
    if (payload + OVERHEAD > left) return this.#bad(INCOMPLETE)
    return payload + OVERHEAD
  }

  #checkBody(bytes: Buffer, words: Int32Array, at: number, length: number): boolean {
    const end = at + length - FRAME_FOOTER_BYTES
    const payload = words[(at + FRAME.length) >> 2] as number
    if (words[end >> 2] !== (payload ^ this.#footerMask)) {
      return this.#bad('a frame whose lengths differ') !== 0
    }
    if (((bytes[at + FRAME.flags] as number) & FRAME_HAS_CRC) === 0) return true
    const head = crc32(bytes.subarray(at, at + FRAME.crc))
    const crc = crc32(bytes.subarray(at + FRAME.payload, end), head)
    if (crc === (words[(at + FRAME.crc) >> 2] as number) >>> 0) return true
    return this.#bad('a frame whose checksum is wrong') !== 0
  }

  #bad(fault: string): 0 {
    this.#fault = fault
    return 0
  }

  /** Offset of the next magic with the nonce at or behind `from`; -1: none. */
  #search(from: number, end: number): number {
    const bytes = Buffer.allocUnsafe(Math.min(SEARCH_BYTES, Math.max(0, end - from)))
    let offset = (from + 3) & ~3
    while (offset + MARK_BYTES <= end) {
      const length = Math.min(bytes.length, end - offset)
      const got = readSync(this.fd, bytes, 0, length, offset)
      for (let at = 0; at + MARK_BYTES <= got; at += 4) {
        if (this.#isMark(bytes, at)) return offset + at
      }
      if (got < MARK_BYTES) break
      // The last ones may be the beginning of a mark.
      offset += (got - MARK_BYTES + 4) & ~3
    }
    this.#searched = offset
    return -1
  }
}

function uint64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32
}
