// A writer of segments for what comes from elsewhere than an application: docs/spool-format.md, in JSON records. It is
// read like any other, so that assembling, open observations, cursor and restart are as they are.
//
//   <writer>-00000004.seg   an earlier run's, read or not      <writer>-00000005.seg   this run's
//
// A writer is one sender: who an observation is of stands in the segment's header. Its id follows from that, so that an end
// finds its start after the relay's restart; its segments go on with the next number, and none of another run is written to.
import { createHash, randomBytes } from 'node:crypto'
import {
  close,
  closeSync,
  constants,
  fdatasync,
  fstatSync,
  fsync,
  openSync,
  readdirSync,
  readlinkSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { hostname } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'
import {
  FRAME,
  FRAME_FOOTER_BYTES,
  FRAME_HAS_CRC,
  FRAME_KIND,
  FRAME_MAGIC,
  HEADER,
  SEGMENT_MAGIC,
  VERSION,
} from '@offpath/sdk/spool-format'
import { Turns } from '../../operations/turns.ts'
import {
  openSegmentFile,
  ReadBuffer,
  readHeader,
  SegmentReader,
  type SegmentStart,
} from '../spool/segment.ts'
import type { Sender } from './element.ts'

/** Records of one sender that stand together in a frame. */
export interface Group {
  readonly sender: Sender
  readonly lines: readonly string[]
  /** Observations that they start. */
  readonly started: number
}

/** Where a writer's segments ended. */
export interface Place {
  readonly segment: number
  /** Observations started up to there. */
  readonly started: number
}

export interface SpoolWriterOptions {
  readonly directory: string
  /** What is special to this spool in the ids of its writers. */
  readonly seed: string
  /** Where the store has read a writer of which no segment is there. */
  lastRead(writer: string): Place | null
  /** How far segments are read, by path. */
  offsets(): ReadonlyMap<string, number>
}

interface Writer {
  readonly id: string
  readonly sender: Sender
  fd: number
  segment: number
  length: number
  sequence: number
  started: number
  usedAt: number
}

const SEGMENT_BYTES = 2 * 1024 * 1024
/** Of a frame; groups beyond it stand in one alone. */
const FRAME_BYTES = 1024 * 1024
/** Beyond them the one that was quiet the longest takes its leave. */
const MAX_WRITERS = 64
/** The reader gives a silent writer up, and its segment with it: after so long a new one is begun. */
const IDLE_MS = 10 * 60_000
/** Nobody's: such a writer is judged by its silence, and not by a process. */
const NO_NAMESPACE = 'redis-list'

const dataSync = promisify(fdatasync)
const sync = promisify(fsync)
const closeFile = promisify(close)

export class SpoolWriter {
  readonly #options: SpoolWriterOptions
  /** By id, the one that was used last at the end. */
  readonly #writers = new Map<string, Writer>()
  readonly #unsynced = new Set<number>()
  /** Of segments that were left in this batch: they are closed at its end. */
  readonly #left = new Set<number>()
  /** A segment was made, and its name is not on the disk yet. */
  #isNameUnsynced = false
  /** Names of segments by writer, while nobody else has its turn. */
  #names: Map<string, string[]> | null = null
  readonly #buffer = new ReadBuffer()

  constructor(options: SpoolWriterOptions) {
    this.#options = options
  }

  /** Bytes that are not read yet. */
  unread(): number {
    const { directory, offsets } = this.#options
    const read = offsets()
    let bytes = 0
    for (const name of readdirSync(directory)) {
      if (!name.endsWith('.seg')) continue
      const path = join(directory, name)
      const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
      bytes += Math.max(0, size - (read.get(path) ?? 0))
    }
    return bytes
  }

  /**
   * Writes the groups, in their order for each sender, and resolves when they are on the disk.
   *
   * @throws the file system's error: some of them may have been written, and are to be written again
   */
  async write(groups: readonly Group[]): Promise<void> {
    try {
      await this.#append(groups)
      // All of them are done before one may be closed.
      const synced = await Promise.allSettled([...this.#unsynced].map((fd) => dataSync(fd)))
      for (const one of synced) if (one.status === 'rejected') throw one.reason
      this.#unsynced.clear()
      if (this.#isNameUnsynced) await syncDirectory(this.#options.directory)
      this.#isNameUnsynced = false
    } finally {
      const left = [...this.#left]
      this.#left.clear()
      for (const fd of left) this.#unsynced.delete(fd)
      await Promise.all(left.map((fd) => closeFile(fd)))
    }
    this.#leaveIdle()
  }

  /** A sender that is new takes a millisecond: others have their turn in between. */
  async #append(groups: readonly Group[]): Promise<void> {
    const senders = Map.groupBy(groups, ({ sender }) => JSON.stringify(sender))
    const turns = new Turns()
    this.#names = null
    for (const [key, ofSender] of senders) {
      if (turns.isOver) {
        await turns.next()
        this.#names = null
      }
      const writer = this.#writerOf(key, ofSender[0]!.sender)
      try {
        for (const frame of framesOf(ofSender)) this.#write(writer, frame)
      } catch (error) {
        // What is behind the last whole frame is nobody's: the next segment says where that ended.
        this.#forget(writer)
        throw error
      }
    }
  }

  close(): void {
    for (const writer of this.#writers.values()) this.#forget(writer)
  }

  #writerOf(key: string, sender: Sender): Writer {
    const { seed } = this.#options
    const id = createHash('sha256').update(`${seed} ${key}`).digest('hex').slice(0, 16)
    let writer = this.#writers.get(id)
    this.#writers.delete(id)
    // Whoever tidied up took the segment away.
    if (writer !== undefined && fstatSync(writer.fd).nlink === 0) {
      this.#forget(writer)
      writer = undefined
    }
    if (writer === undefined) {
      if (this.#writers.size >= MAX_WRITERS) this.#takeLeave()
      writer = this.#open(id, sender)
    }
    writer.usedAt = performance.now()
    this.#writers.set(id, writer)
    return writer
  }

  #open(id: string, sender: Sender): Writer {
    const place = this.#placeOf(id)
    const writer = {
      id,
      sender,
      fd: -1,
      segment: place.segment,
      length: place.length,
      sequence: 0,
      started: place.started,
      usedAt: 0,
    }
    this.#begin(writer)
    return writer
  }

  /** Where the writer's last segment ends, of an earlier run or of one that failed. */
  #placeOf(id: string): Place & { readonly length: number } {
    const { directory, lastRead } = this.#options
    this.#names ??= segmentsIn(directory)
    const names = (this.#names.get(id) ?? []).toSorted()
    const known = lastRead(id) ?? { segment: 0, started: 0 }
    let segment = known.segment
    let length = 0
    // The last one may have no frame yet: the total stands in the one before.
    for (const name of names.toReversed()) {
      const path = join(directory, name)
      const found = lastFrame(path, this.#buffer)
      if (found === null) {
        // A run died over its header: readers would wait for it, so its number is used again.
        unlinkSync(path)
        continue
      }
      const number = Number(name.slice(17, 25))
      if (number >= segment) {
        segment = number
        length = found.length
      }
      if (found.started === null) continue
      return { segment, length, started: Math.max(known.started, found.started) }
    }
    return { segment, length, started: known.started }
  }

  /** Opens the segment after the writer's last one. */
  #begin(writer: Writer, isLast = false): void {
    const { directory } = this.#options
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW = 0 } = constants
    const number = writer.segment + 1
    const path = join(directory, `${writer.id}-${String(number).padStart(8, '0')}.seg`)
    const nonce = randomBytes(8)
    const header = headerOf(writer, number, nonce, isLast)
    const before = writer.fd
    const fd = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
    try {
      writeAll(fd, header, 0)
    } catch (error) {
      closeSync(fd)
      unlinkSync(path)
      throw error
    }
    if (this.#unsynced.has(before)) this.#left.add(before)
    else if (before >= 0) closeSync(before)
    Object.assign(writer, { fd, segment: number, length: header.length, sequence: 0 })
    this.#nonces.set(writer, nonce)
    this.#unsynced.add(fd)
    this.#isNameUnsynced = true
    const names = this.#names?.get(writer.id)
    if (names === undefined) this.#names?.set(writer.id, [basename(path)])
    else names.push(basename(path))
  }
  readonly #nonces = new WeakMap<Writer, Buffer>()

  #write(writer: Writer, { lines, started }: Omit<Group, 'sender'>): void {
    if (writer.length >= SEGMENT_BYTES) {
      // With its end frame a segment is read to its end at once.
      this.#frame(writer, FRAME_KIND.end, Buffer.alloc(0))
      this.#begin(writer)
    }
    writer.started += started
    this.#frame(writer, FRAME_KIND.json, jsonPayload(lines))
  }

  #frame(writer: Writer, kind: number, payload: Buffer): void {
    const nonce = this.#nonces.get(writer) as Buffer
    const bytes = Buffer.alloc(FRAME.payload + payload.length + FRAME_FOOTER_BYTES)
    bytes.writeUInt32LE(FRAME_MAGIC, FRAME.magic)
    nonce.copy(bytes, FRAME.nonce)
    bytes.writeUInt32LE(payload.length, FRAME.length)
    bytes.writeUInt32LE(writer.sequence, FRAME.sequence)
    bytes[FRAME.kind] = kind
    bytes[FRAME.flags] = FRAME_HAS_CRC
    bytes.writeBigUInt64LE(BigInt(writer.started), FRAME.started)
    payload.copy(bytes, FRAME.payload)
    const crc = crc32(payload, crc32(bytes.subarray(0, FRAME.crc)))
    bytes.writeUInt32LE(crc, FRAME.crc)
    const footer = (payload.length ^ nonce.readUInt32LE(0)) >>> 0
    bytes.writeUInt32LE(footer, FRAME.payload + payload.length)
    writeAll(writer.fd, bytes, writer.length)
    this.#unsynced.add(writer.fd)
    writer.length += bytes.length
    writer.sequence++
  }

  /** The one that was quiet the longest: a last segment says that it is dead, so that nothing is kept for it. */
  #takeLeave(): void {
    const [writer] = this.#writers.values()
    if (writer === undefined) return
    try {
      this.#frame(writer, FRAME_KIND.end, Buffer.alloc(0))
      this.#begin(writer, true)
      this.#frame(writer, FRAME_KIND.end, Buffer.alloc(0))
    } finally {
      this.#writers.delete(writer.id)
      this.#left.add(writer.fd)
    }
  }

  #leaveIdle(): void {
    const now = performance.now()
    for (const writer of this.#writers.values()) {
      if (now - writer.usedAt < IDLE_MS) break
      this.#forget(writer)
    }
  }

  #forget(writer: Writer): void {
    this.#unsynced.delete(writer.fd)
    this.#writers.delete(writer.id)
    closeSync(writer.fd)
  }
}

