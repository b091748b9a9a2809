import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** A segment's file, by its name alone. */
export interface SegmentFile {
  readonly writer: string
  readonly number: number
  readonly path: string
  readonly onDisk: boolean
}

export interface Listing {
  /** By writer, in the order of their numbers. */
  readonly segments: ReadonlyMap<string, readonly SegmentFile[]>
  /** Paths of `<writer>.flush`, by writer. */
  readonly flushes: readonly { readonly writer: string; readonly path: string }[]
  /** Files in memory that wait for writers to take them over. */
  readonly freeFiles: number
  /** Paths of such files that a writer has taken and not yet made a segment of. */
  readonly claims: readonly string[]
  /** Paths that end like a segment's and are named otherwise. */
  readonly misnamed: readonly string[]
  /** False: in a directory that could not be listed there may be more. */
  readonly complete: boolean
  /** Directories that could not be listed, and why. */
  readonly problems: readonly { readonly directory: string; readonly error: string }[]
}

const SEGMENT = /^([0-9a-f]{16})-(\d{8})\.seg$/
const CLAIM = /^[0-9a-f]{16}-\d{8}\.seg\.claim$/
const FLUSH = /^([0-9a-f]{16})\.flush$/

/** What lies in the directories, of which the first is memory-backed and others are on disk. */
export function listSpool(directories: readonly string[]): Listing {
  const segments = new Map<string, SegmentFile[]>()
  const flushes: { writer: string; path: string }[] = []
  const problems: { directory: string; error: string }[] = []
  const claims: string[] = []
  const misnamed: string[] = []
  let freeFiles = 0
  let complete = true
  directories.forEach((directory, index) => {
    let names: string[] = []
    try {
      if (!lstatSync(directory).isDirectory()) throw new Error('is not a directory')
      names = readdirSync(directory)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') complete = false
      problems.push({ directory, error: (error as Error).message })
    }
    for (const name of names) {
      const segment = SEGMENT.exec(name)
      if (segment !== null) {
        const [, writer = '', number] = segment
        const file = {
          writer,
          number: Number(number),
          path: join(directory, name),
          onDisk: index > 0,
        }
        const known = segments.get(writer)
        if (known === undefined) segments.set(writer, [file])
        else known.push(file)
      } else {
        const writer = FLUSH.exec(name)?.[1]
        if (writer !== undefined) flushes.push({ writer, path: join(directory, name) })
        else if (CLAIM.test(name)) claims.push(join(directory, name))
        else if (name.endsWith('.free')) freeFiles++
        else if (name.endsWith('.seg')) misnamed.push(join(directory, name))
      }
    }
  })
  for (const files of segments.values()) files.sort((a, b) => a.number - b.number)
  return { segments, flushes, freeFiles, claims, misnamed, complete, problems }
}
