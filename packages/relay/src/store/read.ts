import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { crc32 } from 'node:zlib'
import {
  allocateChunk,
  readHeads,
  readSpans,
  readTraces,
  type SpanHead,
  type TraceSection,
} from './chunk.ts'
import { DataReader } from './data-files.ts'
import { DeadLetters } from './dead-letters.ts'
import { openReadOnly } from './schema.ts'
import { isPlace, type Part, type Place, type Resource, type StoredSpan } from './span.ts'
import { KEY_BYTES, keyBytes, type TraceKeys } from './trace-keys.ts'
import { OlderParts, PageOfTraces, TraceBuilder, type TraceRow } from './trace-list.ts'

// The store as the CLI and the HTTP API see it: on a connection of its own that can't write, whether or not a relay runs.

export interface TracePage {
  readonly traces: TraceRow[]
  /** For the next page's `before`; null when this was the last. */
  readonly next: string | null
}

export interface TraceFilter {
  readonly limit: number
  /** `next` of the page before. */
  readonly before?: string | undefined
  readonly service?: string | undefined
  /** Traces whose newest part was stored since then (ms). */
  readonly since?: number | undefined
  /** What was stored so long before a trace began is not of it: clocks of two machines are apart. Default 10 min. */
  readonly clockSlackMs?: number
}

interface TimeFilter {
  /** Ms since 1970. */
  readonly from: number
  readonly to: number
  readonly service?: string | undefined
}

export interface ChunkRow {
  readonly id: number
  readonly spans: number
  /** Of all values with their references resolved. */
  readonly bytes: number
}

/**
 * What waits for an exporter, and what became of what did not, in observations:
 * accepted = delivered + dead + dropped + held. All but `accepted` and `held` are of first deliveries.
 */
export interface ExporterRow {
  readonly name: string
  /** Meant for it: what was finished while it was named and, if it is named now, what is open. */
  readonly accepted: number
  readonly delivered: number
  readonly dead: number
  readonly dropped: Readonly<Record<string, number>>
  /** Open, if it is named now, or in its outbox. */
  readonly held: number
  /** In its outbox. */
  readonly waiting: number
  readonly waitingBytes: number
  /** When the oldest chunk of its outbox was stored, ms since 1970; null: there is none but what is sent again. */
  readonly oldestWaiting: number | null
  /** Further versions, and what was sent again, that were delivered, and that were not. */
  readonly resent: number
  readonly notResent: number
  /** Dead letters that somebody took off the list. */
  readonly deadDropped: number
  /** Null: it takes none. */
  readonly scores: ApartRow | null
  /** Likewise. */
  readonly media: ApartRow | null
}

/** Scores or media of an exporter: accepted = delivered + dead + dropped + held. What is retried is accepted a second time. */
export interface ApartRow {
  readonly accepted: number
  readonly delivered: number
  readonly dead: number
  readonly dropped: Readonly<Record<string, number>>
  readonly held: number
  readonly heldBytes: number
  /** Since when the oldest is held, ms since 1970; null: none is. */
  readonly oldestHeld: number | null
  /** Dead letters that were accepted once more, and those that somebody took off the list. */
  readonly retried: number
  readonly deadDropped: number
}

export interface VitalsRow {
  readonly id: number
  readonly writer: string
  readonly service: string | null
  readonly vitals: Readonly<Record<string, unknown>>
}

export interface WriterRow {
  readonly id: string
  readonly service: string | null
  readonly pid: number
  readonly host: string
  /** Observations started and not finished. */
  readonly unfinished: number
  /** Beyond those in the counters `lost.…`. */
  readonly losses: Readonly<Record<string, number>>
  readonly seen: number
}

const CLOCK_SLACK_MS = 600_000
/** Read in one piece: a row of each chunk would take five times as long. */
const KEYS_CHUNKS = 128
/** Looked at in one go for who works in turns: some ms. */
const SCANNED_CHUNKS = 10_000
/** Of a trace that is shown. */
const MAX_TRACE_CHUNKS = 10_000

export class StoreReader {
  readonly dead: DeadLetters
  readonly #database: DatabaseSync
  readonly #data: DataReader
  readonly #resources: Map<number, Resource> = new Map()
  readonly #sql: Statements

