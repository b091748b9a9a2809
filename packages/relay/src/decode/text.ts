import { isUtf8 } from 'node:buffer'
import type { DataWriter } from '../store/data-files.ts'
import type { Place } from '../store/span.ts'

// Text from the spool's encodings to UTF-8, as it is or escaped for JSON. JSON needs escapes for bytes below 0x20, quotes
// and backslashes; bytes of longer characters pass. So UTF-8 is escaped as if it were Latin-1: V8's JSON.stringify
// does that at 0.35 µs/KB, a loop over bytes at 1.2 µs/KB.

const PIECE_BYTES = 32 * 1024
/** Most bytes that a byte of UTF-8 becomes: \u001f */
export const MAX_ESCAPED = 6

/** Escapes UTF-8 bytes to `into[at]`, where MAX_ESCAPED × as many have room, and one before. Returns the end. */
export function escapeUtf8(
  source: Buffer,
  from: number,
  to: number,
  into: Buffer,
  at: number,
): number {
  for (let piece = from; piece < to; piece += PIECE_BYTES) {
    const end = Math.min(to, piece + PIECE_BYTES)
    at = escapePiece(source, piece, end, into, at)
  }
  return at
}

function escapePiece(source: Buffer, from: number, to: number, into: Buffer, at: number): number {
  const escaped = JSON.stringify(source.toString('latin1', from, to))
  if (escaped.length === to - from + 2) {
    source.copy(into, at, from, to)
    return at + to - from
  }
  // With its quotes: the first goes over the byte before, which comes back; the last is written over.
  const before = into[at - 1] as number
  into.write(escaped, at - 1, 'latin1')
  into[at - 1] = before
  return at + escaped.length - 2
}

/** Appends text to the data file, escaped for JSON if `json`. Lone surrogates become \ud800 there, else U+FFFD. */
export function storeText(
  data: DataWriter,
  source: Buffer,
  from: number,
  to: number,
  utf16: boolean,
  json: boolean,
): Place {
  const mark = data.mark()
  while (from < to) {
    let end = Math.min(to, from + PIECE_BYTES)
    if (utf16) {
      // Not between the halves of a pair.
      if (end < to && isHighSurrogate(source, end - 2)) end -= 2
      const text = source.toString('utf16le', from, end)
      const isWellFormed = text.isWellFormed()
      data.ensure((end - from) * MAX_ESCAPED)
      if (json && !isWellFormed) {
        data.at += data.buffer.write(JSON.stringify(text).slice(1, -1), data.at, 'utf8')
      } else if (json) {
        const length = utf8Scratch.write(text, 0, 'utf8')
        data.at = escapeWithRoom(data, utf8Scratch, 0, length)
      } else data.at += data.buffer.write(text, data.at, 'utf8')
    } else {
      if (end < to) end = characterStart(source, end)
      data.ensure((end - from) * MAX_ESCAPED)
      if (!isUtf8(source.subarray(from, end))) {
        const text = source.toString('utf8', from, end)
        data.ensure(text.length * 3 * MAX_ESCAPED)
        const written = json ? JSON.stringify(text).slice(1, -1) : text
        data.at += data.buffer.write(written, data.at, 'utf8')
      } else if (json) data.at = escapeWithRoom(data, source, from, end)
      else {
        source.copy(data.buffer, data.at, from, end)
        data.at += end - from
      }
    }
    from = end
  }
  return data.since(mark)
}

/** A piece's UTF-16 as UTF-8: three bytes for two. */
const utf8Scratch: Buffer = Buffer.allocUnsafeSlow((PIECE_BYTES / 2) * 3)

/** At the beginning of the buffer there is no byte before. */
function escapeWithRoom(data: DataWriter, source: Buffer, from: number, to: number): number {
  if (data.at > 0) return escapePiece(source, from, to, data.buffer, data.at)
  const end = escapePiece(source, from, to, data.buffer, 1)
  data.buffer.copyWithin(0, 1, end)
  return end - 1
}

function isHighSurrogate(source: Buffer, at: number): boolean {
  return ((source[at + 1] as number) & 0xfc) === 0xd8
}

/** The last place up to `at` where a character begins. */
function characterStart(source: Buffer, at: number): number {
  let start = at
  while (start > at - 4 && ((source[start] as number) & 0xc0) === 0x80) start--
  return ((source[start] as number) & 0xc0) === 0x80 ? at : start
}