/** Groups in frames, none of them divided. */
function* framesOf(groups: readonly Group[]): Generator<{ lines: string[]; started: number }> {
  let frame = { lines: [] as string[], started: 0, chars: 0 }
  for (const { lines, started } of groups) {
    const chars = lines.reduce((sum, line) => sum + line.length, 0)
    if (frame.chars > 0 && frame.chars + chars > FRAME_BYTES) {
      yield frame
      frame = { lines: [], started: 0, chars: 0 }
    }
    for (const line of lines) frame.lines.push(line)
    frame.started += started
    frame.chars += chars
  }
  yield frame
}

function jsonPayload(lines: readonly string[]): Buffer {
  const text = `${lines.join('\n')}\n`
  const length = Buffer.byteLength(text)
  const payload = Buffer.alloc(4 + ((length + 3) & ~3))
  payload.writeUInt32LE(length, 0)
  payload.write(text, 4, 'utf8')
  return payload
}

/** @param isLast its process is to be looked for, and not to be found */
function headerOf(writer: Writer, number: number, nonce: Buffer, isLast: boolean): Buffer {
  const { id, sender, segment, length } = writer
  const json = Buffer.from(
    JSON.stringify({
      ...sender,
      writer: id,
      segment: number,
      previous: length > 0 ? { segment, length } : null,
      pid: 0,
      pidStartTime: null,
      pidNamespace: isLast ? ownNamespace() : NO_NAMESPACE,
      ...(isLast && { host: hostname() }),
      bootId: null,
      thread: 0,
      heartbeatSeconds: 0,
      startTime: String(BigInt(Date.now()) * 1_000_000n),
    }),
  )
  const bytes = Buffer.alloc((HEADER.json + json.length + 3) & ~3)
  Buffer.from(SEGMENT_MAGIC).copy(bytes)
  bytes.writeUInt32LE(VERSION, HEADER.version)
  bytes.writeUInt32LE(bytes.length, HEADER.length)
  nonce.copy(bytes, HEADER.nonce)
  bytes.writeUInt32LE(json.length, HEADER.jsonLength)
  bytes.writeUInt32LE(crc32(json, crc32(bytes.subarray(HEADER.version, HEADER.crc))), HEADER.crc)
  json.copy(bytes, HEADER.json)
  return bytes
}

