import { randomBytes } from 'node:crypto'
import { readdirSync, renameSync, statSync, unlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Assembler } from '../../assemble/assembler.ts'
import { crashPoint } from '../../crash-point.ts'
import { JsonDecoder } from '../../decode/json-records.ts'
import { RecordDecoder } from '../../decode/records.ts'
import type { Batch, Store } from '../../store/store.ts'
import { listSpool } from './directory.ts'
import { FlushRequests } from './flush-requests.ts'
import { type Lease, takeLease } from './lease.ts'
import { ReadBuffer, type WriterHeader } from './segment.ts'
import { type DoneFile, type ReaderContext, type Silent, WriterReader } from './writer-reader.ts'

// The spool receiver: looks for segments, reads each writer's in the order of their numbers, commits what came of
// them, and deletes what is read and committed.
//
//   poll:  list → read every writer → commit (spans, cursors, open spans, counters) → delete segments → answer flushes

/** A turn of polling after data, and after a while without any. */
const BUSY_MS = 100
const IDLE_MS = 250
const BUSY_FOR_MS = 1000
const LIFE_EVERY_MS = 1000
const LIST_EVERY_MS = 100
const TOUCH_EVERY_MS = 10_000
const LOG_EVERY_MS = 60_000
const MAX_ERROR_CHARS = 200
/** What one commit takes in. */
const BATCH_BYTES = 8 * 1024 * 1024
const BATCH_SPANS = 4096
const BATCH_ARENA_WORDS = 1024 * 1024
/**
 * What is remembered, of all writers, of observations that were closed because their writer was thought dead. Beyond it
 * those of the writers that were closed first are forgotten: an end that comes after all is a record without a start.
 */
const GIVEN_BYTES = 64 * 1024 * 1024
/** Files in memory that wait for writers to take them over; a smaller one is not worth it. */
const MAX_FREE_FILES = 4
const MIN_FREE_BYTES = 128 * 1024
/** Between claiming a file and making it a segment a writer takes microseconds. */
const CLAIM_MS = 60_000

export interface ReceiverOptions {
  /** Memory-backed directory, then the one on disk. */
  readonly directories: readonly string[]
  readonly store: Store
  /** Monotonic, in milliseconds. */
  readonly now?: () => number
  /** While true, nothing is read: the store is full. */
  readonly paused: () => boolean
  readonly log: (message: string, about: Record<string, unknown>) => void
  /** A writer waits until all that is committed is delivered. */
  readonly onFlushRequest?: () => void
  /** After each commit: what it took, and whether the store refused it. */
  readonly onCommit?: (seconds: number, failed: boolean) => void
  /** For tests. */
  readonly givenBytes?: number
}

/** A batch, and whose it is. */
interface Pending {
  readonly batch: Batch
  readonly readers: readonly WriterReader[]
  /** Writers of which it removes the last trace. */
  readonly gone: readonly string[]
}

export class SpoolReceiver {
  readonly #options: ReceiverOptions
  readonly #store: Store
  readonly #now: () => number
  readonly #leases: Lease[] = []
  readonly #assembler: Assembler
  readonly #records: RecordDecoder
  readonly #json: JsonDecoder
  readonly #buffer = new ReadBuffer()
  readonly #context: ReaderContext
  readonly #writers = new Map<string, WriterReader>()
  readonly #flushes: FlushRequests
  /** Segments that could not be deleted, and when that is tried again. */
  readonly #undeletable = new Map<string, number>()
  readonly #logged = new Map<string, number>()
  /** Files that are no segments, as long as they are there. */
  #leftAlone = new Set<string>()
  #counters: Record<string, number> = {}
  /** Of a commit that failed: nothing is read until it went through. */
  #pending: Pending | null = null
  #listing = 0
  #isListed = false
  #listedAt = Number.NEGATIVE_INFINITY
  #touchedAt = Number.NEGATIVE_INFINITY
  #lifeAt = Number.NEGATIVE_INFINITY
  #dataAt = Number.NEGATIVE_INFINITY
  #room = { bytes: 0 }
  #dangling = 0
  #freeFiles = 0
  /** Files that writers have claimed, and when they were seen first. */
  #claims = new Map<string, number>()
  /** Data files before it are left. */
  #leftFiles = 0
  /** The file that was written to after the last copy out of old ones, and when reading was paused. */
  #copiedAt: number
  #pausedAt: number | undefined
  #first = 0
  /** Observations that were closed and may end after all, when their bytes were last looked at. */
  #given = 0
  #timer: NodeJS.Timeout | NodeJS.Immediate | undefined
  #stopped = false
  /** The last poll took in as much as one commit may: there is more. */
  wasFull = false

