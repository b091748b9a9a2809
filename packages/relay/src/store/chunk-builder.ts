import { crc32 } from 'node:zlib'
import { FIELD, START_FLAG } from '@offpath/sdk/spool-format'
import type { DataWriter } from './data-files.ts'
import {
  fieldWords,
  HEAD,
  HEAD_BITS,
  KIND,
  NO_TEXT,
  NO_TOKENS,
  PART,
  PART_LENGTH,
  payloadAt,
  TRACE,
  textWords,
} from './layout.ts'
import { type Place, type Resource, SEVERITY, type Severity } from './span.ts'
import { scanned, scanTokens } from './tokens.ts'
import { Words } from './words.ts'

/** Of one chunk: what an exporter takes in at a time. */
const MAX_SPANS = 512
const MAX_WORDS = (1024 * 1024) / 4
const MAX_EXPANDED = 4 * 1024 * 1024
/** Of one span beside its long values: 256 MB. */
export const MAX_SPAN_WORDS: number = 64 * 1024 * 1024
/** Counted for a span beside its values: ids, times, name. */
const SPAN_BYTES = 256
const STAGING_WORDS = 2 * MAX_WORDS
/** Of a text in a list of traces. */
const MAX_LISTED_BYTES = 1024
/** Power of two, twice the traces that a chunk can have. */
const SLOTS = 1024

/** A chunk whose bytes are appended to the data file, and whose row is still to be written. */
export interface PlacedChunk {
  readonly writer: string
  readonly resource: Resource
  readonly file: number
  readonly offset: number
  /** Bytes of the spans; the traces' follow them. */
  readonly length: number
  readonly traceBytes: number
  readonly crc: number
  readonly spans: number
  /** Of the spans, those that are further versions. */
  readonly revisions: number
  readonly expanded: number
  /** The oldest data file that the spans refer to. */
  readonly oldestFile: number
  /** For each trace the first 4 bytes of its id, and all words of it xor-ed. */
  readonly traces: Buffer
}

/** What the builder must know of a span and can't see without searching. */
export interface SpanFacts {
  /** Fields that the span has: bits of their numbers. */
  readonly maskLow: number
  readonly maskHigh: number
  readonly expanded: number
  readonly oldestFile: number
  readonly severity: Severity
  /** Of a further version: what the first one said. */
  readonly before: Before | null
}

export interface Before {
  readonly severity: Severity
  readonly interrupted: boolean
  /** Its usage counts. */
  readonly usage: boolean
}

/** What a chunk holds of one trace; texts are places of words in the staging memory, 0 = none. */
interface TracePart {
  spans: number
  errors: number
  warnings: number
  interrupted: number
  root: number
  /** Of a span of the trace: where its id is. */
  at: number
  firstSeconds: number
  firstNanos: number
  lastSeconds: number
  lastNanos: number
  name: number
  traceName: number
  user: number
  session: number
  environment: number
  /** Tokens. */
  input: number
  output: number
  total: number
}

const bit = (field: number): number => 1 << (field & 31)
export const USAGE_LOW: number = bit(FIELD.usageDetails)
const LISTED_LOW =
  bit(FIELD.traceName) |
  bit(FIELD.userId) |
  bit(FIELD.sessionId) |
  bit(FIELD.environment) |
  USAGE_LOW
const MAX_TOKENS = 2 ** 31 - 1

/** Gathers finished spans into chunks, one writer's after the other's. */
export class ChunkBuilder {
  /** Where spans are written to: `begin`, then the words, then `end`. */
  readonly staging: Words = new Words(STAGING_WORDS)
  readonly #data: DataWriter
  readonly #placed: PlacedChunk[] = []
  #writer = ''
  #resource: Resource | undefined
  #spans = 0
  #revisions = 0
  #expanded = 0
  #oldestFile = 0
  #slots = new Int16Array(SLOTS)
  #parts: TracePart[] = []
  #traces = 0
  /** Spans since the last `take`. */
  pending = 0
  /** Why a span could not be stored. */
  onUnstorable: (error: Error) => void = () => {}
  #unstorable = 0