function ownNamespace(): string | null {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return null
  }
}

function segmentsIn(directory: string): Map<string, string[]> {
  const names = readdirSync(directory).filter((name) => name.endsWith('.seg'))
  return Map.groupBy(names, (name) => name.slice(0, 16))
}

/**
 * Where a segment's whole frames end, and the total of the last of them, null if there is none; a file that is no segment has
 * none. Null: it has no header yet.
 *
 * @throws the file system's error
 */
function lastFrame(
  path: string,
  buffer: ReadBuffer,
): { started: number | null; length: number } | null {
  const fd = openSegmentFile(path)
  try {
    const start = headerIn(fd)
    if (start === null) return null
    if (start === 'bad') return { started: null, length: 0 }
    const reader = new SegmentReader(fd, start.nonce, start.length, buffer)
    let started: number | null = null
    reader.read(
      fstatSync(fd).size,
      (frame) => {
        started = frame.started
        return true
      },
      () => {},
    )
    return { started, length: reader.offset }
  } finally {
    buffer.shrink()
    closeSync(fd)
  }
}

function headerIn(fd: number): SegmentStart | null | 'bad' {
  try {
    return readHeader(fd)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== undefined) throw error
    return 'bad'
  }
}

function writeAll(fd: number, bytes: Buffer, at: number): void {
  let written = 0
  while (written < bytes.length) {
    written += writeSync(fd, bytes, written, bytes.length - written, at + written)
  }
}

/** A file's name must outlive a power failure as its content does. */
async function syncDirectory(directory: string): Promise<void> {
  if (process.platform === 'win32') return
  const fd = openSync(directory, 'r')
  try {
    await sync(fd)
  } finally {
    closeSync(fd)
  }
}
