import {
  closeSync,
  constants,
  fdatasyncSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Place } from './span.ts'

// The bytes beside the index: append-only files `data-00000001.dat`.
//
//   … committed ──▶│ written, not committed │ in the buffer │
//                  └ what a crash leaves here is written over
//
// Bytes gather in a buffer and go out with one writeSync, at the latest before a commit. Only what the index names
// counts. A place never spans two files: a file is left for the next one after a commit alone.
//
// A full buffer takes turns with another one, so that what was written last, 4 to 8 MB, is read from memory:
//
//   file   ……… │ #before, all written │ buffer: written │ not yet │
//              └ memoryFrom           └ #base           └ #flushed └ at

const ROTATE_BYTES = 64 * 1024 * 1024
const BUFFER_BYTES = 4 * 1024 * 1024
/** Node refuses to write 2 GB at once. */
const MAX_WRITE_BYTES = 1024 * 1024 * 1024
/** Files that a reader holds open. One that is removed meanwhile takes its space until then. */
const MAX_OPEN = 8
const MAX_LEFT = 8
/** What is in older files is stored anew where it is needed again, or retention could never remove them. */
const KEPT_FILES = 4

export interface DataPosition {
  readonly file: number
  readonly length: number
}

/** What appends to the data files. One exists per store. */
export class DataWriter {
  buffer: Buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  /** Where in `buffer` the next byte goes. */
  at = 0
  /** Up to where `buffer` is in the file, and the offset there of `buffer[0]`. */
  #flushed = 0
  #base: number
  /** The buffer that was filled before; its bytes end where those of `buffer` begin, or with the file before. */
  #before: { buffer: Buffer; file: number; base: number; length: number } | undefined
  /** The file that is written to. */
  file: number
  /** The oldest file that is still there. */
  firstFile: number
  readonly #directory: string
  /** A file that has grown to it is left. */
  readonly rotateBytes: number
  readonly #reader: DataReader
  #fd: number
  /** Files left since the last sync. */
  readonly #left: number[] = []

  constructor(
    directory: string,
    position: DataPosition,
    firstFile: number,
    rotateBytes: number = ROTATE_BYTES,
  ) {
    this.#directory = directory
    this.rotateBytes = rotateBytes
    this.#reader = new DataReader(directory)
    this.file = position.file
    this.firstFile = firstFile
    this.#base = position.length
    this.#fd = open(directory, position.file)
  }

  /** Makes room for `bytes` at `buffer[at]`; what was there before may be written out. */
  ensure(bytes: number): void {
    if (this.at + bytes <= this.buffer.length) return
    try {
      this.flush()
      this.#turn()
    } catch {
      // No space: kept until the commit, which tries again and tells.
    }
    if (this.at + bytes <= this.buffer.length) return
    const longer = Buffer.allocUnsafeSlow(Math.max(this.at + bytes, this.at * 2))
    this.buffer.copy(longer, 0, 0, this.at)
    this.buffer = longer
  }

