// Entries that a relay of a pool has read and not acknowledged yet, whatever is in them: which they are, what they take, and
// how they leave. Redis keeps each until it is acknowledged, so those that have to wait long need not be in memory:
//
//   read ──▶ held ──▶ leaves: dead letters, XACK
//             │  ▲
//             ▼  │ read again
//           shelf: its id, and what was settled of it
import type { RedisDeadLetter } from '../../redis/dead-letters.ts'
import type { StreamEntry } from './group.ts'

/** An entry that is done with. */
export interface Departure {
  readonly stream: string
  readonly entry: string
  /** Null: there are none. */
  readonly letters: Letters | null
}

/**
 * Dead letters, by index. They are made one by one while they are written, for what many spans refer to, each of their letters
 * has; one that could not be made may be asked for again.
 */
export type Letters = Pick<readonly RedisDeadLetter[], 'length' | 'at'>

/** Observations or scores, but where it says otherwise. read = delivered + dead + dropped + held. */
export interface RedisCounters {
  /** Entries. */
  entries: number
  read: number
  delivered: number
  dead: number
  dropped: Record<string, number>
  /** Further versions, which are not among the others. */
  resent: number
  notResent: number
  /** Entries that were none. */
  damaged: number
  /** Entries that somebody else trimmed from their stream, and that nobody can deliver any more. */
  lost: number
}

/** An entry on the shelf. */
interface Shelved {
  readonly stream: string
  readonly entry: string
  readonly lanes: readonly string[]
  /** Takes it in again; null: it is gone from the stream. */
  readonly again: (entry: StreamEntry | null) => void
}

/** What an entry takes beside its bytes: objects, and its place in maps. */
const ENTRY_BYTES = 1024
const KEPT_DEAD_LETTERS = 20
/** So much of the largest size is forgotten with each entry: after 150 of them nine tenths are. */
const FORGOTTEN = 1 / 64
/** About 20 MB. Beyond them entries that wait stay in memory. */
const MAX_SHELVED = 20_000
/** Of the room, for entries that come back while new ones take all there is. */
const COMING_BACK = 1 / 4

const NO_BYTES = Buffer.alloc(0)

/** For the log. */
export const LOST = 'entries were lost: the stream was trimmed before they were delivered'

/** Of a dead letter: Redis keeps 10 000 of them, in memory. */
export const LETTER_BYTES: number = 512 * 1024

export abstract class HeldEntries {
  readonly counters: RedisCounters = {
    entries: 0,
    read: 0,
    delivered: 0,
    dead: 0,
    dropped: {},
    resent: 0,
    notResent: 0,
    damaged: 0,
    lost: 0,
  }
  /** The newest ones. */
  readonly deadLetters: (RedisDeadLetter & { readonly time: number })[] = []
  protected readonly exporter: string
  readonly #maxBytes: number
  readonly #leave: (departure: Departure) => void
  /** Entries that are held, on the shelf or about to leave, which may come a second time, and the bytes that they take. */
  readonly #known = new Map<string, number>()
  readonly #shelf = new Map<string, Shelved>()
  /** Those that are to be read again. */
  readonly #wanted = new Set<string>()
  /** Those that are gone from their stream: what is here is all there is of them. */
  readonly #gone = new Set<string>()
  /** Those that have but to be acknowledged. */
  readonly #done = new Set<string>()
  /** Bytes that the largest entry of late took. */
  #largest = ENTRY_BYTES
  #bytes = 0
  #closed = false

  /** @param leave is told of entries that are to be acknowledged, and calls `left` when they are */
  constructor(exporter: string, maxBytes: number, leave: (departure: Departure) => void) {
    this.exporter = exporter
    this.#maxBytes = maxBytes
    this.#leave = leave
  }

  /**
   * Takes in what is in an entry.
   *
   * @throws RangeError that says why it is none
   */
  protected abstract hold(stream: string, entry: StreamEntry, bytes: Buffer): void
  /** How many an entry says that it has, without looking at them. */
  protected abstract said(bytes: Buffer): number
  protected abstract readonly content: RedisDeadLetter['content']

  // --- from Redis ---