  constructor(data: DataWriter) {
    this.#data = data
  }

  /** Whose the spans are that come next. */
  use(writer: string, resource: Resource): void {
    if (writer === this.#writer && resource === this.#resource) return
    this.#close()
    this.#writer = writer
    this.#resource = resource
  }

  /**
   * The span that begins at word `start` and ends at `staging.at` is complete.
   *
   * @throws RangeError when it is too long; then it is to be rejected
   */
  end(start: number, facts: SpanFacts): void {
    const { staging } = this
    if (staging.at - start > MAX_SPAN_WORDS) throw new RangeError('it is longer than 256 MB')
    staging.words[start + HEAD.length] = staging.at - start
    this.#spans++
    this.pending++
    if (facts.before !== null) this.#revisions++
    this.#expanded += SPAN_BYTES + facts.expanded
    if (facts.oldestFile < this.#oldestFile || this.#spans === 1) {
      this.#oldestFile = Math.min(facts.oldestFile, this.#data.file)
    }
    this.#addToTrace(start, facts)
    if (this.#spans >= MAX_SPANS || staging.at >= MAX_WORDS || this.#expanded >= MAX_EXPANDED) {
      try {
        this.#close()
      } catch {
        // No memory: the span is in; the next one or `take` tries again, and that one tells.
      }
    }
  }

  /** The span that begins at word `start` can't be stored: nothing of it stays, and it is counted. */
  reject(start: number, isRevision: boolean, error: unknown): void {
    this.staging.at = start
    if (!isRevision) this.#unstorable++
    this.onUnstorable(error as Error)
  }

  /** Observations that were rejected since the last call; further versions are none. */
  takeUnstorable(): number {
    const count = this.#unstorable
    this.#unstorable = 0
    return count
  }

  /** Nothing of what was put since the last `take` stays. The data file is its caller's to rewind. */
  discard(): void {
    this.#placed.length = 0
    this.#clear()
    this.pending = this.#unstorable = 0
  }

  /** All chunks since the last call. */
  take(): PlacedChunk[] {
    this.#close()
    this.pending = 0
    return this.#placed.splice(0)
  }

  #close(): void {
    if (this.#spans === 0) return
    const { staging } = this
    const length = staging.at << 2
    const crc = crc32(staging.bytes.subarray(0, length))
    const traces = Buffer.allocUnsafe(this.#traces * 8)
    const { file, offset } = this.#append(traces, length)
    this.#placed.push({
      writer: this.#writer,
      resource: this.#resource as Resource,
      file,
      offset,
      length,
      traceBytes: (staging.at << 2) - length,
      crc,
      spans: this.#spans,
      revisions: this.#revisions,
      expanded: this.#expanded,
      oldestFile: this.#oldestFile,
      traces,
    })
    this.#clear()
  }