  /** All is written: goes on in the other buffer. */
  #turn(): void {
    const { buffer, at, file } = this
    const usual = this.#before?.buffer ?? Buffer.allocUnsafeSlow(BUFFER_BYTES)
    // One that a huge value made longer is not kept.
    const isUsual = buffer.length === BUFFER_BYTES
    this.#before = isUsual ? { buffer, file, base: this.#base, length: at } : undefined
    this.buffer = usual
    this.#base += at
    this.at = this.#flushed = 0
  }

  /** The oldest file that something new may refer to. */
  get oldestKept(): number {
    return Math.max(this.firstFile, this.file - KEPT_FILES + 1)
  }

  append(bytes: Uint8Array): Place {
    this.ensure(bytes.length)
    this.buffer.set(bytes, this.at)
    const offset = this.mark()
    this.at += bytes.length
    return { file: this.file, offset, length: bytes.length }
  }

  /** Offset in the file of the next byte. */
  mark(): number {
    return this.#base + this.at
  }

  /** The place of all that was put behind a mark. */
  since(mark: number): Place {
    return { file: this.file, offset: mark, length: this.mark() - mark }
  }

  /** Bytes that were appended, committed or not. */
  read(place: Place): Buffer {
    const bytes = Buffer.allocUnsafe(place.length)
    this.load(place, bytes, 0)
    return bytes
  }

  /** Puts a place's bytes to `into[at]`, from memory as far as they are there. As `DataReader.read` otherwise. */
  load(place: Place, into: Buffer, at: number): boolean {
    const { file, offset, length } = place
    const end = offset + length
    let from = end
    if (file === this.file && end > this.#base) {
      from = Math.max(offset, this.#base)
      this.buffer.copy(into, at + from - offset, from - this.#base, end - this.#base)
    }
    const before = this.#before
    if (
      before?.file === file &&
      from > Math.max(offset, before.base) &&
      from <= before.base + before.length
    ) {
      const to = from
      from = Math.max(offset, before.base)
      before.buffer.copy(into, at + from - offset, from - before.base, to - before.base)
    }
    return from === offset || this.#reader.read({ file, offset, length: from - offset }, into, at)
  }

  /** Whether the bytes from `from` to `to` are those at the offset of the file; false as well when that can't be told cheaply. */
  holds(file: number, offset: number, bytes: Buffer, from: number, to: number): boolean {
    const start = offset - this.#base
    if (file !== this.file || start < 0 || start + to - from > this.at) return false
    const { buffer } = this
    for (let i = from; i < to; i++) if (buffer[start + i - from] !== bytes[i]) return false
    return true
  }

  /** Hands the gathered bytes to the kernel. Throws when it does not take them all; the rest is kept. */
  flush(): void {
    while (this.#flushed < this.at) {
      const length = Math.min(this.at - this.#flushed, MAX_WRITE_BYTES)
      const offset = this.#base + this.#flushed
      this.#flushed += writeSync(this.#fd, this.buffer, this.#flushed, length, offset)
    }
    if (this.buffer.length > BUFFER_BYTES) this.#turn()
  }

  /** Forgets all behind a mark of this file, which the next bytes write over: nothing that is committed names it. */
  rewind(mark: number): void {
    if (mark >= this.#base) this.at = mark - this.#base
    else {
      // What lies before is written, or `buffer` would not begin behind it.
      this.#before = undefined
      this.#base = mark
      this.at = 0
    }
    this.#flushed = Math.min(this.#flushed, this.at)
    this.#reader.forget()
  }

  get position(): DataPosition {
    return { file: this.file, length: this.mark() }
  }

  /** Makes what was flushed survive a power failure. */
  sync(): void {
    for (const fd of this.#left) fdatasyncSync(fd)
    fdatasyncSync(this.#fd)
    this.#closeLeft()
  }

  /** After a commit: a full file is left for the next one. Never throws: the commit has happened. */
  rotate(): void {
    if (this.mark() < this.rotateBytes) return
    let next: number
    try {
      next = open(this.#directory, this.file + 1)
    } catch {
      // This one grows on; the next commit tries again.
      return
    }
    this.#left.push(this.#fd)
    this.#fd = next
    this.#turn()
    this.file++
    this.#base = 0
    // The kernel has written older ones out long since.
    if (this.#left.length > MAX_LEFT) closeSync(this.#left.shift() as number)
  }

  #closeLeft(): void {
    for (const fd of this.#left.splice(0)) closeSync(fd)
  }

  /** Removes the files before `file`. */
  removeBefore(file: number): void {
    for (; this.firstFile < file; this.firstFile++) {
      try {
        unlinkSync(dataPath(this.#directory, this.firstFile))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      }
    }
    this.#reader.close()
  }

  close(): void {
    this.#closeLeft()
    closeSync(this.#fd)
    // The number is soon another file's.
    this.#fd = -1
    this.#reader.close()
  }
}

/** Stands in a place that can't be read, filled up with spaces. */
const UNREADABLE = '[unreadable: its data file is gone or damaged]'
/** Small places lie side by side: one read fetches many. */
const WINDOW_BYTES = 64 * 1024

export class DataReader {
  /** Places whose bytes were not there. */
  unreadable = 0
  readonly #directory: string
  readonly #open = new Map<number, number>()
  #window: Buffer | undefined
  #windowFile = 0
  #windowFrom = 0
  #windowTo = 0

  constructor(directory: string) {
    this.#directory = directory
  }

  /**
   * Puts the bytes of a place to `into[at]`. When they are not there (a file that retention has removed, or that a power
   * failure has cut) a marker takes their place and it returns false. Throws other errors of the system.
   */
  read(place: Place, into: Buffer, at: number): boolean {
    const { file, offset, length } = place
    let got: number
    if (length >= WINDOW_BYTES / 4) got = this.#read(file, offset, into, at, length)
    else {
      if (
        file !== this.#windowFile ||
        offset < this.#windowFrom ||
        offset + length > this.#windowTo
      ) {
        this.#fetch(file, offset)
      }
      const from = offset - this.#windowFrom
      got = Math.min(length, this.#windowTo - offset)
      this.#window?.copy(into, at, from, from + got)
    }
    if (got === length) return true
    into.fill(0x20, at, at + length)
    into.write(UNREADABLE.slice(0, length), at, 'latin1')
    this.unreadable++
    return false
  }

  #fetch(file: number, offset: number): void {
    this.#window ??= Buffer.allocUnsafeSlow(WINDOW_BYTES)
    this.#windowFile = 0
    this.#windowFrom = offset
    this.#windowTo = offset + this.#read(file, offset, this.#window, 0, WINDOW_BYTES)
    this.#windowFile = file
  }

  /** To be called before places that were committed since: what lies behind committed bytes may have changed. */
  forget(): void {
    this.#windowFile = 0
  }

  /** Reads up to `length` bytes; returns how many there are. */
  #read(file: number, offset: number, into: Buffer, at: number, length: number): number {
    let got = 0
    try {
      const fd = this.#descriptor(file)
      while (got < length) {
        const bytes = readSync(fd, into, at + got, length - got, offset + got)
        if (bytes === 0) break
        got += bytes
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
    return got
  }

  #descriptor(file: number): number {
    let fd = this.#open.get(file)
    if (fd === undefined) {
      if (this.#open.size >= MAX_OPEN) this.close()
      fd = openSync(
        dataPath(this.#directory, file),
        constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0),
      )
      this.#open.set(file, fd)
    }
    return fd
  }

  close(): void {
    for (const fd of this.#open.values()) closeSync(fd)
    this.#open.clear()
    this.#windowFile = 0
  }
}

/** Bytes that all data files take. */
export function dataBytes(directory: string): number {
  let bytes = 0
  for (const name of readdirSync(directory)) {
    if (DATA_NAME.test(name)) bytes += sizeOf(join(directory, name))
  }
  return bytes
}

/** 0 when there is no such file. */
export function dataFileBytes(directory: string, file: number): number {
  return sizeOf(dataPath(directory, file))
}

const DATA_NAME = /^data-\d{8,}\.dat$/

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

function dataPath(directory: string, file: number): string {
  return join(directory, `data-${String(file).padStart(8, '0')}.dat`)
}

function open(directory: string, file: number): number {
  const flags = constants.O_RDWR | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0)
  return openSync(dataPath(directory, file), flags, 0o600)
}
