// What the attributes of a span don't say, and a store knows: attributes of ours that stand in exported files beside them,
// and that an import takes out again. None of them is sent to an exporter's server.
import { FIELD } from '@offpath/sdk/spool-format'
import { type LoadParts, staysText } from '../export/attributes.ts'
import { isAlarming, originOf } from '../export/langfuse.ts'
import type { StoredField, StoredSpan, Value } from '../store/span.ts'
import { looksLikeJson } from './from-json.ts'

export const HINT = {
  /** The project that an observation names. */
  project: 'offpath.project',
  /** Names of text attributes that are JSON where a reader would not think so, and the other way round. */
  json: 'offpath.json',
  text: 'offpath.text',
  /** The level of an interrupted observation, in whose place WARNING is sent. */
  level: 'offpath.level',
} as const

/** Attribute names by field, as far as they are sent as text whatever the value's type. */
const TEXT_FIELDS = textFields()

function textFields(): ReadonlyMap<number, string> {
  const names = [
    'langfuse.observation.input',
    'langfuse.observation.output',
    'langfuse.observation.metadata',
    'langfuse.observation.completion_start_time',
    'langfuse.observation.model.parameters',
    'langfuse.observation.usage_details',
    'langfuse.observation.cost_details',
    'langfuse.trace.metadata',
    'langfuse.trace.input',
    'langfuse.trace.output',
  ]
  return new Map(names.map((name) => [originOf(name)!.field, name]))
}

/** The span with hints among its attributes. */
export function withHints(span: StoredSpan, load: LoadParts): StoredSpan {
  const json: string[] = []
  const text: string[] = []
  for (const field of span.fields) {
    const [name, isJson, seemsJson] = formOf(field, load)
    if (name === null || isJson === seemsJson) continue
    if (isJson) json.push(name)
    else text.push(name)
  }
  const hints: StoredField[] = []
  const add = (key: string, value: Value): void =>
    void hints.push({ field: FIELD.attribute, key, value })
  if (span.project !== null) add(HINT.project, textValue(span.project))
  if (json.length > 0) add(HINT.json, { type: 'strings', values: json })
  if (text.length > 0) add(HINT.text, { type: 'strings', values: text })
  const level = span.fields.find(({ field }) => field === FIELD.level)?.value
  // One that alarms is sent, and would be there twice.
  if (span.interrupted && level?.type === 'text' && !isAlarming(level)) add(HINT.level, level)
  return hints.length === 0 ? span : { ...span, fields: [...span.fields, ...hints] }
}

type Form = readonly [name: string | null, isJson: boolean, seemsJson: boolean]
const NO_TEXT: Form = [null, false, false]

/** Of a field that is sent as text: the attribute's name, whether that is JSON, and whether it seems so. */
function formOf({ field, key, value }: StoredField, load: LoadParts): Form {
  if (field === FIELD.attribute) {
    const isText = value.type === 'json' && staysText(loaded(value, load).toString())
    return isText ? [key ?? '', true, false] : NO_TEXT
  }
  const prefix = TEXT_FIELDS.get(field)
  if (prefix === undefined) return NO_TEXT
  const name = key === undefined ? prefix : `${prefix}.${key}`
  switch (value.type) {
    case 'text':
    case 'json':
      return [name, value.type === 'json', looksLikeJson(loaded(value, load))]
    case 'int':
      // Too large a number is shown as text.
      return [name, typeof value.value === 'number', false]
    case 'strings':
      return NO_TEXT
    default:
      return [name, true, false]
  }
}

function loaded(value: Extract<Value, { type: 'text' | 'json' }>, load: LoadParts): Buffer {
  const bytes = Buffer.allocUnsafe(value.length)
  load(value.parts, bytes, 0)
  return bytes
}

export function textValue(text: string | Buffer): Extract<Value, { type: 'text' }> {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text
  return { type: 'text', parts: [bytes], length: bytes.length }
}
