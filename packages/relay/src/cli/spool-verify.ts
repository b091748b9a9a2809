import { closeSync, fstatSync } from 'node:fs'
import { FRAME_KIND } from '@offpath/sdk/spool-format'
import {
  type Fault,
  type Frame,
  openSegmentFile,
  ReadBuffer,
  readHeader,
  SegmentReader,
  type WriterHeader,
} from '../receivers/spool/segment.ts'
import type { Run } from './call.ts'
import { bytes, count, plural } from './format.ts'
import { jsonLine, printable } from './text.ts'

const HALF = 'half a frame at the end: torn by a crash, or being written'

/** As `offpath spool verify --json` prints it. */
export interface Verdict {
  readonly path: string
  readonly clean: boolean
  readonly bytes: number
  readonly frames: number
  readonly records: number
  /** Its end frame is there: nothing follows. */
  readonly ended: boolean
  readonly faults: readonly Fault[]
  readonly header: WriterHeader | null
}

export const run: Run = async ({ words, json, terminal }) => {
  const verdict = verify(words[0]!)
  if (json) {
    terminal.print(jsonLine(verdict))
    return verdict.clean ? 0 : 1
  }
  const { path, header, faults, clean, frames, records, ended } = verdict
  const lines = [printable(path)]
  if (header !== null) {
    const { writer, segment, pid, thread, service, host, sdk } = header
    const who = [service, `pid ${pid}`, thread > 0 && `thread ${thread}`, host, sdk?.name]
    lines.push(printable(`  writer ${writer}, segment ${segment}`))
    lines.push(printable(`  ${who.filter(Boolean).join(', ')}`))
    lines.push(
      `  ${bytes(verdict.bytes)}, ${plural(frames, 'frame')}, ${plural(records, 'record')}`,
    )
    lines.push(
      ended ? '  complete: its end frame is there' : '  no end frame: its writer has not closed it',
    )
  }
  for (const { offset, bytes: length, fault } of faults) {
    lines.push(terminal.style('red', `  at ${offset}, ${count(length)} bytes: ${fault}`))
  }
  lines.push(clean ? terminal.style('green', '  clean') : terminal.style('red', '  not clean'))
  terminal.print(`${lines.join('\n')}\n`)
  return clean ? 0 : 1
}

/** Walks the whole file. */
export function verify(path: string): Verdict {
  const faults: Fault[] = []
  let fd: number
  try {
    fd = openSegmentFile(path)
  } catch (error) {
    faults.push({ offset: 0, bytes: 0, fault: openFault(error as NodeJS.ErrnoException) })
    return {
      path,
      clean: false,
      bytes: 0,
      frames: 0,
      records: 0,
      ended: false,
      faults,
      header: null,
    }
  }
  try {
    const { size } = fstatSync(fd)
    const counted = { frames: 0, records: 0 }
    const done = (header: WriterHeader | null, ended: boolean): Verdict => {
      return { path, clean: faults.length === 0, bytes: size, ...counted, ended, faults, header }
    }
    let found: ReturnType<typeof readHeader>
    try {
      found = readHeader(fd)
    } catch (error) {
      faults.push({ offset: 0, bytes: size, fault: (error as Error).message })
      return done(null, false)
    }
    if (found === null) {
      faults.push({ offset: 0, bytes: size, fault: 'is too short for its header' })
      return done(null, false)
    }
    const { header, nonce, length } = found
    const reader = new SegmentReader(fd, nonce, length, new ReadBuffer())
    const read = (end: number): void => {
      reader.read(
        end,
        (frame) => {
          counted.frames++
          counted.records += checkFrame(frame, faults)
          return true
        },
        (fault) => faults.push(fault),
      )
    }
    const fault = (text: string, to: number): void => {
      faults.push({ offset: reader.offset, bytes: to - reader.offset, fault: text })
    }
    if (header.recycled) {
      // Behind its frames lie those of an earlier segment.
      read(reader.extent(size))
      while (!reader.ended) {
        const next = reader.resync(size)
        if (next === -1) break
        fault('a damaged frame', next)
        reader.offset = next
        read(reader.extent(size))
      }
      if (!reader.ended && reader.begun()) fault(HALF, size)
    } else {
      read(size)
      if (reader.offset < size) fault(reader.ended ? 'bytes behind the end frame' : HALF, size)
    }
    return done(header, reader.ended)
  } finally {
    closeSync(fd)
  }
}

/** The frame's inner lengths. @returns its records */
function checkFrame({ kind, bytes, words, from, to, offset }: Frame, faults: Fault[]): number {
  const bad = (fault: string): void => {
    faults.push({ offset, bytes: to - from, fault })
  }
  if (kind === FRAME_KIND.records) {
    let records = 0
    for (let at = from >> 2; at < to >> 2; records++) {
      const length = words[at]! >>> 8
      if (length === 0 || at + length > to >> 2) {
        bad(`record ${records} has a length that cannot be`)
        break
      }
      at += length
    }
    return records
  }
  if (kind === FRAME_KIND.json) {
    const length = to - from >= 4 ? bytes.readUInt32LE(from) : -1
    if (length < 0 || from + 4 + length > to) {
      bad('JSON text that is longer than its frame')
      return 0
    }
    const lines = bytes
      .toString('utf8', from + 4, from + 4 + length)
      .split('\n')
      .filter(Boolean)
    const broken = lines.findIndex((line) => !isObject(line))
    if (broken >= 0) bad(`JSON record ${broken} is no object`)
    return lines.length
  }
  if (kind === FRAME_KIND.blob) {
    if (to - from < 20 || from + 20 + bytes.readUInt32LE(from + 16) > to)
      bad('a blob slice longer than its frame')
    return 0
  }
  if (kind !== FRAME_KIND.end) bad(`unknown kind ${kind}`)
  return 0
}

function isObject(line: string): boolean {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}

function openFault({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT') return 'there is no such file'
  if (code === 'ELOOP') return 'is a link'
  return code === undefined ? message : `cannot be read (${code})`
}
