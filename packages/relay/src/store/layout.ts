// How finished spans lie in a data file, in words of 4 bytes, little-endian. Bytes are padded with zeros.
//
//   chunk  = span … span | trace … trace
//   span   = head | text: name | field … field
//   text   = length in bytes | bytes
//   field  = field number (8 bits), KIND (8), length of the key in bytes + 1 or 0 = none (16) | key | payload of the kind
//   parts  = length of the value in bytes | words of the parts | part … part
//   part   = PART in the upper 2 bits, length in bytes below | bytes, or file and offset, or blob id
//   trace  = TRACE | text: root's name, trace name, user, session, environment; length 0xffff_ffff: none
//            | if it has some: tokens, input, output, total; -1: none
//
// Spans that are still open have the same form: they may also have holes, where blobs go that are not complete.

/** Words of a span's head. */
export const HEAD = {
  /** Words of the whole span. */
  length: 0,
  /** Observation type | span kind << 8 | start flags << 16 | status code << 24. */
  kinds: 1,
  /** Bits of HEAD_BITS | revision << 8. */
  bits: 2,
  traceId: 3,
  spanId: 7,
  parentSpanId: 9,
  start: 11,
  end: 13,
  words: 15,
} as const
export const HEAD_BITS = { interrupted: 1, parent: 2 } as const

export const KIND = {
  /** text */
  text: 0,
  /** parts */
  textParts: 1,
  jsonParts: 2,
  /** i32 */
  int: 3,
  /** f64 */
  double: 4,
  false: 5,
  true: 6,
  /** text: digits */
  bigint: 7,
  /** count | text … */
  strings: 8,
  /** text: name | seconds | nanoseconds | parts: attributes as a JSON object */
  event: 9,
  /** trace id | span id | flags | parts: attributes as a JSON object */
  link: 10,
} as const

/** Upper two bits of a part's first word. A hole has bits of HOLE. */
export const PART = { inline: 0, place: 2, hole: 3 } as const
/** It stands in JSON; of bytes, base64 alone goes into it. */
export const HOLE = { json: 1, bare: 2 } as const
export const PART_LENGTH = 0x3fff_ffff

/** Of a value with all its parts: a few bytes of references to one long string could be far more. */
export const MAX_VALUE_BYTES: number = 128 * 1024 * 1024
/** Stands for what is beyond. */
export const CUT_MARKER = '[cut by offpath: 128 MB are in this value]'

/** Words of a trace before its texts. */
export const TRACE = {
  length: 0,
  traceId: 1,
  /** Observations; further versions are not counted. */
  spans: 5,
  /** Changes, for further versions may take some back. */
  errors: 6,
  interrupted: 7,
  /** 0: no root among the spans; 1: a root whose parent lives elsewhere; 2: a root without parent. | warnings << 8, signed as errors. */
  root: 8,
  first: 9,
  last: 11,
  words: 13,
} as const
export const NO_TEXT = -1
export const NO_TOKENS = -1

/** In the place of a data file's number, higher than any: no data file. */
export const NO_FILE = 0x3fff_ffff

/** Words of the span that begins at word `at`. Throws a RangeError when there is none. */
export function spanWords(words: Int32Array, at: number): number {
  const length = words[at + HEAD.length] as number
  if (length > HEAD.words && length <= words.length - at) return length
  throw new RangeError(`no span at word ${at}`)
}

/** Words that a field takes, its head included. */
export function fieldWords(words: Int32Array, at: number): number {
  const head = words[at] as number
  const key = head >>> 16
  const payload = at + 1 + (key === 0 ? 0 : (key + 2) >> 2)
  return payload - at + payloadWords(words, payload, (head >>> 8) & 255)
}

/** The word behind a field's head and key. */
export function payloadAt(words: Int32Array, at: number): number {
  const key = (words[at] as number) >>> 16
  return at + 1 + (key === 0 ? 0 : (key + 2) >> 2)
}

function payloadWords(words: Int32Array, at: number, kind: number): number {
  switch (kind) {
    case KIND.text:
    case KIND.bigint:
      return textWords(words, at)
    case KIND.textParts:
    case KIND.jsonParts:
      return 2 + (words[at + 1] as number)
    case KIND.int:
      return 1
    case KIND.double:
      return 2
    case KIND.strings: {
      let next = at + 1
      for (let left = words[at] as number; left > 0; left--) next += textWords(words, next)
      return next - at
    }
    case KIND.event: {
      const attributes = at + textWords(words, at) + 2
      return attributes + 2 + (words[attributes + 1] as number) - at
    }
    case KIND.link:
      return 7 + 2 + (words[at + 8] as number)
    default:
      return 0
  }
}

export function textWords(words: Int32Array, at: number): number {
  return 1 + (((words[at] as number) + 3) >>> 2)
}

/** The word where a field's parts begin; 0: it has none. */
export function partsAt(words: Int32Array, at: number): number {
  const payload = payloadAt(words, at)
  switch (((words[at] as number) >>> 8) & 255) {
    case KIND.textParts:
    case KIND.jsonParts:
      return payload
    case KIND.event:
      return payload + textWords(words, payload) + 2
    case KIND.link:
      return payload + 7
    default:
      return 0
  }
}

/** Words of a part that begins with `head`. */
export function partWords(head: number): number {
  switch (head >>> 30) {
    case PART.inline:
      return 1 + (((head & PART_LENGTH) + 3) >> 2)
    case PART.place:
      return 3
    default:
      return 2
  }
}
