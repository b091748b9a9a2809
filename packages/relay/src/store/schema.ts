import { accessSync, chmodSync, constants } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { makePrivateDirectory } from '../private-directory.ts'

// The index of the store: integer keys, appended to, few rows. What is long lies in the data files beside it.

/** What makes a store of version n one of version n + 1; the first makes it from nothing. */
const MIGRATIONS: readonly string[] = [
  `
  -- data_file, data_length: how far bytes are committed; first_file: the oldest that is there; finished: observations
  -- that ever were in a chunk; next_chunk: no id is given twice, for exporters remember how far they have read.
  CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE resource (id INTEGER PRIMARY KEY, writer TEXT NOT NULL, json TEXT NOT NULL);
  -- Finished spans that lie together (layout.ts): their place, what they take expanded, the oldest data file that they
  -- refer to, when they were committed (ms). traces: 8 bytes for each trace, by which its chunks are found: the first 4
  -- bytes of its id, and all its words xor-ed.
  CREATE TABLE chunk (
    id INTEGER PRIMARY KEY, resource INTEGER NOT NULL, file INTEGER NOT NULL, offset INTEGER NOT NULL,
    length INTEGER NOT NULL, trace_bytes INTEGER NOT NULL, crc INTEGER NOT NULL, spans INTEGER NOT NULL,
    revisions INTEGER NOT NULL, expanded INTEGER NOT NULL, oldest_file INTEGER NOT NULL,
    committed INTEGER NOT NULL, traces BLOB NOT NULL);
  -- Retention asks for both every few seconds.
  CREATE INDEX chunk_oldest_file ON chunk (oldest_file);
  CREATE INDEX chunk_resource ON chunk (resource);
  -- active: it is configured. left: what was finished when it was not any more.
  CREATE TABLE exporter (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, active INTEGER NOT NULL, left INTEGER NOT NULL);
  -- A chunk that an exporter has not settled; states: one byte a span (states.ts), null = all wait.
  CREATE TABLE outbox (
    exporter INTEGER NOT NULL, chunk INTEGER NOT NULL, states BLOB,
    PRIMARY KEY (exporter, chunk)) WITHOUT ROWID;
  CREATE TABLE dead_letter (
    id INTEGER PRIMARY KEY, exporter INTEGER NOT NULL, chunk INTEGER NOT NULL, span INTEGER NOT NULL,
    trace BLOB NOT NULL, span_id BLOB NOT NULL, name TEXT NOT NULL, reason TEXT NOT NULL, time INTEGER NOT NULL);
  CREATE INDEX dead_letter_chunk ON dead_letter (chunk);
  -- A writer that may still write, or whose segments are still there: its newest header, what the receiver knows of it,
  -- and how far the segment at path is read.
  CREATE TABLE writer (
    id TEXT PRIMARY KEY, header TEXT NOT NULL, state TEXT NOT NULL, open INTEGER NOT NULL, path TEXT,
    offset INTEGER NOT NULL, seen INTEGER NOT NULL) WITHOUT ROWID;
  CREATE VIEW cursor (path, offset) AS SELECT path, offset FROM writer WHERE path IS NOT NULL;
  -- Observations that are open while the segment that they began in is gone; blobs that are not complete likewise.
  CREATE TABLE open_span (
    writer TEXT NOT NULL, key TEXT NOT NULL, words BLOB NOT NULL, state TEXT NOT NULL,
    PRIMARY KEY (writer, key)) WITHOUT ROWID;
  CREATE TABLE open_blobs (writer TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE vitals (id INTEGER PRIMARY KEY, writer TEXT NOT NULL, service TEXT, json TEXT NOT NULL);
  `,
  `
  -- What writers had lost that are gone by their heartbeat alone and may come back: JSON, the receiver's own.
  CREATE TABLE given_up (id INTEGER PRIMARY KEY, writer TEXT NOT NULL UNIQUE, losses TEXT NOT NULL);
  -- settled: of the chunk's observations, those that the exporter has settled; further versions are none. In a chunk that
  -- was settled in part and has further versions, these are taken for the last ones: states don't say which they are.
  ALTER TABLE outbox ADD COLUMN settled INTEGER NOT NULL DEFAULT 0;
  UPDATE outbox SET settled = coalesce((
    SELECT min(c.spans - c.revisions,
      (length(hex(outbox.states)) - length(replace(hex(outbox.states), '02', ''))) / 2)
    FROM chunk c WHERE c.id = outbox.chunk), 0) WHERE states IS NOT NULL;
  `,
  `
  -- scores: 1 = it takes them, 2 = it did, and there may be some of it, 0 = it never did.
  ALTER TABLE exporter ADD COLUMN scores INTEGER NOT NULL DEFAULT 0;
  -- A score for each exporter that takes it, until it is settled; json: as Langfuse's API has it; project: '' = none is
  -- named; reason: why it was rejected, which makes it a dead letter. No id is given twice: delivery remembers them.
  CREATE TABLE score (
    id INTEGER PRIMARY KEY AUTOINCREMENT, exporter INTEGER NOT NULL, project TEXT NOT NULL, writer TEXT NOT NULL,
    json TEXT NOT NULL, bytes INTEGER NOT NULL, committed INTEGER NOT NULL, reason TEXT);
  CREATE INDEX score_held ON score (exporter, project, id, bytes) WHERE reason IS NULL;
  CREATE INDEX score_writer ON score (writer, id) WHERE reason IS NULL;
  CREATE INDEX score_dead ON score (id) WHERE reason IS NOT NULL;
  `,
  `
  -- media: likewise.
  ALTER TABLE exporter ADD COLUMN media INTEGER NOT NULL DEFAULT 0;
  -- Content that stands in a field of an observation (store/media.ts); ids and sha256 in hex. state: 0 waiting, 1 uploaded
  -- and Langfuse not told, 2 delivered, 3 dead, 4 dropped; note: what is to be told, or a reason; changed: ms since 1970.
  CREATE TABLE media (
    id INTEGER PRIMARY KEY AUTOINCREMENT, exporter INTEGER NOT NULL, project TEXT NOT NULL, writer TEXT NOT NULL,
    trace TEXT NOT NULL, observation TEXT NOT NULL, field TEXT NOT NULL, sha256 TEXT NOT NULL, content_type TEXT NOT NULL,
    bytes INTEGER NOT NULL, changed INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0, note TEXT,
    UNIQUE (exporter, project, trace, observation, field, sha256));
  CREATE INDEX media_held ON media (exporter, project, id) WHERE state < 2;
  CREATE INDEX media_writer ON media (writer, id) WHERE state < 2;
  CREATE INDEX media_content ON media (sha256) WHERE state < 2;
  CREATE INDEX media_dead ON media (id) WHERE state = 3;
  CREATE INDEX media_settled ON media (changed) WHERE state >= 2;
  `,
  `
  -- No id is given twice: people name dead letters by it. And a state may be AGAIN from now on (states.ts), of which an
  -- earlier relay knows nothing.
  CREATE TABLE dead_letter_next (
    id INTEGER PRIMARY KEY AUTOINCREMENT, exporter INTEGER NOT NULL, chunk INTEGER NOT NULL, span INTEGER NOT NULL,
    trace BLOB NOT NULL, span_id BLOB NOT NULL, name TEXT NOT NULL, reason TEXT NOT NULL, time INTEGER NOT NULL);
  INSERT INTO dead_letter_next SELECT * FROM dead_letter;
  DROP TABLE dead_letter;
  ALTER TABLE dead_letter_next RENAME TO dead_letter;
  CREATE INDEX dead_letter_chunk ON dead_letter (chunk);
  `,
]

