// Spans that a relay of a pool has read and not delivered yet, in memory: the outbox of one exporter. In observations, since
// the relay started:
//
//   read = delivered + dead + dropped + held
//
// An entry is a chunk of the outbox. When all of its spans are settled it leaves: its dead letters are written first.
import { spanBytes } from '../../export/cut.ts'
import type { Outbox, OutboxChunk, Shelf } from '../../export/outbox.ts'
import type { RedisDeadLetter } from '../../redis/dead-letters.ts'
import { entryEncoder, loadInline, measureEntry, readEntry, spansSaid } from '../../redis/entry.ts'
import type { SpanMeasures } from '../../redis/measure-spans.ts'
import { allocateChunk } from '../../store/chunk.ts'
import type { Part, StoredSpan } from '../../store/span.ts'
import type { Backlog, DeadLetter, Settlement, Unsettled } from '../../store/store.ts'
import type { StreamEntry } from './group.ts'
import { addedAt, HeldEntries, LETTER_BYTES, type Letters } from './held-entries.ts'

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

/** What an entry on the shelf had when it came there. */
type Rest = Pick<Held, 'unsettled'> & Pick<OutboxChunk, 'states'>

const NO_BYTES = Buffer.alloc(0)

const encoder = entryEncoder({ load: loadInline, maxSpanBytes: LETTER_BYTES })

export class RedisOutbox extends HeldEntries implements Outbox {
  protected readonly content = 'spans'
  /** In the order in which they were read. */
  readonly #held = new Map<number, Held>()
  #lastId = 0
  #observations = 0

  protected hold(stream: string, { id }: StreamEntry, given: Buffer): void {
    const held = this.#open(stream, id, given)
    held.unsettled = held.measures.starts.length - held.measures.revisions
    this.#observations += held.unsettled
    this.counters.read += held.unsettled
  }

  protected said(bytes: Buffer): number {
    return spansSaid(bytes)
  }

  #open(stream: string, entry: string, given: Buffer): Held {
    const bytes = ownBytes(given)
    const measures = measureEntry(bytes)
    const id = ++this.#lastId
    const { starts, expandedBytes } = measures
    const info = { id, spans: starts.length, expandedBytes, states: null }
    const held = { info, stream, entry, bytes, measures, unsettled: 0, letters: [] }
    this.#held.set(id, held)
    return held
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
      this.bury(held.stream, { id: held.entry }, held.bytes, (error as Error).message)
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
        this.remember(this.#about(held, letter))
      }
      if (!complete) {
        held.info = { ...held.info, states }
        continue
      }
      this.#forget(held)
      const letters = held.letters.length > 0 ? this.#lettersOf(held) : null
      this.leave(held.stream, held.entry, letters)
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
  #lettersOf(held: Held): Letters {
    let spans: StoredSpan[] | undefined
    return {
      length: held.letters.length,
      at: (index) => {
        const letter = held.letters.at(index)
        if (letter === undefined) return
        spans ??= readEntry(held.bytes, held.measures)
        const span = spans[letter.index] as StoredSpan
        const isCut = spanBytes(span) > LETTER_BYTES
        return { ...this.#about(held, letter), isCut, bytes: encoder.encode([span]) }
      },
    }
  }

  #about({ stream, entry }: Held, letter: DeadLetter): RedisDeadLetter {
    const { traceId, spanId, name, reason } = letter
    return {
      exporter: this.exporter,
      stream,
      entry,
      reason,
      traceId: traceId.toString('hex'),
      spanId: spanId.toString('hex'),
      name,
      content: this.content,
      bytes: NO_BYTES,
    }
  }

  #forget(held: Held): void {
    this.#held.delete(held.info.id)
    this.#observations -= held.unsettled
  }

  // --- what waits for keys ---

  readonly shelf: Shelf = {
    put: (chunk, lanes) => {
      const held = this.#held.get(chunk)
      // Its dead letters need its bytes.
      if (held === undefined || held.letters.length > 0) return
      const { stream, entry, unsettled } = held
      const rest = { unsettled, states: held.info.states }
      const again = (come: StreamEntry | null): void => this.#again(stream, entry, come, rest)
      if (this.shelve({ stream, entry, lanes, again })) this.#held.delete(chunk)
    },
    recall: (lane, most) => this.want(lane, most),
  }

  #again(stream: string, entry: string, come: StreamEntry | null, rest: Rest): void {
    const gone = (): void => {
      this.#observations -= rest.unsettled
    }
    if (come === null) {
      const { dropped } = this.counters
      dropped.trimmed = (dropped.trimmed ?? 0) + rest.unsettled
      gone()
      this.leave(stream, entry, null)
      return
    }
    try {
      const held = this.#open(stream, entry, come.bytes ?? NO_BYTES)
      held.info = { ...held.info, states: rest.states }
      held.unsettled = rest.unsettled
    } catch (error) {
      this.counters.dead += rest.unsettled
      gone()
      throw error
    }
  }

  backlog(): Backlog {
    const chunks = this.#held.size + this.shelved
    return { chunks, spans: this.#observations, bytes: this.bytes }
  }

  /** When the oldest entry that is held was added, by the clock of Redis; null: none is held. */
  oldest(): number | null {
    let oldest = this.oldestShelved()
    for (const { entry } of this.#held.values()) oldest = Math.min(oldest, addedAt(entry))
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
