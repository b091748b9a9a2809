import { closeSync, fstatSync, readdirSync, readSync } from 'node:fs'
import { basename, join } from 'node:path'
import { FRAME, FRAME_FOOTER_BYTES, FRAME_KIND, FRAME_MAGIC } from '@offpath/sdk/spool-format'
import { lifeOf } from '../receivers/spool/liveness.ts'
import { openSegmentFile, readHeader, type SegmentStart } from '../receivers/spool/segment.ts'

export type Tier = 'memory' | 'disk'

/** A segment as `offpath spool ls --json` prints it. */
export interface Segment {
  readonly path: string
  readonly tier: Tier
  /** Of the file. */
  readonly bytes: number
  /** Of header and frames: a recycled file holds those of an earlier segment behind them. */
  readonly written: number
  /** Null when it is no segment that this relay reads. */
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
    written: 0,
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
    if (found === null) {
      return {
        ...unknown,
        bytes: size,
        written: size,
        frames: 0,
        fault: 'has no complete header yet',
      }
    }
    const { header } = found
    const { frames, end, rest } = walk(fd, found, size)
    const name = `${header.writer}-${String(header.segment).padStart(8, '0')}.seg`
    if (name !== basename(path))
      return { ...unknown, bytes: size, fault: `says that it is ${name}` }
    const life = lifeOf(header, Date.now() - mtimeMs)
    const began = new Date(Number(header.startTime) / 1e6)
    return {
      path,
      tier,
      bytes: size,
      written: header.recycled ? end : size,
      frames,
      writer: header.writer,
      number: header.segment,
      pid: header.pid,
      thread: header.thread,
      alive: life === 'unknown' ? null : life === 'alive',
      service: header.service,
      startTime: Number.isNaN(began.getTime()) ? null : began.toISOString(),
      fault: faultOf(rest, life === 'alive' || life === 'unknown'),
    }
  } catch (error) {
    return { ...unknown, bytes: size, fault: (error as Error).message }
  } finally {
    closeSync(fd)
  }
}

type Rest = 'none' | 'half a frame' | 'damage'

function faultOf(rest: Rest, mayLive: boolean): string | null {
  if (rest === 'damage') return 'is damaged'
  // That of a live writer is being written.
  return rest === 'half a frame' && !mayLive ? 'is torn: its last frame is not whole' : null
}

/** Hops from head to head, and says what follows the last frame: checking all bytes is `spool verify`'s. */
function walk(
  fd: number,
  { header, nonce, length }: SegmentStart,
  size: number,
): { frames: number; end: number; rest: Rest } {
  const head = Buffer.alloc(FRAME.payload)
  const footer = Buffer.alloc(FRAME_FOOTER_BYTES)
  let frames = 0
  let at = length
  for (;;) {
    const isHead =
      readSync(fd, head, 0, head.length, at) === head.length &&
      head.readUInt32LE(FRAME.magic) === FRAME_MAGIC &&
      nonce.compare(head, FRAME.nonce, FRAME.nonce + nonce.length) === 0
    if (!isHead) {
      if (header.recycled || at === size) return { frames, end: at, rest: 'none' }
      const isShort = at + FRAME.payload > size
      return { frames, end: at, rest: isShort ? 'half a frame' : 'damage' }
    }
    const payload = head.readUInt32LE(FRAME.length)
    const next = at + FRAME.payload + payload + FRAME_FOOTER_BYTES
    if (next > size) return { frames, end: at, rest: 'half a frame' }
    if (header.recycled) {
      // Only the footer tells: the size is that of the file's earlier use.
      readSync(fd, footer, 0, footer.length, next - footer.length)
      if (footer.readInt32LE(0) !== (payload ^ nonce.readInt32LE(0))) {
        return { frames, end: at, rest: 'half a frame' }
      }
    }
    frames++
    at = next
    if (head[FRAME.kind] === FRAME_KIND.end && header.recycled) {
      return { frames, end: at, rest: 'none' }
    }
  }
}
