import type { Source } from '../assemble/blobs.ts'
import type { Place } from '../store/span.ts'

/** A name of a segment in the forms that it is written in. */
export interface Name {
  readonly text: string
  /** UTF-8, padded to words; `bytes` are the same. */
  readonly words: Int32Array
  readonly bytes: Buffer
  readonly length: number
  /** `"name":` as it stands in JSON. */
  readonly json: Buffer
}

/** A numbered string: where its bytes lie in the segment, and where its text lies in the store. */
export interface NumberedString {
  readonly offset: number
  readonly length: number
  readonly utf16: boolean
  text: Place | null
  json: Place | null
}

/** Fields that spans share, in the form in which they are stored. */
interface Context {
  readonly words: Int32Array
  readonly maskLow: number
  readonly maskHigh: number
  readonly merge: boolean
  readonly holes: boolean
  readonly expanded: number
  oldestFile: number
}

/** What the frames of a segment have defined so far. */
export interface Tables {
  readonly segment: number
  readonly source: Source
  readonly names: Map<number, Name>
  readonly strings: Map<number, NumberedString>
  readonly contexts: Map<number, Context>
}

export function newTables(segment: number, source: Source): Tables {
  return { segment, source, names: new Map(), strings: new Map(), contexts: new Map() }
}

export function nameOf(bytes: Buffer): Name {
  const text = bytes.toString('utf8')
  const utf8 = Buffer.from(text)
  const words = new Int32Array((utf8.length + 3) >> 2)
  const padded = Buffer.from(words.buffer)
  padded.set(utf8)
  const json = Buffer.from(`${JSON.stringify(text)}:`)
  return { text, words, bytes: padded, length: utf8.length, json }
}

/** Stands for a name, string or blob whose frame was lost. */
export const LOST_MARKER = '[lost: its frame was damaged]'
