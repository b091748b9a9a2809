import {
  createReadStream,
  existsSync,
  mkdirSync,
  type ReadStream,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync, StatementSync } from 'node:sqlite'

// Media on its way: a row for each place in a span that has content, by exporter and keys. The content lies once, in a file
// named by its SHA-256, as long as a row waits for it. A settled row stays until it is too old: it says what was uploaded
// under which keys, so that a span that is encoded again brings nothing twice. Invariants:
//
//   - a row's content is there before the row, and the row before its span is sent
//   - for each exporter: accepted = delivered + dead + dropped + held; what is sent again is accepted a second time

/** Where a row is: uploaded = the content is there, and Langfuse is still to be told. */
const STATE = { waiting: 0, uploaded: 1, delivered: 2, dead: 3, dropped: 4 } as const

const KEPT_SETTLED = 100_000
/** Removed in one transaction. */
const SLICE = 1000

/** Where content stands. */
export interface MediaPlace {
  readonly exporter: string
  /** '': none is named. */
  readonly project: string
  readonly writer: string
  /** Hex. */
  readonly traceId: string
  readonly observationId: string
}

interface NewMedia {
  readonly content: Buffer
  readonly sha256: string
  readonly contentType: string
  readonly field: string
}

export interface HeldMedia {
  readonly id: number
  /** Hex. */
  readonly sha256: string
  readonly contentType: string
  readonly bytes: number
  readonly traceId: string
  readonly observationId: string
  readonly field: string
  /** What Langfuse is to be told of an upload that is done; null: it is to be done. */
  readonly upload: Upload | null
}

export interface Upload {
  readonly mediaId: string
  /** ISO 8601. */
  readonly uploadedAt: string
  readonly uploadHttpStatus: number
  readonly uploadTimeMs: number
}

export type MediaOutcome =
  | { readonly type: 'delivered' }
  | { readonly type: 'dead' | 'dropped'; readonly reason: string }

/** What the store does for it. */
interface Within {
  transaction(change: () => void): void
  /** Adds to counters; inside a transaction. */
  count(counters: Readonly<Record<string, number>>): void
}

export class MediaOutbox {
  readonly #within: Within
  readonly #directory: string
  readonly #sql: Readonly<Record<keyof typeof SQL, StatementSync>>
  /** Those that take media now, by name. */
  #exporters: ReadonlyMap<string, number> = new Map()

