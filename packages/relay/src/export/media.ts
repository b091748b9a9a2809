// Media: what is bytes in a span goes to Langfuse apart from it. In the store it is a data URI that is all of a string,
// whoever wrote it; on the way out a token stands in its place:
//
//   "data:image/png;base64,iVBOR…"  ─▶  "@@@langfuseMedia:type=image/png|id=…|source=base64_data_uri@@@"
import { createHash } from 'node:crypto'
import { FIELD } from '@offpath/sdk/spool-format'
import type { Part, StoredField, StoredSpan, Value } from '../store/span.ts'
import type { LoadParts } from './attributes.ts'

/** Content that a span has in a field. */
export interface Media {
  readonly content: Buffer
  /** Hex. */
  readonly sha256: string
  readonly contentType: string
  readonly field: MediaField
}

/** As Langfuse's API calls them. */
type MediaField = 'input' | 'output' | 'metadata'

const FIELDS: ReadonlyMap<number, MediaField> = new Map([
  [FIELD.input, 'input'],
  [FIELD.traceInput, 'input'],
  [FIELD.output, 'output'],
  [FIELD.traceOutput, 'output'],
  [FIELD.metadata, 'metadata'],
  [FIELD.traceMetadata, 'metadata'],
])

const SIGN = Buffer.from(';base64,')
/** Without the comma: from eight bytes on Node searches in a way that takes 29 µs for 64 KB of text, below it 1 to 4. */
const PROBE = Buffer.from(';base64')
const HEAD = /^data:([\w.+-]+\/[\w.+-]+)((?:;[\w.+-]+=[\w.+-]*)*)$/
const TYPED = /\{"contentType":"([\w.+-]+\/[\w.+-]+)((?:; ?[\w.+-]+=[\w.+-]*)*)","content":"$/
const MAX_HEAD_BYTES = 256
/** As short is `data:a/b;base64,` with some content. */
const MIN_VALUE_BYTES = 18
/** Characters of base64. What is shorter, and was not recorded as media, is as short as its token. */
const MIN_BASE64 = 64
const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const CLOSE_OBJECT = 0x7d

/** Whether there may be media in a span, as which those bytes were written. */
export function mayHaveMedia({ fields }: StoredSpan, written: Buffer): boolean {
  for (let i = 0; i < fields.length; i++) {
    const { field, value } = fields[i]!
    if (!FIELDS.has(field) || (value.type !== 'text' && value.type !== 'json')) continue
    if (value.length >= MIN_VALUE_BYTES) return written.includes(PROBE)
  }
  return false
}

/** The span with tokens instead of its media, and these; the same span when it has none. */
export function cutMedia(
  span: StoredSpan,
  load: LoadParts,
): { readonly span: StoredSpan; readonly media: readonly Media[] } {
  const media: Media[] = []
  const cut = (one: StoredField): StoredField => {
    const { value } = one
    const field = FIELDS.get(one.field)
    if (field === undefined || (value.type !== 'text' && value.type !== 'json')) return one
    const replaced = cutValue(value, field, load, media)
    return replaced === null ? one : { ...one, value: replaced }
  }
  const fields = span.fields.map(cut)
  return media.length === 0 ? { span, media } : { span: { ...span, fields }, media }
}

function cutValue(
  value: Extract<Value, { type: 'text' | 'json' }>,
  field: MediaField,
  load: LoadParts,
  media: Media[],
): Value | null {
  if (value.length < MIN_VALUE_BYTES) return null
  const bytes = bytesOf(value, load)
  const pieces: Buffer[] = []
  let kept = 0
  for (let sign = bytes.indexOf(SIGN); sign >= 0; sign = bytes.indexOf(SIGN, sign + 1)) {
    const found = value.type === 'text' ? inText(bytes, sign) : inJson(bytes, sign)
    if (found === null || found.from < kept) continue
    const content = contentOf(found)
    if (content === null) continue
    media.push({ ...content, field })
    const source = found.source ?? 'base64_data_uri'
    const token = `@@@langfuseMedia:type=${content.contentType}|id=${mediaId(content.sha256)}|source=${source}@@@`
    pieces.push(
      bytes.subarray(kept, found.from),
      Buffer.from(found.isObject ? `"${token}"` : token),
    )
    kept = found.to
    sign = kept - 1
  }
  if (pieces.length === 0) return null
  pieces.push(bytes.subarray(kept))
  const whole = Buffer.concat(pieces)
  return { type: value.type, parts: [whole], length: whole.length }
}

function bytesOf(
  { parts, length }: { readonly parts: readonly Part[]; readonly length: number },
  load: LoadParts,
): Buffer {
  const only = parts.length === 1 ? parts[0]! : null
  if (only instanceof Uint8Array) return only
  const bytes = Buffer.allocUnsafe(length)
  load(parts, bytes, 0)
  return bytes
}

/** What a token is to stand for. */
interface Found {
  /** Where the token goes. */
  readonly from: number
  readonly to: number
  /** It is an object, which the token takes the place of as a string. */
  readonly isObject: boolean
  readonly type: string
  readonly parameters: ReadonlyMap<string, string>
  /** What its writer says; undefined: it was not recorded as media. */
  readonly source: string | undefined
  readonly base64: string
}

function inText(text: Buffer, sign: number): Found | null {
  return dataUri(text, 0, sign, text.length)
}

/** In the string of JSON text that the sign is near the beginning of; null: of a key, or of no data URI. */
function inJson(json: Buffer, sign: number): Found | null {
  const head = json.subarray(Math.max(0, sign - MAX_HEAD_BYTES), sign)
  const before = head.lastIndexOf(QUOTE)
  const quote = sign - head.length + before
  if (before < 0 || json[quote - 1] === BACKSLASH) return null
  const end = json.indexOf(QUOTE, sign)
  if (end < 0 || json[end + 1] === COLON) return null
  const found = dataUri(json, quote + 1, sign, end)
  return found === null ? null : (typedBytes(json, found) ?? found)
}

/** `{"contentType":"image/png","content":"data:application/octet-stream;base64,…"}`, which bytes with their type are recorded as. */
function typedBytes(json: Buffer, found: Found): Found | null {
  const { from, to, type, source } = found
  if (type !== 'application/octet-stream' || source !== undefined) return null
  if (json[to + 1] !== CLOSE_OBJECT) return null
  const before = TYPED.exec(json.toString('latin1', Math.max(0, from - MAX_HEAD_BYTES), from))
  if (before === null) return null
  return {
    ...found,
    from: from - before[0].length,
    to: to + 2,
    isObject: true,
    source: 'bytes',
    ...typeOf(before[1]!, before[2]!),
  }
}

function dataUri(bytes: Buffer, from: number, sign: number, to: number): Found | null {
  if (sign - from > MAX_HEAD_BYTES) return null
  const head = HEAD.exec(bytes.toString('latin1', from, sign))
  if (head === null) return null
  const { type, parameters } = typeOf(head[1]!, head[2]!)
  const base64 = bytes.toString('latin1', sign + SIGN.length, to)
  return { from, to, isObject: false, type, parameters, source: parameters.get('source'), base64 }
}

function typeOf(type: string, parameters: string): Pick<Found, 'type' | 'parameters'> {
  const pairs = parameters.split(';').map((pair) => pair.trim().split('=') as [string, string])
  return { type: type.toLowerCase(), parameters: new Map(pairs) }
}

/** Null: it is no base64, or not worth its token. */
function contentOf({ type, parameters, source, base64 }: Found): Omit<Media, 'field'> | null {
  if (source === undefined && base64.length < MIN_BASE64) return null
  const decoded = decode(base64)
  if (decoded === null) return null
  const header = wavHeader(type, parameters, decoded.length)
  const content = header === null ? decoded : Buffer.concat([header, decoded])
  const contentType = header === null ? type : 'audio/wav'
  return { content, sha256: createHash('sha256').update(content).digest('hex'), contentType }
}

/** Null: it is not all base64, or nothing. Node passes over what is none, so that only the way back tells. */
function decode(base64: string): Buffer | null {
  const content = Buffer.from(base64, 'base64')
  const isAll = unpadded(content.toString('base64url')) === unpadded(urlSafe(base64))
  return content.length > 0 && isAll ? content : null
}

function urlSafe(base64: string): string {
  return base64.replaceAll('+', '-').replaceAll('/', '_')
}

function unpadded(base64: string): string {
  let end = base64.length
  while (end > 0 && base64[end - 1] === '=') end--
  return base64.slice(0, end)
}

/** Langfuse's id of content: the first 22 characters of its hash in url-safe base64. */
export function mediaId(sha256: string): string {
  return Buffer.from(sha256, 'hex').toString('base64url').slice(0, 22)
}

/**
 * What makes a WAV file of samples alone, little-endian, which no browser plays: `audio/pcm;rate=24000`, `width` in bytes
 * (2) and `channels` (1); `audio/l16` likewise. Null: it is something else, or its rate is not known.
 * http://soundfile.sapp.org/doc/WaveFormat
 */
function wavHeader(
  type: string,
  parameters: ReadonlyMap<string, string>,
  bytes: number,
): Buffer | null {
  const rate = Number(parameters.get('rate'))
  const width = Number(parameters.get('width') ?? 2)
  const channels = Number(parameters.get('channels') ?? 1)
  if (type !== 'audio/pcm' && type !== 'audio/l16') return null
  const isWithin = (value: number, most: number): boolean =>
    Number.isInteger(value) && value >= 1 && value <= most
  if (!isWithin(rate, 1e6) || !isWithin(width, 4) || !isWithin(channels, 64)) return null
  const header = Buffer.alloc(44)
  header.write('RIFF', 0)
  header.writeUInt32LE(36 + bytes, 4)
  header.write('WAVEfmt ', 8)
  header.writeUInt32LE(16, 16)
  header.writeUInt16LE(1, 20)
  header.writeUInt16LE(channels, 22)
  header.writeUInt32LE(rate, 24)
  header.writeUInt32LE(rate * width * channels, 28)
  header.writeUInt16LE(width * channels, 32)
  header.writeUInt16LE(width * 8, 34)
  header.write('data', 36)
  header.writeUInt32LE(bytes, 40)
  return header
}
