import { FIELD } from '@offpath/sdk/spool-format'
import { fieldWords, KIND, payloadAt, textWords } from '../store/layout.ts'
import type { Words } from '../store/words.ts'

// What later fields do to earlier ones: they replace them by number; attributes and metadata by key; tags unite; events
// and links gather. Metadata that is no object stands beside the keys of objects, as Langfuse sends it.

const starts: number[] = []
const keep: boolean[] = []
/** From here on comparing each key with each costs more than a map. */
const MANY = 48

/** Merges the fields from word `from` to the end of `out`, in place. */
export function mergeFields(out: Words, from: number): void {
  const { words } = out
  starts.length = keep.length = 0
  for (let at = from; at < out.at; at += fieldWords(words, at)) starts.push(at)
  let tags = 0
  let seenLow = 0
  let seenHigh = 0
  /** Of metadata and trace metadata: a value without key comes later. */
  let bareLater = 0
  const keys = starts.length > MANY ? new Set<string>() : null
  for (let i = starts.length - 1; i >= 0; i--) {
    const at = starts[i] as number
    const head = words[at] as number
    const field = head & 255
    const bit = 1 << (field & 31)
    keep[i] = true
    if (field === FIELD.event || field === FIELD.link) continue
    if (field === FIELD.tags) {
      tags++
      continue
    }
    if (field === FIELD.metadata || field === FIELD.traceMetadata) {
      if (head >>> 16 === 0) {
        keep[i] = (bareLater & bit) === 0
        bareLater |= bit
      } else keep[i] = !comesLater(out, i, keys)
    } else if (field === FIELD.attribute) keep[i] = !comesLater(out, i, keys)
    else if (field < 32) {
      keep[i] = (seenLow & bit) === 0
      seenLow |= bit
    } else {
      keep[i] = (seenHigh & bit) === 0
      seenHigh |= bit
    }
  }
  if (tags > 1) {
    const united = unitedTags(out)
    compact(out, from)
    appendTags(out, united)
  } else compact(out, from)
}

/** Whether a later field has the same number and key. One that is null changes nothing: it goes. */
function comesLater(out: Words, index: number, keys: Set<string> | null): boolean {
  const { words } = out
  const at = starts[index] as number
  if (keys !== null) {
    const from = (at + 1) << 2
    const head = words[at] as number
    const key = `${head & 255} ${out.bytes.toString('latin1', from, from + (head >>> 16) - 1)}`
    if (keys.has(key)) return true
    keys.add(key)
    return false
  }
  for (let later = index + 1; later < starts.length; later++) {
    if (!keep[later] || !sameKey(words, at, starts[later] as number)) continue
    if (!isNull(words, starts[later] as number)) return true
    keep[later] = false
  }
  return false
}

/** The JSON text null. */
function isNull(words: Int32Array, at: number): boolean {
  if ((((words[at] as number) >>> 8) & 255) !== KIND.jsonParts) return false
  const payload = payloadAt(words, at)
  return words[payload] === 4 && words[payload + 2] === 4 && words[payload + 3] === NULL_WORD
}
const NULL_WORD = Buffer.from('null').readInt32LE(0)

function sameKey(words: Int32Array, a: number, b: number): boolean {
  const head = words[a] as number
  const other = words[b] as number
  if (head >>> 16 !== other >>> 16 || (head & 255) !== (other & 255)) return false
  const end = payloadAt(words, a)
  for (let i = a + 1, j = b + 1; i < end; i++, j++) if (words[i] !== words[j]) return false
  return true
}

function compact(out: Words, from: number): void {
  const { words } = out
  let to = from
  for (let i = 0; i < starts.length; i++) {
    const at = starts[i] as number
    const end = i + 1 < starts.length ? (starts[i + 1] as number) : out.at
    if (!keep[i]) continue
    if (to !== at) words.copyWithin(to, at, end)
    to += end - at
  }
  out.at = to
}

function unitedTags(out: Words): string[] {
  const { words, bytes } = out
  const united = new Set<string>()
  for (let i = 0; i < starts.length; i++) {
    const at = starts[i] as number
    if (((words[at] as number) & 255) !== FIELD.tags) continue
    keep[i] = false
    let next = payloadAt(words, at) + 1
    for (let left = words[next - 1] as number; left > 0; left--) {
      const from = (next + 1) << 2
      united.add(bytes.toString('utf8', from, from + (words[next] as number)))
      next += textWords(words, next)
    }
  }
  return [...united]
}

function appendTags(out: Words, tags: readonly string[]): void {
  out.ensure(2)
  out.words[out.at++] = FIELD.tags | (KIND.strings << 8)
  out.words[out.at++] = tags.length
  for (const tag of tags) out.text(tag)
}
