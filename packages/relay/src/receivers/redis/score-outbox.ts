// Scores that a relay of a pool has read and not delivered yet, in memory, for one exporter; in scores, since it started:
//
//   read = delivered + dead + dropped + held
//
// An entry has scores of one project. When all of them are settled it leaves: its dead letters are written first.
import type { ScoresWaiting } from '../../export/outbox.ts'
import type { RedisDeadLetter } from '../../redis/dead-letters.ts'
import { readScores, scoreOf } from '../../redis/score-entry.ts'
import { firstOf, type HeldScore, type MostScores } from '../../store/scores.ts'
import type { StreamEntry } from './group.ts'
import { addedAt, HeldEntries, LETTER_BYTES } from './held-entries.ts'

interface Held {
  readonly stream: string
  readonly entry: string
  readonly project: string
  /** Lines of the entry that nothing has become of yet, by the id of their score. */
  readonly waiting: Map<number, { readonly line: number; readonly score: HeldScore }>
  readonly letters: RedisDeadLetter[]
}

/** What a score takes beside its text. */
const SCORE_BYTES = 256
const NO_BYTES = Buffer.alloc(0)

export class RedisScoreOutbox extends HeldEntries implements ScoresWaiting {
  protected readonly content = 'scores'
  /** By project, scores in the order in which they were read, each with its entry. */
  readonly #projects = new Map<string, Map<number, Held>>()
  #lastId = 0
  #scores = 0

  protected hold(stream: string, entry: StreamEntry, bytes: Buffer): void {
    const count = this.#open(stream, entry, bytes, null)
    this.#scores += count
    this.counters.read += count
  }