  /** Content lies in `directory`, which is made when there is some. */
  constructor(database: DatabaseSync, directory: string, within: Within) {
    this.#within = within
    this.#directory = directory
    this.#sql = Object.fromEntries(
      Object.entries(SQL).map(([name, text]) => [name, database.prepare(text)]),
    ) as Record<keyof typeof SQL, StatementSync>
    this.#removeLeftOver()
  }

  /** Content without a row: a crash came in between. */
  #removeLeftOver(): void {
    if (!existsSync(this.#directory)) return
    for (const name of readdirSync(this.#directory)) {
      if (this.#sql.isNeeded.get(name) === undefined) rmSync(join(this.#directory, name))
    }
  }

  /** Which exporters take media from now on. */
  exporters(exporters: ReadonlyMap<string, number>): void {
    this.#exporters = exporters
  }

  #exporter(name: string): number {
    const id = this.#exporters.get(name)
    if (id === undefined) throw new Error(`no exporter ${name} that takes media`)
    return id
  }

  /** Takes media of a span in, but what is known already. Returns how many are new. */
  add(place: MediaPlace, media: readonly NewMedia[]): number {
    const { exporter, project, writer, traceId, observationId } = place
    const id = this.#exporter(exporter)
    const isNew = ({ sha256, field }: NewMedia): boolean =>
      this.#sql.known.get(id, project, traceId, observationId, field, sha256) === undefined
    const fresh = media.filter(isNew)
    if (fresh.length === 0) return 0
    for (const { sha256, content } of fresh) this.#keep(sha256, content)
    let added = 0
    this.#within.transaction(() => {
      const now = Date.now()
      for (const { sha256, contentType, content, field } of fresh) {
        const { changes } = this.#sql.add.run(
          id,
          project,
          writer,
          traceId,
          observationId,
          field,
          sha256,
          contentType,
          content.length,
          now,
        )
        added += Number(changes)
      }
      this.#within.count({ [`${exporter}.media.accepted`]: added })
    })
    return added
  }

  #path(sha256: string): string {
    return join(this.#directory, sha256)
  }

  #keep(sha256: string, content: Buffer): void {
    const path = this.#path(sha256)
    if (existsSync(path)) return
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
    // Whole, or not there under its name.
    try {
      writeFileSync(`${path}.part`, content, { mode: 0o600 })
      renameSync(`${path}.part`, path)
    } catch (error) {
      rmSync(`${path}.part`, { force: true })
      throw error
    }
  }

  /** Projects of which media wait; '' for what names none. */
  projects(exporter: string): string[] {
    return this.#sql.projects.all(this.#exporter(exporter)).map((row) => String(row.project))
  }

  /** The oldest of a project that waits, but content that is `busy`; undefined: there is none. */
  next(exporter: string, project: string, busy: ReadonlySet<string>): HeldMedia | undefined {
    for (const row of this.#sql.next.iterate(this.#exporter(exporter), project)) {
      const sha256 = String(row.sha256)
      if (busy.has(sha256)) continue
      return {
        id: Number(row.id),
        sha256,
        contentType: String(row.content_type),
        bytes: Number(row.bytes),
        traceId: String(row.trace),
        observationId: String(row.observation),
        field: String(row.field),
        upload: row.state === STATE.uploaded ? JSON.parse(String(row.note)) : null,
      }
    }
    return undefined
  }

  /** Null: it is gone. */
  content(sha256: string): ReadStream | null {
    const path = this.#path(sha256)
    return existsSync(path) ? createReadStream(path) : null
  }

  /** The content is uploaded: from now on it is not again, whatever comes. */
  uploaded(id: number, upload: Upload): void {
    this.#sql.uploaded.run(JSON.stringify(upload), id)
  }

  /** Takes in what became of media. */
  settle(exporter: string, { id, sha256 }: HeldMedia, outcome: MediaOutcome): void {
    this.#within.transaction(() => this.#settle(exporter, id, outcome))
    this.#release(sha256)
  }

  #settle(exporter: string, id: number, outcome: MediaOutcome): void {
    const reason = outcome.type === 'delivered' ? null : outcome.reason
    const { changes } = this.#sql.settle.run(STATE[outcome.type], reason, Date.now(), id)
    const what = outcome.type === 'dropped' ? `dropped.${reason}` : outcome.type
    this.#within.count({ [`${exporter}.media.${what}`]: Number(changes) })
  }

  /** Removes content that no row waits for. */
  #release(sha256: string): void {
    if (this.#sql.isNeeded.get(sha256) === undefined) rmSync(this.#path(sha256), { force: true })
  }

  /** Drops the oldest that are not `busy`, a slice of them, until no more than so many bytes wait. Returns how many. */
  trim(exporter: string, maxBytes: number, busy: ReadonlySet<string>): number {
    const id = this.#exporter(exporter)
    let over = Number(this.#sql.bytes.get(id)?.bytes ?? 0) - maxBytes
    if (over <= 0) return 0
    const dropped: { id: number; sha256: string }[] = []
    for (const row of this.#sql.oldest.iterate(id)) {
      const sha256 = String(row.sha256)
      if (over <= 0 || dropped.length === SLICE) break
      if (busy.has(sha256)) continue
      over -= Number(row.bytes)
      dropped.push({ id: Number(row.id), sha256 })
    }
    this.#within.transaction(() => {
      for (const one of dropped) {
        this.#settle(exporter, one.id, { type: 'dropped', reason: 'backlog_full' })
      }
    })
    for (const { sha256 } of dropped) this.#release(sha256)
    return dropped.length
  }

  /** Whether the exporter takes media now. */
  isTaking(exporter: string): boolean {
    return this.#exporters.has(exporter)
  }

  /** A dead letter is held again. Its content had gone. False: there is no such dead letter. */
  retry(
    exporter: string,
    id: number,
    { sha256, content }: Pick<NewMedia, 'sha256' | 'content'>,
  ): boolean {
    this.#keep(sha256, content)
    let retried = 0
    this.#within.transaction(() => {
      retried = Number(this.#sql.retry.run(Date.now(), id).changes)
      this.#within.count({
        [`${exporter}.media.accepted`]: retried,
        [`${exporter}.media.retried`]: retried,
      })
    })
    this.#release(sha256)
    return retried === 1
  }

  /** Takes dead letters off the list, counted; what they were stays known. Returns how many there were. */
  dropDead(exporter: string, ids: readonly number[]): number {
    let dropped = 0
    this.#within.transaction(() => {
      for (const id of ids) dropped += Number(this.#sql.dropDead.run(id).changes)
      this.#within.count({ [`${exporter}.media.deadDropped`]: dropped })
    })
    return dropped
  }

  /**
   * Forgets what was settled of observations, dead letters excepted: when they are encoded again, Langfuse is asked again
   * whether it has their media.
   */
  forget(
    exporter: string,
    observations: readonly { readonly traceId: string; readonly observationId: string }[],
  ): void {
    const id = this.#exporter(exporter)
    const projects = this.#sql.allProjects.all(id).map((row) => String(row.project))
    if (projects.length === 0) return
    this.#within.transaction(() => {
      for (const { traceId, observationId } of observations) {
        for (const project of projects) this.#sql.forget.run(id, project, traceId, observationId)
      }
    })
  }

  // --- for answers to `<writer>.flush` ---

  /** The newest of a writer that some exporter has not settled; 0: there is none. */
  newestOf(writer: string): number {
    return Math.max(0, ...this.#each((id) => Number(this.#sql.newest.get(writer, id)?.id ?? 0)))
  }

  /** Whether all exporters have settled the writer's media up to that one. */
  isSettled(writer: string, upTo: number): boolean {
    return this.#each((id) => this.#sql.unsettled.get(writer, upTo, id)).every(
      (row) => row === undefined,
    )
  }

  #each<T>(of: (exporter: number) => T): T[] {
    return [...this.#exporters.values()].map(of)
  }

  /** How many wait for exporters that take media now. */
  held(): number {
    return this.#each((id) => Number(this.#sql.held.get(id)?.held)).reduce(
      (sum, count) => sum + count,
      0,
    )
  }

  /** Removes what was settled before that (ms), and drops what waits for exporters that take media no more. */
  expire(before: number): void {
    const gone: string[] = []
    this.#within.transaction(() => {
      this.#sql.expireSettled.run(before, SLICE)
      this.#sql.trimSettled.run(KEPT_SETTLED)
      for (const row of this.#sql.exporters.all()) {
        if (this.#exporters.has(String(row.name))) continue
        for (const held of this.#sql.expiring.all(Number(row.id), before, SLICE)) {
          this.#settle(String(row.name), Number(held.id), { type: 'dropped', reason: 'expired' })
          gone.push(String(held.sha256))
        }
      }
    })
    for (const sha256 of gone) this.#release(sha256)
  }
}