  #clear(): void {
    this.staging.reset(STAGING_WORDS)
    this.#spans = this.#revisions = this.#expanded = this.#traces = 0
    this.#slots.fill(0)
  }

  /** Spans and traces, to the data file. After an error the spans are as they were. */
  #append(traces: Buffer, length: number): Place {
    const { staging } = this
    try {
      for (let i = 0; i < this.#traces; i++) {
        this.#writeTrace(this.#parts[i] as TracePart, traces, i)
      }
      return this.#data.append(staging.bytes.subarray(0, staging.at << 2))
    } catch (error) {
      staging.at = length >> 2
      throw error
    }
  }

  // --- what the chunk holds of each trace ---

  #addToTrace(start: number, facts: SpanFacts): void {
    const { words } = this.staging
    const part = this.#partOf(words, start)
    const { before } = facts
    if (before === null) part.spans++
    const bits = words[start + HEAD.bits] as number
    const kinds = words[start + HEAD.kinds] as number
    addSeverity(part, facts.severity, 1)
    if (before !== null) addSeverity(part, before.severity, -1)
    part.interrupted += (bits & HEAD_BITS.interrupted) - Number(before?.interrupted ?? false)
    const seconds = (words[start + HEAD.start] as number) >>> 0
    const nanos = (words[start + HEAD.start + 1] as number) >>> 0
    if (isBefore(seconds, nanos, part.firstSeconds, part.firstNanos)) {
      part.firstSeconds = seconds
      part.firstNanos = nanos
    }
    const endSeconds = (words[start + HEAD.end] as number) >>> 0
    const endNanos = (words[start + HEAD.end + 1] as number) >>> 0
    if (isBefore(part.lastSeconds, part.lastNanos, endSeconds, endNanos)) {
      part.lastSeconds = endSeconds
      part.lastNanos = endNanos
    }
    const flags = (kinds >>> 16) & 255
    const root = (bits & HEAD_BITS.parent) === 0 ? 2 : flags === 0 ? 0 : rootBy(flags)
    if (root > part.root) {
      part.root = root
      part.name = start + HEAD.words
    }
    const mask = before?.usage ? facts.maskLow & ~USAGE_LOW : facts.maskLow
    if ((mask & LISTED_LOW) !== 0) this.#listedFields(part, start, mask)
  }

  #partOf(words: Int32Array, start: number): TracePart {
    const at = start + HEAD.traceId
    const a = words[at] as number
    const b = words[at + 1] as number
    const c = words[at + 2] as number
    const d = words[at + 3] as number
    const slots = this.#slots
    let slot = (a ^ b ^ c ^ d) & (SLOTS - 1)
    for (;;) {
      const index = slots[slot] as number
      if (index === 0) break
      const part = this.#parts[index - 1] as TracePart
      const known = part.at
      if (
        words[known] === a &&
        words[known + 1] === b &&
        words[known + 2] === c &&
        words[known + 3] === d
      ) {
        return part
      }
      slot = (slot + 1) & (SLOTS - 1)
    }
    const part = this.#newPart()
    slots[slot] = this.#traces
    part.at = at
    part.firstSeconds = (words[start + HEAD.start] as number) >>> 0
    part.firstNanos = (words[start + HEAD.start + 1] as number) >>> 0
    part.lastSeconds = (words[start + HEAD.end] as number) >>> 0
    part.lastNanos = (words[start + HEAD.end + 1] as number) >>> 0
    return part
  }

  #newPart(): TracePart {
    const index = this.#traces++
    const part = this.#parts[index]
    if (part === undefined) {
      const made: TracePart = {
        spans: 0,
        errors: 0,
        warnings: 0,
        interrupted: 0,
        root: 0,
        at: 0,
        firstSeconds: 0,
        firstNanos: 0,
        lastSeconds: 0,
        lastNanos: 0,
        name: 0,
        traceName: 0,
        user: 0,
        session: 0,
        environment: 0,
        input: NO_TOKENS,
        output: NO_TOKENS,
        total: NO_TOKENS,
      }
      this.#parts.push(made)
      return made
    }
    part.spans = part.errors = part.warnings = part.interrupted = part.root = 0
    part.name = part.traceName = part.user = part.session = part.environment = 0
    part.input = part.output = part.total = NO_TOKENS
    return part
  }

  /** Looks for the fields that a list of traces shows, unless the trace has them. */
  #listedFields(part: TracePart, start: number, mask: number): void {
    if (
      (mask & USAGE_LOW) === 0 &&
      ((mask & bit(FIELD.userId)) === 0 || part.user !== 0) &&
      ((mask & bit(FIELD.sessionId)) === 0 || part.session !== 0) &&
      ((mask & bit(FIELD.traceName)) === 0 || part.traceName !== 0) &&
      ((mask & bit(FIELD.environment)) === 0 || part.environment !== 0)
    ) {
      return
    }
    const { words, at: end } = this.staging
    let at = start + HEAD.words
    at += textWords(words, at)
    for (; at < end; at += fieldWords(words, at)) {
      const head = words[at] as number
      if ((head & 255) === FIELD.usageDetails) {
        if ((mask & USAGE_LOW) !== 0) this.#addTokens(part, at)
        continue
      }
      if (((head >>> 8) & 255) !== KIND.text) continue
      const text = payloadAt(words, at)
      switch (head & 255) {
        case FIELD.userId:
          part.user = text
          break
        case FIELD.sessionId:
          part.session = text
          break
        case FIELD.traceName:
          part.traceName = text
          break
        case FIELD.environment:
          part.environment = text
          break
      }
    }
  }

  #addTokens(part: TracePart, field: number): void {
    const { words, bytes } = this.staging
    const payload = payloadAt(words, field)
    const head = words[payload + 2] as number
    const length = head & PART_LENGTH
    // Whole in one part: a longer one is no count of tokens.
    if ((((words[field] as number) >>> 8) & 255) !== KIND.jsonParts) return
    if (head >>> 30 !== PART.inline || length !== words[payload]) return
    const from = (payload + 3) << 2
    scanTokens(bytes, from, from + length)
    part.input = sum(part.input, scanned.input)
    part.output = sum(part.output, scanned.output)
    part.total = sum(part.total, scanned.total)
  }

  #writeTrace(part: TracePart, traces: Buffer, index: number): void {
    const { staging } = this
    const start = staging.at
    staging.ensure(TRACE.words)
    const { words } = staging
    const id = part.at
    for (let i = 0; i < 4; i++) words[start + TRACE.traceId + i] = words[id + i] as number
    words[start + TRACE.spans] = part.spans
    words[start + TRACE.errors] = part.errors
    words[start + TRACE.interrupted] = part.interrupted
    words[start + TRACE.root] = part.root | (part.warnings << 8)
    words[start + TRACE.first] = part.firstSeconds
    words[start + TRACE.first + 1] = part.firstNanos
    words[start + TRACE.last] = part.lastSeconds
    words[start + TRACE.last + 1] = part.lastNanos
    staging.at += TRACE.words
    this.#copyText(part.name)
    this.#copyText(part.traceName)
    this.#copyText(part.user)
    this.#copyText(part.session)
    this.#copyText(part.environment)
    if (part.total !== NO_TOKENS) {
      staging.ensure(3)
      staging.words[staging.at++] = part.input
      staging.words[staging.at++] = part.output
      staging.words[staging.at++] = part.total
    }
    staging.words[start] = staging.at - start
    writeTraceKey(staging.words, id, traces, index * 8)
  }

  #copyText(at: number): void {
    const { staging } = this
    if (at === 0) {
      staging.ensure(1)
      staging.words[staging.at++] = NO_TEXT
    } else if ((staging.words[at] as number) <= MAX_LISTED_BYTES) {
      staging.copyWords(staging.words, at, at + textWords(staging.words, at))
    } else {
      const from = (at + 1) << 2
      // A character that the cut splits is left out.
      const text = staging.bytes.toString('utf8', from, from + MAX_LISTED_BYTES - 4)
      staging.text(`${text.replace(/\ufffd+$/, '')}…`)
    }
  }
}

function addSeverity(part: TracePart, severity: Severity, count: 1 | -1): void {
  if (severity === SEVERITY.error) part.errors += count
  else if (severity === SEVERITY.warning) part.warnings += count
}

function sum(tokens: number, more: number): number {
  if (more < 0) return tokens
  return Math.min(MAX_TOKENS, Math.max(0, tokens) + more)
}

/** The 8 bytes by which a trace is found in `PlacedChunk.traces`: all prefixes of its id up to 4 bytes among them. */
function writeTraceKey(words: Int32Array, at: number, into: Buffer, offset: number): void {
  const a = words[at] as number
  into.writeInt32LE(a, offset)
  const all = a ^ (words[at + 1] as number) ^ (words[at + 2] as number) ^ (words[at + 3] as number)
  into.writeInt32LE(all, offset + 4)
}

function rootBy(flags: number): number {
  const rootFlags = START_FLAG.appRoot | START_FLAG.asRoot | START_FLAG.remoteParent
  return (flags & rootFlags) !== 0 ? 1 : 0
}

function isBefore(seconds: number, nanos: number, than: number, thanNanos: number): boolean {
  return seconds < than || (seconds === than && nanos < thanNanos)
}
