// A stored span as attributes, the way Langfuse's own SDKs put them on the wire. The tables of
// docs/langfuse-compatibility.md, "On the wire", say the same in words.
import { FIELD, OBSERVATION_TYPES, START_FLAG } from '@offpath/sdk/spool-format'
import type { Part, Plain, Resource, StoredField, StoredSpan, Value } from '../store/span.ts'
import {
  attributeKey,
  type LoadParts,
  SPAN_ATTRIBUTE,
  writeBoolAttribute,
  writePartsAttribute,
  writeTextAttribute,
  writeTypedAttribute,
} from './attributes.ts'
import { writeBytes } from './protobuf.ts'

/** One SDK's way of writing. A request is in one dialect, from its headers to its attributes. */
export interface Dialect {
  /** Instrumentation scope of observations, which have none of their own. */
  readonly scope: { readonly name: string; readonly version: string }
  readonly headers: Readonly<Record<string, string>>
  resourceAttributes(resource: Resource): Plain
  /** Writes a span's attributes as fields of an OTLP Span; returns the position after them. */
  writeAttributes(into: Buffer, at: number, span: StoredSpan, load: LoadParts): number
}

const SDK_VERSION = '5.11.1'

/** @langfuse/tracing and @langfuse/otel 5.11.1. */
export const javascript5: Dialect = {
  scope: { name: 'langfuse-sdk', version: SDK_VERSION },
  headers: { 'x-langfuse-sdk-name': 'javascript', 'x-langfuse-sdk-version': SDK_VERSION },
  resourceAttributes,
  writeAttributes,
}

/**
 * raw: the value as it is typed. text: a string as it is, all else as JSON text. metadata: as text, and
 * left out where that is empty. A field with a key is an attribute of its own.
 */
type Form = 'raw' | 'text' | 'metadata'

/** Where an attribute goes that some field would write. */
export interface Origin {
  readonly field: number
  /** Of metadata. */
  readonly key: string | undefined
  readonly form: Form
}

interface Rule {
  readonly name: string
  readonly key: Buffer
  readonly form: Form
  /** Encoded keys of metadata by their last part. */
  readonly members: Map<string, Buffer>
}

export const TYPE = 'langfuse.observation.type'
const LEVEL = 'langfuse.observation.level'
const STATUS_MESSAGE = 'langfuse.observation.status_message'
const ENVIRONMENT = 'langfuse.environment'
export const RELEASE = 'langfuse.release'

const RULES: readonly (Rule | undefined)[] = rules([
  [FIELD.input, 'text', 'langfuse.observation.input'],
  [FIELD.output, 'text', 'langfuse.observation.output'],
  [FIELD.metadata, 'metadata', 'langfuse.observation.metadata'],
  [FIELD.level, 'raw', LEVEL],
  [FIELD.statusMessage, 'raw', STATUS_MESSAGE],
  [FIELD.version, 'raw', 'langfuse.version'],
  [FIELD.environment, 'raw', ENVIRONMENT],
  [FIELD.completionStartTime, 'text', 'langfuse.observation.completion_start_time'],
  [FIELD.model, 'raw', 'langfuse.observation.model.name'],
  [FIELD.modelParameters, 'text', 'langfuse.observation.model.parameters'],
  [FIELD.usageDetails, 'text', 'langfuse.observation.usage_details'],
  [FIELD.costDetails, 'text', 'langfuse.observation.cost_details'],
  [FIELD.promptName, 'raw', 'langfuse.observation.prompt.name'],
  [FIELD.promptVersion, 'raw', 'langfuse.observation.prompt.version'],
  [FIELD.traceName, 'raw', 'langfuse.trace.name'],
  [FIELD.userId, 'raw', 'user.id'],
  [FIELD.sessionId, 'raw', 'session.id'],
  [FIELD.tags, 'raw', 'langfuse.trace.tags'],
  [FIELD.traceMetadata, 'text', 'langfuse.trace.metadata'],
  [FIELD.tracePublic, 'raw', 'langfuse.trace.public'],
  [FIELD.traceInput, 'text', 'langfuse.trace.input'],
  [FIELD.traceOutput, 'text', 'langfuse.trace.output'],
])

function rules(table: [field: number, form: Form, name: string][]): (Rule | undefined)[] {
  const byField: (Rule | undefined)[] = []
  for (const [field, form, name] of table) {
    byField[field] = { name, key: attributeKey(name), form, members: new Map() }
  }
  return byField
}