  private constructor(directory: string, database: DatabaseSync) {
    this.#database = database
    this.#data = new DataReader(directory)
    this.#sql = prepare(database)
    this.dead = new DeadLetters(database)
  }

  /** Opens the store in the directory; null when there is none. Throws a StoreError for one of a later version. */
  static open(directory: string): StoreReader | null {
    const database = openReadOnly(directory)
    return database === null ? null : new StoreReader(directory, database)
  }

  /** What `query` reads is of one moment, while the store is written to. */
  snapshot<T>(query: () => T): T {
    this.#sql.begin.run()
    try {
      return query()
    } finally {
      this.#sql.commit.run()
    }
  }

  /** Traces by the time at which something of them was last stored, newest first. */
  traces(filter: TraceFilter): TracePage {
    const { limit, before, service, since, clockSlackMs = CLOCK_SLACK_MS } = filter
    const page = new PageOfTraces(limit, before, (chunk) => this.#keysFrom(chunk))
    let next = page.start.chunk
    this.#data.forget()
    for (const chunk of this.#sql.chunksFrom.iterate(next)) {
      next = Number(chunk.id)
      if (page.next !== null || (since !== undefined && Number(chunk.committed) < since)) break
      const resource = this.#resource(Number(chunk.resource))
      const isWanted = service === undefined || resource.service === service
      page.add(next--, this.#traces(chunk), resource, isWanted)
    }
    this.#addOlder(new OlderParts(page.traces()), next, clockSlackMs)
    return { traces: page.traces().map((trace) => trace.row()), next: page.next }
  }

  /** Adds what lies of the traces in the chunk `last` and in those stored before it. */
  #addOlder(traces: OlderParts, last: number, slackMs: number): void {
    for (let to = last; to > 0; to -= KEYS_CHUNKS) {
      const from = to - KEYS_CHUNKS + 1
      const { keys, committed } = this.#sql.keysOf.get(from, to) as Row
      if (keys === null || Number(committed) < traces.oldest - slackMs) return
      if (!traces.areIn(bytesOf(keys))) continue
      for (const chunk of this.#sql.chunksOf.iterate(from, to)) {
        if (!traces.areIn(bytesOf(chunk.traces))) continue
        traces.add(this.#traces(chunk), this.#resource(Number(chunk.resource)))
      }
    }
  }

  /** Keys of the traces in the chunk, then of those in chunks stored after it. */
  *#keysFrom(chunk: number): Iterable<Buffer> {
    const last = this.lastChunk()
    for (let from = chunk, to = chunk; from <= last; from = to + 1, to += KEYS_CHUNKS) {
      const { keys } = this.#sql.keysOf.get(from, to) as Row
      yield keys === null ? NO_KEYS : bytesOf(keys)
    }
  }

  #traces(chunk: Row): TraceSection[] {
    const length = Number(chunk.trace_bytes)
    const offset = Number(chunk.offset) + Number(chunk.length)
    const bytes = allocateChunk(length)
    if (!this.#data.read({ file: Number(chunk.file), offset, length }, bytes, 0)) return []
    try {
      return readTraces(bytes)
    } catch {
      // Not what was written: a power failure. The relay counts it when it comes to the chunk.
      return []
    }
  }

  #resource(id: number): Resource {
    let resource = this.#resources.get(id)
    if (resource === undefined) {
      const json = this.#sql.resource.get(id)?.json
      resource = (json === undefined ? NO_RESOURCE : JSON.parse(String(json))) as Resource
      this.#resources.set(id, resource)
    }
    return resource
  }

  /** Ids of traces that begin with the hex digits, newest first, `limit` at most. */
  traceIds(prefix: string, limit: number): string[] {
    const ids = new Set<string>()
    // Whole bytes are looked for by SQLite, half ones by us.
    const bytes = Buffer.from(prefix.slice(0, Math.min(8, prefix.length & ~1)), 'hex')
    this.#data.forget()
    for (const chunk of this.#sql.chunksLike.iterate(bytes, MAX_ID)) {
      for (const { traceId } of this.#traces(chunk)) {
        const id = traceId.toString('hex')
        if (id.startsWith(prefix)) ids.add(id)
        if (ids.size === limit) return [...ids]
      }
    }
    return [...ids]
  }