  /** Bytes that may be read; none or less: nothing. */
  get room(): number {
    return this.#closed ? 0 : this.#maxBytes - this.#bytes
  }

  /** Bytes that entries take. */
  protected get bytes(): number {
    return this.#bytes
  }

  /**
   * How many entries to ask for: as many as there is room for if all are as large as the largest of late, beside those that
   * were asked for and have not come; one in any case where there is room at all and no other will come.
   */
  fitting(most: number, asked = 0): number {
    const { room } = this
    if (room <= 0) return 0
    const fit = Math.floor(room / this.#largest) - asked
    return Math.max(asked === 0 ? 1 : 0, Math.min(most, fit))
  }

  /** From now on there is no room. */
  close(): void {
    this.#closed = true
  }

  /** Takes in an entry; one that is none goes to the dead letters. False: it is known already. */
  add(stream: string, entry: StreamEntry): boolean {
    const { id, bytes, only } = entry
    const key = keyOf(stream, id)
    if (this.#known.has(key)) return false
    this.counters.entries++
    const isOurs = only === undefined || only === this.exporter
    this.#keep(key, isOurs ? bytes : null)
    if (!isOurs) this.leave(stream, id, null)
    else if (bytes === null) this.bury(stream, entry, NO_BYTES, `it has no ${this.content}`)
    else this.#hold(stream, entry, bytes)
    return true
  }

  #hold(stream: string, entry: StreamEntry, bytes: Buffer): void {
    try {
      this.hold(stream, entry, bytes)
    } catch (error) {
      this.bury(stream, entry, bytes, (error as Error).message)
    }
  }

  /** An entry that is none. */
  protected bury(
    stream: string,
    entry: Pick<StreamEntry, 'id' | 'project'>,
    bytes: Buffer,
    reason: string,
  ): void {
    this.counters.damaged++
    this.#buryWhole(stream, entry, bytes, `no entry of ${this.content}: ${reason}`)
  }

  /** Takes in an entry that ended relays: nobody looks into it again. */
  condemn(stream: string, entry: StreamEntry, reason: string): void {
    const { id, bytes } = entry
    const key = keyOf(stream, id)
    if (this.#known.has(key)) return
    this.#keep(key, bytes)
    const count = bytes === null ? 0 : this.said(bytes)
    this.counters.entries++
    this.counters.read += count
    this.counters.dead += count
    this.#buryWhole(stream, entry, bytes ?? NO_BYTES, reason)
  }

  #buryWhole(
    stream: string,
    { id, project }: Pick<StreamEntry, 'id' | 'project'>,
    bytes: Buffer,
    reason: string,
  ): void {
    const fits = bytes.length <= LETTER_BYTES
    const letter: RedisDeadLetter = {
      exporter: this.exporter,
      stream,
      entry: id,
      reason: fits ? reason : `${reason}; its ${bytes.length} bytes are not kept`,
      traceId: null,
      spanId: null,
      name: null,
      ...(project !== undefined && { project }),
      content: this.content,
      bytes: fits ? bytes : NO_BYTES,
    }
    this.remember(letter)
    this.leave(stream, id, [letter])
  }

  #keep(key: string, bytes: Buffer | null): void {
    const taken = ENTRY_BYTES + (bytes?.length ?? 0)
    this.#bytes += taken - (this.#known.get(key) ?? 0)
    this.#known.set(key, taken)
    this.#largest = Math.max(taken, this.#largest * (1 - FORGOTTEN))
  }

  /** More that an entry takes than its bytes. */
  protected charge(stream: string, entry: string, bytes: number): void {
    const key = keyOf(stream, entry)
    this.#known.set(key, (this.#known.get(key) ?? 0) + bytes)
    this.#bytes += bytes
  }

  protected leave(stream: string, entry: string, letters: Departure['letters']): void {
    if (letters === null) {
      const key = keyOf(stream, entry)
      this.#gone.delete(key)
      this.#done.add(key)
    }
    this.#leave({ stream, entry, letters })
  }

  /** It is acknowledged: should it come again, it is another delivery. */
  left(stream: string, entry: string): void {
    const key = keyOf(stream, entry)
    this.#bytes -= this.#known.get(key) ?? 0
    this.#known.delete(key)
    this.#gone.delete(key)
    this.#done.delete(key)
  }

