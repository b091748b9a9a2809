import { randomBytes } from 'node:crypto'
import { constants, futimesSync, openSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { crc32 } from 'node:zlib'
import {
  FRAME,
  FRAME_FOOTER_BYTES,
  FRAME_HAS_CRC,
  FRAME_KIND,
  FRAME_MAGIC,
  HEADER,
  LOSS_REASONS,
  LOSS_SLOTS,
  type LossReason,
  noLosses,
} from './format.ts'
import {
  encodeHeader,
  type ProcessIdentity,
  processIdentity,
  type SegmentHeader,
} from './header.ts'
import {
  closeQuietly,
  createSegmentFile,
  type OpenedFile,
  publish,
  removeQuietly,
  stillNamed,
  type Tier,
} from './tier.ts'

// The segments of one writer, one open at a time.
//
//   open → append … append → rotate (end frame, close) → the next append opens the next
//                   └ failed or short write → sealed: never truncated, never appended to; the frame is
//                     carried to the next segment behind a preamble, or lost and counted

/** What became of a frame. */
export const APPENDED = 0
/** Written, and the segment was closed behind it: names and numbers begin anew. */
export const ROTATED = 1
/** Written to a new segment behind the preamble: only what preamble and frame define is known there. */
export const CARRIED = 2
/** Lost; `lastLoss` says why. */
export const LOST = 3

/** A write that took longer opens the breaker. */
const SLOW_WRITE_MS = 20
const BREAKER_MS = 1000
const NONCE_BYTES = 8
const NONCES = 64
/** After no tier could be opened, how long frames are lost before the next try. */
const REOPEN_MS = 100

export interface WriterOptions {
  /** In the order of preference: memory-backed, then disk. */
  readonly tiers: readonly Tier[]
  readonly thread: number
  readonly heartbeatSeconds: number
  readonly describe: () => Pick<
    SegmentHeader,
    'service' | 'environment' | 'release' | 'sdk' | 'language' | 'resource'
  >
  /** Told of each way in which the spool can't be used: `OFFPATH_SPOOL_FULL`, `_UNSAFE`, or `_UNUSABLE` for any other. */
  readonly warn: (message: string, code: string) => void
}

interface Segment {
  readonly fd: number
  readonly path: string
  readonly directory: string
  readonly number: number
  readonly nonce: Buffer
  /** First word of the nonce: the footers of an earlier use of the file don't fit. */
  readonly footerMask: number
  readonly crc: boolean
  readonly rotateAt: number
  length: number
  sequence: number
}

export class SpoolWriter {
  readonly id: string = randomBytes(8).toString('hex')
  /** Observations lost, by reason, since the writer began. */
  readonly losses: Record<LossReason, number> = noLosses()
  lastLoss: LossReason = 'no_spool'
  bytesWritten = 0

  readonly #options: WriterOptions
  #segment: Segment | undefined
  #previous: SegmentHeader['previous'] = null
  #identity: ProcessIdentity | undefined
  /** Observations started up to the end of the last frame, written or lost: what a preamble may say. */
  #started = 0
  #slowUntil = 0
  #reopenAt = 0
  #everOpened = false

  constructor(options: WriterOptions) {
    this.#options = options
  }

  /** Where the next byte goes, null when no segment is open. */
  get place(): { directory: string; segment: number; offset: number } | null {
    const segment = this.#segment
    if (segment === undefined) {
      const previous = this.#previous
      return previous === null
        ? null
        : { directory: this.#lastDirectory, segment: previous.segment, offset: previous.length }
    }
    return { directory: segment.directory, segment: segment.number, offset: segment.length }
  }
  #lastDirectory = ''
  #lastPath = ''

  get lost(): number {
    let total = 0
    for (const reason of LOSS_REASONS) total += this.losses[reason]
    return total
  }

  /** Counts observations that no frame will bring. */
  countLost(reason: LossReason, observations: number): void {
    this.lastLoss = reason
    this.losses[reason] += observations
  }

  /**
   * Writes a frame: `frame` has room for the head before the payload and for the footer behind it. `mayRotate` is
   * false while a record is only half in the frame's buffer. `preamble` is asked for the payload of a records
   * frame that must come first in a new segment.
   */
  append(
    frame: Buffer,
    payloadBytes: number,
    kind: number,
    started: number,
    mayRotate: boolean,
    preamble: () => Buffer | undefined,
  ): number {
    const startedBefore = this.#started
    this.#started = started
    const now = performance.now()
    if (now < this.#slowUntil) {
      this.lastLoss = 'slow_disk'
      return LOST
    }
    const open = this.#segment
    if (open !== undefined) {
      if (this.#write(open, frame, payloadBytes, kind, started)) {
        if (!mayRotate || open.length < open.rotateAt) return APPENDED
        this.#rotate(open, started)
        return ROTATED
      }
      this.#release(open)
    }
    return this.#carry(frame, payloadBytes, kind, startedBefore, started, preamble, now)
  }

  #carry(
    frame: Buffer,
    payloadBytes: number,
    kind: number,
    startedBefore: number,
    started: number,
    preamble: () => Buffer | undefined,
    now: number,
  ): number {
    if (now < this.#reopenAt) return LOST
    const before = preamble()
    for (const tier of this.#options.tiers) {
      const segment = this.#open(tier)
      if (segment === undefined) continue
      const wrote =
        (before === undefined ||
          this.#write(segment, before, payloadOf(before), FRAME_KIND.records, startedBefore)) &&
        this.#write(segment, frame, payloadBytes, kind, started)
      if (wrote) return before === undefined ? APPENDED : CARRIED
      this.#release(segment)
    }
    this.#reopenAt = now + REOPEN_MS
    return LOST
  }

  /** Drawn in stock: one by one they cost 50 µs each, for that code is always cold. */
  #nextNonce(): Buffer {
    if (this.#nonces.length === 0) this.#nonces = randomBytes(NONCES * NONCE_BYTES)
    const nonce = this.#nonces.subarray(0, NONCE_BYTES)
    this.#nonces = this.#nonces.subarray(NONCE_BYTES)
    return nonce
  }
  #nonces: Buffer = Buffer.alloc(0)

  #open(tier: Tier): Segment | undefined {
    const number = (this.#segment?.number ?? this.#previous?.segment ?? 0) + 1
    this.#identity ??= processIdentity()
    const { thread, heartbeatSeconds, describe } = this.#options
    const header: Omit<SegmentHeader, 'recycled'> = {
      writer: this.id,
      segment: number,
      previous: this.#previous,
      ...this.#identity,
      thread,
      heartbeatSeconds,
      ...describe(),
      startTime: `${Date.now()}000000`,
    }
    const nonce = this.#nextNonce()
    let file: OpenedFile | undefined
    try {
      file = createSegmentFile(tier, `${this.id}-${String(number).padStart(8, '0')}.seg`)
      const bytes = encodeHeader({ ...header, recycled: file.recycled }, nonce, this.#lossBlock())
      writeWhole(file.fd, bytes)
      publish(file)
      this.#segment = {
        ...file,
        path: file.target,
        footerMask: nonce.readUInt32LE(0),
        directory: tier.directory,
        number,
        nonce,
        crc: tier.crc,
        length: bytes.length,
        sequence: 0,
      }
      this.#everOpened = true
      this.#lastDirectory = tier.directory
      return this.#segment
    } catch (error) {
      this.#failed(error, tier.directory)
      // Without a header it is no segment: its number is used again.
      if (file !== undefined) removeQuietly(file)
      return undefined
    }
  }

  #write(
    segment: Segment,
    frame: Buffer,
    payloadBytes: number,
    kind: number,
    started: number,
  ): boolean {
    const length = FRAME.payload + payloadBytes + FRAME_FOOTER_BYTES
    frame.writeUInt32LE(FRAME_MAGIC, FRAME.magic)
    frame.set(segment.nonce, FRAME.nonce)
    frame.writeUInt32LE(payloadBytes, FRAME.length)
    frame.writeUInt32LE(segment.sequence, FRAME.sequence)
    frame.writeUInt32LE(kind | (segment.crc ? FRAME_HAS_CRC << 8 : 0), FRAME.kind)
    writeUint64(frame, started, FRAME.started)
    writeUint64(frame, this.lost, FRAME.lost)
    frame.writeUInt32LE(segment.crc ? frameCrc(frame, payloadBytes) : 0, FRAME.crc)
    frame.writeUInt32LE((payloadBytes ^ segment.footerMask) >>> 0, FRAME.payload + payloadBytes)
    const before = performance.now()
    try {
      const written = writeSync(segment.fd, frame, 0, length)
      if (written !== length) {
        this.lastLoss = 'spool_full'
        return false
      }
    } catch (error) {
      this.#failed(error, segment.directory)
      return false
    }
    segment.length += length
    segment.sequence++
    this.bytesWritten += length
    const after = performance.now()
    // Memory is slow only when the process did not get the processor.
    if (segment.crc && after - before > SLOW_WRITE_MS) this.#slowUntil = after + BREAKER_MS
    return true
  }

  #failed(error: unknown, directory: string): void {
    const { code, message } = error as NodeJS.ErrnoException
    this.lastLoss =
      code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG' || code === 'OFFPATH_SPOOL_FULL'
        ? 'spool_full'
        : this.#everOpened
          ? 'write_failed'
          : 'no_spool'
    this.#options.warn(
      `cannot write to the spool ${directory}: ${message}`,
      code?.startsWith('OFFPATH_') ? code : 'OFFPATH_SPOOL_UNUSABLE',
    )
  }

  #rotate(segment: Segment, started: number): void {
    const end = Buffer.alloc(FRAME.payload + FRAME_FOOTER_BYTES)
    this.#write(segment, end, 0, FRAME_KIND.end, started)
    this.#release(segment)
  }

  #release(segment: Segment): void {
    closeQuietly(segment.fd)
    this.#previous = { segment: segment.number, length: segment.length }
    this.#lastPath = segment.path
    this.#segment = undefined
  }

  #lossBlock(): Buffer {
    const block = Buffer.alloc(LOSS_SLOTS * 8)
    LOSS_REASONS.forEach((reason, slot) => {
      writeUint64(block, this.losses[reason], slot * 8)
    })
    return block
  }

  /** Losses since the last frame, where a reader finds them even if no frame follows: in the newest segment. */
  saveLosses(): void {
    if (performance.now() < this.#slowUntil) return
    try {
      if (this.#segment !== undefined) writeLosses(this.#segment.fd, this.#lossBlock())
      else if (this.#lastPath !== '') rewriteLosses(this.#lastPath, this.#lossBlock())
    } catch {
      // The relay has deleted it, or it can't be written to: the counts go into the next one.
    }
  }

  /** Shows that the writer lives. False when the segment has lost its name: it is left, and what follows opens a new one. */
  touch(): boolean {
    const segment = this.#segment
    if (segment === undefined) return true
    try {
      if (stillNamed(segment.fd)) {
        const now = Date.now() / 1000
        futimesSync(segment.fd, now, now)
        return true
      }
    } catch {
      // A descriptor closed under us: the same as a lost name.
    }
    this.#release(segment)
    return false
  }

  /**
   * Milliseconds in which no relay has said that it reads the directory, as far as the calls have seen: by changes of the
   * lease's time, not by its value, which a step of the wall clock would make old.
   */
  relaySilence(): number {
    const directory = this.#segment?.directory ?? this.#options.tiers[0]?.directory ?? ''
    const now = performance.now()
    const touched = modifiedAt(join(directory, 'relay.lease'))
    if (touched !== this.#leaseTouched) {
      this.#leaseTouched = touched
      this.#leaseSeenAt = now
    }
    return now - this.#leaseSeenAt
  }
  #leaseTouched = 0
  #leaseSeenAt = performance.now()

  /** Ends the segment; a later append opens the next. */
  close(started: number): void {
    if (this.#segment !== undefined) this.#rotate(this.#segment, started)
  }
}

function payloadOf(frame: Buffer): number {
  return frame.length - FRAME.payload - FRAME_FOOTER_BYTES
}

function writeWhole(fd: number, bytes: Buffer): void {
  if (writeSync(fd, bytes) === bytes.length) return
  throw Object.assign(new Error('no space is left for a header'), { code: 'ENOSPC' })
}

function writeLosses(fd: number, block: Buffer): void {
  writeSync(fd, block, 0, block.length, HEADER.loss)
}

function rewriteLosses(path: string, block: Buffer): void {
  const fd = openSync(path, constants.O_WRONLY | (constants.O_NOFOLLOW ?? 0))
  try {
    writeLosses(fd, block)
  } finally {
    closeQuietly(fd)
  }
}

/** 0 when there is no such file, or no way to it. */
function modifiedAt(path: string): number {
  try {
    return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
  } catch {
    return 0
  }
}

function frameCrc(frame: Buffer, payloadBytes: number): number {
  const head = crc32(frame.subarray(0, FRAME.crc))
  return crc32(frame.subarray(FRAME.payload, FRAME.payload + payloadBytes), head)
}

function writeUint64(buffer: Buffer, value: number, at: number): void {
  buffer.writeUInt32LE(value % 2 ** 32, at)
  buffer.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4)
}
