// Where a directory lies, or will lie once it is made. Nothing is made here.
import { accessSync, constants, lstatSync, statfsSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { directoryBytes, unsafeDirectory } from '../../private-directory.ts'

export interface Place {
  /** Its permissions; null: it is not there yet. */
  readonly mode: number | null
  /** The kind of file system; empty: not to be told. */
  readonly fileSystem: string
  readonly freeBytes: number
  /** Of the files that lie in it. */
  readonly usedBytes: number
}

/** Linux, statfs(2). */
const FILE_SYSTEMS: ReadonlyMap<number, string> = new Map([
  [0x01021994, 'tmpfs'],
  [0x858458f6, 'ramfs'],
  [0xef53, 'ext4'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x2fc12fc1, 'zfs'],
  [0x794c7630, 'overlay'],
  [0x6969, 'nfs'],
  [0xff534d42, 'cifs'],
  [0xfe534d42, 'smb2'],
  [0x01021997, '9p'],
])

export const MEMORY: readonly string[] = ['tmpfs', 'ramfs']
export const NETWORK: readonly string[] = ['nfs', 'cifs', 'smb2', '9p']

/** What is known of a directory, or why it can be neither used nor made. */
export function lookAt(directory: string): Place | string {
  try {
    const path = resolve(directory)
    const found = lstatSync(path, { throwIfNoEntry: false })
    const unsafe = found === undefined ? undefined : unsafeDirectory(path)
    if (unsafe !== undefined) return `${directory} ${unsafe}`
    const at = found === undefined ? nearestAbove(path) : path
    accessSync(at, constants.R_OK | constants.W_OK | constants.X_OK)
    const { type, bsize, bavail } = statfsSync(at)
    return {
      mode: found === undefined ? null : found.mode & 0o777,
      fileSystem: process.platform === 'linux' ? (FILE_SYSTEMS.get(type) ?? '') : '',
      freeBytes: bsize * bavail,
      usedBytes: found === undefined ? 0 : directoryBytes(path),
    }
  } catch (error) {
    return `${directory} cannot be used: ${(error as Error).message}`
  }
}

/** What it will be made in. */
function nearestAbove(path: string): string {
  const above = dirname(path)
  const found = statSync(above, { throwIfNoEntry: false })
  if (found === undefined && above !== path) return nearestAbove(above)
  if (found?.isDirectory() !== true) throw new Error(`${above} is not a directory`)
  return above
}
