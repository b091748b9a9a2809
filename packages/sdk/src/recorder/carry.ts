import { FIELD, FRAME, FRAME_FOOTER_BYTES, RECORD, TAG } from '../spool/format.ts'
import type { Propagated } from './span.ts'

/**
 * The frame that goes before one carried to a new segment: defines the names (numbered from 1 in their order), the
 * numbered strings and the contexts that it may refer to.
 */
export function preambleFrame(
  names: readonly string[],
  strings: readonly { readonly number: number; readonly text: string }[],
  contexts: readonly { readonly number: number; readonly context: Propagated }[],
): Buffer {
  const values: Buffer[] = []
  names.forEach((name, index) => {
    values.push(definition(TAG.nameDefinition, index + 1, Buffer.from(name, 'utf8')))
  })
  for (const { number, text } of strings) {
    values.push(definition(TAG.numberedUtf16, number, Buffer.from(text, 'utf16le')))
  }
  const records = contexts.map(({ number, context }) =>
    record(RECORD.context, contextBody(number, context)),
  )
  if (values.length > 0) records.unshift(record(RECORD.define, values))
  return Buffer.concat([Buffer.alloc(FRAME.payload), ...records, Buffer.alloc(FRAME_FOOTER_BYTES)])
}

function record(type: number, parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([word(type, body.length / 4 + 1), body])
}

function word(low: number, high: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE((low | (high << 8)) >>> 0)
  return bytes
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes], (bytes.length + 3) & ~3)
}

function definition(tag: number, number: number, bytes: Buffer): Buffer {
  return Buffer.concat([word(tag, bytes.length), word(number, 0), padded(bytes)])
}

const CONTEXT_FIELDS: readonly (readonly [keyof Propagated, number])[] = [
  ['userId', FIELD.userId],
  ['sessionId', FIELD.sessionId],
  ['traceName', FIELD.traceName],
  ['version', FIELD.version],
  ['environment', FIELD.environment],
  ['tags', FIELD.tags],
  ['metadata', FIELD.traceMetadata],
  ['promptName', FIELD.promptName],
  ['promptVersion', FIELD.promptVersion],
  ['project', FIELD.project],
]

function contextBody(number: number, context: Propagated): Buffer[] {
  const parts = [word(number & 255, number >>> 8)]
  for (const [key, field] of CONTEXT_FIELDS) {
    if (context[key] !== undefined) parts.push(word(field, 0), plainValue(context[key]))
  }
  return parts
}

// Without names and numbers: they belong to the frame that follows.
function plainValue(value: unknown): Buffer {
  if (typeof value === 'string') {
    const bytes = Buffer.from(value, 'utf16le')
    return Buffer.concat([word(TAG.utf16, bytes.length), padded(bytes)])
  }
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(8)
    bytes.writeDoubleLE(value)
    return Buffer.concat([word(TAG.double, 0), bytes])
  }
  if (Array.isArray(value))
    return Buffer.concat([word(TAG.array, value.length), ...value.map(plainValue)])
  const entries = Object.entries(value as object)
  return Buffer.concat([word(TAG.object, entries.length), ...entries.flat().map(plainValue)])
}

export interface FrameContent {
  readonly started: number
  /** Updates of observations that started before this frame. */
  readonly updates: number
  /** Ends of observations that started before this frame: serial (two words), seconds, nanoseconds each. */
  readonly ends: number[]
}

/** What a frame that is lost held: so that observations that had started before still get their end. */
export function lostContent(words: Int32Array, from: number, to: number): FrameContent {
  const startedHere = new Set<number>()
  const ends: number[] = []
  let started = 0
  let updates = 0
  for (let at = from; at < to; ) {
    const head = words[at] as number
    const type = head & 255
    const serial = words[at + 1] as number
    if (type === RECORD.start || type === RECORD.event) {
      started++
      startedHere.add(serial)
    } else if (type === RECORD.end && !startedHere.has(serial)) {
      ends.push(serial, words[at + 2] as number, words[at + 3] as number, words[at + 4] as number)
    } else if (type === RECORD.update && !startedHere.has(serial)) {
      updates++
    } else if (type === RECORD.lostEnds) {
      for (let i = at + 1; i < at + (head >>> 8); i++) ends.push(words[i] as number)
    }
    at += Math.max(1, head >>> 8)
  }
  return { started, updates, ends }
}