const SQL = {
  known: `SELECT 1 FROM media WHERE exporter = ? AND project = ? AND trace = ? AND observation = ?
    AND field = ? AND sha256 = ?`,
  add: `INSERT OR IGNORE INTO media (exporter, project, writer, trace, observation, field, sha256,
    content_type, bytes, changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  projects: `SELECT DISTINCT project FROM media WHERE exporter = ? AND state < 2`,
  next: `SELECT * FROM media WHERE exporter = ? AND project = ? AND state < 2 ORDER BY id`,
  uploaded: `UPDATE media SET state = 1, note = ? WHERE id = ? AND state = 0`,
  settle: `UPDATE media SET state = ?, note = ?, changed = ? WHERE id = ? AND state < 2`,
  // No writer: its application has been told what became of it, and waits for it no more.
  retry: `UPDATE media SET state = 0, note = NULL, writer = '', changed = ?
    WHERE id = ? AND state = 3`,
  dropDead: `UPDATE media SET state = 4 WHERE id = ? AND state = 3`,
  allProjects: `SELECT DISTINCT project FROM media WHERE exporter = ?`,
  forget: `DELETE FROM media WHERE exporter = ? AND project = ? AND trace = ? AND observation = ?
    AND state IN (2, 4)`,
  isNeeded: `SELECT 1 FROM media WHERE sha256 = ? AND state < 2 LIMIT 1`,
  bytes: 'SELECT sum(bytes) AS bytes FROM media WHERE exporter = ? AND state < 2',
  oldest: 'SELECT id, sha256, bytes FROM media WHERE exporter = ? AND state < 2 ORDER BY id',
  newest: 'SELECT max(id) AS id FROM media WHERE writer = ? AND exporter = ? AND state < 2',
  unsettled: `SELECT 1 FROM media
    WHERE writer = ? AND id <= ? AND exporter = ? AND state < 2 LIMIT 1`,
  held: 'SELECT count(*) AS held FROM media WHERE exporter = ? AND state < 2',
  exporters: 'SELECT id, name FROM exporter WHERE media > 0',
  expireSettled: `DELETE FROM media WHERE id IN (
    SELECT id FROM media WHERE state >= 2 AND changed < ? LIMIT ?)`,
  trimSettled: `DELETE FROM media WHERE id IN (
    SELECT id FROM media WHERE state >= 2 ORDER BY id DESC LIMIT -1 OFFSET ?)`,
  expiring: `SELECT id, sha256 FROM media
    WHERE exporter = ? AND state < 2 AND changed < ? LIMIT ?`,
} as const