  /** A trace by its id; null when the store does not have it. */
  trace(id: string): { summary: TraceRow; spans: StoredSpan[] } | null {
    const bytes = Buffer.from(id, 'hex')
    const newest = new Map<string, StoredSpan>()
    let summary: TraceBuilder | null = null
    let chunks = 0
    this.#data.forget()
    for (const chunk of this.#sql.chunksLike.iterate(keyBytes(bytes), MAX_ID)) {
      if (summary?.root === 2 && Number(chunk.committed) < summary.first - CLOCK_SLACK_MS) break
      const section = this.#traces(chunk).find(({ traceId }) => traceId.equals(bytes))
      if (section === undefined || ++chunks > MAX_TRACE_CHUNKS) continue
      const resource = this.#resource(Number(chunk.resource))
      if (summary === null) summary = new TraceBuilder(id, section, resource)
      else summary.add(section, resource)
      for (const span of this.#spans(chunk, bytes)) {
        const key = `${span.spanId.toString('hex')} ${span.startSeconds} ${span.startNanos}`
        if (span.revision >= (newest.get(key)?.revision ?? 0)) newest.set(key, span)
      }
    }
    if (summary === null) return null
    return { summary: summary.row(), spans: [...newest.values()] }
  }

  /**
   * All versions of a trace's spans, those of one chunk at a time and the newest first: for who reads them in turns. None, where
   * many chunks were looked at in vain.
   */
  *chunksOf(traceId: string): Generator<StoredSpan[]> {
    const bytes = Buffer.from(traceId, 'hex')
    const first = this.#firstChunk()
    for (let last = this.lastChunk(); last >= first; ) {
      const from = last - SCANNED_CHUNKS + 1
      const chunk = this.#sql.newestLike.get(keyBytes(bytes), from, last)
      this.#data.forget()
      yield chunk === undefined ? [] : this.#spans(chunk, bytes)
      last = (chunk === undefined ? from : Number(chunk.id)) - 1
    }
  }

  #spans(chunk: Row, traceId?: Buffer): StoredSpan[] {
    const bytes = this.#bytes(chunk)
    if (bytes === null) return []
    return readSpans(bytes, this.#resource(Number(chunk.resource)), this.#whole, traceId)
  }

