import { join } from 'node:path'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { crc32 } from 'node:zlib'
import { crashPoint } from '../crash-point.ts'
import { allocateChunk, readSpans } from './chunk.ts'
import { type Before, ChunkBuilder, type PlacedChunk } from './chunk-builder.ts'
import { DataWriter, dataBytes, dataFileBytes } from './data-files.ts'
import { MediaOutbox } from './media.ts'
import { putSpan } from './put-span.ts'
import { openDatabase, StoreError } from './schema.ts'
import { type NewScore, ScoreOutbox } from './scores.ts'
import { isPlace, type Part, type Resource, type StoredSpan } from './span.ts'
import { hasFirst, markAgain, SETTLED } from './states.ts'

// The embedded store: an index in SQLite, and the bytes it names in data files. Invariants:
//
//   - every change is one transaction; the bytes that it names are in the data file before it
//   - a crash leaves either all of a commit or nothing: what lies behind the committed length is written over
//   - observations accepted = open + finished; for each exporter, those finished since it is there
//     = delivered + dead + dropped + in its outbox
//   - a span that is finished a second time is a revision, no observation: of all that an exporter was given,
//     revisions = resent + not resent + in its outbox
//   - a span that is sent again is none either: its observation stays counted as it was, and what comes of it is counted
//     as that of a revision is

const KEPT_VITALS = 600
const KEPT_DEAD_LETTERS = 10_000
const KEPT_GIVEN_UP = 10_000

/** Finished spans that lie together; the unit of the outbox. */
export interface ChunkInfo {
  readonly id: number
  readonly spans: number
  /** Of all values with their references resolved. */
  readonly expandedBytes: number
  readonly file: number
  readonly offset: number
  readonly length: number
  readonly crc: number
  readonly resource: number
  /** For each span, as states.ts has them; null: all wait. */
  readonly states: Uint8Array | null
}

export interface DeadLetter {
  readonly index: number
  readonly traceId: Buffer
  readonly spanId: Buffer
  readonly name: string
  readonly reason: string
}

/** What an exporter has done with spans of a chunk since it last said so. */
export interface Settlement {
  readonly chunk: number
  /** All spans of the chunk are settled; else `states` says which. */
  readonly complete: boolean
  readonly states: Uint8Array | null
  /** Observations that were delivered, dead-lettered, and dropped by reason. */
  readonly delivered: number
  readonly dead: number
  readonly dropped: Readonly<Record<string, number>>
  /** Spans whose observations are counted already (revisions, what is sent again) that were delivered, and that were not. */
  readonly resent: number
  readonly notResent: number
  readonly deadLetters: readonly DeadLetter[]
}

/** An open observation in a form that survives the relay. */
export interface OpenRow {
  readonly key: string
  readonly words: Uint8Array
  /** JSON, the receiver's own. */
  readonly state: string
}

/** What a commit brings of one writer. */
export interface WriterChange {
  readonly id: string
  readonly resource: Resource
  /** Spans as objects, from receivers that have no other form of them. */
  readonly finished?: readonly StoredSpan[]
  /** Of those of `finished` that are further versions: what the one before said. */
  readonly before?: ReadonlyMap<StoredSpan, Before>
  /** JSON of its newest segment header, when it is another one. */
  readonly header?: string
  /** JSON, the receiver's own; null: the writer is gone for good, and with it all that is kept of it. */
  readonly state: string | null
  /** JSON, the receiver's own: what it had lost, when it is gone and may come back all the same. */
  readonly losses?: string
  /** Observations started and not finished. */
  readonly open?: number
  /** Rows to be added or replaced, and keys of those to be removed before. */
  readonly openSpans?: { readonly put: readonly OpenRow[]; readonly remove: readonly string[] }
  /** JSON of blobs that are not complete; null: none. */
  readonly openBlobs?: string | null
  /** JSON text of each. */
  readonly vitals: readonly string[]
  readonly scores?: readonly NewScore[]
}

/** What one commit brings, beside the spans in `Store.chunks`. */
export interface Batch {
  readonly writers: readonly WriterChange[]
  /** How far a writer's segment is read. */
  readonly cursors: readonly {
    readonly writer: string
    readonly path: string | null
    readonly offset: number
  }[]
  /** What is to be added to counters. */
  readonly counters: Readonly<Record<string, number>>
  /** Open observations that nothing is left of: somebody deleted a segment. */
  readonly abandoned?: number
  /** It has to survive a power failure: what it is made of will be deleted from a disk. */
  readonly durable?: boolean
  /** No exporter gets its spans: they come from a store whose relay has seen to that. */
  readonly settled?: boolean
}

/** Spans that are to be sent again: how many, and what the outbox says now of their chunks. */
export interface SentAgain {
  readonly spans: number
  readonly states: ReadonlyMap<number, Uint8Array>
}

export interface Backlog {
  readonly chunks: number
  /** Observations; revisions are none. */
  readonly spans: number
  readonly bytes: number
}

