// What can go wrong with the files of one directory: writes that fail, and a process that is as good as killed. A full store fails
// writes to data files (.dat) alone: SQLite's own do not come by here.
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

type Fault = 'full' | 'short' | null

export class FaultyDisk {
  /** Of files whose path says that they are of this kind. */
  spool: Fault = null
  store: Fault = null
  /** Writes to the store that found no room. */
  refused = 0
  /** Nothing is deleted or renamed, and no time set: the process that would is dead. */
  frozen = false
  readonly #root: string
  readonly #original = {
    openSync: fs.openSync,
    writeSync: fs.writeSync,
    unlinkSync: fs.unlinkSync,
    renameSync: fs.renameSync,
    utimesSync: fs.utimesSync,
  }
  readonly #paths = new Map<number, string>()

  /** From now on, until `close`, for files under `root`. */
  constructor(root: string) {
    this.#root = root
    const { openSync, writeSync, unlinkSync, renameSync, utimesSync } = this.#original
    fs.openSync = (...args: Parameters<typeof openSync>) => {
      const fd = openSync(...args)
      this.#paths.set(fd, String(args[0]))
      return fd
    }
    fs.writeSync = ((fd: number, buffer: Buffer, ...rest: (number | undefined)[]) => {
      const [offset = 0, length, at] = rest
      const bytes = length ?? buffer.length - offset
      const path = this.#paths.get(fd) ?? ''
      const fault = this.#faultOf(path)
      if (fault === 'full') {
        if (path.endsWith('.dat')) this.refused++
        throw failure('ENOSPC', 'no space left on device, write')
      }
      return writeSync(fd, buffer, offset, fault === 'short' ? bytes >> 1 : bytes, at ?? null)
    }) as typeof writeSync
    fs.unlinkSync = (path) => {
      this.#refuseFrozen(String(path))
      unlinkSync(path)
    }
    fs.renameSync = (from, to) => {
      this.#refuseFrozen(String(from))
      renameSync(from, to)
    }
    // By it a relay says at its end that its lease is free.
    fs.utimesSync = (path, ...times) => {
      if (!this.#isFrozen(String(path))) utimesSync(path, ...times)
    }
    syncBuiltinESMExports()
  }

  #faultOf(path: string): Fault {
    if (!path.startsWith(this.#root)) return null
    if (/\.(seg|claim|free|new)$/.test(path)) return this.spool
    return path.endsWith('.dat') ? this.store : null
  }

  #isFrozen(path: string): boolean {
    return this.frozen && path.startsWith(this.#root)
  }

  #refuseFrozen(path: string): void {
    if (this.#isFrozen(path)) throw failure('EIO', 'the process is dead')
  }

  close(): void {
    Object.assign(fs, this.#original)
    syncBuiltinESMExports()
  }
}

function failure(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code })
}
