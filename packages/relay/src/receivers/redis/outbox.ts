// What a relay of a pool has read and not delivered yet, in memory: Redis keeps each entry until it is acknowledged. For one
// exporter. In observations, since the relay started:
//
//   read = delivered + dead + dropped + held
//
// An entry is a chunk of the outbox. When all of its spans are settled it leaves: its dead letters are written first.
import type { Outbox, OutboxChunk } from '../../export/outbox.ts'
import type { RedisDeadLetter } from '../../redis/dead-letters.ts'
import { entryEncoder, loadInline, measureEntry, readEntry, spansSaid } from '../../redis/entry.ts'
import type { SpanMeasures } from '../../redis/measure-spans.ts'
import { allocateChunk } from '../../store/chunk.ts'
import type { Part, StoredSpan } from '../../store/span.ts'
import type { Backlog, DeadLetter, Settlement, Unsettled } from '../../store/store.ts'
import type { StreamEntry } from './group.ts'

/** An entry that is done with. */
export interface Departure {
  readonly stream: string
  readonly entry: string
  /** Made one by one while they are written: what many spans refer to, each of their letters has. Null: there are none. */
  readonly letters: Iterator<RedisDeadLetter, undefined> | null
}

/** Observations, but where it says otherwise. */
export interface RedisCounters {
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
}

interface Held {
  info: OutboxChunk
  readonly stream: string
  readonly entry: string
  readonly bytes: Buffer
  readonly measures: SpanMeasures
  /** Observations that nothing has become of yet. */
  unsettled: number
  readonly letters: DeadLetter[]
}

/** What an entry takes beside its bytes: objects, and its place in maps. */
const ENTRY_BYTES = 1024
const KEPT_DEAD_LETTERS = 20
/** So much of the largest size is forgotten with each entry: after 150 of them nine tenths are. */
const FORGOTTEN = 1 / 64
const NO_BYTES = Buffer.alloc(0)

/** Of a dead letter: Redis keeps 10 000 of them, in memory. */
const LETTER_BYTES = 512 * 1024

const encoder = entryEncoder({ load: loadInline, maxSpanBytes: LETTER_BYTES })

export class RedisOutbox implements Outbox {
  readonly counters: RedisCounters = {
    entries: 0,
    read: 0,
    delivered: 0,
    dead: 0,
    dropped: {},
    resent: 0,
    notResent: 0,
    damaged: 0,
  }
  /** The newest ones. */
  readonly deadLetters: (RedisDeadLetter & { readonly time: number })[] = []
  readonly #exporter: string
  readonly #maxBytes: number
  readonly #leave: (departure: Departure) => void
  /** In the order in which they were read. */
  readonly #held = new Map<number, Held>()
  /** Entries that are held or about to leave, which may come a second time, and the bytes that they take. */
  readonly #known = new Map<string, number>()
  /** Bytes that the largest entry of late took. */
  #largest = ENTRY_BYTES
  #lastId = 0
  #bytes = 0
  #observations = 0
  #closed = false

  /** @param leave is told of entries that are to be acknowledged, and calls `left` when they are */
  constructor(exporter: string, maxBytes: number, leave: (departure: Departure) => void) {
    this.#exporter = exporter
    this.#maxBytes = maxBytes
    this.#leave = leave
  }

  // --- from Redis ---

  /** Bytes that may be read; none or less: nothing. */
  get room(): number {
    return this.#closed ? 0 : this.#maxBytes - this.#bytes
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
  add(stream: string, { id, bytes }: StreamEntry): boolean {
    const key = keyOf(stream, id)
    if (this.#known.has(key)) return false
    this.#keep(key, bytes)
    this.counters.entries++
    if (bytes === null) this.#bury(stream, id, NO_BYTES, 'it has no spans')
    else this.#hold(stream, id, bytes)
    return true
  }

  #hold(stream: string, entry: string, given: Buffer): void {
    const bytes = ownBytes(given)
    let measures: SpanMeasures
    try {
      measures = measureEntry(bytes)
    } catch (error) {
      this.#bury(stream, entry, bytes, (error as Error).message)
      return
    }
    const { starts, revisions, expandedBytes } = measures
    const id = ++this.#lastId
    const unsettled = starts.length - revisions
    const info = { id, spans: starts.length, expandedBytes, states: null }
    this.#held.set(id, { info, stream, entry, bytes, measures, unsettled, letters: [] })
    this.#observations += unsettled
    this.counters.read += unsettled
  }

  /** An entry that is none. */
  #bury(stream: string, entry: string, bytes: Buffer, reason: string): void {
    this.counters.damaged++
    this.#buryWhole(stream, entry, bytes, `no entry of spans: ${reason}`)
  }

  /** Takes in an entry that ended relays: nobody looks into it again. */
  condemn(stream: string, { id, bytes }: StreamEntry, reason: string): void {
    const key = keyOf(stream, id)
    if (this.#known.has(key)) return
    this.#keep(key, bytes)
    const spans = bytes === null ? 0 : spansSaid(bytes)
    this.counters.entries++
    this.counters.read += spans
    this.counters.dead += spans
    this.#buryWhole(stream, id, bytes ?? NO_BYTES, reason)
  }

  #buryWhole(stream: string, entry: string, bytes: Buffer, reason: string): void {
    const fits = bytes.length <= LETTER_BYTES
    const letter: RedisDeadLetter = {
      exporter: this.#exporter,
      stream,
      entry,
      reason: fits ? reason : `${reason}; its ${bytes.length} bytes are not kept`,
      traceId: null,
      spanId: null,
      name: null,
      bytes: fits ? bytes : NO_BYTES,
    }
    this.#remember(letter)
    this.#leave({ stream, entry, letters: [letter].values() })
  }

