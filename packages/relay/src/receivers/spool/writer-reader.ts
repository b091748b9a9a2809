import { closeSync, fstatSync, readSync, statSync } from 'node:fs'
import { FRAME_KIND, LOSS_REASONS } from '@offpath/sdk/spool-format'
import type { Assembler } from '../../assemble/assembler.ts'
import { leaveFiles } from '../../assemble/leave-files.ts'
import type { OpenSpan, SpanKey, SpoolPlace } from '../../assemble/open-span.ts'
import { openSpanOf, rowKey, rowOf } from '../../assemble/saved-span.ts'
import { givenBytes, WriterState } from '../../assemble/writer-state.ts'
import type { JsonDecoder } from '../../decode/json-records.ts'
import {
  type FrameCount,
  newFrameCount,
  type Payload,
  type RecordDecoder,
} from '../../decode/records.ts'
import { newTables, type Tables } from '../../decode/tables.ts'
import type { NewScore } from '../../store/scores.ts'
import type { Resource } from '../../store/span.ts'
import type { OpenRow, WriterChange } from '../../store/store.ts'
import type { SegmentFile } from './directory.ts'
import { type Life, lifeOf } from './liveness.ts'
import {
  type Frame,
  openSegmentFile,
  type ReadBuffer,
  readHeader,
  readLosses,
  SegmentReader,
  type SegmentStart,
  type WriterHeader,
} from './segment.ts'

// One writer's segments, read one after the other.
//
//   known files:   … 4 ✓ | 5 being read | 6 | 7 …      ✓ read to its end: deleted after the commit
//
// A segment is at its end when its end frame was read, when the writer has gone on to a later one, or when the writer
// is dead. Then what is left of it is half a frame that nobody will complete, or damage.

/** What all readers share. */
export interface ReaderContext {
  readonly assembler: Assembler
  readonly records: RecordDecoder
  readonly json: JsonDecoder
  readonly buffer: ReadBuffer
  /** User id of each spool directory's owner. */
  ownerOf(file: SegmentFile): number | undefined
  count(name: string, by: number): void
  log(message: string, about: Record<string, unknown>): void
  /** A file is no segment that can be read: it is left alone, counted and told, each but once. */
  leaveAlone(path: string, why: string): void
  /** Changes when the directories are listed anew. */
  readonly listing: number
  /** Whether the batch has room for more, now that so many bytes came. */
  hasRoom(bytes: number): boolean
  /** False for a while after that has failed. */
  mayDelete(path: string): boolean
}

export interface DoneFile extends SegmentFile {
  /** Nobody writes to it any more: a writer may take it over. */
  readonly isClosed: boolean
}

interface End {
  readonly length: number
  readonly size: number
  readonly isFinal: boolean
  /** The writer has told its length. */
  readonly isSealed: boolean
  /** The writer has gone on to a later one, or is dead for certain. */
  readonly isClosed: boolean
}

interface OpenSegment {
  readonly file: SegmentFile
  readonly reader: SegmentReader
  readonly recycled: boolean
  readonly tables: Tables
}

/** How a writer is that is not seen to live. */
export type Silent = Exclude<Life, 'alive' | 'unknown'>

const MAX_OFFSET = Number.MAX_SAFE_INTEGER
const LATER = 'later'

/** What the store keeps of a writer, beside its open spans. */
interface Saved {
  readonly segment: number
  readonly offset: number
  readonly started: number
  readonly lost: number
  readonly seen: number
  readonly losses: readonly number[]
  readonly last: readonly [seconds: number, nanos: number]
  /** Keys of spans that have ended and wait for blobs. */
  readonly waiting: readonly SpanKey[]
  /** All that was open there was closed as interrupted. */
  readonly interrupted: SpoolPlace | null
}