/** What is not settled of a chunk, or of several. */
export interface Unsettled {
  readonly observations: number
  /** Spans whose observations are counted already: revisions, and what is sent again. */
  readonly counted: number
}

export interface StoreOptions {
  /** For tests. */
  readonly rotateBytes?: number
}

export class Store {
  readonly data: DataWriter
  /** Where finished spans are put; the next commit takes them. */
  readonly chunks: ChunkBuilder
  readonly scores: ScoreOutbox
  readonly media: MediaOutbox
  readonly #directory: string
  readonly #database: DatabaseSync
  readonly #resources = new Map<string, { id: number; resource: Resource }>()
  readonly #byId = new Map<number, Resource>()
  readonly #writers = new WeakMap<Resource, string>()
  readonly #exporters = new Map<string, number>()
  readonly #sql: Statements
  readonly #listeners: (() => void)[] = []
  /** By exporter: to sum up a million chunks takes a second. */
  readonly #backlogs = new Map<number, Counted>()
  /** Of a commit that failed, which is tried again. */
  #placed: PlacedChunk[] = []
  #failed: Batch | null = null
  /** Observations that could not be put into a chunk. */
  #unstorable = 0
  /** The number that the index has. */
  #dataFile = 0
  /** SQLite alone would give the ids of chunks that have expired again. */
  #nextChunk: number

  /** Opens the store in the directory, or makes one. Throws a StoreError of one line. */
  constructor(directory: string, options: StoreOptions = {}) {
    this.#directory = directory
    this.#database = openDatabase(directory)
    this.#sql = prepare(this.#database)
    const within = {
      transaction: (change: () => void) => this.#transaction(change),
      count: (counters: Readonly<Record<string, number>>) => this.#count(counters),
    }
    this.scores = new ScoreOutbox(this.#database, within)
    this.media = new MediaOutbox(this.#database, join(directory, 'media'), within)
    const file = this.#meta('data_file') ?? 1
    const length = this.#meta('data_length') ?? 0
    const firstFile = this.#meta('first_file') ?? 1
    this.data = new DataWriter(directory, { file, length }, firstFile, options.rotateBytes)
    this.chunks = new ChunkBuilder(this.data)
    const newest = Number(this.#sql.newestChunk.get()?.id ?? 0)
    this.#nextChunk = Math.max(newest + 1, this.#meta('next_chunk') ?? 1)
    for (const row of this.#sql.resources.all()) {
      const resource = JSON.parse(String(row.json)) as Resource
      this.#byId.set(Number(row.id), resource)
      this.#writers.set(resource, String(row.writer))
      this.#resources.set(String(row.writer), { id: Number(row.id), resource })
    }
  }

  #meta(key: string): number | undefined {
    const value = this.#sql.meta.get(key)?.value
    return value === undefined ? undefined : Number(value)
  }

  #transaction(change: () => void): void {
    this.#sql.begin.run()
    try {
      change()
      this.#sql.commit.run()
    } catch (error) {
      if (this.#database.isTransaction) this.#sql.rollback.run()
      throw error
    }
  }

  /** Called after each commit that brought spans or scores. */
  onCommit(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /**
   * One transaction with all of a batch and the spans of `chunks`. When it throws (no space), nothing of it is in the
   * store; the spans are kept, and the same batch can be committed again.
   */
  commit(batch: Batch): void {
    if (batch !== this.#failed) this.#putSpans(batch)
    this.#failed = batch
    this.#placed.push(...this.chunks.take())
    this.#unstorable += this.chunks.takeUnstorable()
    this.data.flush()
    if (batch.durable) {
      this.data.sync()
      this.#database.exec('PRAGMA synchronous = FULL')
    }
    const added: string[] = []
    try {
      this.#transaction(() => this.#write(batch, added))
    } catch (error) {
      for (const writer of added) this.#forgetResource(writer)
      throw error
    } finally {
      if (batch.durable) this.#database.exec('PRAGMA synchronous = NORMAL')
    }
    const brought =
      this.#placed.length > 0 || batch.writers.some(({ scores = [] }) => scores.length > 0)
    this.#nextChunk += this.#placed.length
    for (const backlog of batch.settled ? [] : this.#backlogs.values()) {
      for (const { spans, revisions, expanded } of this.#placed) {
        grow(backlog, 1, spans - revisions, expanded)
      }
    }
    this.#placed = []
    this.#unstorable = 0
    this.#failed = null
    this.#dataFile = this.data.file
    this.data.rotate()
    if (brought) for (const listener of this.#listeners) listener()
  }

  /**
   * Whether something waits for a commit that has failed and will be tried again. Nobody else may commit before it: what
   * waits would go with theirs, and then once more.
   */
  get behind(): boolean {
    return this.#failed !== null || this.chunks.pending > 0
  }

  /**
   * As `commit`, for a receiver whose senders keep what it refuses: when it throws, nothing of the batch is kept.
   *
   * @throws StoreError `OFFPATH_STORE_UNUSABLE` when something else has to be committed first
   */
  take(batch: Batch): void {
    if (this.behind) {
      const text = 'the store has refused what was read from the spool, which is tried again first'
      throw new StoreError('OFFPATH_STORE_UNUSABLE', text)
    }
    const mark = this.data.mark()
    try {
      this.commit(batch)
    } catch (error) {
      // Not when a listener failed: then it is committed.
      if (this.behind) this.data.rewind(mark)
      this.chunks.discard()
      this.#placed = []
      this.#unstorable = 0
      this.#failed = null
      throw error
    }
  }

  #putSpans(batch: Batch): void {
    for (const { id, resource, finished = [], before } of batch.writers) {
      if (finished.length > 0) this.chunks.use(id, resource)
      for (const span of finished) putSpan(this.chunks, span, before?.get(span))
    }
  }

  #write(batch: Batch, added: string[]): void {
    const { writers, cursors, counters, abandoned = 0, settled = false } = batch
    const now = Date.now()
    let stored = 0
    for (const [index, chunk] of this.#placed.entries()) {
      this.#addChunk(this.#nextChunk + index, chunk, now, added, settled)
      stored += chunk.spans - chunk.revisions
    }
    for (const writer of writers) this.#changeWriter(writer, now)
    for (const { writer, path, offset } of cursors) this.#sql.putCursor.run(path, offset, writer)
    this.#count(counters)
    this.#count({ stored, unstorable: this.#unstorable })
    const finished = stored + this.#unstorable + abandoned
    if (finished > 0) this.#sql.addFinished.run(finished)
    for (const name of this.#exporters.keys()) {
      if (settled) {
        this.#count({ [`${name}.before`]: finished })
        continue
      }
      this.#count({
        [`${name}.dropped.segment_gone`]: abandoned,
        [`${name}.dropped.unstorable`]: this.#unstorable,
      })
    }
    const { file, length } = this.data.position
    this.#sql.putMeta.run('data_length', length)
    if (file !== this.#dataFile) this.#sql.putMeta.run('data_file', file)
    crashPoint('commit')
  }

  #addChunk(id: number, chunk: PlacedChunk, now: number, added: string[], settled: boolean): void {
    this.#sql.addChunk.run(
      id,
      this.#resource(chunk.writer, chunk.resource, added),
      chunk.file,
      chunk.offset,
      chunk.length,
      chunk.traceBytes,
      chunk.crc,
      chunk.spans,
      chunk.revisions,
      chunk.expanded,
      chunk.oldestFile,
      now,
      chunk.traces,
    )
    for (const exporter of settled ? [] : this.#exporters.values()) {
      this.#sql.addOutbox.run(exporter, id)
    }
  }

