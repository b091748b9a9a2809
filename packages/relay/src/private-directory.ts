import { lstatSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

/**
 * Makes the directory and those above it that are not there, for our user alone; others stay as they are. Level by level:
 * `recursive` never returns where the system refuses with ENOENT, as /proc does (Node ≤ 26).
 *
 * @throws the file system's error
 */
export function makePrivateDirectory(directory: string): void {
  const missing: string[] = []
  let at = resolve(directory)
  while (statSync(at, { throwIfNoEntry: false }) === undefined && at !== dirname(at)) {
    missing.push(at)
    at = dirname(at)
  }
  for (const level of missing.reverse()) {
    try {
      mkdirSync(level, { mode: 0o700 })
    } catch (error) {
      // Another process was faster.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
}

/**
 * What is in the way of keeping traces in a directory that is there, as the rest of a sentence about it; undefined:
 * nothing. Anybody could plant files in it, or take ours away.
 */
export function unsafeDirectory(directory: string): string | undefined {
  // Resolved: with a slash at its end, a link would be followed.
  const found = lstatSync(resolve(directory))
  if (!found.isDirectory()) return 'is not a directory (a link?)'
  const uid = process.getuid?.()
  if (uid === undefined) return undefined
  if ((found.mode & 0o002) !== 0) {
    const isShared = (found.mode & 0o1000) !== 0
    const fix = isShared
      ? 'name a new directory in it, which is made for you alone'
      : `\`chmod o-w ${directory}\`, or name another one`
    return `can be written to by every user: ${fix}`
  }
  // A relay beside an application of another user reads through the group's rights.
  const groupMay = (found.mode & 0o070) === 0o070
  if (uid !== 0 && found.uid !== uid && !groupMay) {
    return `belongs to user ${found.uid}, not to ${uid}`
  }
  return undefined
}

/** Of the files that lie in it, not below. */
export function directoryBytes(directory: string): number {
  let bytes = 0
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (!entry.isFile()) continue
    bytes += statSync(join(directory, entry.name), { throwIfNoEntry: false })?.size ?? 0
  }
  return bytes
}