export class WriterReader {
  readonly state: WriterState
  header: WriterHeader
  /** Files read to their end, to be deleted after the next commit. */
  done: DoneFile[] = []
  /** Something is to be committed. */
  changed = false
  /** Open observations of which nothing is left. */
  abandoned = 0
  vitals: string[] = []
  #scores: NewScore[] = []
  readonly #context: ReaderContext
  #files: readonly SegmentFile[] = []
  #open: OpenSegment | null = null
  /** Headers of files that are not read yet, by path; null: it has none that is good. */
  readonly #headers = new Map<string, SegmentStart | null>()
  /** Number of the last segment that was read to its end. */
  #finished = 0
  #interrupted: SpoolPlace | null = null
  /** Where reading goes on after a restart; observations of which the store has no row are rebuilt up to there. */
  #restored: { readonly place: SpoolPlace; readonly open: number } | null = null
  #waiting: ReadonlySet<SpanKey> = new Set()
  #headerSaved = false
  /** When its open observations were last closed. */
  interruptedAt: number = Number.NEGATIVE_INFINITY
  // What was last seen of the newest segment, for liveness.
  #size = -1
  #modified = -1
  #changedAt: number
  #quiet = false

  constructor(context: ReaderContext, header: WriterHeader, now: number) {
    this.#context = context
    this.header = header
    this.state = new WriterState(header.writer, resourceOf(header))
    this.#changedAt = now
  }

  /** The writer as the store knows it. */
  restore(saved: string, open: number, rows: readonly OpenRow[], blobs: string | null): void {
    const known = JSON.parse(saved) as Saved
    const { state } = this
    state.started = known.started
    state.lost = known.lost
    state.seen = known.seen
    this.#takeTotals(known.losses)
    ;[state.lastSeconds, state.lastNanos] = known.last
    this.#finished = known.segment - 1
    this.#interrupted = known.interrupted
    this.#waiting = new Set(known.waiting)
    this.#restored = { place: known, open }
    this.#headerSaved = true
    for (const row of rows) {
      const { span, given } = openSpanOf(row)
      if (given) state.given.set(span.key, span)
      else {
        state.open.set(span.key, span)
        if (span.ended) state.waiting.add(span)
      }
    }
    if (blobs !== null) state.blobs.restore(blobs)
  }

  /** What it had lost when it was given up is counted. */
  knowLosses(saved: string): void {
    this.#takeTotals(JSON.parse(saved) as number[])
  }