const ORIGINS = new Map<string, Origin>(
  RULES.flatMap((rule, field) =>
    rule === undefined ? [] : [[rule.name, { field, key: undefined, form: rule.form }]],
  ),
)
const MEMBERS = [FIELD.metadata, FIELD.traceMetadata].map((field) => {
  const { name, form } = RULES[field]!
  return { prefix: `${name}.`, field, form }
})

/** The field that writes attributes of this name; undefined: none does. */
export function originOf(name: string): Origin | undefined {
  const origin = ORIGINS.get(name)
  if (origin !== undefined) return origin
  for (const { prefix, field, form } of MEMBERS) {
    if (name.startsWith(prefix)) return { field, key: name.slice(prefix.length), form }
  }
  return undefined
}

const TYPES: readonly Buffer[] = OBSERVATION_TYPES.map((type) => encoded(TYPE, type))
export const APP_ROOT = 'langfuse.internal.is_app_root'
export const AS_ROOT = 'langfuse.internal.as_root'
const IS_APP_ROOT = encoded(APP_ROOT, true)
const IS_AS_ROOT = encoded(AS_ROOT, true)

// An interrupted observation stands out, and can be filtered by, wherever it arrives: whether it failed
// is not known, so it is a warning and no error.
export const INTERRUPTED = 'offpath.interrupted'
/** What follows it, as far as the observation does not say otherwise itself. */
export const OF_INTERRUPTED: Readonly<Record<string, string>> = {
  'langfuse.observation.metadata.offpath_interrupted': 'true',
  [LEVEL]: 'WARNING',
  [STATUS_MESSAGE]: 'Interrupted: its process ended before it did',
}
const [METADATA_KEY, METADATA_TEXT] = Object.entries(OF_INTERRUPTED)[0]!
const IS_INTERRUPTED = Buffer.concat([
  encoded(INTERRUPTED, true),
  encoded(METADATA_KEY, METADATA_TEXT),
])
const INTERRUPTED_LEVEL = encoded(LEVEL, OF_INTERRUPTED[LEVEL]!)
const INTERRUPTED_MESSAGE = encoded(STATUS_MESSAGE, OF_INTERRUPTED[STATUS_MESSAGE]!)

/** A span attribute that is the same in many spans. */
function encoded(name: string, value: string | true): Buffer {
  const key = attributeKey(name)
  const bytes = Buffer.alloc(key.length + 3 * String(value).length + 32)
  const end =
    value === true
      ? writeBoolAttribute(bytes, 0, SPAN_ATTRIBUTE, key, value)
      : writeTextAttribute(bytes, 0, SPAN_ATTRIBUTE, key, value)
  return bytes.subarray(0, end)
}

function writeAttributes(into: Buffer, at: number, span: StoredSpan, load: LoadParts): number {
  const { fields, interrupted, startFlags } = span
  const own = ownAttributes(fields)
  // A foreign span (of an OpenTelemetry instrumentation) has a type only when it was given one.
  if ((span.scope === null || span.type !== 0) && own?.has(TYPE) !== true) {
    at = writeBytes(into, at, TYPES[span.type] ?? TYPES[0]!)
  }
  if ((startFlags & START_FLAG.appRoot) !== 0) at = writeBytes(into, at, IS_APP_ROOT)
  if ((startFlags & START_FLAG.asRoot) !== 0) at = writeBytes(into, at, IS_AS_ROOT)

  const exact = span.resource.received === true
  // One that was received says itself which it is of, or leaves it to its resource.
  let environment = exact || own?.has(ENVIRONMENT) === true
  let level = own?.has(LEVEL) === true
  let message = own?.has(STATUS_MESSAGE) === true
  for (let i = 0; i < fields.length; i++) {
    const { field, key, value } = fields[i]!
    const rule = RULES[field]
    if (rule === undefined) {
      if (field === FIELD.attribute && key !== undefined) {
        const name = keyOf(OWN_KEYS, '', key)
        at = writeTypedAttribute(into, at, SPAN_ATTRIBUTE, name, value, load, exact)
      }
      continue
    }
    if (own?.has(key === undefined ? rule.name : `${rule.name}.${key}`)) continue
    if (interrupted && field === FIELD.level && !isAlarming(value)) continue
    const end = writeField(into, at, rule, key, value, load, exact)
    if (end === at) continue
    at = end
    if (field === FIELD.environment) environment = true
    else if (field === FIELD.level) level = true
    else if (field === FIELD.statusMessage) message = true
  }

  const constant = constantsOf(span.resource)
  if (!environment) at = writeBytes(into, at, constant.environment)
  if (own?.has(RELEASE) !== true) at = writeBytes(into, at, constant.release)
  if (interrupted) {
    at = writeBytes(into, at, IS_INTERRUPTED)
    if (!level) at = writeBytes(into, at, INTERRUPTED_LEVEL)
    if (!message) at = writeBytes(into, at, INTERRUPTED_MESSAGE)
  }
  return at
}

