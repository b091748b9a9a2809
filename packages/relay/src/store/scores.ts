import type { DatabaseSync, StatementSync } from 'node:sqlite'

// Scores on their way: a row for each exporter that takes them, until it is settled. One that the server rejects keeps its
// row, as a dead letter. For each exporter: accepted = delivered + dead + dropped + held. One that is taken from the dead
// letters to be sent again is accepted a second time: what was counted stays counted.

const KEPT_DEAD_LETTERS = 10_000
/** Removed in one transaction. */
const SLICE = 1000

/** A score as a receiver hands it over. */
export interface NewScore {
  /** '': none is named. */
  readonly project: string
  /** The JSON object that Langfuse's API takes. */
  readonly json: string
}

export interface HeldScore {
  readonly id: number
  readonly json: string
  /** Of the JSON as UTF-8. */
  readonly bytes: number
}

/** At most so many, and so many bytes or one. */
export interface MostScores {
  readonly count: number
  readonly maxBytes: number
}

/** The first of `scores`, but those that are `taken`. */
export function firstOf(
  scores: Iterable<HeldScore>,
  taken: ReadonlySet<number>,
  { count, maxBytes }: MostScores,
): HeldScore[] {
  const first: HeldScore[] = []
  let left = maxBytes
  for (const score of scores) {
    if (taken.has(score.id)) continue
    left -= score.bytes
    if (first.length === count || (left < 0 && first.length > 0)) break
    first.push(score)
  }
  return first
}

/** What the store does for it. */
interface Within {
  transaction(change: () => void): void
  /** Adds to counters; inside a transaction. */
  count(counters: Readonly<Record<string, number>>): void
}

export class ScoreOutbox {
  readonly #within: Within
  readonly #sql: Readonly<Record<keyof typeof SQL, StatementSync>>
  /** Those that take scores now, by name. */
  #exporters: ReadonlyMap<string, number> = new Map()

  constructor(database: DatabaseSync, within: Within) {
    this.#within = within
    this.#sql = Object.fromEntries(
      Object.entries(SQL).map(([name, text]) => [name, database.prepare(text)]),
    ) as Record<keyof typeof SQL, StatementSync>
  }

  /** Which exporters take scores from now on. */
  exporters(exporters: ReadonlyMap<string, number>): void {
    this.#exporters = exporters
  }

  #exporter(name: string): number {
    const id = this.#exporters.get(name)
    if (id === undefined) throw new Error(`no exporter ${name} that takes scores`)
    return id
  }

  /** Inside the transaction of a commit. */
  add(writer: string, scores: readonly NewScore[], now: number): void {
    if (scores.length === 0) return
    const counts: Record<string, number> = { scores: scores.length }
    if (this.#exporters.size === 0) counts.scoresWithoutExporter = scores.length
    for (const [name, exporter] of this.#exporters) {
      counts[`${name}.scores.accepted`] = scores.length
      for (const { project, json } of scores) {
        this.#sql.add.run(exporter, project, writer, json, Buffer.byteLength(json), now)
      }
    }
    this.#within.count(counts)
  }

  /** Projects of which scores wait; '' for those that name none. */
  projects(exporter: string): string[] {
    const id = this.#exporter(exporter)
    return this.#sql.projects.all(id, id).map((row) => String(row.project))
  }

  /**
   * Waiting scores of a project behind `after`, in order, but those that are `taken`: at most `count`, and `maxBytes` or one.
   */
  next(
    exporter: string,
    project: string,
    after: number,
    taken: ReadonlySet<number>,
    most: MostScores,
  ): HeldScore[] {
    return firstOf(this.#behind(exporter, project, after), taken, most)
  }

  *#behind(exporter: string, project: string, after: number): Generator<HeldScore> {
    for (const row of this.#sql.next.iterate(this.#exporter(exporter), project, after)) {
      yield { id: Number(row.id), json: String(row.json), bytes: Number(row.bytes) }
    }
  }

  /** Takes in what became of scores. Those that the outbox does not hold count nothing. */
  acknowledge(
    exporter: string,
    delivered: readonly number[],
    dead: readonly { readonly id: number; readonly reason: string }[],
  ): void {
    const id = this.#exporter(exporter)
    const { remove, reject, trimDead } = this.#sql
    this.#within.transaction(() => {
      let arrived = 0
      let rejected = 0
      for (const score of delivered) arrived += Number(remove.run(score, id).changes)
      for (const { id: score, reason } of dead) {
        rejected += Number(reject.run(reason, Date.now(), score, id).changes)
      }
      if (rejected > 0) trimDead.run(KEPT_DEAD_LETTERS)
      this.#within.count({
        [`${exporter}.scores.delivered`]: arrived,
        [`${exporter}.scores.dead`]: rejected,
      })
    })
  }

  /**
   * Drops the oldest that are not `taken`, a slice of them, until no more than so many bytes wait. Returns how many, which
   * are counted.
   */
  trim(exporter: string, maxBytes: number, taken: ReadonlySet<number>): number {
    const id = this.#exporter(exporter)
    let over = Number(this.#sql.bytes.get(id)?.bytes ?? 0) - maxBytes
    if (over <= 0) return 0
    const dropped: number[] = []
    for (const row of this.#sql.oldest.iterate(id)) {
      if (over <= 0 || dropped.length === SLICE) break
      if (taken.has(Number(row.id))) continue
      over -= Number(row.bytes)
      dropped.push(Number(row.id))
    }
    this.#within.transaction(() => {
      for (const score of dropped) this.#sql.remove.run(score, id)
      this.#within.count({ [`${exporter}.scores.dropped.backlog_full`]: dropped.length })
    })
    return dropped.length
  }

  /** Whether the exporter takes scores now. */
  isTaking(exporter: string): boolean {
    return this.#exporters.has(exporter)
  }

  /** Dead letters are held again, as new ones: delivery has passed their ids. Returns how many there were. */
  retry(exporter: string, ids: readonly number[]): number {
    let retried = 0
    this.#within.transaction(() => {
      for (const id of ids) {
        const { changes } = this.#sql.copyDead.run(Date.now(), id)
        retried += Number(changes)
        this.#sql.removeDead.run(id)
      }
      this.#within.count({
        [`${exporter}.scores.accepted`]: retried,
        [`${exporter}.scores.retried`]: retried,
      })
    })
    return retried
  }

  /** Takes dead letters off the list, counted. Returns how many there were. */
  dropDead(exporter: string, ids: readonly number[]): number {
    let dropped = 0
    this.#within.transaction(() => {
      for (const id of ids) dropped += Number(this.#sql.removeDead.run(id).changes)
      this.#within.count({ [`${exporter}.scores.deadDropped`]: dropped })
    })
    return dropped
  }

  // --- for answers to `<writer>.flush` ---

  /** The newest score of a writer that some exporter has not settled; 0: there is none. */
  newestOf(writer: string): number {
    return Math.max(0, ...this.#each((id) => Number(this.#sql.newest.get(writer, id)?.id ?? 0)))
  }

  /** Whether all exporters have settled the writer's scores up to that one. */
  isSettled(writer: string, upTo: number): boolean {
    return this.#each((id) => this.#sql.unsettled.get(writer, upTo, id)).every(
      (row) => row === undefined,
    )
  }

  #each<T>(of: (exporter: number) => T): T[] {
    return [...this.#exporters.values()].map(of)
  }

  /** How many wait for exporters that take scores now. */
  held(): number {
    return this.#each((id) => Number(this.#sql.held.get(id)?.held)).reduce(
      (sum, count) => sum + count,
      0,
    )
  }

  // --- retention ---

  /** Inside a transaction: removes dead letters older than that (ms), and what waits for exporters that take scores no more. */
  expire(before: number): void {
    this.#sql.expireDead.run(before, SLICE)
    for (const row of this.#sql.exporters.all()) {
      const name = String(row.name)
      if (this.#exporters.has(name)) continue
      const { changes } = this.#sql.expireHeld.run(Number(row.id), before, SLICE)
      this.#within.count({ [`${name}.scores.dropped.expired`]: Number(changes) })
    }
  }
}