  /** The row of a writer's resource; of what is added the writer is put to `added`. */
  #resource(writer: string, resource: Resource, added: string[]): number {
    const known = this.#resources.get(writer)
    if (known?.resource === resource) return known.id
    const json = JSON.stringify(resource)
    if (known !== undefined && JSON.stringify(known.resource) === json) {
      known.resource = resource
      return known.id
    }
    const id = Number(this.#sql.addResource.run(writer, json).lastInsertRowid)
    this.#resources.set(writer, { id, resource })
    this.#byId.set(id, resource)
    this.#writers.set(resource, writer)
    added.push(writer)
    return id
  }

  #forgetResource(writer: string): void {
    this.#byId.delete(this.#resources.get(writer)?.id ?? 0)
    this.#resources.delete(writer)
  }

  #changeWriter(writer: WriterChange, now: number): void {
    const { id, header, state, openSpans, openBlobs } = writer
    const sql = this.#sql
    if (state === null) {
      sql.removeWriter.run(id)
      sql.clearOpenSpans.run(id)
      sql.removeOpenBlobs.run(id)
      if (writer.losses !== undefined) {
        sql.addGivenUp.run(id, writer.losses)
        sql.trimGivenUp.run(KEPT_GIVEN_UP)
      }
    } else if (header !== undefined) sql.putWriter.run(id, header, state, writer.open ?? 0, now)
    else sql.updateWriter.run(state, writer.open ?? 0, now, id)
    for (const key of openSpans?.remove ?? []) sql.removeOpenSpan.run(id, key)
    for (const { key, words, state } of openSpans?.put ?? []) {
      sql.putOpenSpan.run(id, key, words, state)
    }
    if (openBlobs === null) sql.removeOpenBlobs.run(id)
    else if (openBlobs !== undefined) sql.putOpenBlobs.run(id, openBlobs)
    const service = writer.resource.service
    for (const vitals of writer.vitals) sql.addVitals.run(id, service, vitals)
    if (writer.vitals.length > 0) sql.trimVitals.run(KEPT_VITALS)
    this.scores.add(id, writer.scores ?? [], now)
  }

  #count(counters: Readonly<Record<string, number>>): void {
    for (const name in counters) {
      const by = counters[name] as number
      if (by !== 0) this.#sql.count.run(name, by)
    }
  }

  // --- for receivers, at their start ---

  /** Of a writer that was given up and is there again; null: it had lost nothing, or that is long ago. */
  lossesOf(writer: string): string | null {
    return (this.#sql.givenUp.get(writer)?.losses as string | undefined) ?? null
  }

  openSpans(writer: string): OpenRow[] {
    return this.#sql.openSpans.all(writer).map((row) => ({
      key: String(row.key),
      words: row.words as Uint8Array,
      state: String(row.state),
    }))
  }

  openBlobs(writer: string): string | null {
    return (this.#sql.openBlobs.get(writer)?.state as string | undefined) ?? null
  }

  writers(): { id: string; header: string; state: string; open: number }[] {
    return this.#sql.writers.all().map((row) => ({
      id: String(row.id),
      header: String(row.header),
      state: String(row.state),
      open: Number(row.open),
    }))
  }

  /** Null: it is not known. */
  writerState(id: string): string | null {
    const row = this.#sql.writerState.get(id)
    return row === undefined ? null : String(row.state)
  }

  // --- for exporters ---

  /**
   * Names the exporters. A new one gets what is finished from now on. One that is no longer named keeps its outbox, and
   * gets what is finished from then on when it is named again. `scores`, `media`: those of them that take such.
   */
  exporters(
    names: readonly string[],
    scores: readonly string[] = [],
    media: readonly string[] = [],
  ): void {
    this.#transaction(() => {
      const finished = this.#meta('finished') ?? 0
      for (const row of this.#sql.exporters.all()) {
        if (row.active === 1 && !names.includes(String(row.name))) {
          this.#sql.leaveExporter.run(finished, row.id as number)
        }
      }
      for (const name of names) {
        const known = this.#sql.exporterOf.get(name)
        if (known?.active === 1) continue
        const missed = finished - Number(known?.left ?? 0)
        const before = `${name}.before`
        this.#count({ [before]: missed - (known ? 0 : this.#counter(before)) })
        this.#sql.putExporter.run(name)
      }
      this.#sql.tookScores.run()
      this.#sql.tookMedia.run()
      for (const name of scores) this.#sql.takesScores.run(name)
      for (const name of media) this.#sql.takesMedia.run(name)
    })
    this.#exporters.clear()
    this.#backlogs.clear()
    for (const row of this.#sql.exporters.all()) {
      if (row.active !== 1) continue
      const id = Number(row.id)
      this.#exporters.set(String(row.name), id)
      const { chunks, spans, bytes } = this.#sql.backlog.get(id) ?? {}
      this.#backlogs.set(id, { chunks: Number(chunks), spans: Number(spans), bytes: Number(bytes) })
    }
    this.scores.exporters(new Map(scores.map((name) => [name, this.#exporter(name)])))
    this.media.exporters(new Map(media.map((name) => [name, this.#exporter(name)])))
  }

  /** Names the exporters that were named last: for who changes something while no relay runs. */
  exportersAsBefore(): void {
    const rows = this.#sql.exporters.all().filter(({ active }) => active === 1)
    const names = (of: readonly Record<string, unknown>[]): string[] =>
      of.map(({ name }) => String(name))
    const scores = rows.filter((row) => row.scores === 1)
    const media = rows.filter((row) => row.media === 1)
    this.exporters(names(rows), names(scores), names(media))
  }

  /** Those that are named now. */
  exporterNames(): string[] {
    return [...this.#exporters.keys()]
  }

  #counter(name: string): number {
    return Number(this.#sql.counter.get(name)?.value ?? 0)
  }

  #exporter(name: string): number {
    const id = this.#exporters.get(name)
    if (id === undefined) throw new Error(`no exporter ${name}`)
    return id
  }

  /** Chunks that the exporter has not settled, in order, `maxBytes` (expanded) of them and at least one. */
  nextChunks(exporter: string, after: number, maxBytes: number): ChunkInfo[] {
    return firstOf(this.#sql.outboxAfter.iterate(this.#exporter(exporter), after), maxBytes)
  }

  /** Likewise the oldest of those of which no span waits for the first time. */
  againChunks(exporter: string, maxBytes: number): ChunkInfo[] {
    return firstOf(this.#sql.outboxAgain.iterate(this.#exporter(exporter)), maxBytes)
  }

  /** All spans of a chunk. One whose bytes are gone (a power failure) is dropped from all outboxes, counted: then none. */
  readSpans(chunk: ChunkInfo): StoredSpan[] {
    const spans = this.#loadSpans(chunk)
    if (spans === null) this.#dropUnreadable(chunk.id)
    return spans ?? []
  }

  /** Null: they are not what was written, or they have expired while they were sent again. */
  #loadSpans(chunk: Omit<ChunkInfo, 'states'>): StoredSpan[] | null {
    const resource = this.#byId.get(chunk.resource)
    if (resource === undefined) return null
    const bytes = allocateChunk(chunk.length)
    if (!this.data.load(chunk, bytes, 0) || crc32(bytes) !== chunk.crc) return null
    return readSpans(bytes, resource, this.#loadText)
  }

  readonly #loadText = (parts: readonly Part[]): string => {
    const bytes = Buffer.allocUnsafe(parts.reduce((sum, { length }) => sum + length, 0))
    this.loadParts(parts, bytes, 0)
    return bytes.toString()
  }

  #dropUnreadable(chunk: number): void {
    this.#settling(() => {
      for (const [name, id] of this.#exporters) {
        this.#drop(name, id, chunk, 'unreadable')
      }
    })
  }

  /** The writer that spans with this resource come from; '': it is gone. */
  writerOf(resource: Resource): string {
    return this.#writers.get(resource) ?? ''
  }

  /** Writes the bytes of all parts to `into[at]`; returns the position behind them. Bytes that are gone are spaces. */
  loadParts(parts: readonly Part[], into: Buffer, at: number): number {
    for (const part of parts) {
      if (isPlace(part)) this.data.load(part, into, at)
      else part.copy(into, at)
      at += part.length
    }
    return at
  }

  /** Takes in what an exporter has settled, all in one transaction. Chunks that its outbox does not hold count nothing. */
  acknowledge(exporter: string, settlements: readonly Settlement[]): void {
    const id = this.#exporter(exporter)
    this.#settling(() => {
      const now = Date.now()
      const counts: Record<string, number> = {}
      const add = (name: string, by: number): void => {
        const key = `${exporter}.${name}`
        counts[key] = (counts[key] ?? 0) + by
      }
      for (const settlement of settlements) {
        const isHeld = settlement.complete
          ? this.#removeOutbox(id, settlement.chunk) !== undefined
          : this.#settlePart(id, settlement)
        if (!isHeld) continue
        add('delivered', settlement.delivered)
        add('dead', settlement.dead)
        add('resent', settlement.resent)
        add('notResent', settlement.notResent)
        for (const reason in settlement.dropped) {
          add(`dropped.${reason}`, settlement.dropped[reason] as number)
        }
        for (const letter of settlement.deadLetters) {
          this.#sql.addDeadLetter.run(
            id,
            settlement.chunk,
            letter.index,
            letter.traceId,
            letter.spanId,
            letter.name,
            letter.reason,
            now,
          )
        }
      }
      if (settlements.some(({ deadLetters }) => deadLetters.length > 0)) {
        const { changes } = this.#sql.trimDeadLetters.run(KEPT_DEAD_LETTERS)
        this.#count({ deadLettersTrimmed: Number(changes) })
      }
      this.#count(counts)
    })
  }

  /** What an exporter has not settled; the bytes of a chunk count whole until all of its spans are. */
  backlog(exporter: string): Backlog {
    return { ...(this.#backlogs.get(this.#exporter(exporter)) as Counted) }
  }

  /**
   * Has spans, by chunk and index, sent again that the exporter has settled, or never got; their dead letters go. What
   * waits is left as it is.
   */
  sendAgain(exporter: string, chosen: ReadonlyMap<number, readonly number[]>): SentAgain {
    const id = this.#exporter(exporter)
    const states = new Map<number, Uint8Array>()
    let spans = 0
    this.#settling(() => {
      for (const [chunk, indexes] of chosen) {
        const after = this.#markAgain(id, chunk, indexes)
        if (after === null) continue
        if (this.#sql.hasDeadLetters.get(chunk, id) !== undefined) {
          for (const index of indexes) this.#sql.removeDeadLetter.run(chunk, index, id)
        }
        if (after.marked > 0) states.set(chunk, after.states)
        spans += after.marked
      }
    })
    return { spans, states }
  }

  /** Null: the chunk has expired. */
  #markAgain(
    exporter: number,
    chunk: number,
    indexes: readonly number[],
  ): ReturnType<typeof markAgain> | null {
    const row = this.#sql.outboxRow.get(exporter, chunk)
    const about = row ?? this.#sql.chunk.get(chunk)
    if (about === undefined) return null
    const before = row === undefined ? undefined : (row.states as Uint8Array | null)
    const after = markAgain(before, Number(about.spans), indexes)
    if (after.marked === 0) return after
    if (row !== undefined) this.#sql.settlePart.run(after.states, 0, exporter, chunk)
    else {
      const observations = Number(about.spans) - Number(about.revisions)
      this.#sql.addSettled.run(exporter, chunk, after.states, observations)
      const backlog = this.#backlogs.get(exporter)
      if (backlog !== undefined) grow(backlog, 1, 0, Number(about.expanded))
    }
    return after
  }

  /** Takes dead letters off the list, counted: nobody will send their spans again. Returns how many there were. */
  dropDeadLetters(exporter: string, ids: readonly number[]): number {
    let dropped = 0
    this.#transaction(() => {
      for (const id of ids) dropped += Number(this.#sql.dropDeadLetter.run(id).changes)
      this.#count({ [`${exporter}.deadDropped`]: dropped })
    })
    return dropped
  }

  /** A transaction that changes outboxes; after an error backlogs are as they were. */
  #settling<T>(change: () => T): T {
    const before = [...this.#backlogs].map(([id, backlog]) => [id, { ...backlog }] as const)
    try {
      let result: T | undefined
      this.#transaction(() => {
        result = change()
      })
      return result as T
    } catch (error) {
      for (const [id, backlog] of before) this.#backlogs.set(id, backlog)
      throw error
    }
  }

  /** False when the outbox does not hold the chunk. */
  #settlePart(exporter: number, settlement: Settlement): boolean {
    const { chunk, states, delivered, dead, dropped } = settlement
    const settled = Object.values(dropped).reduce((sum, count) => sum + count, delivered + dead)
    if (this.#sql.settlePart.run(states, settled, exporter, chunk).changes === 0) return false
    const backlog = this.#backlogs.get(exporter)
    if (backlog !== undefined) backlog.spans -= settled
    return true
  }

  /** Returns what is not settled of the chunk; undefined: the outbox does not hold it. */
  #removeOutbox(exporter: number, chunk: number): Unsettled | undefined {
    const row = this.#sql.outboxRow.get(exporter, chunk)
    if (row === undefined) return undefined
    this.#sql.removeOutbox.run(exporter, chunk)
    const unsettled = unsettledIn(row)
    const backlog = this.#backlogs.get(exporter)
    if (backlog !== undefined) grow(backlog, -1, -unsettled.observations, -Number(row.expanded))
    return unsettled
  }

  /** Takes chunks out of an exporter's outbox, for it holds too many. Returns what was not settled of them, which is counted. */
  drop(exporter: string, chunks: readonly number[]): Unsettled {
    const id = this.#exporter(exporter)
    return this.#settling(() => {
      const dropped = { observations: 0, counted: 0 }
      for (const chunk of chunks) {
        const { observations, counted } = this.#drop(exporter, id, chunk, 'backlog_full')
        dropped.observations += observations
        dropped.counted += counted
      }
      return dropped
    })
  }

  #drop(name: string, exporter: number, chunk: number, reason: string): Unsettled {
    const unsettled = this.#removeOutbox(exporter, chunk) ?? NOTHING
    const { observations, counted } = unsettled
    this.#count({ [`${name}.dropped.${reason}`]: observations, [`${name}.notResent`]: counted })
    return unsettled
  }

  count(counters: Readonly<Record<string, number>>): void {
    this.#transaction(() => this.#count(counters))
  }

  counters(): Record<string, number> {
    const counters: Record<string, number> = {}
    for (const row of this.#sql.counters.all()) counters[String(row.name)] = Number(row.value)
    return counters
  }

  // --- for answers to `<writer>.flush` ---

  /** Chunks of a writer that some exporter has not settled; what is only sent again is settled. */
  unsettledChunks(writer: string): number[] {
    const chunks = new Set<number>()
    for (const exporter of this.#exporters.values()) {
      for (const row of this.#sql.outboxOf.all(exporter, writer)) chunks.add(Number(row.chunk))
    }
    return [...chunks].sort((a, b) => a - b)
  }

  /** Whether all exporters have settled the chunk, likewise. */
  isSettled(chunk: number): boolean {
    for (const exporter of this.#exporters.values()) {
      const row = this.#sql.outboxRow.get(exporter, chunk)
      if (row !== undefined && hasFirst(row.states as Uint8Array | null)) return false
    }
    return true
  }

  // --- retention ---

  /** Bytes of the database and of the data files. */
  bytes(): number {
    return Number(this.#sql.size.get()?.bytes ?? 0) + dataBytes(this.#directory)
  }

  /**
   * Removes up to `limit` of the oldest chunks that are older than `before` (ms) or whose data file must go for the store
   * to fit `maxBytes`, and of which nothing waits for its first delivery: what is only sent again is taken out of its
   * outbox, counted, and told to `onNotResent`. `oldestOpen` is the oldest data file that an open observation
   * refers to. Returns how many were removed; less than `limit`: there is nothing left to remove.
   */
  expire(
    before: number,
    maxBytes: number,
    limit: number,
    oldestOpen: number,
    onNotResent: (exporter: string, spans: number) => void = () => {},
  ): number {
    const leaving = this.#filesToLeave(this.bytes() - maxBytes)
    const notResent = new Map<string, number>()
    let removed = 0
    this.#settling(() => {
      for (const row of this.#sql.oldest.all(limit)) {
        const isOld = Number(row.committed) < before || Number(row.oldest_file) < leaving
        const id = Number(row.id)
        if (!isOld || !this.isSettled(id)) break
        this.#expireFromOutboxes(id, notResent)
        this.#sql.removeChunk.run(id)
        this.#sql.removeDeadLetters.run(id)
        removed++
      }
      if (removed > 0) this.#sql.putMeta.run('next_chunk', this.#nextChunk)
      this.scores.expire(before)
      this.#count({ expiredChunks: removed })
    })
    for (const [exporter, spans] of notResent) onNotResent(exporter, spans)
    this.media.expire(before)
    this.#removeFiles(oldestOpen)
    if (removed > 0 && removed < limit) this.#forgetResources()
    return removed
  }

  /** The first file that may stay for the store to become `over` bytes smaller. */
  #filesToLeave(over: number): number {
    let file = this.data.firstFile
    for (let left = over; left > 0 && file < this.data.file; file++) {
      left -= dataFileBytes(this.#directory, file)
    }
    return file
  }

  /** That of an exporter that is no longer named holds nothing back; the others hold only what is sent again of it. */
  #expireFromOutboxes(chunk: number, notResent: Map<string, number>): void {
    for (const row of this.#sql.exporters.all()) {
      const name = String(row.name)
      const { counted } = this.#drop(name, Number(row.id), chunk, 'expired')
      if (counted > 0) notResent.set(name, (notResent.get(name) ?? 0) + counted)
    }
  }

  #removeFiles(oldestOpen: number): void {
    const needed = Number(this.#sql.oldestFile.get()?.file ?? this.data.file)
    const keep = Math.min(needed, this.data.file, oldestOpen)
    if (keep <= this.data.firstFile) return
    // The index first: a file that it still names must be there.
    this.#transaction(() => this.#sql.putMeta.run('first_file', keep))
    this.data.removeBefore(keep)
  }

  #forgetResources(): void {
    this.#transaction(() => {
      for (const row of this.#sql.unusedResources.all()) {
        const id = Number(row.id)
        if (this.#resources.get(String(row.writer))?.id === id) {
          this.#resources.delete(String(row.writer))
        }
        this.#byId.delete(id)
        this.#sql.removeResource.run(id)
      }
    })
  }

  close(): void {
    this.data.close()
    this.#database.close()
  }
}

