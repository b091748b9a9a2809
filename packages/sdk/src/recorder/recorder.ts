import { AsyncLocalStorage } from 'node:async_hooks'
// Imported: as a global it is a getter, which costs more than the call.
import { performance } from 'node:perf_hooks'
import {
  FIELD,
  FRAME,
  FRAME_KIND,
  LOSS_REASONS,
  LOSS_SLOTS,
  type LossReason,
  RECORD,
  START_WORDS,
} from '../spool/format.ts'
import { APPENDED, CARRIED, LOST, ROTATED, type SpoolWriter } from '../spool/writer.ts'
import { BlobQueue } from './blobs.ts'
import { lostContent, preambleFrame } from './carry.ts'
import { type Clock, clockAt } from './clock.ts'
import { Encoder, FIRST } from './encoder.ts'
import { randomWord } from './ids.ts'
import type { RecorderOptions } from './options.ts'
import { RecentStrings } from './recent-strings.ts'
import { sampled } from './sampling.ts'
import { type Propagated, SPAN_FLAG, Span } from './span.ts'
import { unreadable } from './unusual.ts'
import { Vitals } from './vitals.ts'

// The hot path. Each call appends one record to the encoder's buffer; once in an event-loop turn that recorded
// something, one writeSync hands the buffer over as a frame. Nothing here stringifies, awaits or sets a timer.

/** Date, milliseconds since 1970 (or performance.now()'s, below its time origin), or [seconds, nanoseconds]. */
export type TimeInput = Date | number | [number, number]

/** One call in so many is timed; vitals multiply by it. */
const SAMPLE = 64
/** The first calls are all timed: a short run would be judged by one or two of them, and those not yet compiled. */
const ALL_TIMED = 2048
/**
 * A call that took longer counts as this: larger values leave in slices, so another process had the processor, often
 * for 4 ms or more. In a demo on two busy cores 2 of 540 calls made 31 % of the sum.
 */
const MAX_CALL_MS = 1
const TICK_MS = 10_000
const inNoContext = AsyncLocalStorage.snapshot()
const NO_READER_MS = 60_000
/** Ends whose frame was lost and that wait for the spool to work again, in words: four each. */
const MAX_LOST_END_WORDS = 65_536

/** What the recorder needs of the spool; in tests, of a collector in memory. */
export type FrameSink = Pick<
  SpoolWriter,
  | 'append'
  | 'bytesWritten'
  | 'close'
  | 'countLost'
  | 'lastLoss'
  | 'lost'
  | 'losses'
  | 'saveLosses'
  | 'touch'
  | 'relaySilence'
>

export interface RecorderStats {
  /** Observations started, recorded or lost. */
  readonly observations: number
  readonly records: number
  readonly bytes: number
  readonly lost: Readonly<Record<LossReason, number>>
  /** Updates that were lost of observations that were not. */
  readonly lostUpdates: number
}

export class Recorder {
  readonly #options: RecorderOptions
  readonly #sink: FrameSink
  readonly #encoder: Encoder
  readonly #recent: RecentStrings
  readonly #blobs: BlobQueue
  readonly #vitals: Vitals
  readonly #everyRecord: boolean
  readonly #warn: (message: string, code: string) => void

  #serial = 0
  /** Serial of the last observation whose start record is complete, and of the last in a frame that was handed over. */
  #started = 0
  #startedBefore = 0
  #records = 0
  #scheduled = false
  #closed = false
  // The record in progress, or 0. Reading a value can run code of the user's (toJSON, getters) that records: it waits.
  #busy = 0
  #later: (() => void)[] = []
  #untilTimed = 1
  // Time of the record in progress.
  #seconds = 0
  #nanos = 0
  // Propagated attributes known to the segment, by its generation; contexts of earlier frames used in this one.
  #generation = 1
  #contexts = 0
  #referredContexts: { readonly number: number; readonly context: Propagated }[] = []
  #namesBefore = 0
  /** Nothing that was recorded before this frame is known in its segment. */
  #fresh = true
  #lostEnds: number[] = []
  #lossesRecorded = 0
  #lostUpdates = 0
  /** How often something was lost; all that was recorded before the last `handOver` is counted in the second. */
  #failures = 0
  #failuresBefore = 0
  /** Observations that were in the spool at the last tick, or when the segment began. */
  #writtenBefore = 0
  #ticker: NodeJS.Timeout | undefined
  #openedAt = 0
  #warnedNoReader = false
  readonly #onTurn: () => void