  #keep(key: string, bytes: Buffer | null): void {
    const taken = ENTRY_BYTES + (bytes?.length ?? 0)
    this.#known.set(key, taken)
    this.#bytes += taken
    this.#largest = Math.max(taken, this.#largest * (1 - FORGOTTEN))
  }

  /** It is acknowledged: should it come again, it is another delivery. */
  left(stream: string, entry: string): void {
    const key = keyOf(stream, entry)
    this.#bytes -= this.#known.get(key) ?? 0
    this.#known.delete(key)
  }

  isHeld(stream: string, entry: string): boolean {
    return this.#known.has(keyOf(stream, entry))
  }

  // --- for the delivery ---

  nextChunks(_exporter: string, after: number, maxBytes: number): OutboxChunk[] {
    const infos: OutboxChunk[] = []
    let bytes = 0
    for (const [id, { info }] of this.#held) {
      if (id <= after) continue
      infos.push(info)
      bytes += info.expandedBytes
      if (bytes >= maxBytes) break
    }
    return infos
  }

  readSpans({ id }: OutboxChunk): StoredSpan[] {
    const held = this.#held.get(id)
    if (held === undefined) return []
    try {
      return readEntry(held.bytes, held.measures)
    } catch (error) {
      this.#forget(held)
      this.counters.dead += held.unsettled
      this.#bury(held.stream, held.entry, held.bytes, (error as Error).message)
      return []
    }
  }

  loadParts(parts: readonly Part[], into: Buffer, at: number): number {
    return loadInline(parts, into, at)
  }

  acknowledge(_exporter: string, settlements: readonly Settlement[]): void {
    for (const settlement of settlements) {
      const held = this.#held.get(settlement.chunk)
      if (held === undefined) continue
      this.#count(held, settlement)
      const { deadLetters, complete, states } = settlement
      for (const letter of deadLetters) {
        held.letters.push(letter)
        this.#remember(this.#about(held, letter))
      }
      if (!complete) {
        held.info = { ...held.info, states }
        continue
      }
      this.#forget(held)
      const letters = held.letters.length > 0 ? this.#lettersOf(held) : null
      this.#leave({ stream: held.stream, entry: held.entry, letters })
    }
  }

  #count(held: Held, settlement: Settlement): void {
    const { counters } = this
    const { delivered, dead, dropped, resent, notResent } = settlement
    let settled = delivered + dead
    counters.delivered += delivered
    counters.dead += dead
    counters.resent += resent
    counters.notResent += notResent
    for (const [reason, count] of Object.entries(dropped)) {
      settled += count
      if (count > 0) counters.dropped[reason] = (counters.dropped[reason] ?? 0) + count
    }
    held.unsettled -= settled
    this.#observations -= settled
  }

  /** The entry is read when the first one is asked for, once for all. */
  *#lettersOf(held: Held): Generator<RedisDeadLetter, undefined> {
    const spans = readEntry(held.bytes, held.measures)
    for (const letter of held.letters) {
      const span = spans[letter.index] as StoredSpan
      yield { ...this.#about(held, letter), bytes: encoder.encode([span]) }
    }
  }

  #about({ stream, entry }: Held, letter: DeadLetter): RedisDeadLetter {
    const { traceId, spanId, name, reason } = letter
    return {
      exporter: this.#exporter,
      stream,
      entry,
      reason,
      traceId: traceId.toString('hex'),
      spanId: spanId.toString('hex'),
      name,
      bytes: NO_BYTES,
    }
  }

  #remember(letter: RedisDeadLetter): void {
    // Its bytes are in Redis.
    this.deadLetters.unshift({ ...letter, bytes: NO_BYTES, time: Date.now() })
    this.deadLetters.length = Math.min(this.deadLetters.length, KEPT_DEAD_LETTERS)
  }

  #forget(held: Held): void {
    this.#held.delete(held.info.id)
    this.#observations -= held.unsettled
  }

  backlog(): Backlog {
    return { chunks: this.#held.size, spans: this.#observations, bytes: this.#bytes }
  }

  /** When the oldest entry that is held was added, by the clock of Redis; null: none is held. */
  oldest(): number | null {
    let oldest = Number.POSITIVE_INFINITY
    for (const { entry } of this.#held.values()) {
      oldest = Math.min(oldest, Number(entry.slice(0, entry.indexOf('-'))))
    }
    return Number.isFinite(oldest) ? oldest : null
  }

  /** Nothing is sent again, and nothing dropped: what there is no room for stays in Redis. */
  againChunks(): OutboxChunk[] {
    return []
  }

  drop(): Unsettled {
    return { observations: 0, counted: 0 }
  }
}

/**
 * Aligned, and without what else the connection got in the same piece, which would be kept along. Large entries have memory
 * of their own already.
 */
function ownBytes(given: Buffer): Buffer {
  if (given.byteOffset === 0 && given.buffer.byteLength === given.length) return given
  const bytes = allocateChunk(given.length)
  given.copy(bytes)
  return bytes
}

function keyOf(stream: string, entry: string): string {
  return `${stream} ${entry}`
}