  /** It is held, and not delivered yet. */
  needs(stream: string, entry: string): boolean {
    const key = keyOf(stream, entry)
    return this.#known.has(key) && !this.#done.has(key)
  }

  isHeld(stream: string, entry: string): boolean {
    return this.#known.has(keyOf(stream, entry))
  }

  protected remember(letter: RedisDeadLetter): void {
    // Its bytes are in Redis.
    this.deadLetters.unshift({ ...letter, bytes: NO_BYTES, time: Date.now() })
    this.deadLetters.length = Math.min(this.deadLetters.length, KEPT_DEAD_LETTERS)
  }

  // --- the shelf ---

  /** Entries of which memory has no more than what was settled. */
  get shelved(): number {
    return this.#shelf.size
  }

  isShelved(stream: string, entry: string): boolean {
    return this.#shelf.has(keyOf(stream, entry))
  }

  /** False: there is no room on the shelf, or it could not be read again. */
  protected shelve(one: Shelved): boolean {
    const key = keyOf(one.stream, one.entry)
    if (this.#shelf.size >= MAX_SHELVED || this.#gone.has(key)) return false
    this.#bytes -= this.#known.get(key) ?? 0
    this.#known.set(key, 0)
    this.#shelf.set(key, one)
    return true
  }

  /** Has entries that wait for a lane read again, so many at most; first those that came to the shelf first. */
  protected want(lane: string, most: number): void {
    let count = 0
    for (const [key, { lanes }] of this.#shelf) {
      if (count === most) return
      if (!lanes.includes(lane)) continue
      this.#wanted.add(key)
      count++
    }
  }

  /** An entry that is to be read again, and for which there is room. */
  nextWanted(): Pick<Shelved, 'stream' | 'entry'> | undefined {
    const [key] = this.#wanted
    if (key === undefined || this.#closed) return undefined
    return this.room + COMING_BACK * this.#maxBytes > 0 ? this.#shelf.get(key) : undefined
  }

  /** It was read again; null: it is gone from the stream. */
  comeBack(stream: string, id: string, entry: StreamEntry | null): void {
    const key = keyOf(stream, id)
    const one = this.#shelf.get(key)
    if (one === undefined) return
    this.#shelf.delete(key)
    const wasWanted = this.#wanted.delete(key)
    this.#keep(key, entry?.bytes ?? null)
    if (entry === null) this.counters.lost++
    try {
      one.again(entry)
      if (entry !== null) return
    } catch (error) {
      this.bury(stream, entry ?? { id }, entry?.bytes ?? NO_BYTES, (error as Error).message)
    }
    // Nothing of it will be sent: another one has to show whether the keys are right again.
    if (wasWanted) for (const lane of one.lanes) this.want(lane, 1)
  }

  /** When the oldest entry on the shelf was added, by the clock of Redis; infinite: there is none. */
  protected oldestShelved(): number {
    let oldest = Number.POSITIVE_INFINITY
    for (const { entry } of this.#shelf.values()) oldest = Math.min(oldest, addedAt(entry))
    return oldest
  }

  // --- what somebody else trimmed ---

  /** An entry is gone from its stream, and was not acknowledged. True: it is in memory, to be delivered; false: it is lost. */
  miss(stream: string, entry: string): boolean {
    const key = keyOf(stream, entry)
    if (this.#shelf.has(key)) this.comeBack(stream, entry, null)
    else if (!this.#known.has(key)) this.counters.lost++
    else {
      this.#gone.add(key)
      return true
    }
    return false
  }

  /** Nothing more will be delivered: of a stream, what is in memory alone is lost. Returns how many entries. */
  giveUp(stream: string): number {
    const keys = [...this.#gone].filter((key) => key.startsWith(`${stream} `))
    for (const key of keys) this.#gone.delete(key)
    this.counters.lost += keys.length
    return keys.length
  }
}

/** When an entry was added, from its id: ms since 1970. */
export function addedAt(entry: string): number {
  return Number(entry.slice(0, entry.indexOf('-')))
}

function keyOf(stream: string, entry: string): string {
  return `${stream} ${entry}`
}