function writeField(
  into: Buffer,
  at: number,
  rule: Rule,
  key: string | undefined,
  value: Value,
  load: LoadParts,
  exact: boolean,
): number {
  if (rule.form === 'raw') {
    // OpenTelemetry's attributes are scalars and arrays; the SDK drops anything else given for a level or a model.
    if (value.type === 'json' && !isArray(value.parts)) return at
    return writeTypedAttribute(into, at, SPAN_ATTRIBUTE, rule.key, value, load, exact)
  }
  if (rule.form === 'metadata' && isEmpty(value)) return at
  const name = key === undefined ? rule.key : keyOf(rule.members, `${rule.name}.`, key)
  return value.type === 'text' || value.type === 'json'
    ? writePartsAttribute(into, at, SPAN_ATTRIBUTE, name, value, load)
    : writeTextAttribute(into, at, SPAN_ATTRIBUTE, name, jsonOf(value))
}

function jsonOf(value: Exclude<Value, { type: 'text' | 'json' }>): string {
  if (value.type === 'strings') return JSON.stringify(value.values)
  return typeof value.value === 'bigint' ? String(value.value) : JSON.stringify(value.value)
}

/** '' and null. */
function isEmpty(value: Value): boolean {
  if (value.type === 'text') return value.length === 0
  return value.type === 'json' && value.length === 4 && inlineText(value.parts) === 'null'
}

/** Level ERROR or WARNING: an interruption does not hide it. */
export function isAlarming(value: Value): boolean {
  if (value.type !== 'text') return false
  const level = inlineText(value.parts)
  return level === 'ERROR' || level === 'WARNING'
}

function isArray(json: readonly Part[]): boolean {
  const part = json[0]
  return part instanceof Uint8Array && part[0] === 0x5b
}

function inlineText(parts: readonly Part[]): string | undefined {
  const part = parts[0]
  return parts.length === 1 && part instanceof Uint8Array ? part.toString() : undefined
}

/** Names of the attributes set one by one, which win over what a field would write; mostly null. */
function ownAttributes(fields: readonly StoredField[]): Set<string> | null {
  let own: Set<string> | null = null
  for (let i = 0; i < fields.length; i++) {
    const { field, key } = fields[i]!
    if (field === FIELD.attribute && key !== undefined) own = (own ?? new Set()).add(key)
  }
  return own
}

const OWN_KEYS = new Map<string, Buffer>()
const MAX_KEYS = 4096
const MAX_KEY_CHARS = 128

/** The encoded key of an attribute that has a user's name in it. */
function keyOf(known: Map<string, Buffer>, prefix: string, name: string): Buffer {
  let key = known.get(name)
  if (key === undefined) {
    key = attributeKey(prefix + name)
    if (known.size >= MAX_KEYS) known.clear()
    if (name.length <= MAX_KEY_CHARS) known.set(name, key)
  }
  return key
}

/** What each span says for its writer, unless it says otherwise itself. */
interface Constants {
  environment: Buffer
  release: Buffer
}

const constants = new WeakMap<Resource, Constants>()
const NOTHING = Buffer.alloc(0)

function constantsOf(resource: Resource): Constants {
  let known = constants.get(resource)
  if (known === undefined) {
    const { environment, release } = resource
    known = {
      environment: environment ? encoded(ENVIRONMENT, environment) : NOTHING,
      release: release ? encoded(RELEASE, release) : NOTHING,
    }
    constants.set(resource, known)
  }
  return known
}

function resourceAttributes(resource: Resource): Plain {
  const { attributes, language, sdk, service } = resource
  if (resource.received === true) return attributes
  const javascript = language === 'javascript'
  const named =
    service ?? attributes['service.name'] ?? `unknown_service:${javascript ? 'node' : language}`
  return {
    'host.name': resource.host,
    'process.pid': resource.pid,
    ...attributes,
    'service.name': named,
    'telemetry.sdk.language': javascript ? 'nodejs' : language,
    'telemetry.sdk.name': sdk.name,
    'telemetry.sdk.version': sdk.version,
  }
}