  /** Returns how many scores of it wait. */
  #open(
    stream: string,
    { id: entry, project = '', version = '' }: StreamEntry,
    bytes: Buffer,
    only: ReadonlySet<number> | null,
  ): number {
    const lines = readScores(version, bytes)
    const held: Held = { stream, entry, project, waiting: new Map(), letters: [] }
    const ofProject = this.#projects.get(project) ?? new Map<number, Held>()
    this.#projects.set(project, ofProject)
    for (const [line, text] of lines.entries()) {
      if (only !== null && !only.has(line)) continue
      const id = ++this.#lastId
      held.waiting.set(id, { line, score: { id, json: text.toString(), bytes: text.length } })
      ofProject.set(id, held)
    }
    this.charge(stream, entry, SCORE_BYTES * held.waiting.size)
    return held.waiting.size
  }

  /** Nobody looks into it. */
  protected said(bytes: Buffer): number {
    return bytes.length === 0
      ? 0
      : bytes.reduce((count, byte) => (byte === 10 ? count + 1 : count), 1)
  }

  // --- for the delivery ---

  projects(): string[] {
    return [...this.#projects.keys()]
  }

  next(
    _exporter: string,
    project: string,
    after: number,
    taken: ReadonlySet<number>,
    most: MostScores,
  ): HeldScore[] {
    return firstOf(this.#behind(project, after), taken, most)
  }

  *#behind(project: string, after: number): Generator<HeldScore> {
    for (const [id, held] of this.#projects.get(project) ?? []) {
      if (id > after) yield held.waiting.get(id)!.score
    }
  }

  acknowledge(
    _exporter: string,
    delivered: readonly number[],
    dead: readonly { readonly id: number; readonly reason: string }[],
  ): void {
    const entries = this.#entriesOf([...delivered, ...dead.map(({ id }) => id)])
    for (const id of delivered) {
      if (this.#settle(entries.get(id), id)) this.counters.delivered++
    }
    for (const { id, reason } of dead) {
      const held = entries.get(id)
      const score = held?.waiting.get(id)?.score
      if (held === undefined || score === undefined) continue
      const letter = this.#letterOf(held, score, reason)
      held.letters.push(letter)
      this.remember(letter)
      this.#settle(held, id)
      this.counters.dead++
    }
    for (const { stream, entry, waiting, letters } of new Set(entries.values())) {
      if (waiting.size > 0) continue
      this.leave(stream, entry, letters.length > 0 ? letters : null)
    }
  }

  #entriesOf(ids: readonly number[]): Map<number, Held> {
    const found = new Map<number, Held>()
    for (const id of ids) {
      for (const ofProject of this.#projects.values()) {
        const held = ofProject.get(id)
        if (held !== undefined) found.set(id, held)
      }
    }
    return found
  }

  /** False: it is not held. */
  #settle(held: Held | undefined, id: number): boolean {
    if (held === undefined) return false
    held.waiting.delete(id)
    this.#takeOut(held.project, id)
    this.#scores--
    return true
  }

  #takeOut(project: string, id: number): void {
    const ofProject = this.#projects.get(project)
    ofProject?.delete(id)
    if (ofProject?.size === 0) this.#projects.delete(project)
  }

  #letterOf(
    { stream, entry, project }: Held,
    { json }: HeldScore,
    reason: string,
  ): RedisDeadLetter {
    const bytes = Buffer.from(json)
    const fits = bytes.length <= LETTER_BYTES
    const { traceId, observationId, name } = scoreOf(bytes) ?? {}
    return {
      exporter: this.exporter,
      stream,
      entry,
      reason: fits ? reason : `${reason}; its ${bytes.length} bytes are not kept`,
      traceId: typeof traceId === 'string' ? traceId : null,
      spanId: typeof observationId === 'string' ? observationId : null,
      name: String(name ?? ''),
      project,
      content: this.content,
      bytes: fits ? bytes : NO_BYTES,
    }
  }

  /** Nothing is dropped: what there is no room for stays in Redis. */
  trim(): number {
    return 0
  }

  // --- what waits for keys ---

  readonly shelf: NonNullable<ScoresWaiting['shelf']> = {
    put: (project, taken) => {
      for (const held of new Set(this.#projects.get(project)?.values())) {
        const ids = [...held.waiting.keys()]
        // The bytes of dead letters are with them.
        if (held.letters.length > 0 || ids.some((id) => taken.has(id))) continue
        const { stream, entry } = held
        const lines = new Set([...held.waiting.values()].map(({ line }) => line))
        const again = (come: StreamEntry | null): void => this.#again(stream, entry, come, lines)
        if (!this.shelve({ stream, entry, lanes: [project], again })) continue
        for (const id of ids) this.#takeOut(project, id)
      }
    },
    recall: (project, most) => this.want(project, most),
  }

  #again(
    stream: string,
    entry: string,
    come: StreamEntry | null,
    lines: ReadonlySet<number>,
  ): void {
    if (come === null) {
      const { dropped } = this.counters
      dropped.trimmed = (dropped.trimmed ?? 0) + lines.size
      this.#scores -= lines.size
      this.leave(stream, entry, null)
      return
    }
    try {
      this.#open(stream, come, come.bytes ?? NO_BYTES, lines)
    } catch (error) {
      this.counters.dead += lines.size
      this.#scores -= lines.size
      throw error
    }
  }

  /** What is held: `chunks` are entries. */
  backlog(): { readonly chunks: number; readonly scores: number; readonly bytes: number } {
    return { chunks: this.#held().size + this.shelved, scores: this.#scores, bytes: this.bytes }
  }

  #held(): Set<Held> {
    return new Set([...this.#projects.values()].flatMap((ofProject) => [...ofProject.values()]))
  }

  /** When the oldest entry that is held was added, by the clock of Redis; null: none is held. */
  oldest(): number | null {
    let oldest = this.oldestShelved()
    for (const { entry } of this.#held()) oldest = Math.min(oldest, addedAt(entry))
    return Number.isFinite(oldest) ? oldest : null
  }
}

/** Where no exporter takes scores: they are acknowledged, and counted. */
export class UnwantedScores extends HeldEntries {
  protected readonly content = 'scores'

  protected hold(stream: string, { id, version = '' }: StreamEntry, bytes: Buffer): void {
    this.counters.read += readScores(version, bytes).length
    this.leave(stream, id, null)
  }

  protected said(): number {
    return 0
  }
}