  /** Takes the leases; throws a LeaseError when another relay has one. */
  constructor(options: ReceiverOptions) {
    const { store, directories } = options
    this.#options = options
    this.#store = store
    this.#now = options.now ?? (() => performance.now())
    this.#copiedAt = store.data.firstFile
    store.chunks.onUnstorable = ({ message }) => {
      this.#log('an observation cannot be stored', { error: message.slice(0, MAX_ERROR_CHARS) })
    }
    this.#assembler = new Assembler(store.chunks, store.data)
    this.#records = new RecordDecoder(this.#assembler)
    this.#json = new JsonDecoder(this.#assembler, this.#records)
    this.#flushes = new FlushRequests(store, options.onFlushRequest ?? (() => {}))
    try {
      for (const directory of directories) this.#leases.push(takeLease(directory))
    } catch (error) {
      for (const lease of this.#leases) lease.release()
      throw error
    }
    this.#context = this.#makeContext()
    for (const { id, header, state, open } of store.writers()) {
      const reader = new WriterReader(
        this.#context,
        JSON.parse(header) as WriterHeader,
        this.#now(),
      )
      reader.restore(state, open, store.openSpans(id), store.openBlobs(id))
      this.#writers.set(id, reader)
    }
  }

  #makeContext(): ReaderContext {
    const receiver = this
    return {
      assembler: this.#assembler,
      records: this.#records,
      json: this.#json,
      buffer: this.#buffer,
      ownerOf: ({ path }) => {
        const index = this.#options.directories.indexOf(dirname(path))
        return this.#leases[index]?.owner
      },
      count: (name, by) => this.#add(name, by),
      log: (message, about) => this.#log(message, about),
      leaveAlone: (path, why) => this.#leaveAlone(path, why),
      get listing() {
        return receiver.#listing
      },
      hasRoom: (bytes) => this.#hasRoom(bytes),
      mayDelete: (path) => this.#now() >= (this.#undeletable.get(path) ?? 0),
    }
  }

