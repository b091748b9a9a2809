import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  type Stats,
  statfsSync,
  unlinkSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'

const MIN_SEGMENT_BYTES = 256 * 1024
const MAX_SEGMENT_BYTES = 8 * 1024 * 1024
const SEGMENTS_PER_CAP = 32
/** Default cap of a memory-backed directory; half of what is free there if that is less. */
const MEMORY_CAP_BYTES = 64 * 1024 * 1024

/** One of the two directories a writer may open segments in. */
export interface Tier {
  readonly directory: string
  /** Bytes all writers' segments in the directory may take; undefined: 64 MB or half of what is free. */
  readonly capBytes: number | undefined
  /** Frames carry a CRC: for directories that outlive a power failure. */
  readonly crc: boolean
}

export interface OpenedFile {
  readonly fd: number
  /** Where it is until it has a header. */
  readonly path: string
  /** Where it belongs then; the same as `path` for a new file. */
  readonly target: string
  /** It was handed back by a relay and still holds the frames of another segment. */
  readonly recycled: boolean
  /** The segment is rotated when it has grown to this. */
  readonly rotateAt: number
}

/**
 * Creates a segment file in the tier, or takes one over that a relay has handed back: its pages are there already,
 * which makes a write of 64 KB cost 6 µs instead of 25. Throws when the directory can't be made private (`EPERM`, `ENOTDIR`, …) and an
 * error with code `OFFPATH_SPOOL_FULL` when its cap is reached.
 */
export function createSegmentFile(tier: Tier, name: string): OpenedFile {
  const { directory, crc } = tier
  privateDirectory(directory)
  const names = readdirSync(directory)
  const target = join(directory, name)
  const taken = crc ? undefined : takeFreeFile(directory, names, name)
  const known = rotations.get(tier)
  if (taken !== undefined && known !== undefined) {
    return { ...taken, target, recycled: true, rotateAt: known }
  }
  const used = usedBytes(directory, names)
  const cap = tier.capBytes ?? defaultCap(directory, used)
  const share = Math.max(MIN_SEGMENT_BYTES, cap / SEGMENTS_PER_CAP)
  const rotateAt = Math.min(MAX_SEGMENT_BYTES, share, cap / 2)
  rotations.set(tier, rotateAt)
  if (taken !== undefined) return { ...taken, target, recycled: true, rotateAt }
  if (cap <= 0 || used + rotateAt > cap) {
    throw Object.assign(new Error(`spool ${directory} has reached its cap of ${cap} bytes`), {
      code: 'OFFPATH_SPOOL_FULL',
    })
  }
  const flags =
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0)
  return { fd: openSync(target, flags, 0o600), path: target, target, recycled: false, rotateAt }
}

/**
 * How long the last new file of a tier may become, which holds for one that is taken over: to look at the directory's files
 * and its file system costs 0.1 ms when that code is cold, and in a busy service a segment is full twenty times a second.
 */
const rotations = new WeakMap<Tier, number>()

/** Renaming decides between writers that want the same file. */
function takeFreeFile(
  directory: string,
  names: readonly string[],
  name: string,
): { readonly fd: number; readonly path: string } | undefined {
  const path = join(directory, `${name}.claim`)
  for (const free of names) {
    if (!free.endsWith('.free')) continue
    const fd = takeOver(join(directory, free), path)
    if (fd !== undefined) return { fd, path }
  }
  return undefined
}

/** Undefined: another writer was faster, or it is none of our files; then it stays where it is. */
function takeOver(free: string, path: string): number | undefined {
  try {
    if (!isOurs(lstatSync(free))) return undefined
    renameSync(free, path)
  } catch {
    return undefined
  }
  let fd: number | undefined
  try {
    // Not blocking: what was a file a moment ago may be a FIFO now.
    const flags = constants.O_WRONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)
    fd = openSync(path, flags)
    if (isOurs(fstatSync(fd))) return fd
  } catch {
    // Not to be opened.
  }
  if (fd !== undefined) closeQuietly(fd)
  unlinkQuietly(path)
  return undefined
}

/** A regular file of this user with one name. */
function isOurs(stat: Stats): boolean {
  return stat.isFile() && stat.nlink === 1 && stat.uid === (process.getuid?.() ?? stat.uid)
}

/** A file that now has its header gets its name. */
export function publish(file: OpenedFile): void {
  if (file.path !== file.target) renameSync(file.path, file.target)
}

/** Makes the directory, or checks that the one there is a directory of ours that nobody else can write to. */
function privateDirectory(directory: string): void {
  // Resolved: with a slash at its end, a link would be followed.
  const path = resolve(directory)
  let found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) {
    makeDirectory(path)
    found = lstatSync(path)
  }
  if (!found.isDirectory()) throw refuse(directory, 'is not a directory (a link?)')
  const uid = process.getuid?.()
  if (uid === undefined) return
  if (found.uid !== uid) throw refuse(directory, `belongs to user ${found.uid}, not to ${uid}`)
  // They could plant segments. Its mode is not ours to change: it may be everybody's, as /dev/shm; a group's is the
  // operator's choice (a relay as another user).
  if ((found.mode & 0o002) !== 0) {
    const mode = (found.mode & 0o7777).toString(8)
    const fix = `name a directory in it, such as ${join(path, 'offpath')}, or chmod 0700 it`
    throw refuse(directory, `can be written to by all users (mode ${mode}): ${fix}`)
  }
}

/** With its parents, one by one: where mkdir says ENOENT although the parent exists, as in /proc, Node's own `recursive` never ends. */
function makeDirectory(path: string, withParents = true): void {
  try {
    mkdirSync(path, 0o700)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    const parent = dirname(path)
    if (code !== 'ENOENT' || !withParents || parent === path) throw error
    makeDirectory(parent)
    makeDirectory(path, false)
  }
}

function refuse(directory: string, why: string): Error {
  return Object.assign(new Error(`spool directory ${directory} ${why}`), {
    code: 'OFFPATH_SPOOL_UNSAFE',
  })
}

function defaultCap(directory: string, used: number): number {
  const { bsize, bavail } = statfsSync(directory)
  return Math.min(MEMORY_CAP_BYTES, (bsize * bavail + used) / 2)
}

function usedBytes(directory: string, names: readonly string[]): number {
  let used = 0
  for (const name of names) {
    if (!/\.(seg|free|claim)$/.test(name)) continue
    // What a link leads to is not in the directory.
    const found = lstatSync(join(directory, name), { throwIfNoEntry: false })
    if (found?.isFile()) used += found.size
  }
  return used
}

/** Whether the file still has a name; a reader or an operator may have deleted it. */
export function stillNamed(fd: number): boolean {
  return fstatSync(fd).nlink > 0
}

export function removeQuietly(file: OpenedFile): void {
  closeQuietly(file.fd)
  unlinkQuietly(file.path)
}

function unlinkQuietly(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // It stays; the relay looks after what nobody uses.
  }
}

export function closeQuietly(fd: number): void {
  try {
    closeSync(fd)
  } catch {
    // Nothing is left to save in it.
  }
}