const NOTHING: Unsettled = { observations: 0, counted: 0 }

type Counted = { -readonly [K in keyof Backlog]: number }

function grow(backlog: Counted, chunks: number, spans: number, bytes: number): void {
  backlog.chunks += chunks
  backlog.spans += spans
  backlog.bytes += bytes
}

/** Chunks of rows: `maxBytes` (expanded) of them and at least one. */
function firstOf(rows: Iterable<Record<string, unknown>>, maxBytes: number): ChunkInfo[] {
  const infos: ChunkInfo[] = []
  let bytes = 0
  for (const row of rows) {
    const info: ChunkInfo = {
      id: Number(row.id),
      spans: Number(row.spans),
      expandedBytes: Number(row.expanded),
      file: Number(row.file),
      offset: Number(row.offset),
      length: Number(row.length),
      crc: Number(row.crc),
      resource: Number(row.resource),
      states: (row.states as Uint8Array | null) ?? null,
    }
    infos.push(info)
    bytes += info.expandedBytes
    if (bytes >= maxBytes) break
  }
  return infos
}

/** What an outbox row says is not settled. */
function unsettledIn(row: Record<string, unknown>): Unsettled {
  const observations = Number(row.spans) - Number(row.revisions) - Number(row.settled)
  let left = Number(row.spans)
  for (const state of (row.states as Uint8Array | null) ?? []) if (state === SETTLED) left--
  return { observations, counted: left - observations }
}