const SQL = {
  add: `INSERT INTO score (exporter, project, writer, json, bytes, committed)
    VALUES (?, ?, ?, ?, ?, ?)`,
  // One step in the index for each project: DISTINCT would pass over all that waits. (Node 22 can't bind ?1 twice.)
  projects: `WITH RECURSIVE found (project) AS (
    SELECT min(project) FROM score WHERE exporter = ? AND reason IS NULL UNION ALL
    SELECT (SELECT min(project) FROM score
      WHERE exporter = ? AND project > found.project AND reason IS NULL)
    FROM found WHERE project IS NOT NULL)
    SELECT project FROM found WHERE project IS NOT NULL`,
  next: `SELECT id, json, bytes FROM score
    WHERE exporter = ? AND project = ? AND id > ? AND reason IS NULL ORDER BY id`,
  remove: 'DELETE FROM score WHERE id = ? AND exporter = ? AND reason IS NULL',
  reject: `UPDATE score SET reason = ?, committed = ?
    WHERE id = ? AND exporter = ? AND reason IS NULL`,
  // No writer: its application has been told what became of it, and waits for it no more.
  copyDead: `INSERT INTO score (exporter, project, writer, json, bytes, committed)
    SELECT exporter, project, '', json, bytes, ? FROM score
    WHERE id = ? AND reason IS NOT NULL`,
  removeDead: 'DELETE FROM score WHERE id = ? AND reason IS NOT NULL',
  trimDead: `DELETE FROM score WHERE id IN (
    SELECT id FROM score WHERE reason IS NOT NULL ORDER BY id DESC LIMIT -1 OFFSET ?)`,
  bytes: 'SELECT sum(bytes) AS bytes FROM score WHERE exporter = ? AND reason IS NULL',
  // From the first row on, and not all of an exporter's sorted.
  oldest: `SELECT id, bytes FROM score NOT INDEXED
    WHERE exporter = ? AND reason IS NULL ORDER BY id`,
  newest: `SELECT max(id) AS id FROM score
    WHERE writer = ? AND exporter = ? AND reason IS NULL`,
  unsettled: `SELECT 1 FROM score
    WHERE writer = ? AND id <= ? AND exporter = ? AND reason IS NULL LIMIT 1`,
  held: 'SELECT count(*) AS held FROM score WHERE exporter = ? AND reason IS NULL',
  exporters: 'SELECT id, name FROM exporter WHERE scores > 0',
  expireDead: `DELETE FROM score WHERE id IN (
    SELECT id FROM score WHERE reason IS NOT NULL AND committed < ? LIMIT ?)`,
  expireHeld: `DELETE FROM score WHERE id IN (SELECT id FROM score
    WHERE exporter = ? AND reason IS NULL AND committed < ? LIMIT ?)`,
} as const
