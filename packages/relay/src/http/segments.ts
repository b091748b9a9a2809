import { closeSync, fstatSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { FRAME, FRAME_FOOTER_BYTES, FRAME_MAGIC } from '@offpath/sdk/spool-format'
import { lifeOf } from '../receivers/spool/liveness.ts'
import { openSegmentFile, readHeader } from '../receivers/spool/segment.ts'

export type Tier = 'memory' | 'disk'

/** A segment as `offpath spool ls --json` prints it. */
export interface Segment {
  readonly path: string
  readonly tier: Tier
  readonly bytes: number
  /** Null when the file cannot be read. */
  readonly frames: number | null
  readonly writer: string | null
  readonly number: number | null
  readonly pid: number | null
  readonly thread: number | null
  /** Null: not to be told from here. */
  readonly alive: boolean | null
  readonly service: string | null
  /** When its writer began, ISO 8601. */
  readonly startTime: string | null
  /** What is wrong with it; `offpath spool verify` tells more. */
  readonly fault: string | null
}

/**
 * The segments in a directory, by name; none where there is no such directory.
 *
 * @throws the file system's error when it cannot be listed
 */
export function listSegments(directory: string, tier: Tier): Segment[] {
  let names: string[]
  try {
    names = readdirSync(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  const segments = names.filter((name) => name.endsWith('.seg')).sort()
  return segments.flatMap((name) => describe(join(directory, name), tier) ?? [])
}

/** Undefined: it is gone, read by the relay. */
function describe(path: string, tier: Tier): Segment | undefined {
  const unknown = {
    path,
    tier,
    bytes: 0,
    frames: null,
    writer: null,
    number: null,
    pid: null,
    thread: null,
    alive: null,
    service: null,
    startTime: null,
  }
  let fd: number
  try {
    fd = openSegmentFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    return { ...unknown, fault: (error as Error).message }
  }
  const { size, mtimeMs } = fstatSync(fd)
  try {
    const found = readHeader(fd)
    if (found === null) return { ...unknown, bytes: size, fault: 'has no complete header yet' }
    const { header, length } = found
    const { frames, whole } = countFrames(fd, length, size)
    const life = lifeOf(header, Date.now() - mtimeMs)
    const began = new Date(Number(header.startTime) / 1e6)
    return {
      path,
      tier,
      bytes: size,
      frames,
      writer: header.writer,
      number: header.segment,
      pid: header.pid,
      thread: header.thread,
      alive: life === 'unknown' ? null : life === 'alive',
      service: header.service,
      startTime: Number.isNaN(began.getTime()) ? null : began.toISOString(),
      fault: whole ? null : 'is damaged or torn',
    }
  } catch (error) {
    return { ...unknown, bytes: size, fault: (error as Error).message }
  } finally {
    closeSync(fd)
  }
}

/** Hops from head to head: checking all bytes is `spool verify`'s. */
function countFrames(fd: number, from: number, size: number): { frames: number; whole: boolean } {
  const head = Buffer.alloc(FRAME.payload)
  let frames = 0
  let at = from
  while (at + FRAME.payload + FRAME_FOOTER_BYTES <= size) {
    if (readSync(fd, head, 0, head.length, at) < head.length) break
    if (head.readUInt32LE(FRAME.magic) !== FRAME_MAGIC) return { frames, whole: false }
    at += FRAME.payload + head.readUInt32LE(FRAME.length) + FRAME_FOOTER_BYTES
    if (at <= size) frames++
  }
  return { frames, whole: at === size }
}