  constructor(
    options: RecorderOptions,
    sink: FrameSink,
    warn: (message: string, code: string) => void,
  ) {
    this.#options = options
    this.#sink = sink
    this.#warn = warn
    this.#recent = new RecentStrings()
    this.#blobs = new BlobQueue(() => this.#writeSlice())
    this.#encoder = new Encoder(options, this.#recent, this.#blobs, () => this.#flushFrame())
    this.#vitals = new Vitals()
    this.#everyRecord = options.durable === 'record'
    this.#onTurn = () => {
      this.#scheduled = false
      this.#turn()
    }
  }

  /** Starts an observation. `parent` null begins a trace, sampled by its id; a child is sampled as its parent is. */
  start(
    parent: Span | null,
    propagated: Propagated | null,
    name: string,
    type: number,
    startFlags: number,
    attributes: object | undefined,
    startTime: TimeInput | undefined,
  ): Span {
    const timed = --this.#untilTimed <= 0
    const before = timed ? performance.now() : 0
    const flushed = this.#vitals.flushMs
    const span = this.#start(
      RECORD.start,
      parent,
      propagated,
      name,
      type,
      startFlags,
      attributes,
      startTime,
    )
    if (timed) this.#timed(before, flushed)
    return span
  }

  /** An observation without duration: start and end in one record. */
  event(
    parent: Span | null,
    propagated: Propagated | null,
    name: string,
    type: number,
    startFlags: number,
    attributes: object | undefined,
    time: TimeInput | undefined,
  ): Span {
    const timed = --this.#untilTimed <= 0
    const before = timed ? performance.now() : 0
    const flushed = this.#vitals.flushMs
    const span = this.#start(
      RECORD.event,
      parent,
      propagated,
      name,
      type,
      startFlags,
      attributes,
      time,
    )
    span.flags |= SPAN_FLAG.ended
    if (timed) this.#timed(before, flushed)
    return span
  }

  #timed(before: number, flushedBefore: number): void {
    const every = this.#records < ALL_TIMED ? 1 : SAMPLE
    this.#untilTimed = every
    const took = performance.now() - before - (this.#vitals.flushMs - flushedBefore)
    this.#vitals.recorderMs += Math.min(took, MAX_CALL_MS) * every
  }

  #start(
    record: number,
    parent: Span | null,
    propagated: Propagated | null,
    name: string,
    type: number,
    startFlags: number,
    attributes: object | undefined,
    startTime: TimeInput | undefined,
  ): Span {
    const span = new Span()
    const now = performance.now()
    const clock = clockAt(now)
    span.type = type
    span.propagated = propagated
    span.clock = clock
    span.s0 = randomWord()
    span.s1 = randomWord()
    if (parent === null) {
      span.t0 = randomWord()
      span.t1 = randomWord()
      span.t2 = randomWord()
      span.t3 = randomWord()
      const rate = this.#options.sampleRate
      if (rate < 1 && !sampled(span.t0, span.t1, span.t2, span.t3, rate)) return span
    } else {
      span.t0 = parent.t0
      span.t1 = parent.t1
      span.t2 = parent.t2
      span.t3 = parent.t3
      if ((parent.flags & SPAN_FLAG.sampled) === 0) return span
    }
    span.flags = SPAN_FLAG.sampled
    if (this.#closed) return span
    const time = clock.offset + now
    if (this.#busy !== 0) {
      span.serial = ++this.#serial
      this.#defer(() =>
        this.#writeStart(record, span, parent, name, startFlags, attributes, startTime, time),
      )
    } else this.#writeStart(record, span, parent, name, startFlags, attributes, startTime, time)
    return span
  }

  #writeStart(
    record: number,
    span: Span,
    parent: Span | null,
    name: string,
    startFlags: number,
    attributes: object | undefined,
    startTime: TimeInput | undefined,
    now: number,
  ): void {
    const { propagated } = span
    const encoder = this.#encoder
    encoder.begin(START_WORDS)
    const context = propagated === null ? 0 : this.#context(propagated)
    this.#setTime(startTime === undefined ? now : millisecondsOf(startTime, span.clock, now))
    if (Array.isArray(startTime)) this.#setHrTime(startTime)
    if (span.serial === 0) span.serial = ++this.#serial
    this.#busy = record
    const serial = span.serial
    const words = encoder.words
    const at = encoder.pos
    words[at + 1] = serial | 0
    words[at + 2] = (serial / 0x1_0000_0000) | 0
    words[at + 3] = span.type | (startFlags & 0xff00) | ((startFlags & 0xff) << 16)
    words[at + 4] = span.t0
    words[at + 5] = span.t1
    words[at + 6] = span.t2
    words[at + 7] = span.t3
    words[at + 8] = span.s0
    words[at + 9] = span.s1
    if (parent === null) {
      words[at + 10] = 0
      words[at + 11] = 0
    } else {
      words[at + 10] = parent.s0
      words[at + 11] = parent.s1
    }
    words[at + 12] = this.#seconds
    words[at + 13] = this.#nanos
    words[at + 14] = context
    encoder.pos = at + START_WORDS
    encoder.name(name)
    if (attributes !== undefined) this.#attributes(attributes)
    this.#started = serial
    this.#close(record)
  }

  /** Records attributes by Langfuse's names. Null, undefined and unknown names change nothing. */
  update(span: Span, attributes: object): void {
    if (span.serial === 0 || (span.flags & SPAN_FLAG.ended) !== 0) return
    if (this.#busy !== 0) {
      this.#defer(() => this.#write(span, () => this.#attributes(attributes)))
      return
    }
    const timed = --this.#untilTimed <= 0
    const before = timed ? performance.now() : 0
    const flushed = this.#vitals.flushMs
    this.#open(span)
    this.#attributes(attributes)
    this.#close(RECORD.update)
    if (timed) this.#timed(before, flushed)
  }

  /** Changes the observation's type (an index in OBSERVATION_TYPES). */
  setType(span: Span, type: number): void {
    span.type = type
    this.set(span, FIELD.type, type)
  }

  /** Records one field by its number in FIELD. */
  set(span: Span, field: number, value: unknown): void {
    if (span.serial === 0 || (span.flags & SPAN_FLAG.ended) !== 0) return
    this.#write(span, () => this.#field(field, value))
  }

  /** Records a raw OpenTelemetry attribute. */
  setAttribute(span: Span, key: string, value: unknown): void {
    if (span.serial === 0 || (span.flags & SPAN_FLAG.ended) !== 0) return
    this.#write(span, () => {
      this.#encoder.tag(FIELD.attribute)
      this.#encoder.name(key)
      this.#encoder.value(value)
    })
  }

  #write(span: Span, fields: () => void): void {
    if (this.#busy !== 0) {
      this.#defer(() => this.#write(span, fields))
      return
    }
    this.#open(span)
    fields()
    this.#close(RECORD.update)
  }

  /** Ends the observation, now or at the given time. A second end is ignored. */
  end(span: Span, endTime: TimeInput | undefined): void {
    if ((span.flags & SPAN_FLAG.ended) !== 0) return
    span.flags |= SPAN_FLAG.ended
    if (span.serial === 0) return
    const before = performance.now()
    const now = span.clock.offset + before
    if (this.#busy !== 0) {
      this.#defer(() => this.#writeEnd(span, endTime, now))
      return
    }
    const flushed = this.#vitals.flushMs
    this.#writeEnd(span, endTime, now)
    if (--this.#untilTimed <= 0) this.#timed(before, flushed)
  }

  #writeEnd(span: Span, endTime: TimeInput | undefined, now: number): void {
    const encoder = this.#encoder
    encoder.begin(5)
    this.#setTime(endTime === undefined ? now : millisecondsOf(endTime, span.clock, now))
    if (Array.isArray(endTime)) this.#setHrTime(endTime)
    const words = encoder.words
    const at = encoder.pos
    words[at + 1] = span.serial | 0
    words[at + 2] = (span.serial / 0x1_0000_0000) | 0
    words[at + 3] = this.#seconds
    words[at + 4] = this.#nanos
    this.#busy = RECORD.end
    encoder.pos = at + 5
    this.#close(RECORD.end)
  }

  #open(span: Span): void {
    const encoder = this.#encoder
    encoder.begin(3)
    encoder.words[encoder.pos + 1] = span.serial | 0
    encoder.words[encoder.pos + 2] = (span.serial / 0x1_0000_0000) | 0
    encoder.pos += 3
    this.#busy = RECORD.update
  }

  #close(record: number): void {
    const encoder = this.#encoder
    encoder.words[encoder.recordAt] = record | ((encoder.pos - encoder.recordAt) << 8)
    encoder.recordAt = encoder.pos
    this.#busy = 0
    this.#records++
    if (!this.#scheduled) this.#schedule()
    if (this.#everyRecord) this.flush()
    if (this.#later.length > 0) this.#writeLater()
  }

  #defer(call: () => void): void {
    this.#later.push(call)
    if (!this.#scheduled) this.#schedule()
  }

  #writeLater(): void {
    const calls = this.#later
    this.#later = []
    for (const call of calls) call()
  }

  /** The record in progress will not be completed: the stack overflowed in it, or its value's code ends the process. */
  #abandon(): void {
    const encoder = this.#encoder
    const record = this.#busy
    this.#failures++
    if (record === RECORD.start || record === RECORD.event) this.#sink.countLost('invalid', 1)
    if (record === RECORD.end) {
      const at = encoder.recordAt
      this.#lostEnds.push(...encoder.words.subarray(at + 1, at + 5))
      this.#lossesRecorded = -1
    }
    encoder.pos = encoder.recordAt
    encoder.forgetNames(this.#namesBefore)
    this.#forgetStrings()
    this.#busy = 0
    this.#writeLater()
  }

  #schedule(): void {
    setImmediate(this.#onTurn)
    this.#scheduled = true
    if (this.#ticker === undefined) this.#beginTicking()
  }

  #attributes(attributes: object): void {
    try {
      for (const key in attributes) {
        const value = (attributes as Record<string, unknown>)[key]
        if (value === undefined || value === null) continue
        switch (key) {
          case 'input':
            this.#field(FIELD.input, value)
            break
          case 'output':
            this.#field(FIELD.output, value)
            break
          case 'metadata':
            this.#field(FIELD.metadata, value)
            break
          case 'model':
            this.#field(FIELD.model, value)
            break
          case 'modelParameters':
            this.#field(FIELD.modelParameters, value)
            break
          case 'usageDetails':
            this.#field(FIELD.usageDetails, value)
            break
          case 'costDetails':
            this.#field(FIELD.costDetails, value)
            break
          case 'completionStartTime':
            this.#field(FIELD.completionStartTime, value)
            break
          case 'level':
            this.#field(FIELD.level, value)
            break
          case 'statusMessage':
            this.#field(FIELD.statusMessage, value)
            break
          case 'version':
            this.#field(FIELD.version, value)
            break
          case 'environment':
            this.#field(FIELD.environment, value)
            break
          case 'prompt':
            this.#prompt(value as { name?: unknown; version?: unknown; isFallback?: unknown })
            break
        }
      }
    } catch (error) {
      // The caller's object threw while it was read; what was read before stands.
      this.#field(FIELD.statusMessage, unreadable(error))
    }
  }

  #field(field: number, value: unknown): void {
    const encoder = this.#encoder
    encoder.ensure(1)
    encoder.words[encoder.pos++] = field
    encoder.value(value)
  }

  #prompt(prompt: { name?: unknown; version?: unknown; isFallback?: unknown }): void {
    const { name, version, isFallback } = prompt
    if (isFallback) return
    if (name !== undefined && name !== null) this.#field(FIELD.promptName, name)
    if (version !== undefined && version !== null) this.#field(FIELD.promptVersion, version)
  }

  #setTime(milliseconds: number): void {
    const seconds = Math.floor(milliseconds / 1000)
    this.#seconds = seconds
    this.#nanos = ((milliseconds - seconds * 1000) * 1e6 + 0.5) | 0
  }

  #setHrTime(time: readonly [number, number]): void {
    this.#seconds = time[0]
    this.#nanos = time[1]
  }

  /** The context's number in this segment; its record is written before its first use. */
  #context(propagated: Propagated): number {
    const frame = this.#recent.frame
    if (propagated.segment === this.#generation) {
      if (propagated.frame !== frame) {
        propagated.frame = frame
        this.#referredContexts.push({ number: propagated.number, context: propagated })
      }
      return propagated.number
    }
    propagated.segment = this.#generation
    propagated.frame = frame
    propagated.number = ++this.#contexts
    this.#writeContext(propagated)
    return propagated.number
  }

  #writeContext(propagated: Propagated): void {
    const encoder = this.#encoder
    this.#busy = RECORD.context
    encoder.words[encoder.pos + 1] = propagated.number
    encoder.pos += 2
    if (propagated.userId !== undefined) this.#field(FIELD.userId, propagated.userId)
    if (propagated.sessionId !== undefined) this.#field(FIELD.sessionId, propagated.sessionId)
    if (propagated.traceName !== undefined) this.#field(FIELD.traceName, propagated.traceName)
    if (propagated.version !== undefined) this.#field(FIELD.version, propagated.version)
    if (propagated.environment !== undefined) this.#field(FIELD.environment, propagated.environment)
    if (propagated.tags !== undefined) this.#field(FIELD.tags, propagated.tags)
    if (propagated.metadata !== undefined) this.#field(FIELD.traceMetadata, propagated.metadata)
    if (propagated.promptName !== undefined) this.#field(FIELD.promptName, propagated.promptName)
    if (propagated.promptVersion !== undefined) {
      this.#field(FIELD.promptVersion, propagated.promptVersion)
    }
    if (propagated.project !== undefined) this.#field(FIELD.project, propagated.project)
    encoder.words[encoder.recordAt] = RECORD.context | ((encoder.pos - encoder.recordAt) << 8)
    encoder.recordAt = encoder.pos
    this.#busy = 0
    encoder.ensure(START_WORDS)
  }

  #turn(): void {
    if (this.#busy !== 0) this.#abandon()
    this.#encoder.turnBytes = 0
    if (this.#vitals.due(performance.now(), this.#records)) this.#writeVitals()
    this.#flushFrame()
    if (this.#blobs.length === 0 || !this.#writeSlice()) return
    if (this.#blobs.length > 0 && !this.#scheduled) this.#schedule()
  }

  /** Writes all that is pending, large values included, before it returns. */
  flush(): void {
    if (this.#busy !== 0) return
    this.#encoder.turnBytes = 0
    this.#flushFrame()
    while (this.#blobs.length > 0 && this.#writeSlice());
  }

  /**
   * Writes all that is pending, where a reader will find it: a segment that has lost its name is left. False when any of it
   * could not be written, or something recorded since the last call was lost.
   */
  handOver(): boolean {
    if (this.#busy !== 0) return false
    this.#leaveRemovedSegment()
    this.flush()
    // The losses and ends that this could record again.
    this.#flushFrame()
    const kept = this.#failures === this.#failuresBefore && this.#lostEnds.length === 0
    this.#failuresBefore = this.#failures
    return kept
  }

  /** Writes the records as one frame. No record is in progress. */
  #flushFrame(): void {
    const encoder = this.#encoder
    const bytes = (encoder.recordAt - FIRST) << 2
    if (bytes === 0) return
    const before = performance.now()
    const result = this.#sink.append(
      encoder.buffer,
      bytes,
      FRAME_KIND.records,
      this.#started,
      true,
      () => this.#preamble(),
    )
    if (result === LOST) this.#frameLost()
    else this.#fresh = false
    encoder.clear()
    this.#startedBefore = this.#started
    if (result === ROTATED) this.#beginSegment()
    else if (result !== APPENDED) this.#forgetStrings()
    this.#namesBefore = encoder.nameCount
    this.#recent.nextFrame()
    if (this.#referredContexts.length > 0) this.#referredContexts = []
    this.#vitals.flushMs += performance.now() - before
    if (result !== LOST && this.#sink.lost !== this.#lossesRecorded) this.#recordLosses()
  }

  #beginSegment(): void {
    this.#encoder.forgetNames(0)
    this.#namesBefore = 0
    this.#contexts = 0
    this.#fresh = true
    this.#writtenBefore = this.#written()
    this.#forgetStrings()
  }

  #written(): number {
    return this.#startedBefore - this.#sink.lost
  }

  #forgetStrings(): void {
    this.#recent.forget()
    this.#generation++
  }

  /** What the frame in progress refers to, or can in what follows, and was recorded in the segment before it. */
  #preamble(): Buffer | undefined {
    if (this.#fresh) return undefined
    const names = this.#encoder.firstNames(this.#namesBefore)
    return preambleFrame(names, this.#recent.referred, this.#referredContexts)
  }

  #frameLost(): void {
    const encoder = this.#encoder
    this.#failures++
    const { started, updates, ends } = lostContent(encoder.words, FIRST, encoder.recordAt)
    this.#lostUpdates += updates
    this.#sink.countLost(this.#sink.lastLoss, started)
    this.#sink.saveLosses()
    for (const word of ends) {
      if (this.#lostEnds.length < MAX_LOST_END_WORDS) this.#lostEnds.push(word)
    }
    // Names that only the lost frame defined; and what it said of earlier losses is to be said again.
    encoder.forgetNames(this.#namesBefore)
    this.#lossesRecorded = -1
  }

  /** The spool works again: the losses are recorded, and the ends that went with them. */
  #recordLosses(): void {
    this.#lossesRecorded = this.#sink.lost
    const encoder = this.#encoder
    const ends = this.#lostEnds
    if (ends.length > 0) {
      this.#lostEnds = []
      encoder.begin(ends.length + 1)
      encoder.words.set(ends, encoder.pos + 1)
      encoder.pos += ends.length + 1
      this.#close(RECORD.lostEnds)
    }
    encoder.begin(1 + LOSS_SLOTS * 2)
    encoder.words.fill(0, encoder.pos + 1, encoder.pos + 1 + LOSS_SLOTS * 2)
    LOSS_REASONS.forEach((reason, slot) => {
      const count = this.#sink.losses[reason]
      encoder.words[encoder.pos + 1 + slot * 2] = count | 0
      encoder.words[encoder.pos + 2 + slot * 2] = (count / 0x1_0000_0000) | 0
    })
    encoder.pos += 1 + LOSS_SLOTS * 2
    this.#close(RECORD.loss)
  }

  /** Writes one slice of the oldest blob; false when there is none or the spool refuses. */
  #writeSlice(): boolean {
    const encoder = this.#encoder
    if (this.#busy === 0) this.#flushFrame()
    const scratch = this.#sliceBuffer()
    const bytes = this.#blobs.encode(scratch, FRAME.payload)
    if (bytes === 0) return false
    const before = performance.now()
    const mayRotate = encoder.pos === FIRST
    const result = this.#sink.append(
      scratch,
      bytes,
      FRAME_KIND.blob,
      this.#startedBefore,
      mayRotate,
      () => this.#preamble(),
    )
    this.#vitals.flushMs += performance.now() - before
    if (result === LOST) {
      this.#failures++
      this.#blobs.fail()
      // The broken blob is not to be referred to again.
      this.#recent.forget()
      return false
    }
    this.#blobs.commit()
    if (result === ROTATED) this.#beginSegment()
    else if (result === CARRIED) this.#forgetStrings()
    return true
  }

  #slice: Buffer | undefined
  #sliceBuffer(): Buffer {
    // Head, slice head, 384 KB of text at most, footer.
    this.#slice ??= Buffer.allocUnsafeSlow(512 * 1024)
    return this.#slice
  }

  #writeVitals(): void {
    const encoder = this.#encoder
    encoder.begin(1)
    encoder.pos += 1
    encoder.value(
      this.#vitals.take({
        observations: this.#serial,
        records: this.#records,
        bytes: this.#sink.bytesWritten,
        lost: this.#sink.lost,
        lostUpdates: this.#lostUpdates,
      }),
    )
    encoder.words[encoder.recordAt] = RECORD.vitals | ((encoder.pos - encoder.recordAt) << 8)
    encoder.recordAt = encoder.pos
  }

  #beginTicking(): void {
    this.#openedAt = performance.now()
    // Outside of the caller's context, which the timer would keep alive.
    this.#ticker = inNoContext(() => setInterval(() => this.#tick(), TICK_MS))
    this.#ticker.unref()
  }

  /** Every 10 s: shows that the writer lives, and looks whether its segment and a reader are still there. */
  #tick(): void {
    this.#turn()
    this.#leaveRemovedSegment()
    this.#writtenBefore = this.#written()
    if (this.#warnedNoReader) return
    const silence = this.#sink.relaySilence()
    if (silence > NO_READER_MS && performance.now() - this.#openedAt > NO_READER_MS) {
      this.#warnedNoReader = true
      this.#warn(
        'no relay has read the spool for 60 s: start one with `npx offpath up` ' +
          '(or set OFFPATH_ENABLED=false to stop recording)',
        'OFFPATH_NO_RELAY',
      )
    }
  }

  /** What was written to a segment without a name since it was last seen to have one is lost; what is pending is not. */
  #leaveRemovedSegment(): void {
    if (this.#sink.touch()) return
    this.#failures++
    this.#sink.countLost('segment_removed', Math.max(0, this.#written() - this.#writtenBefore))
    this.#writtenBefore = this.#written()
    this.#recordLosses()
  }

  stats(): RecorderStats {
    return {
      observations: this.#serial,
      records: this.#records,
      bytes: this.#sink.bytesWritten,
      lost: { ...this.#sink.losses },
      lostUpdates: this.#lostUpdates,
    }
  }

  /** Writes what is pending and the end frame. Nothing is recorded afterwards. */
  close(): void {
    if (this.#closed) return
    clearInterval(this.#ticker)
    if (this.#busy !== 0) this.#abandon()
    if (this.#serial > 0) this.#writeVitals()
    this.handOver()
    this.#closed = true
    this.#sink.close(this.#serial)
    this.#vitals.close()
  }
}

/** Milliseconds since 1970 of a given time; `now` for one that is none. HrTime is exact and set apart. */
function millisecondsOf(time: TimeInput, clock: Clock, now: number): number {
  if (Array.isArray(time)) return now
  // As OpenTelemetry: a number that performance.now() can have returned is one of its.
  if (typeof time === 'number' && time <= performance.now()) return clock.offset + time
  const milliseconds =
    typeof time === 'number' ? time : time instanceof Date ? time.getTime() : Number.NaN
  // The format's seconds end in 2106.
  return milliseconds >= 0 && milliseconds < 2 ** 32 * 1000 ? milliseconds : now
}