  /** Null: they are not what was written. */
  #bytes(chunk: Row): Buffer | null {
    const bytes = allocateChunk(Number(chunk.length))
    const isThere = this.#data.read(placeOf(chunk), bytes, 0) && crc32(bytes) === Number(chunk.crc)
    return isThere ? bytes : null
  }

  readonly #whole = (parts: readonly Part[]): string => this.text(parts, Number.POSITIVE_INFINITY)

  /** Spans of chunks stored after the chunk `after`, in the order of their ends, with the last chunk's id. */
  spansAfter(after: number, limit: number): { spans: StoredSpan[]; last: number } {
    const spans: StoredSpan[] = []
    let last = after
    this.#data.forget()
    for (const chunk of this.#sql.chunksAfter.iterate(after)) {
      spans.push(...this.#spans(chunk))
      last = Number(chunk.id)
      if (spans.length >= limit) break
    }
    return { spans, last }
  }

  /** The span at an index of a chunk; null: it has expired, or cannot be read. */
  spanAt(chunk: number, index: number): StoredSpan | null {
    const row = this.#sql.chunk.get(chunk)
    this.#data.forget()
    return row === undefined ? null : (this.#spans(row)[index] ?? null)
  }

  // --- for what is to be sent again ---

  /** Heads of a chunk's spans; null: they have expired, or cannot be read. */
  headsOf(chunk: number): SpanHead[] | null {
    const row = this.#sql.chunk.get(chunk)
    if (row === undefined) return null
    this.#data.forget()
    const bytes = this.#bytes(row)
    return bytes === null ? null : readHeads(bytes)
  }

  hasChunk(chunk: number): boolean {
    return this.#sql.chunk.get(chunk) !== undefined
  }

  /** All spans of a chunk, with their heads' order; null: they have expired, or cannot be read. */
  spansOf(chunk: number): StoredSpan[] | null {
    const row = this.#sql.chunk.get(chunk)
    if (row === undefined) return null
    this.#data.forget()
    const bytes = this.#bytes(row)
    return bytes && readSpans(bytes, this.#resource(Number(row.resource)), this.#whole)
  }

  /** Writes the bytes of all parts to `into[at]`; returns the position behind them. A marker stands for what is gone. */
  readonly loadParts = (parts: readonly Part[], into: Buffer, at: number): number => {
    for (const part of parts) {
      if (isPlace(part)) {
        this.#data.read(part, into, at)
      } else part.copy(into, at)
      at += part.length
    }
    return at
  };

  /** Chunks with spans of these traces, newest first, down to those that were stored before `since` (ms). */
  *chunksWith(traces: TraceKeys<unknown>, since: number): Iterable<number> {
    for (let to = this.lastChunk(); to > 0; to -= KEYS_CHUNKS) {
      const { keys, committed } = this.#sql.keysOf.get(to - KEYS_CHUNKS + 1, to) as Row
      // Whole ranges may have expired; before the oldest there is nothing.
      if (keys === null) {
        if (to < this.#firstChunk()) return
        continue
      }
      if (Number(committed) < since) return
      if (!hasAny(traces, bytesOf(keys))) continue
      for (const row of this.#sql.chunksOf.all(to - KEYS_CHUNKS + 1, to)) {
        if (hasAny(traces, bytesOf(row.traces))) yield Number(row.id)
      }
    }
  }

  #firstChunk(): number {
    return Number(this.#sql.firstChunk.get()?.id ?? 0)
  }

  /**
   * Looks at `limit` chunks stored after the chunk `after`: which may have spans of the service that ended at `from` or
   * later and before `to` (ms). `last` is the last that was looked at, perhaps of many that are too old; null: there were none.
   */
  chunksEnded(
    after: number,
    { from, to, service }: TimeFilter,
    limit: number,
  ): { chunks: ChunkRow[]; last: number | null } {
    const chunks: ChunkRow[] = []
    const newest = this.lastChunk()
    if (after >= newest) return { chunks, last: null }
    const end = Math.min(Math.max(after, this.#firstChunk() - 1) + SCANNED_CHUNKS, newest)
    // What ended later was stored later, as far as clocks agree.
    const rows = this.#sql.chunksSince.all(after, end, from - CLOCK_SLACK_MS, limit)
    const last = rows.length < limit ? end : Number(rows.at(-1)?.id)
    this.#data.forget()
    for (const row of rows) {
      const isOther =
        service !== undefined && this.#resource(Number(row.resource)).service !== service
      if (isOther) continue
      const traces = this.#traces(row)
      const isOutside = ({ first, last: end }: TraceSection): boolean => end < from || first >= to
      if (traces.length > 0 && traces.every(isOutside)) continue
      chunks.push({ id: Number(row.id), spans: Number(row.spans), bytes: Number(row.expanded) })
    }
    return { chunks, last }
  }

  /** Of some chunks behind `after`, those with further versions of spans; `last` is the last that was looked at. */
  revisedChunks(after: number): { chunks: number[]; last: number } {
    const from = Math.max(after, this.#firstChunk() - 1)
    const last = Math.min(from + SCANNED_CHUNKS, this.lastChunk())
    return { chunks: this.#sql.chunksRevised.all(from, last).map(({ id }) => Number(id)), last }
  }

  /** What an exporter's outbox says of a chunk's spans; null: all wait; undefined: it does not hold the chunk. */
  statesOf(exporter: string, chunk: number): Uint8Array | null | undefined {
    const row = this.#sql.states.get(exporter, chunk)
    return row === undefined ? undefined : (row.states as Uint8Array | null)
  }

  /** Of all values of a chunk with their references resolved. */
  expandedBytes(chunk: number): number {
    return Number(this.#sql.chunk.get(chunk)?.expanded ?? 0)
  }

  lastChunk(): number {
    return Number(this.#sql.lastChunk.get()?.id ?? 0)
  }

  /** The text of a value's parts, `maxBytes` of it at most. */
  text(parts: readonly Part[], maxBytes: number): string {
    const pieces: Buffer[] = []
    let left = maxBytes
    for (const part of parts) {
      if (left <= 0) break
      const length = Math.min(left, part.length)
      if (isPlace(part)) {
        const bytes = Buffer.allocUnsafe(length)
        this.#data.read({ ...part, length }, bytes, 0)
        pieces.push(bytes)
      } else pieces.push(part.subarray(0, length))
      left -= length
    }
    return Buffer.concat(pieces).toString()
  }

  counters(): Record<string, number> {
    const counters: Record<string, number> = {}
    for (const row of this.#sql.counters.all()) counters[String(row.name)] = Number(row.value)
    return counters
  }

  exporters(): ExporterRow[] {
    const counters = this.counters()
    const open = this.open()
    return this.#sql.exporters.all().map((row) => {
      const name = String(row.name)
      const isNamed = row.active === 1
      const { accepted = 0, [`${name}.before`]: before = 0 } = counters
      const waiting = Number(row.waiting)
      return {
        name,
        accepted: (isNamed ? accepted : Number(row.left)) - before,
        delivered: counters[`${name}.delivered`] ?? 0,
        dead: counters[`${name}.dead`] ?? 0,
        dropped: byReason(counters, `${name}.dropped.`),
        held: (isNamed ? open : 0) + waiting,
        waiting,
        waitingBytes: Number(row.bytes),
        oldestWaiting: row.oldest === null ? null : Number(row.oldest),
        resent: counters[`${name}.resent`] ?? 0,
        notResent: counters[`${name}.notResent`] ?? 0,
        deadDropped: counters[`${name}.deadDropped`] ?? 0,
        scores: row.scores !== 0 ? this.#apart(Number(row.id), name, 'scores', counters) : null,
        media: row.media !== 0 ? this.#apart(Number(row.id), name, 'media', counters) : null,
      }
    })
  }

  #apart(
    id: number,
    name: string,
    what: 'scores' | 'media',
    counters: Readonly<Record<string, number>>,
  ): ApartRow {
    const sql = what === 'scores' ? this.#sql.heldScores : this.#sql.heldMedia
    const { held, bytes, oldest } = sql.get(id) as Row
    return {
      accepted: counters[`${name}.${what}.accepted`] ?? 0,
      delivered: counters[`${name}.${what}.delivered`] ?? 0,
      dead: counters[`${name}.${what}.dead`] ?? 0,
      dropped: byReason(counters, `${name}.${what}.dropped.`),
      held: Number(held),
      heldBytes: Number(bytes),
      oldestHeld: oldest === null ? null : Number(oldest),
      retried: counters[`${name}.${what}.retried`] ?? 0,
      deadDropped: counters[`${name}.${what}.deadDropped`] ?? 0,
    }
  }

  /** Observations that have started and are not finished, as of the last commit. */
  open(): number {
    const { accepted = 0 } = this.counters()
    return Math.max(0, accepted - Number(this.#sql.finished.get()?.value ?? 0))
  }

  writers(): WriterRow[] {
    return this.#sql.writers.all().map((row) => {
      const header = JSON.parse(String(row.header))
      return {
        id: String(row.id),
        service: header.service ?? null,
        pid: header.pid ?? 0,
        host: header.host ?? '',
        unfinished: Number(row.open),
        losses: {},
        seen: Number(row.seen),
      }
    })
  }

  /** How far segments are read, by path. */
  cursors(): Record<string, number> {
    return Object.fromEntries(
      this.#sql.cursors.all().map((row) => [String(row.path), Number(row.offset)]),
    )
  }

  /** What writers said of themselves, newest first. */
  vitals(limit: number): VitalsRow[] {
    return this.#sql.vitals.all(limit).map((row) => ({
      id: Number(row.id),
      writer: String(row.writer),
      service: (row.service as string | null) ?? null,
      vitals: JSON.parse(String(row.json)),
    }))
  }

  close(): void {
    this.#data.close()
    this.#database.close()
  }
}

function byReason(
  counters: Readonly<Record<string, number>>,
  prefix: string,
): Record<string, number> {
  const found = Object.entries(counters).filter(([key]) => key.startsWith(prefix))
  return Object.fromEntries(found.map(([key, value]) => [key.slice(prefix.length), value]))
}

function hasAny(traces: TraceKeys<unknown>, keys: Buffer): boolean {
  for (let at = 0; at < keys.length; at += KEY_BYTES) {
    if (traces.at(keys, at) !== undefined) return true
  }
  return false
}

const NO_KEYS = Buffer.alloc(0)
const MAX_ID = Number.MAX_SAFE_INTEGER

type Row = Record<string, unknown>

function bytesOf(value: unknown): Buffer {
  const { buffer, byteOffset, byteLength } = value as Uint8Array
  return Buffer.from(buffer, byteOffset, byteLength)
}

function placeOf(chunk: Row): Place {
  return { file: Number(chunk.file), offset: Number(chunk.offset), length: Number(chunk.length) }
}

const NO_RESOURCE: Resource = {
  service: null,
  environment: null,
  release: null,
  host: '',
  pid: 0,
  sdk: { name: '', version: '' },
  language: '',
  attributes: {},
}

type Statements = Readonly<Record<keyof typeof SQL, StatementSync>>

function prepare(database: DatabaseSync): Statements {
  return Object.fromEntries(
    Object.entries(SQL).map(([name, text]) => [name, database.prepare(text)]),
  ) as Statements
}

const SQL = {
  chunksFrom: 'SELECT * FROM chunk WHERE id <= ? ORDER BY id DESC',
  chunksOf: 'SELECT * FROM chunk WHERE id BETWEEN ? AND ? ORDER BY id DESC',
  // Bytes stay as they are: as text they would be UTF-8, which SQLite does not check.
  keysOf: `SELECT CAST(group_concat(traces, '') AS BLOB) AS keys, max(committed) AS committed
    FROM chunk WHERE id BETWEEN ? AND ?`,
  chunksLike: 'SELECT * FROM chunk WHERE instr(traces, ?) > 0 AND id <= ? ORDER BY id DESC',
  newestLike: `SELECT * FROM chunk WHERE instr(traces, ?) > 0 AND id BETWEEN ? AND ?
    ORDER BY id DESC LIMIT 1`,
  chunksAfter: 'SELECT * FROM chunk WHERE id > ? ORDER BY id',
  chunk: 'SELECT * FROM chunk WHERE id = ?',
  chunksSince: `SELECT * FROM chunk WHERE id > ? AND id <= ? AND committed >= ?
    ORDER BY id LIMIT ?`,
  chunksRevised: 'SELECT id FROM chunk WHERE id > ? AND id <= ? AND revisions > 0 ORDER BY id',
  states: `SELECT o.states FROM outbox o JOIN exporter e ON e.id = o.exporter
    WHERE e.name = ? AND o.chunk = ?`,
  lastChunk: 'SELECT max(id) AS id FROM chunk',
  firstChunk: 'SELECT min(id) AS id FROM chunk',
  resource: 'SELECT json FROM resource WHERE id = ?',
  counters: 'SELECT name, value FROM counter',
  finished: "SELECT value FROM meta WHERE key = 'finished'",
  begin: 'BEGIN',
  commit: 'COMMIT',
  exporters: `SELECT e.id, e.name, e.active, e.left, e.scores, e.media,
    coalesce(sum(c.expanded), 0) AS bytes,
    min(CASE WHEN o.states IS NULL OR instr(o.states, x'00') > 0 THEN c.committed END) AS oldest,
    coalesce(sum(c.spans - c.revisions - o.settled), 0) AS waiting FROM exporter e
    LEFT JOIN outbox o ON o.exporter = e.id LEFT JOIN chunk c ON c.id = o.chunk GROUP BY e.id`,
  // From the index alone, but for one row.
  heldScores: `SELECT held, bytes, (SELECT committed FROM score WHERE id = oldest_id) AS oldest FROM (
    SELECT count(*) AS held, coalesce(sum(bytes), 0) AS bytes, min(id) AS oldest_id FROM score
    WHERE exporter = ? AND reason IS NULL)`,
  heldMedia: `SELECT count(*) AS held, coalesce(sum(bytes), 0) AS bytes,
    min(changed) AS oldest FROM media WHERE exporter = ? AND state < 2`,
  writers: 'SELECT id, header, open, seen FROM writer',
  cursors: 'SELECT path, offset FROM cursor',
  vitals: 'SELECT id, writer, service, json FROM vitals ORDER BY id DESC LIMIT ?',
} as const
