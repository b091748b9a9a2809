// An entry of a stream: spans on their way from one relay to another. docs/redis-streams.md describes it byte by byte.
// Words have 4 bytes, little-endian.
//
//   entry     = ENTRY | resources | words of spans, as store/layout.ts has them | data
//   resources = JSON {"resources":[Resource …],"runs":[[index of a resource, spans] …]} | zeros up to a word
//   data      = bytes that spans refer to by PART.place, with file 0 and the offset in here
//
// What lies apart in the sender's store lies in the data, once however many spans refer to it; all else is inline.
import { crc32 } from 'node:zlib'
import type { LoadParts } from '../export/attributes.ts'
import { cutSpan, spanBytes } from '../export/cut.ts'
import type { Encoder, EncodingOptions, RequestWriter } from '../export/encoder.ts'
import { readSpans } from '../store/chunk.ts'
import { HEAD } from '../store/layout.ts'
import { writeSpan } from '../store/put-span.ts'
import {
  isPlace,
  type Part,
  type Place,
  type Resource,
  type StoredField,
  type StoredSpan,
} from '../store/span.ts'
import { Words } from '../store/words.ts'
import { measureSpans, type SpanMeasures } from './measure-spans.ts'

export const ENTRY_VERSION = 1

/** Words of the header. */
export const ENTRY = {
  /** CRC-32 of all that follows. */
  crc: 0,
  version: 1,
  spans: 2,
  /** Bytes of the JSON. */
  resources: 3,
  /** Words of the spans. */
  words: 4,
  /** Bytes of the data. */
  data: 5,
  length: 6,
} as const

const FIRST_WORDS = 1024
/** Of a run in the JSON, at most. */
const RUN_BYTES = 24

export function entryEncoder(options: EncodingOptions): Encoder {
  const { load, maxSpanBytes } = options
  const jsons = new WeakMap<Resource, string>()
  const jsonOf = (resource: Resource): string => {
    const json = jsons.get(resource) ?? JSON.stringify(resource)
    jsons.set(resource, json)
    return json
  }

  const begin = (buffer: Buffer, maxBytes: number): RequestWriter => {
    const out = new Words(FIRST_WORDS)
    const data = new DataSection()
    const resources = new Map<Resource, number>()
    const runs: [resource: number, spans: number][] = []
    let spans = 0
    let jsonBytes = 64

    const add = (stored: StoredSpan): boolean => {
      const span = spanBytes(stored) > maxSpanBytes ? cutSpan(stored, maxSpanBytes, load) : stored
      const start = out.at
      const mark = data.mark()
      const known = resources.get(span.resource)
      const run = runs.at(-1)
      const inRun = run !== undefined && run[0] === known
      const more =
        (inRun ? 0 : RUN_BYTES) +
        (known === undefined ? Buffer.byteLength(jsonOf(span.resource)) + 1 : 0)
      try {
        writeSpan(out, data.take(span))
        out.words[start + HEAD.length] = out.at - start
      } catch (error) {
        out.at = start
        data.reset(mark)
        throw error
      }
      const bytes = (ENTRY.length << 2) + jsonBytes + more + (out.at << 2) + data.bytes
      if (spans > 0 && bytes > maxBytes) {
        out.at = start
        data.reset(mark)
        return false
      }
      jsonBytes += more
      const resource = known ?? resources.size
      resources.set(span.resource, resource)
      if (inRun) run[1]++
      else runs.push([resource, 1])
      spans++
      return true
    }

    const finish = (): { buffer: Buffer; length: number } => {
      const texts = [...resources.keys()].map(jsonOf).join(',')
      const json = Buffer.from(`{"resources":[${texts}],"runs":${JSON.stringify(runs)}}`)
      const wordsAt = (ENTRY.length << 2) + padded(json.length)
      const dataAt = wordsAt + (out.at << 2)
      const length = dataAt + data.bytes
      const into = length > buffer.length ? Buffer.allocUnsafeSlow(length) : buffer
      const head = [ENTRY_VERSION, spans, json.length, out.at, data.bytes]
      for (const [i, word] of head.entries()) into.writeUInt32LE(word, (ENTRY.version + i) << 2)
      json.copy(into, ENTRY.length << 2)
      into.fill(0, (ENTRY.length << 2) + json.length, wordsAt)
      out.bytes.copy(into, wordsAt, 0, out.at << 2)
      load(data.places, into, dataAt)
      into.writeUInt32LE(crc32(into.subarray(ENTRY.version << 2, length)), ENTRY.crc << 2)
      return { buffer: into, length }
    }

    return {
      get spans() {
        return spans
      },
      add,
      finish,
    }
  }

  const encode = (spans: readonly StoredSpan[]): Buffer => {
    const writer = begin(Buffer.alloc(0), Number.POSITIVE_INFINITY)
    for (const span of spans) writer.add(span)
    const { buffer, length } = writer.finish()
    return buffer.subarray(0, length)
  }

  return { begin, encode }
}

