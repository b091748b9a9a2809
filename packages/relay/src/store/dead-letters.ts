import type { DatabaseSync, StatementSync } from 'node:sqlite'

// Dead letters as they are listed: what the server of an exporter rejected one by one. Spans, scores and media lie in
// tables of their own, and have numbers of their own.

type DeadKind = 'span' | 'score' | 'media'
export const DEAD_KINDS: readonly DeadKind[] = ['span', 'score', 'media']

/** How people name a dead letter: `span:12`. */
export interface DeadKey {
  readonly what: DeadKind
  readonly id: number
}

export function deadId({ what, id }: DeadKey): string {
  return `${what}:${id}`
}

/** Undefined: it is no such name. */
export function deadKeyOf(text: string): DeadKey | undefined {
  const [, what, id] = /^(span|score|media):(\d{1,15})$/.exec(text) ?? []
  return what === undefined ? undefined : { what: what as DeadKind, id: Number(id) }
}

export interface DeadFilter {
  readonly exporter?: string | undefined
  /** Stands in the reason. */
  readonly reason?: string | undefined
}

interface Dead {
  readonly id: number
  readonly exporter: string
  /** Fit to be shown: bounded, and without secrets. */
  readonly reason: string
  /** Ms since 1970. */
  readonly time: number
}

export interface DeadSpan extends Dead {
  readonly what: 'span'
  /** Hex. */
  readonly traceId: string
  readonly spanId: string
  readonly name: string
  /** Where the span lies: a chunk, and its index there. */
  readonly chunk: number
  readonly index: number
}

export interface DeadScore extends Dead {
  readonly what: 'score'
  /** As Langfuse's API has it. */
  readonly score: Readonly<Record<string, unknown>>
}

export interface DeadMedia extends Dead {
  readonly what: 'media'
  /** Hex. */
  readonly traceId: string
  readonly observationId: string
  /** input, output or metadata. */
  readonly field: string
  readonly contentType: string
  readonly bytes: number
  /** Hex. */
  readonly sha256: string
}

interface Rows {
  readonly span: DeadSpan
  readonly score: DeadScore
  readonly media: DeadMedia
}
export type DeadRow = Rows[DeadKind]

export class DeadLetters {
  readonly #sql: Readonly<Record<DeadKind, Readonly<Record<keyof typeof QUERIES, StatementSync>>>>
  readonly #exporters: StatementSync

  constructor(database: DatabaseSync) {
    const prepare = (kind: DeadKind): Record<keyof typeof QUERIES, StatementSync> => {
      const query = (of: (table: Table) => string): StatementSync =>
        database.prepare(of(TABLES[kind]))
      const { newest, range, count, last } = QUERIES
      return {
        newest: query(newest),
        range: query(range),
        count: query(count),
        last: query(last),
      }
    }
    this.#sql = { span: prepare('span'), score: prepare('score'), media: prepare('media') }
    this.#exporters = database.prepare('SELECT name FROM exporter')
  }

  /** The newest of a kind, newest first. */
  newest<K extends DeadKind>(kind: K, filter: DeadFilter, limit: number): Rows[K][] {
    const rows = this.#sql[kind].newest.all(...values(filter), limit)
    return rows.map((row) => READ[kind](row))
  }

  /** Those of a kind with ids behind `after` and up to `last`, in order, `limit` at most. */
  range<K extends DeadKind>(
    kind: K,
    filter: DeadFilter,
    after: number,
    last: number,
    limit: number,
  ): Rows[K][] {
    const rows = this.#sql[kind].range.all(...values(filter), after, last, limit)
    return rows.map((row) => READ[kind](row))
  }

  get({ what, id }: DeadKey): DeadRow | undefined {
    return this.range(what, {}, id - 1, id, 1)[0]
  }

  /** The highest id of a kind; 0: there is none. */
  last(kind: DeadKind): number {
    return Number(this.#sql[kind].last.get()?.id ?? 0)
  }

  count(filter: DeadFilter): number {
    const counts = DEAD_KINDS.map((kind) => this.#sql[kind].count.get(...values(filter))?.count)
    return counts.reduce((sum: number, count) => sum + Number(count), 0)
  }

  /** Names of all exporters that the store knows. */
  exporters(): string[] {
    return this.#exporters.all().map(({ name }) => String(name))
  }
}

function values({ exporter, reason }: DeadFilter): [string | null, string] {
  return [exporter ?? null, reason ?? '']
}

interface Table {
  readonly from: string
  readonly where: string
  readonly reason: string
  readonly time: string
}

const TABLES: Readonly<Record<DeadKind, Table>> = {
  span: { from: 'dead_letter', where: 'TRUE', reason: 'reason', time: 'time' },
  score: { from: 'score', where: 'd.reason IS NOT NULL', reason: 'reason', time: 'committed' },
  media: { from: 'media', where: 'd.state = 3', reason: 'note', time: 'changed' },
}

const matching = ({ from, where, reason }: Table): string =>
  `FROM ${from} d JOIN exporter e ON e.id = d.exporter
    WHERE ${where} AND e.name = coalesce(?, e.name) AND instr(d.${reason}, ?) > 0`

const columns = ({ reason, time }: Table): string =>
  `d.*, e.name AS exporter_name, d.${reason} AS why, d.${time} AS died`

const QUERIES = {
  newest: (table: Table): string =>
    `SELECT ${columns(table)} ${matching(table)} ORDER BY d.${table.time} DESC, d.id DESC LIMIT ?`,
  range: (table: Table): string =>
    `SELECT ${columns(table)} ${matching(table)} AND d.id > ? AND d.id <= ? ORDER BY d.id LIMIT ?`,
  count: (table: Table): string => `SELECT count(*) AS count ${matching(table)}`,
  last: ({ from, where }: Table): string => `SELECT max(d.id) AS id FROM ${from} d WHERE ${where}`,
} as const

type Row = Readonly<Record<string, unknown>>

const READ: { readonly [K in DeadKind]: (row: Row) => Rows[K] } = {
  span: (row) => ({
    what: 'span',
    ...deadOf(row),
    traceId: hex(row.trace),
    spanId: hex(row.span_id),
    name: String(row.name),
    chunk: Number(row.chunk),
    index: Number(row.span),
  }),
  score: (row) => ({ what: 'score', ...deadOf(row), score: JSON.parse(String(row.json)) }),
  media: (row) => ({
    what: 'media',
    ...deadOf(row),
    traceId: String(row.trace),
    observationId: String(row.observation),
    field: String(row.field),
    contentType: String(row.content_type),
    bytes: Number(row.bytes),
    sha256: String(row.sha256),
  }),
}

function deadOf(row: Row): Dead {
  return {
    id: Number(row.id),
    exporter: String(row.exporter_name),
    reason: String(row.why),
    time: Number(row.died),
  }
}

function hex(value: unknown): string {
  const { buffer, byteOffset, byteLength } = value as Uint8Array
  return Buffer.from(buffer, byteOffset, byteLength).toString('hex')
}