  #hasRoom(bytes: number): boolean {
    this.#room.bytes += bytes
    return (
      this.#room.bytes < BATCH_BYTES &&
      this.#store.chunks.pending < BATCH_SPANS &&
      this.#assembler.arenaWords < BATCH_ARENA_WORDS
    )
  }

  #add(name: string, by: number): void {
    if (by !== 0) this.#counters[name] = (this.#counters[name] ?? 0) + by
  }

  /** The same message of the same thing but once a minute. */
  #log(message: string, about: Record<string, unknown>): void {
    const key = `${message} ${about.path ?? about.directory ?? about.error ?? ''}`
    const now = this.#now()
    if (now - (this.#logged.get(key) ?? Number.NEGATIVE_INFINITY) < LOG_EVERY_MS) return
    if (this.#logged.size > 1000) this.#logged.clear()
    this.#logged.set(key, now)
    this.#options.log(message, about)
  }

  #leaveAlone(path: string, why: string): void {
    if (this.#leftAlone.has(path)) return
    this.#leftAlone.add(path)
    this.#add('badSegments', 1)
    this.#log('a file in the spool is left alone', { path, error: why })
  }

  /** Polls until `stop`. */
  start(): void {
    const round = (): void => {
      let more = false
      try {
        more = this.poll()
      } catch (error) {
        this.#log('reading the spool failed', { error: (error as Error).message })
      }
      if (this.#stopped) return
      if (more && !this.#hasRoom(0)) this.#timer = setImmediate(round)
      else {
        const isBusy = this.#now() - this.#dataAt < BUSY_FOR_MS
        this.#timer = setTimeout(round, isBusy ? BUSY_MS : IDLE_MS)
      }
    }
    round()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer as NodeJS.Timeout)
    clearImmediate(this.#timer as NodeJS.Immediate)
    for (const reader of this.#writers.values()) reader.close()
    this.#removeFreeFiles()
    for (const lease of this.#leases) lease.release()
  }

  /** Memory that waits for writers is given back when nobody reads. */
  #removeFreeFiles(): void {
    const [directory] = this.#options.directories
    if (directory === undefined) return
    try {
      for (const name of readdirSync(directory)) {
        if (name.endsWith('.free')) unlinkSync(join(directory, name))
      }
    } catch {
      // A writer was faster, or the directory is gone: the next relay does it.
    }
  }

  /** How far the segments are read that are being read, by path. */
  offsets(): ReadonlyMap<string, number> {
    const cursors = [...this.#writers.values()].map(({ cursor }) => cursor)
    return new Map(cursors.flatMap(({ path, offset }) => (path === null ? [] : [[path, offset]])))
  }

  /** The oldest data file that is needed for what is open. */
  oldestFile(): number {
    let oldest = Number.POSITIVE_INFINITY
    for (const { oldestFile } of this.#writers.values()) oldest = Math.min(oldest, oldestFile)
    return oldest
  }

  /** Reads and commits what has come since the last call; true when something had. */
  poll(): boolean {
    const now = this.#now()
    if (now - this.#touchedAt > TOUCH_EVERY_MS) {
      // Throws when a lease was lost: then nothing is read until it is ours again.
      for (const lease of this.#leases) lease.touch()
      this.#touchedAt = now
    }
    this.#room.bytes = 0
    this.wasFull = false
    if (this.#pending !== null) this.#tryCommit()
    if (this.#options.paused()) {
      // Nothing may hold an old data file, or the store could not become smaller. Once: copying makes new files.
      this.#pausedAt ??= this.#store.data.file
      this.#leaveFiles(this.#pausedAt)
      this.#commit()
      this.#answerFlushes()
      return false
    }
    this.#pausedAt = undefined
    const isListDue = now - this.#listedAt > LIST_EVERY_MS
    if (isListDue) this.#list(now)
    const isLifeDue = now - this.#lifeAt > LIFE_EVERY_MS
    if (isLifeDue) this.#lifeAt = now
    let bytes = this.#readAll(now, isLifeDue)
    if (bytes === 0 && !isListDue) {
      this.#list(now)
      bytes = this.#readAll(now, false)
    }
    if (bytes > 0) this.#dataAt = now
    this.wasFull = !this.#hasRoom(0)
    if (isLifeDue) this.#boundGiven()
    this.#leaveOldFiles()
    this.#commit()
    this.#answerFlushes()
    return bytes > 0
  }

  /** As `poll`, and looks for new segments and for dead writers whether or not it is time to. */
  pollAll(): boolean {
    this.#listedAt = Number.NEGATIVE_INFINITY
    this.#lifeAt = Number.NEGATIVE_INFINITY
    return this.poll()
  }

  /**
   * What is open is copied out of old files when twice as much was written since the last time: where more is open than the
   * newest files hold, each copy would make the next one due.
   */
  #leaveOldFiles(): void {
    const { data } = this.#store
    const file = data.oldestKept
    if (file <= this.#leftFiles) return
    let bytes = 0
    for (const reader of this.#writers.values()) bytes += reader.openBytesBefore(file)
    if (2 * bytes > (data.file - this.#copiedAt) * data.rotateBytes) return
    this.#leaveFiles(file)
    this.#copiedAt = data.file + Math.floor(bytes / data.rotateBytes)
  }

  /** Of what is open, nothing lies in data files before `file` alone. */
  #leaveFiles(file: number): void {
    if (file <= this.#leftFiles) return
    this.#leftFiles = file
    this.#assembler.endBatch()
    for (const reader of this.#writers.values()) reader.leaveFiles(file)
  }

  #list(now: number): void {
    const listing = listSpool(this.#options.directories)
    const { segments, flushes, freeFiles, complete, problems } = listing
    this.#freeFiles = freeFiles
    this.#listedAt = now
    this.#isListed = complete
    if (complete) this.#listing++
    for (const problem of problems) this.#log('cannot list the spool', { ...problem })
    for (const path of listing.misnamed) this.#leaveAlone(path, 'is not named like a segment')
    for (const [id, files] of segments) {
      let reader = this.#writers.get(id)
      if (reader === undefined) {
        const header = WriterReader.headerOf(files, this.#context)
        if (header === null) continue
        reader = new WriterReader(this.#context, header, now)
        const losses = this.#store.lossesOf(id)
        if (losses !== null) reader.knowLosses(losses)
        this.#writers.set(id, reader)
      }
      reader.setFiles(files)
    }
    for (const [id, reader] of this.#writers) if (!segments.has(id)) reader.setFiles([])
    if (complete && this.#leftAlone.size > 0) {
      const there = [...[...segments.values()].flat().map(({ path }) => path), ...listing.misnamed]
      this.#leftAlone = new Set(there.filter((path) => this.#leftAlone.has(path)))
    }
    this.#flushes.set(flushes)
    this.#removeClaims(listing.claims, now)
  }

  /**
   * What a writer claimed and left so: it died in between, and the file counts against the spool's cap. Should it only have
   * been stopped, it finds its claim gone and opens another file.
   */
  #removeClaims(paths: readonly string[], now: number): void {
    const before = this.#claims
    this.#claims = new Map()
    for (const path of paths) {
      let since = before.get(path) ?? now
      if (now - since > CLAIM_MS) {
        try {
          unlinkSync(path)
          continue
        } catch (error) {
          this.#log('cannot delete a claim that is left', { path, error: (error as Error).message })
          since = now
        }
      }
      this.#claims.set(path, since)
    }
  }

  /** Each writer in turn, and the first one of the last batch is the last of this. */
  #readAll(now: number, isLifeDue: boolean): number {
    const readers = [...this.#writers.values()]
    const silent: { readonly reader: WriterReader; readonly life: Silent }[] = []
    let bytes = 0
    for (let i = 0; i < readers.length && this.#hasRoom(0); i++) {
      const reader = readers[(this.#first + i) % readers.length] as WriterReader
      this.#apart(reader, () => {
        const read = reader.read('unknown')
        bytes += read
        const life = isLifeDue && read === 0 ? reader.life(now) : 'alive'
        if (life !== 'alive' && life !== 'unknown') silent.push({ reader, life })
      })
    }
    this.#first = readers.length === 0 ? 0 : (this.#first + 1) % readers.length
    // They may have opened another segment since the directories were listed.
    if (silent.length > 0) this.#list(now)
    // Of one that has segments which are not to be seen now, nothing is to be closed or forgotten.
    if (!this.#isListed) silent.length = 0
    for (const { reader, life } of silent) {
      if (!this.#hasRoom(0)) break
      this.#apart(reader, () => {
        bytes += this.#readLast(reader, life, now)
      })
    }
    this.#buffer.shrink()
    return bytes
  }

  /** What goes wrong with one writer (a disk that can't be read) holds up no other. */
  #apart(reader: WriterReader, work: () => void): void {
    try {
      work()
    } catch (error) {
      const path = reader.cursor.path ?? reader.state.id
      this.#log('reading a segment failed', { path, error: (error as Error).message })
    }
  }

  /** What a writer wrote before it died is read first; then what it left open is closed. */
  #readLast(reader: WriterReader, life: Silent, now: number): number {
    const bytes = reader.read('unknown')
    if (bytes > 0) return bytes
    const rest = life === 'overdue' ? 0 : reader.read(life)
    if (rest === 0) reader.interrupt(life, now)
    return rest
  }

  #boundGiven(): void {
    const readers = [...this.#writers.values()].filter(({ state }) => state.given.size > 0)
    const given = readers.reduce((sum, { state }) => sum + state.given.size, 0)
    if (given === this.#given) return
    const { givenBytes = GIVEN_BYTES } = this.#options
    let over = readers.reduce((sum, { state }) => sum + state.givenBytes, -givenBytes)
    for (const reader of readers.toSorted((a, b) => a.interruptedAt - b.interruptedAt)) {
      if (over <= 0) break
      const before = reader.state.givenBytes
      this.#apart(reader, () => reader.forgetGiven(over))
      over -= before - reader.state.givenBytes
    }
    this.#given = readers.reduce((sum, { state }) => sum + state.given.size, 0)
  }

  #commit(): void {
    const dangling = this.#records.dangling + this.#json.dangling + this.#assembler.lostBlobs
    this.#add('danglingReferences', dangling - this.#dangling)
    this.#dangling = dangling
    this.#add('interrupted', this.#assembler.interrupted)
    this.#assembler.interrupted = 0
    this.#assembler.endBatch()
    const readers = [...this.#writers.values()].filter((reader) => reader.changed)
    if (readers.length === 0 && Object.keys(this.#counters).length === 0) return
    crashPoint('read')
    const gone = readers.filter((reader) => reader.isGone).map(({ state }) => state.id)
    const writers = readers.map((reader) => reader.change())
    const batch: Batch = {
      writers,
      cursors: readers
        .filter((reader) => !reader.isGone)
        .map((reader) => ({ writer: reader.state.id, ...reader.cursor })),
      counters: this.#counters,
      abandoned: readers.reduce((sum, { abandoned }) => sum + abandoned, 0),
      durable: readers.some(({ done }) => done.some(({ onDisk }) => onDisk)),
    }
    this.#counters = {}
    this.#pending = { batch, readers, gone }
    this.#tryCommit()
  }

  #tryCommit(): void {
    const { batch, readers, gone } = this.#pending as Pending
    const began = performance.now()
    try {
      this.#store.commit(batch)
      this.#pending = null
    } finally {
      const seconds = (performance.now() - began) / 1000
      this.#options.onCommit?.(seconds, this.#pending !== null)
    }
    const leaving = readers.flatMap(({ done }) => done)
    for (const reader of readers) reader.committed()
    for (const id of gone) this.#writers.delete(id)
    if (leaving.length > 0) this.#delete(leaving)
  }

  #delete(files: readonly DoneFile[]): void {
    for (const file of files) {
      const { path } = file
      crashPoint('unlink')
      try {
        if (!this.#handBack(file)) unlinkSync(path)
        this.#undeletable.delete(path)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue
        this.#undeletable.set(path, this.#now() + LOG_EVERY_MS)
        const { message } = error as Error
        this.#log('cannot delete a segment that is read', { path, error: message })
      }
    }
    // There may be a later one.
    this.#listedAt = Number.NEGATIVE_INFINITY
  }

  /** Gives a file in memory to the next writer that opens a segment: its pages are there already. */
  #handBack({ path, onDisk, isClosed }: DoneFile): boolean {
    if (onDisk || !isClosed || this.#freeFiles >= MAX_FREE_FILES) return false
    if (statSync(path).size < MIN_FREE_BYTES) return false
    renameSync(path, join(dirname(path), `${randomBytes(8).toString('hex')}.free`))
    this.#freeFiles++
    return true
  }

  #answerFlushes(): void {
    this.#flushes.answer((writer) => {
      const reader = this.#writers.get(writer)
      if (reader === undefined) return null
      return { ...reader.cursor, complete: reader.state.waiting.size === 0 }
    })
  }
}