type Statements = Readonly<Record<keyof typeof SQL, StatementSync>>

function prepare(database: DatabaseSync): Statements {
  return Object.fromEntries(
    Object.entries(SQL).map(([name, text]) => [name, database.prepare(text)]),
  ) as Statements
}

const SQL = {
  begin: 'BEGIN IMMEDIATE',
  commit: 'COMMIT',
  rollback: 'ROLLBACK',
  meta: 'SELECT value FROM meta WHERE key = ?',
  putMeta: 'INSERT OR REPLACE INTO meta VALUES (?, ?)',
  addFinished: `INSERT INTO meta VALUES ('finished', ?)
    ON CONFLICT (key) DO UPDATE SET value = value + excluded.value`,
  resources: 'SELECT id, writer, json FROM resource ORDER BY id',
  addResource: 'INSERT INTO resource (writer, json) VALUES (?, ?)',
  removeResource: 'DELETE FROM resource WHERE id = ?',
  unusedResources: `SELECT id, writer FROM resource
    WHERE NOT EXISTS (SELECT 1 FROM chunk WHERE resource = resource.id)
    AND writer NOT IN (SELECT id FROM writer)`,
  newestChunk: 'SELECT max(id) AS id FROM chunk',
  addChunk: `INSERT INTO chunk (id, resource, file, offset, length, trace_bytes, crc, spans, revisions,
    expanded, oldest_file, committed, traces) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  chunk: 'SELECT spans, revisions, expanded FROM chunk WHERE id = ?',
  removeChunk: 'DELETE FROM chunk WHERE id = ?',
  oldest: 'SELECT id, committed, oldest_file FROM chunk ORDER BY id LIMIT ?',
  oldestFile: 'SELECT min(oldest_file) AS file FROM chunk',
  size: 'SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size',
  exporters: 'SELECT id, name, active, left, scores, media FROM exporter',
  exporterOf: 'SELECT active, left FROM exporter WHERE name = ?',
  putExporter: `INSERT INTO exporter (name, active, left) VALUES (?, 1, 0)
    ON CONFLICT (name) DO UPDATE SET active = 1`,
  tookScores: 'UPDATE exporter SET scores = 2 WHERE scores = 1',
  tookMedia: 'UPDATE exporter SET media = 2 WHERE media = 1',
  takesScores: 'UPDATE exporter SET scores = 1 WHERE name = ?',
  takesMedia: 'UPDATE exporter SET media = 1 WHERE name = ?',
  leaveExporter: 'UPDATE exporter SET active = 0, left = ? WHERE id = ?',
  addOutbox: 'INSERT INTO outbox (exporter, chunk) VALUES (?, ?)',
  addSettled: 'INSERT INTO outbox (exporter, chunk, states, settled) VALUES (?, ?, ?, ?)',
  removeOutbox: 'DELETE FROM outbox WHERE exporter = ? AND chunk = ?',
  settlePart:
    'UPDATE outbox SET states = ?, settled = settled + ? WHERE exporter = ? AND chunk = ?',
  outboxRow: `SELECT o.states, o.settled, c.spans, c.revisions, c.expanded FROM outbox o
    JOIN chunk c ON c.id = o.chunk WHERE o.exporter = ? AND o.chunk = ?`,
  outboxAfter: `SELECT c.*, o.states FROM outbox o JOIN chunk c ON c.id = o.chunk
    WHERE o.exporter = ? AND o.chunk > ? ORDER BY o.chunk`,
  outboxAgain: `SELECT c.*, o.states FROM outbox o JOIN chunk c ON c.id = o.chunk
    WHERE o.exporter = ? AND instr(o.states, x'00') = 0 ORDER BY o.chunk`,
  outboxOf: `SELECT o.chunk FROM outbox o JOIN chunk c ON c.id = o.chunk
    JOIN resource r ON r.id = c.resource WHERE o.exporter = ? AND r.writer = ?
    AND (o.states IS NULL OR instr(o.states, x'00') > 0)`,
  backlog: `SELECT count(*) AS chunks, sum(c.spans - c.revisions - o.settled) AS spans,
    sum(c.expanded) AS bytes FROM outbox o JOIN chunk c ON c.id = o.chunk WHERE o.exporter = ?`,
  addDeadLetter: `INSERT INTO dead_letter (exporter, chunk, span, trace, span_id, name, reason, time)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  trimDeadLetters: `DELETE FROM dead_letter WHERE id IN (
    SELECT id FROM dead_letter ORDER BY id DESC LIMIT -1 OFFSET ?)`,
  hasDeadLetters: 'SELECT 1 FROM dead_letter WHERE chunk = ? AND exporter = ? LIMIT 1',
  removeDeadLetters: 'DELETE FROM dead_letter WHERE chunk = ?',
  removeDeadLetter: 'DELETE FROM dead_letter WHERE chunk = ? AND span = ? AND exporter = ?',
  dropDeadLetter: 'DELETE FROM dead_letter WHERE id = ?',
  writers: 'SELECT id, header, state, open FROM writer',
  writerState: 'SELECT state FROM writer WHERE id = ?',
  putWriter: `INSERT INTO writer (id, header, state, open, offset, seen) VALUES (?, ?, ?, ?, 0, ?)
    ON CONFLICT (id) DO UPDATE SET header = excluded.header, state = excluded.state,
    open = excluded.open, seen = excluded.seen`,
  updateWriter: 'UPDATE writer SET state = ?, open = ?, seen = ? WHERE id = ?',
  putCursor: 'UPDATE writer SET path = ?, offset = ? WHERE id = ?',
  removeWriter: 'DELETE FROM writer WHERE id = ?',
  addGivenUp: 'INSERT OR REPLACE INTO given_up (writer, losses) VALUES (?, ?)',
  trimGivenUp: 'DELETE FROM given_up WHERE id <= (SELECT max(id) FROM given_up) - ?',
  givenUp: 'SELECT losses FROM given_up WHERE writer = ?',
  openSpans: 'SELECT key, words, state FROM open_span WHERE writer = ?',
  putOpenSpan: 'INSERT OR REPLACE INTO open_span VALUES (?, ?, ?, ?)',
  removeOpenSpan: 'DELETE FROM open_span WHERE writer = ? AND key = ?',
  clearOpenSpans: 'DELETE FROM open_span WHERE writer = ?',
  openBlobs: 'SELECT state FROM open_blobs WHERE writer = ?',
  putOpenBlobs: 'INSERT OR REPLACE INTO open_blobs VALUES (?, ?)',
  removeOpenBlobs: 'DELETE FROM open_blobs WHERE writer = ?',
  addVitals: 'INSERT INTO vitals (writer, service, json) VALUES (?, ?, ?)',
  trimVitals: 'DELETE FROM vitals WHERE id <= (SELECT max(id) FROM vitals) - ?',
  count: `INSERT INTO counter VALUES (?, ?)
    ON CONFLICT (name) DO UPDATE SET value = value + excluded.value`,
  counter: 'SELECT value FROM counter WHERE name = ?',
  counters: 'SELECT name, value FROM counter',
} as const