  #takeTotals(losses: readonly number[]): void {
    losses.forEach((total, slot) => {
      this.state.losses[slot] = total
    })
  }

  /** The header of the first file that has a good one; null: none. */
  static headerOf(files: readonly SegmentFile[], context: ReaderContext): WriterHeader | null {
    for (const file of files) {
      let fd: number | undefined
      try {
        fd = openSegmentFile(file.path, context.ownerOf(file))
        const start = readHeader(fd)
        if (start !== null) return start.header
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue
        const { message } = error as Error
        if (isPassing(error)) {
          context.log('cannot open a segment', { path: file.path, error: message })
        } else context.leaveAlone(file.path, message)
      } finally {
        if (fd !== undefined) closeSync(fd)
      }
    }
    return null
  }

  /**
   * The files that there are now. Those already read (a crash before they were deleted, or the system refused) are to be
   * deleted.
   */
  setFiles(files: readonly SegmentFile[]): void {
    const finished = this.#finished
    this.#files = files.filter(({ number }) => number > finished)
    this.#isLeft = this.#files.length < files.length
    if (!this.#isLeft) return
    const waiting = new Set(this.done.map(({ path }) => path))
    for (const file of files) {
      if (file.number > finished || waiting.has(file.path)) continue
      // What is no segment of this writer was not read, and is none of ours.
      const start = this.#headerOf(file)
      if (start === null || start === LATER || !this.#context.mayDelete(file.path)) continue
      this.done.push({ ...file, isClosed: false })
      this.changed = true
    }
  }
  /** A file of a number that was passed is still there. */
  #isLeft = false

  get segments(): number {
    return this.#files.length
  }

  /** How far it is read. */
  get cursor(): { path: string | null; offset: number; segment: number } {
    const open = this.#open
    return {
      path: open?.file.path ?? null,
      offset: open?.reader.offset ?? 0,
      segment: open?.file.number ?? this.#finished + 1,
    }
  }

  /** Reads what there is, as far as the batch has room; to the end if the writer is dead or given up. Returns bytes read. */
  read(life: Life): number {
    const { assembler } = this.#context
    let bytes = 0
    assembler.use(this.state)
    while (this.#context.hasRoom(0)) {
      const segment = this.#open ?? this.#openNext()
      if (segment === null) {
        if (life === 'dead' || life === 'given-up') this.#leaveHeadless()
        break
      }
      const { reader, file } = segment
      this.state.segment = file.number
      // Before the read: a writer that has gone on writes no more to this one.
      const end = this.#end(segment, life)
      const from = reader.offset
      const stopped = reader.read(
        end.length,
        (frame) => {
          this.#take(segment, frame)
          return this.#context.hasRoom(frame.to - frame.from)
        },
        ({ offset, bytes: length, fault }) => {
          this.changed = true
          this.#context.count('corruptFrames', 1)
          this.#context.count('corruptBytes', length)
          this.#context.log('passed over a damaged frame', { path: file.path, offset, fault })
        },
      )
      if (reader.offset !== from) {
        this.changed = true
        bytes += reader.offset - from
        this.#context.count('readBytes', reader.offset - from)
      }
      if (stopped) break
      if (!reader.ended && !end.isFinal) break
      if (!reader.ended && reader.offset < end.size && !this.#leaveRest(segment, end)) continue
      this.#finish(segment, end.isClosed || reader.ended)
    }
    return bytes
  }

  /** Up to where a segment is to be read, the size of its file, and whether nothing more can come. */
  #end({ file, reader, recycled }: OpenSegment, life: Life): End {
    const { size } = fstatSync(reader.fd)
    const next = this.#files.find(({ number }) => number > file.number)
    const start = next === undefined ? undefined : this.#headerOf(next)
    const isClosed = life === 'dead' || (start !== undefined && start !== LATER)
    const isFinal = isClosed || life === 'given-up'
    const previous = start === LATER ? undefined : start?.header.previous
    if (previous?.segment === file.number) {
      return { length: Math.min(size, previous.length), size, isFinal, isSealed: true, isClosed }
    }
    const length = recycled ? reader.extent(size) : size
    return { length, size, isFinal, isSealed: false, isClosed }
  }

  /**
   * At the segment's end something is left that is no frame: torn by a crash or a failed write, or damaged. False: a good
   * frame follows it.
   */
  #leaveRest({ file, reader, recycled }: OpenSegment, { length, size, isSealed }: End): boolean {
    const { count, log } = this.#context
    if (recycled && !isSealed) {
      // Behind it an earlier segment's bytes begin, or this one's go on.
      const next = reader.resync(size)
      if (next === -1) {
        if (reader.begun()) count('tornTails', 1)
        return true
      }
      count('corruptFrames', 1)
      count('corruptBytes', next - reader.offset)
      reader.offset = next
      return false
    }
    if (reader.isTorn || reader.offset >= length) {
      // Of a recycled file the rest is an earlier segment's.
      if (!recycled || reader.isTorn || reader.begun()) count('tornTails', 1)
      return true
    }
    count('corruptFrames', 1)
    count('corruptBytes', length - reader.offset)
    log('the end of a segment is damaged', { path: file.path, offset: reader.offset })
    return true
  }

  /** The segment after the last one that was read; null: there is none yet. */
  #openNext(): OpenSegment | null {
    for (const file of this.#files) {
      const start = this.#headerOf(file)
      if (start === LATER) return null
      if (start === undefined) {
        // Its header is not there yet, or never will be when the writer has gone on.
        if (file === this.#files.at(-1)) return null
        continue
      }
      if (start === null) continue
      if (this.#mayComeBefore(start.header)) return null
      let fd: number
      try {
        fd = openSegmentFile(file.path, this.#context.ownerOf(file))
      } catch (error) {
        if (isPassing(error)) return null
        // Deleted since it was listed.
        continue
      }
      const reader = new SegmentReader(fd, start.nonce, start.length, this.#context.buffer)
      const tables = newTables(file.number, {
        read: (offset, length) => {
          const bytes = Buffer.allocUnsafe(length)
          return readSync(fd, bytes, 0, length, offset) === length ? bytes : null
        },
      })
      const segment = { file, reader, tables, recycled: start.header.recycled }
      this.#setHeader(start.header)
      this.#open = segment
      this.state.segment = file.number
      this.#readAgain(segment)
      return segment
    }
    return null
  }

  /** The writer died over a header: nothing comes of such a file any more. Bad ones are none of ours. */
  #leaveHeadless(): void {
    const starts = this.#files.map((file) => this.#headerOf(file))
    if (starts.some((start) => start !== undefined && start !== null)) return
    const headless = this.#files.filter((_, i) => starts[i] === undefined)
    for (const file of headless) {
      this.done.push({ ...file, isClosed: false })
      this.#finished = file.number
      this.changed = true
    }
    this.#files = this.#files.filter(({ number }) => number > this.#finished)
  }

  /** The two directories are listed one after the other: a segment before this one may have been overlooked. */
  #mayComeBefore({ previous, segment }: WriterHeader): boolean {
    if (previous === null || previous.segment <= this.#finished || this.#gapAt === segment) {
      return false
    }
    if (this.#gapListing === 0) this.#gapListing = this.#context.listing
    if (this.#gapListing === this.#context.listing) return true
    this.#gapListing = 0
    this.#gapAt = segment
    return false
  }
  #gapListing = 0
  #gapAt = 0

  #setHeader(header: WriterHeader): void {
    const { previous } = header
    const { state } = this
    if (state.seen === 0 && state.started === 0 && previous !== null && !this.#headerSaved) {
      // Earlier segments were read into another store: what they held is not missing here.
      this.#isNew = true
    }
    this.header = header
    this.#headerSaved = false
    this.changed = true
  }
  #isNew = false

  /** undefined: not there yet; null: not good, which was told once; LATER: it can't be read now. */
  #headerOf(file: SegmentFile): SegmentStart | null | undefined | typeof LATER {
    const known = this.#headers.get(file.path)
    if (known !== undefined) return known
    let fd: number | undefined
    try {
      fd = openSegmentFile(file.path, this.#context.ownerOf(file))
      const start = readHeader(fd)
      if (start === null) return undefined
      if (start.header.writer !== file.writer || start.header.segment !== file.number) {
        throw new Error(`says that it is ${start.header.writer}-${start.header.segment}`)
      }
      this.#headers.set(file.path, start)
      return start
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      if (isPassing(error)) {
        this.#context.log('cannot open a segment', {
          path: file.path,
          error: (error as Error).message,
        })
        return LATER
      }
      this.#headers.set(file.path, null)
      this.#context.leaveAlone(file.path, (error as Error).message)
      this.changed = true
      return null
    } finally {
      if (fd !== undefined) closeSync(fd)
    }
  }

  #finish({ file, reader }: OpenSegment, isClosed: boolean): void {
    this.#losses(readLosses(reader.fd))
    this.state.blobs.storeAll(this.#context.assembler.data)
    closeSync(reader.fd)
    this.#headers.delete(file.path)
    this.#open = null
    this.#finished = file.number
    this.#files = this.#files.filter(({ number }) => number > file.number)
    this.done.push({ ...file, isClosed })
    this.changed = true
  }

  // --- frames ---

  #take(segment: OpenSegment, frame: Frame): void {
    const { state } = this
    const { count: add } = this.#context
    this.changed = true
    const count = this.#decode(segment, frame, null)
    state.seen += count.started
    if (this.#isNew) {
      state.seen = frame.started - frame.lost
      this.#isNew = false
    }
    // What was started and is neither here nor counted as lost by the writer was in frames that were damaged.
    const missing = frame.started - frame.lost - state.seen
    if (missing > 0 && isCount(missing)) {
      add('lost.corrupt', missing)
      state.seen += missing
    }
    state.started = frame.started
    state.lost = frame.lost
    add('accepted', count.started)
    add('records', count.records)
    add('orphanRecords', count.orphans)
    add('malformedRecords', count.malformed)
    add('malformedFields', count.malformedFields)
    add('unknownRecords', count.unknown)
    if (count.losses !== null) this.#losses(count.losses)
    if (count.lostScores !== null) this.#losses(count.lostScores, 'lostScores')
    this.vitals.push(...count.vitals)
    this.#scores.push(...count.scores)
  }

  #decode(
    { tables }: OpenSegment,
    frame: Frame,
    wanted: ((key: SpanKey) => boolean) | null,
  ): FrameCount {
    const payload: Payload = {
      bytes: frame.bytes,
      words: frame.words,
      from: frame.from >> 2,
      to: frame.to >> 2,
      base: frame.base,
    }
    const { records, json } = this.#context
    switch (frame.kind) {
      case FRAME_KIND.records:
        return records.records(payload, tables, wanted)
      case FRAME_KIND.json:
        return json.records(payload, tables, wanted)
      case FRAME_KIND.blob: {
        const count = newFrameCount()
        if (!records.slice(payload, tables, wanted !== null)) count.malformed++
        return count
      }
      default:
        return newFrameCount()
    }
  }

  /** Takes in a writer's totals of what it lost. */
  #losses(totals: readonly number[], what: 'lost' | 'lostScores' = 'lost'): void {
    const { losses } = this.state
    const first = what === 'lost' ? 0 : LOSS_REASONS.length
    LOSS_REASONS.forEach((reason, index) => {
      const slot = first + index
      const total = totals[index] ?? 0
      const before = losses[slot] as number
      if (total <= before || !isCount(total)) return
      this.#context.count(`${what}.${reason}`, total - before)
      losses[slot] = total
      this.changed = true
    })
  }

  // --- after a restart ---

  /**
   * Reads a segment again up to where it was read before the restart: names, strings and contexts, and the observations
   * that were not finished there.
   */
  #readAgain(segment: OpenSegment): void {
    const restored = this.#restored
    if (restored === null) return
    this.#restored = null
    const { place, open } = restored
    const { state } = this
    if (place.segment === segment.file.number) {
      const { records, json, assembler } = this.#context
      const dangling = [records.dangling, json.dangling] as const
      const ended = this.#endedBefore(segment, place.offset)
      const saved = new Map([...state.open, ...state.given])
      const wanted = (key: SpanKey): boolean => {
        if (ended.has(key) && !this.#waiting.has(key)) return false
        // Of those that the store has a row of, what came up to the row is in it.
        const span = saved.get(key)
        return span === undefined || isAfter(this.#at(segment), span.savedAt)
      }
      const interrupted = this.#interrupted
      let giveAt = interrupted?.segment === place.segment ? interrupted.offset : MAX_OFFSET
      const giveFrom = (offset: number): void => {
        if (offset < giveAt) return
        giveAt = MAX_OFFSET
        this.#giveAll()
      }
      this.#frames(segment, place.offset, (frame) => {
        giveFrom(frame.offset)
        this.#decode(segment, frame, wanted)
      })
      giveFrom(place.offset)
      segment.reader.offset = Math.max(segment.reader.offset, place.offset)
      // They were counted when they were read first.
      ;[records.dangling, json.dangling] = dangling
      assembler.endBatch()
    }
    this.abandoned = Math.max(0, open - state.unfinished)
    this.#waiting = new Set()
  }

  #at({ file, reader }: OpenSegment): SpoolPlace {
    return { segment: file.number, offset: reader.offset }
  }

  #frames(segment: OpenSegment, end: number, take: (frame: Frame) => void): void {
    const { reader } = segment
    reader.read(
      end,
      (frame) => {
        take(frame)
        return true
      },
      () => {},
    )
  }

  /** Nothing is left of the segment that was read before the restart, nor does another one follow. */
  #giveUpRestored(): void {
    if (this.#restored === null) return
    this.abandoned = Math.max(0, this.#restored.open - this.state.unfinished)
    if (this.abandoned > 0) this.changed = true
    this.#restored = null
  }

  /** Bytes of its open observations of which some lie in data files before `file`. */
  openBytesBefore(file: number): number {
    let bytes = 0
    for (const spans of [this.state.open, this.state.given]) {
      for (const span of spans.values()) if (span.oldestFile < file) bytes += span.expanded
    }
    return bytes
  }

  /** Between batches: nothing of the writer is to lie in data files before `file` alone. */
  leaveFiles(file: number): void {
    const { assembler } = this.#context
    if (assembler.leaveFiles(this.state, file)) this.changed = this.#saveMoved = true
    for (const context of this.#open?.tables.contexts.values() ?? []) {
      if (context.oldestFile >= file) continue
      const { words } = context
      context.oldestFile = leaveFiles(words, 0, words.length, file, assembler.data)
    }
  }
  #saveMoved = false

  /** The oldest data file that is needed for what comes next. */
  get oldestFile(): number {
    let oldest = this.state.oldestFile
    for (const context of this.#open?.tables.contexts.values() ?? []) {
      oldest = Math.min(oldest, context.oldestFile)
    }
    return oldest
  }

  /** Keys of observations that ended before the offset. */
  #endedBefore(segment: OpenSegment, end: number): Set<SpanKey> {
    const { reader } = segment
    const from = reader.offset
    const ended = new Set<SpanKey>()
    const { records, json } = this.#context
    this.#frames(segment, end, (frame) => {
      if (frame.kind === FRAME_KIND.records) {
        records.ends(frame.words, frame.from >> 2, frame.to >> 2, ended)
      } else if (frame.kind === FRAME_KIND.json) json.ends(frame.bytes, frame.from, frame.to, ended)
    })
    reader.offset = from
    reader.ended = false
    return ended
  }

  /** What was open here was closed, for the writer was thought dead. */
  #giveAll(): void {
    const { open, given } = this.state
    for (const [key, span] of open) {
      span.before ??= span.asBefore
      given.set(key, span)
      open.delete(key)
    }
  }

  // --- liveness ---

  /** Whether the writer lives, by what is seen of it now. */
  life(now: number): Life {
    const newest = this.#files.at(-1)
    const found = newest === undefined ? undefined : this.#stat(newest)
    if (found !== undefined && (found.size !== this.#size || found.mtimeMs !== this.#modified)) {
      this.#size = found.size
      this.#modified = found.mtimeMs
      this.#changedAt = now
      this.#quiet = false
    }
    return lifeOf(this.header, now - this.#changedAt)
  }

  #stat(file: SegmentFile): { size: number; mtimeMs: number } | undefined {
    const open = this.#open
    if (open?.file.path === file.path) return fstatSync(open.reader.fd)
    return statSync(file.path, { throwIfNoEntry: false })
  }

  /** The writer is dead, or perhaps so: its open observations end as interrupted. */
  interrupt(life: Silent, now: number): void {
    const overdue = life === 'overdue'
    // A bad one is never read.
    const hasUnread = this.#files.some((file) => this.#headerOf(file) !== null)
    if (overdue ? this.#quiet : hasUnread) return
    if (!hasUnread) this.#giveUpRestored()
    const { assembler, count } = this.#context
    assembler.use(this.state)
    const closed = assembler.interruptAll(overdue)
    count('interrupted', closed)
    if (closed > 0) this.changed = true
    if (!overdue) {
      // Its row goes after its files, or they would be read again.
      const hasFiles = this.#files.length > 0 || this.#isLeft
      if (this.done.length === 0 && !this.changed && !hasFiles) {
        this.isGone = this.changed = true
        this.#mayReturn = life === 'given-up'
      }
      return
    }
    this.#quiet = true
    if (closed === 0) return
    this.interruptedAt = now
    const { segment, offset } = this.cursor
    this.#interrupted = { segment, offset }
    this.#saveGiven = true
  }
  #saveGiven = false

  /** Forgets observations that were closed and might have ended after all, the oldest first, until `bytes` are free. */
  forgetGiven(bytes: number): void {
    const { assembler, count } = this.#context
    const { given } = this.state
    assembler.use(this.state)
    let free = 0
    for (const span of given.values()) {
      if (free >= bytes) return
      free += givenBytes(span)
      assembler.forgetGiven(span)
      count('forgottenInterrupted', 1)
      this.changed = true
    }
  }

  /** Nothing more will come of it, and nothing is kept but what it lost if it may come back. */
  isGone = false
  #mayReturn = false

  // --- what is committed ---

  /** What the next commit brings of the writer. */
  change(): WriterChange {
    const { state, vitals } = this
    const leaving = this.done.length > 0
    if (leaving && state.blobs.size > 0) {
      const unnamed = state.blobs.forget(this.#finished, state.neededBlobs())
      this.#context.count('unnamedBlobs', unnamed)
    }
    const put = leaving || this.#saveGiven || this.#saveMoved ? this.#rows() : []
    const remove = state.gone.map(rowKey)
    return {
      id: state.id,
      resource: state.resource,
      ...(this.#headerSaved ? {} : { header: JSON.stringify(this.header) }),
      state: this.isGone ? null : JSON.stringify(this.#saved()),
      ...(this.#mayReturn &&
        state.losses.some(Boolean) && { losses: JSON.stringify(state.losses) }),
      open: state.unfinished,
      ...((put.length > 0 || remove.length > 0) && { openSpans: { put, remove } }),
      ...(leaving && { openBlobs: state.blobs.size > 0 ? state.blobs.save() : null }),
      vitals,
      ...(this.#scores.length > 0 && { scores: this.#scores }),
    }
  }

  #saved(): Saved {
    const { state } = this
    const { segment, offset } = this.cursor
    return {
      segment,
      offset,
      started: state.started,
      lost: state.lost,
      seen: state.seen,
      losses: state.losses,
      last: [state.lastSeconds, state.lastNanos],
      waiting: [...state.waiting].map(({ key }) => key),
      interrupted: this.#interrupted,
    }
  }

  /** Rows of the open observations that began in segments which will be deleted. */
  #rows(): OpenRow[] {
    const { state } = this
    const rows: OpenRow[] = []
    const { segment, offset } = this.cursor
    const savedAt = { segment, offset }
    const add = (span: OpenSpan, given: boolean): void => {
      if (!span.changed || span.segment > this.#finished) return
      span.savedAt = savedAt
      rows.push(rowOf(span, given))
    }
    for (const span of state.open.values()) add(span, false)
    for (const span of state.given.values()) add(span, true)
    return rows
  }

  /** The commit went through. */
  committed(): void {
    const { state } = this
    if (this.done.length > 0 || this.#saveGiven || this.#saveMoved) {
      for (const spans of [state.open, state.given]) {
        for (const span of spans.values()) {
          if (span.segment > this.#finished) continue
          span.saved = true
          span.changed = false
        }
      }
    }
    state.gone = []
    this.vitals = []
    this.#scores = []
    this.abandoned = 0
    this.changed = false
    this.done = []
    this.#headerSaved = true
    this.#saveGiven = this.#saveMoved = false
  }

  close(): void {
    if (this.#open !== null) closeSync(this.#open.reader.fd)
  }
}

function resourceOf(header: WriterHeader): Resource {
  return {
    service: header.service,
    environment: header.environment,
    release: header.release,
    host: header.host,
    pid: header.pid,
    sdk: header.sdk,
    language: header.language,
    attributes: header.resource,
  }
}

/** Whether a total may be one: beyond it, or no whole number, it is nonsense that SQLite could not add up. */
function isCount(total: number): boolean {
  return Number.isSafeInteger(total) && total < 2 ** 40
}

/** Errors of the system that say nothing of the file. */
function isPassing(error: unknown): boolean {
  const { code = '' } = error as NodeJS.ErrnoException
  return ['EMFILE', 'ENFILE', 'ENOMEM', 'EIO', 'EAGAIN', 'EINTR'].includes(code)
}

function isAfter(a: SpoolPlace, b: SpoolPlace): boolean {
  return a.segment > b.segment || (a.segment === b.segment && a.offset > b.offset)
}