/** Written into the database; a relay refuses a store of a later one. */
const SCHEMA_VERSION = MIGRATIONS.length

export class StoreError extends Error {
  readonly code: 'OFFPATH_STORE_LOCKED' | 'OFFPATH_STORE_VERSION' | 'OFFPATH_STORE_UNUSABLE'
  constructor(code: StoreError['code'], message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}

function databasePath(directory: string): string {
  return join(directory, 'offpath.db')
}

/** Opens the store for its one writer. Throws a StoreError that says in one line what is in the way. */
export function openDatabase(directory: string): DatabaseSync {
  let database: DatabaseSync | undefined
  try {
    makePrivateDirectory(directory)
    database = new DatabaseSync(databasePath(directory))
    chmodSync(databasePath(directory), 0o600)
    database.exec('PRAGMA busy_timeout = 5000')
    const version = userVersion(database)
    if (version > SCHEMA_VERSION) throw tooNew(directory, version)
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
    migrate(database, version)
    return database
  } catch (error) {
    database?.close()
    if (error instanceof StoreError) throw error
    const { message } = error as Error
    if (/locked/.test(message)) {
      const text = `the store ${directory} is locked by another process (${message})`
      throw new StoreError('OFFPATH_STORE_LOCKED', text, error)
    }
    const text = `cannot open the store ${directory}: ${message}`
    throw new StoreError('OFFPATH_STORE_UNUSABLE', text, error)
  }
}

function migrate(database: DatabaseSync, from: number): void {
  for (let version = from; version < SCHEMA_VERSION; version++) {
    database.exec(
      `BEGIN IMMEDIATE; ${MIGRATIONS[version]} PRAGMA user_version = ${version + 1}; COMMIT`,
    )
  }
}

/** Opens the store to look at it, whether or not a relay writes to it. Null when there is none. */
export function openReadOnly(directory: string): DatabaseSync | null {
  let database: DatabaseSync
  try {
    database = new DatabaseSync(databasePath(directory), { readOnly: true })
  } catch (error) {
    const why = whyUnreadable(databasePath(directory), error as Error)
    if (why === null) return null
    const text = `cannot read the store ${directory}: ${why}`
    throw new StoreError('OFFPATH_STORE_UNUSABLE', text, error)
  }
  try {
    database.exec('PRAGMA busy_timeout = 2000')
    const version = userVersion(database)
    if (version === SCHEMA_VERSION) return database
    // Of an earlier version: the relay that is about to start makes it a newer one.
    if (version > SCHEMA_VERSION) throw tooNew(directory, version)
  } catch (error) {
    database.close()
    if (error instanceof StoreError) throw error
    const text = `cannot read the store ${directory}: ${(error as Error).message}`
    throw new StoreError('OFFPATH_STORE_UNUSABLE', text, error)
  }
  database.close()
  return null
}

/** SQLite says but that it was unable. Null: there is nothing. */
function whyUnreadable(path: string, { message }: Error): string | null {
  try {
    accessSync(path, constants.R_OK)
    return message
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === 'ENOENT' || code === 'ENOTDIR' ? null : (error as Error).message
  }
}

function userVersion(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA user_version').get()?.user_version ?? 0)
}

function tooNew(directory: string, version: number): StoreError {
  return new StoreError(
    'OFFPATH_STORE_VERSION',
    `the store ${directory} has version ${version}, this offpath knows ${SCHEMA_VERSION}: update offpath, or name another store.dir`,
  )
}