/** Where what spans refer to goes: each place of the sender's store once. */
class DataSection {
  readonly places: Place[] = []
  bytes = 0
  readonly #offsets = new Map<string, number>()

  mark(): { readonly places: number; readonly bytes: number } {
    return { places: this.places.length, bytes: this.bytes }
  }

  reset({ places, bytes }: { readonly places: number; readonly bytes: number }): void {
    for (const place of this.places.splice(places)) this.#offsets.delete(keyOf(place))
    this.bytes = bytes
  }

  /** The span with places in here. */
  take(span: StoredSpan): StoredSpan {
    return withParts(span, (part) => (isPlace(part) ? this.#keep(part) : part))
  }

  #keep(place: Place): Place {
    const key = keyOf(place)
    let offset = this.#offsets.get(key)
    if (offset === undefined) {
      offset = this.bytes
      this.#offsets.set(key, offset)
      this.places.push(place)
      this.bytes += place.length
    }
    return { file: 0, offset, length: place.length }
  }
}

function keyOf({ file, offset, length }: Place): string {
  return `${file}:${offset}:${length}`
}

/** The span with other parts where it has places; the same one when it has none. */
function withParts(span: StoredSpan, change: (part: Part) => Part): StoredSpan {
  let fields: StoredField[] | null = null
  for (const [i, field] of span.fields.entries()) {
    const { value } = field
    if ((value.type !== 'text' && value.type !== 'json') || !value.parts.some(isPlace)) continue
    fields ??= [...span.fields]
    fields[i] = { ...field, value: { ...value, parts: value.parts.map(change) } }
  }
  return fields === null ? span : { ...span, fields }
}

/** An entry's parts, which are views of its bytes. */
interface Sections {
  readonly spans: number
  readonly resources: readonly Resource[]
  readonly runs: readonly (readonly [resource: number, spans: number])[]
  readonly words: Buffer
  readonly data: Buffer
}

/**
 * What is to be known of an entry before its spans are read, after which that can only fail for a text that is none.
 *
 * @param bytes aligned, as `allocateChunk` does
 * @throws RangeError that says why it is no entry
 */
export function measureEntry(bytes: Buffer): SpanMeasures {
  const { spans, runs, words, data } = sectionsOf(bytes)
  const measures = measureSpans(words, data.length)
  const counted = runs.reduce((sum, [, count]) => sum + count, 0)
  if (measures.starts.length !== spans || counted !== spans)
    throw new RangeError('it does not have as many spans as it says')
  return measures
}

/** The spans that an entry says it has, without looking at them: 0 when it is none. */
export function spansSaid(bytes: Buffer): number {
  return bytes.length < ENTRY.length << 2 ? 0 : bytes.readUInt32LE(ENTRY.spans << 2)
}

/** All spans of an entry that was measured; their parts are views of its bytes, which are not checked a second time. */
export function readEntry(bytes: Buffer, { starts }: SpanMeasures): StoredSpan[] {
  const { resources, runs, words, data } = sectionsOf(bytes, false)
  const here = (part: Part): Part =>
    isPlace(part) ? data.subarray(part.offset, part.offset + part.length) : part
  const text = (parts: readonly Part[]): string =>
    Buffer.concat(parts.map(here) as Buffer[]).toString()
  const spans: StoredSpan[] = []
  for (const [resource, count] of runs) {
    const from = (starts[spans.length] as number) << 2
    const to = (starts[spans.length + count] ?? words.length >> 2) << 2
    const run = readSpans(words.subarray(from, to), resources[resource] as Resource, text)
    for (const span of run) spans.push(withParts(span, here))
  }
  return spans
}

/** A `LoadParts` for spans of entries: nothing of them lies elsewhere. */
export const loadInline: LoadParts = (parts, into, at) => {
  for (const part of parts as readonly Buffer[]) {
    part.copy(into, at)
    at += part.length
  }
  return at
}

function sectionsOf(bytes: Buffer, checks = true): Sections {
  if (bytes.length < ENTRY.length << 2) throw new RangeError(`${bytes.length} bytes are no entry`)
  const word = (index: number): number => bytes.readUInt32LE(index << 2)
  const version = word(ENTRY.version)
  if (version !== ENTRY_VERSION)
    throw new RangeError(`its format has version ${version}, known is ${ENTRY_VERSION}`)
  const jsonAt = ENTRY.length << 2
  const wordsAt = jsonAt + padded(word(ENTRY.resources))
  const dataAt = wordsAt + word(ENTRY.words) * 4
  if (dataAt + word(ENTRY.data) !== bytes.length)
    throw new RangeError('its length is not what it says')
  if (checks && crc32(bytes.subarray(ENTRY.version << 2)) !== word(ENTRY.crc))
    throw new RangeError('its CRC is wrong')
  const json = bytes.toString('utf8', jsonAt, jsonAt + word(ENTRY.resources))
  return {
    spans: word(ENTRY.spans),
    ...readResources(json),
    words: bytes.subarray(wordsAt, dataAt),
    data: bytes.subarray(dataAt),
  }
}

// Equal resources are one object: exporters encode a resource once, and spans of it share a group of a request.
const seen = new Map<string, Resource>()
const MAX_SEEN = 1024

function readResources(json: string): Pick<Sections, 'resources' | 'runs'> {
  const read = parsed(json)
  const { resources, runs } = read
  if (!Array.isArray(resources) || !resources.every(isResource))
    throw new RangeError('its resources are none')
  const isRun = (run: unknown): run is [number, number] =>
    Array.isArray(run) &&
    run[0] in resources &&
    Number.isInteger(run[0]) &&
    run[1] > 0 &&
    Number.isInteger(run[1])
  if (!Array.isArray(runs) || !runs.every(isRun)) throw new RangeError('its runs are none')
  return { resources: resources.map(sameAsBefore), runs }
}

function parsed(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json)
    if (isRecord(value)) return value
  } catch {
    // Told below.
  }
  throw new RangeError('its resources are no JSON')
}

function isResource(value: unknown): value is Resource {
  return (
    isRecord(value) &&
    ['host', 'language'].every((key) => typeof value[key] === 'string') &&
    ['service', 'environment', 'release'].every(
      (key) => value[key] === null || typeof value[key] === 'string',
    ) &&
    isRecord(value.sdk) &&
    isRecord(value.attributes)
  )
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function sameAsBefore(resource: Resource): Resource {
  const json = JSON.stringify(resource)
  const same = seen.get(json)
  if (same !== undefined) return same
  if (seen.size >= MAX_SEEN) seen.clear()
  seen.set(json, resource)
  return resource
}

function padded(bytes: number): number {
  return Math.ceil(bytes / 4) * 4
}
