import {
  closeSync,
  constants,
  existsSync,
  lstatSync,
  openSync,
  statSync,
  utimesSync,
} from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { makePrivateDirectory, unsafeDirectory } from '../../private-directory.ts'

const LEASE = 'relay.lease'

/** The right to read a spool directory, or to write to a store. */
export interface Lease {
  /** Of the directory: files in it may belong to it. */
  readonly owner: number
  /**
   * Shows writers that somebody reads; to be called every few seconds. Throws a LeaseError when the lease was lost: its
   * file was deleted, and another relay has taken a new one.
   */
  touch(): void
  release(): void
}

export class LeaseError extends Error {
  readonly code: 'OFFPATH_SPOOL_LOCKED' | 'OFFPATH_SPOOL_UNSAFE'
  constructor(code: LeaseError['code'], message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}

/**
 * Takes the directory's lease: an exclusive SQLite transaction on `relay.lease`. The kernel frees it with the process,
 * and it holds under SIGSTOP and across pid namespaces. Makes the directory, private, if there is none.
 *
 * @throws LeaseError when another relay has it, or when the directory is not to be trusted
 */
export function takeLease(directory: string): Lease {
  const owner = prepareDirectory(directory)
  const path = join(directory, LEASE)
  let held = lock(path, directory)
  let released = false
  const tellTime = (): void => {
    const now = new Date()
    utimesSync(path, now, now)
  }
  tellTime()
  return {
    owner,
    touch() {
      const found = statSync(path, { throwIfNoEntry: false })
      if (found?.ino !== held.inode) {
        // Somebody tidied up. Writers look for the file by its name.
        const next = lock(path, directory)
        held.database.close()
        held = next
      }
      tellTime()
    },
    release() {
      if (released) return
      released = true
      tellItIsFree(path, held.inode)
      held.database.close()
    },
  }
}

/** To those who wait for their turn without opening it (`startRelay`). */
function tellItIsFree(path: string, inode: number): void {
  try {
    // It may be another's by now.
    if (statSync(path).ino === inode) utimesSync(path, 0, 0)
  } catch {
    // It is gone: they find it silent after a while.
  }
}

/**
 * Whether somebody has the directory's lease. Makes nothing.
 *
 * @throws the error of SQLite, when it cannot be told
 */
export function isLeased(directory: string): boolean {
  const path = join(directory, LEASE)
  if (!existsSync(path)) return false
  const database = new DatabaseSync(path, { readOnly: true })
  try {
    database.exec('PRAGMA busy_timeout = 0; SELECT 1 FROM sqlite_schema')
    return false
  } catch (error) {
    if (/locked/.test((error as Error).message)) return true
    throw error
  } finally {
    database.close()
  }
}

function lock(path: string, directory: string): { database: DatabaseSync; inode: number } {
  createPrivately(path)
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(path)
    // Whoever looks by isLeased has it for a moment. Nothing is ever written: no journal beside it.
    database.exec('PRAGMA busy_timeout = 50; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
  } catch (error) {
    database?.close()
    if (!/locked/.test((error as Error).message)) {
      const message = `cannot lock ${path}: ${(error as Error).message}`
      throw new LeaseError('OFFPATH_SPOOL_UNSAFE', message, error)
    }
    throw new LeaseError(
      'OFFPATH_SPOOL_LOCKED',
      `another relay reads the spool ${directory}; one reads a spool`,
    )
  }
  return { database, inode: statSync(path).ino }
}

/**
 * SQLite would follow a link, and create the file with the umask's rights. A file that is there is not opened: closing it
 * would free the locks that another lease of this process has on it.
 */
function createPrivately(path: string): void {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL
  try {
    closeSync(openSync(path, flags, 0o600))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST' && lstatSync(path).isFile()) return
    const message = `cannot open ${path}: ${(error as Error).message}`
    throw new LeaseError('OFFPATH_SPOOL_UNSAFE', message, error)
  }
}

/** Returns its owner's user id. */
function prepareDirectory(directory: string): number {
  try {
    makePrivateDirectory(directory)
  } catch (error) {
    const message = `cannot make ${directory}: ${(error as Error).message}`
    throw new LeaseError('OFFPATH_SPOOL_UNSAFE', message, error)
  }
  const unsafe = unsafeDirectory(directory)
  if (unsafe !== undefined) {
    throw new LeaseError('OFFPATH_SPOOL_UNSAFE', `${directory} ${unsafe}`)
  }
  return statSync(directory).uid
}
