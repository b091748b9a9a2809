/**
 * Text of traces and servers as it may stand in one line of a terminal: no escape sequences, no control
 * characters, no switches of writing direction; line breaks and tabs as spaces.
 */
export function printable(text: string): string {
  return text
    .replace(ESCAPES, '')
    .replace(/[\t\n\v\f\r\u0085\u2028\u2029]+/g, ' ')
    .replace(HIDDEN, '')
    .toWellFormed()
}

/**
 * A value as a line of JSON that may stand on a terminal: what would drive it or hide there is escaped, which a parser
 * takes for the same.
 */
export function jsonLine(value: unknown): string {
  const json = JSON.stringify(value).replace(HIDDEN_IN_JSON, (found) => {
    return `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
  return `${json}\n`
}

// CSI, then the string sequences (OSC, DCS, SOS, PM, APC) up to their end, then two-character ones. Both
// the 7-bit forms and C1. No class overlaps the one after it, so the time is linear.
const ESCAPES =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]?|(?:\u001b[\]PX^_]|[\u0090\u0098\u009d\u009e\u009f])[^\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c)?|\u001b[ -/]*[0-~]?/g

const HIDDEN = /[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu

/** JSON itself escapes those below U+0020. */
const HIDDEN_IN_JSON =
  /[\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/g

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' })

/**
 * Columns that text takes in a terminal: East Asian wide and fullwidth characters (Unicode TR 11) and emoji
 * take two, marks none. `string-width` does the same and would be one dependency more.
 */
export function columnsOf(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length
  let columns = 0
  for (const { segment } of graphemes.segment(text)) columns += columnsOfGrapheme(segment)
  return columns
}

/** The beginning of the text that fits into so many columns, with … when something is left out. */
export function fit(text: string, columns: number): string {
  if (text.length <= columns && /^[ -~]*$/.test(text)) return text
  if (columns < 1) return ''
  let kept = ''
  let used = 0
  // Lazily: of a preview of many KB a line is needed.
  for (const { segment } of graphemes.segment(text)) {
    const wide = columnsOfGrapheme(segment)
    if (used + wide > columns) return `${shorten(kept, used, columns - 1)}…`
    kept += segment
    used += wide
  }
  return kept
}

function shorten(text: string, used: number, columns: number): string {
  if (used <= columns) return text
  const segments = [...graphemes.segment(text)].map(({ segment }) => segment)
  let left = used
  while (left > columns) left -= columnsOfGrapheme(segments.pop()!)
  return segments.join('')
}

/** The text with spaces up to so many columns; unchanged when it is longer. */
export function pad(text: string, columns: number, side: 'start' | 'end' = 'end'): string {
  const spaces = ' '.repeat(Math.max(0, columns - columnsOf(text)))
  return side === 'end' ? text + spaces : spaces + text
}

function columnsOfGrapheme(grapheme: string): number {
  const code = grapheme.codePointAt(0)!
  if (grapheme.length === 1 && code >= 0x20 && code < 0x7f) return 1
  if (/^\p{RGI_Emoji}$/v.test(grapheme) || /\p{Emoji_Presentation}/u.test(grapheme)) return 2
  if (/^[\p{Mark}\p{Format}\p{Control}]/u.test(grapheme)) return 0
  return isWide(code) ? 2 : 1
}

/** East Asian Width W or F, by blocks: emoji are recognised before. */
function isWide(code: number): boolean {
  return (
    code >= 0x1100 &&
    (code <= 0x115f ||
      (code >= 0x2e80 && code <= 0x303e) ||
      (code >= 0x3041 && code <= 0x33ff) ||
      (code >= 0x3400 && code <= 0x4dbf) ||
      (code >= 0x4e00 && code <= 0xa4cf) ||
      (code >= 0xa960 && code <= 0xa97f) ||
      (code >= 0xac00 && code <= 0xd7a3) ||
      (code >= 0xf900 && code <= 0xfaff) ||
      (code >= 0xfe30 && code <= 0xfe6f) ||
      (code >= 0xff00 && code <= 0xff60) ||
      (code >= 0xffe0 && code <= 0xffe6) ||
      (code >= 0x16fe0 && code <= 0x18dff) ||
      (code >= 0x1b000 && code <= 0x1b2ff) ||
      (code >= 0x20000 && code <= 0x3fffd))
  )
}
