import { FIELD, OBSERVATION_TYPES } from '@offpath/sdk/spool-format'
import { isoTime, nanosOfIso } from '../iso-time.ts'
import { shownValue } from '../otlp/typed.ts'
import type { Part, Plain, StoredSpan, Value } from '../store/span.ts'
import type { Json, Observation } from './shapes.ts'

export { isoTime } from '../iso-time.ts'

/** The text of a value's parts, `maxBytes` of it at most. */
export type ReadText = (parts: readonly Part[], maxBytes: number) => string

/** How much of values is read, in bytes. */
export interface ValueBudget {
  /** Of one value. */
  readonly each: number
  /** Of all values that share the budget; counted down. When it is used up, values keep KEPT_BYTES. */
  left: number
}

const KEPT_BYTES = 512

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** A stored span as the API and the CLI show it. What is cut for the budget's sake is named in `cut`. */
export function observationOf(
  span: StoredSpan,
  readText: ReadText,
  budget: ValueBudget,
): Observation {
  const { resource } = span
  const cut: Record<string, number> = {}
  const metadata: Record<string, Json> = {}
  const traceMetadata: Record<string, Json> = {}
  const attributes: Record<string, Json> = {}
  let promptName: string | null = null
  let promptVersion: Json = null
  const observation: Mutable<Observation> = {
    id: span.spanId.toString('hex'),
    traceId: span.traceId.toString('hex'),
    parentId: span.parentSpanId?.toString('hex') ?? null,
    name: span.name,
    type: OBSERVATION_TYPES[span.type] ?? 'span',
    service: resource.service,
    startTime: isoTime(span.startSeconds, span.startNanos),
    endTime: isoTime(span.endSeconds, span.endNanos),
    durationMs: millisecondsBetween(span),
    level: span.statusCode === 2 ? 'ERROR' : 'DEFAULT',
    statusMessage: span.statusDescription || null,
    interrupted: span.interrupted,
    environment: resource.environment,
    version: null,
    project: span.project,
    model: null,
    modelParameters: null,
    usage: null,
    cost: null,
    completionStartTime: null,
    timeToFirstTokenMs: null,
    prompt: null,
    userId: null,
    sessionId: null,
    traceName: null,
    tags: [],
    input: null,
    output: null,
    traceInput: null,
    traceOutput: null,
    metadata,
    traceMetadata,
    attributes,
    events: span.events.map(({ name, seconds, nanos, attributes }) => {
      return { name, time: isoTime(seconds, nanos), attributes: shownPlain(attributes) }
    }),
    links: span.links.map((link) => ({ ...link, attributes: shownPlain(link.attributes) })),
    cut,
  }

  for (const { field, key = '', value } of span.fields) {
    const json = (name: string): Json => {
      if (value.type !== 'text' && value.type !== 'json') return scalarOf(value)
      const most = Math.min(budget.each, Math.max(KEPT_BYTES, budget.left))
      budget.left -= Math.min(most, value.length)
      if (value.length > most) cut[name] = value.length
      return parsed(value, readText(value.parts, most), most)
    }
    switch (field) {
      case FIELD.input:
        observation.input = json('input')
        break
      case FIELD.output:
        observation.output = json('output')
        break
      case FIELD.metadata:
        define(metadata, key, json(`metadata.${key}`))
        break
      case FIELD.traceMetadata:
        define(traceMetadata, key, json(`traceMetadata.${key}`))
        break
      case FIELD.attribute:
        define(attributes, key, shownValue(json(`attributes.${key}`)) as Json)
        break
      case FIELD.level:
        observation.level = textOf(json('level'))
        break
      case FIELD.statusMessage:
        observation.statusMessage = textOf(json('statusMessage'))
        break
      case FIELD.version:
        observation.version = textOf(json('version'))
        break
      case FIELD.environment:
        observation.environment = textOf(json('environment'))
        break
      case FIELD.completionStartTime:
        observation.completionStartTime = textOf(json('completionStartTime'))
        break
      case FIELD.model:
        observation.model = textOf(json('model'))
        break
      case FIELD.modelParameters:
        observation.modelParameters = json('modelParameters')
        break
      case FIELD.usageDetails:
        observation.usage = json('usage')
        break
      case FIELD.costDetails:
        observation.cost = json('cost')
        break
      case FIELD.promptName:
        promptName = textOf(json('prompt.name'))
        break
      case FIELD.promptVersion:
        promptVersion = json('prompt.version')
        break
      case FIELD.traceName:
        observation.traceName = textOf(json('traceName'))
        break
      case FIELD.userId:
        observation.userId = textOf(json('userId'))
        break
      case FIELD.sessionId:
        observation.sessionId = textOf(json('sessionId'))
        break
      case FIELD.tags:
        if (value.type === 'strings') observation.tags = value.values
        break
      case FIELD.traceInput:
        observation.traceInput = json('traceInput')
        break
      case FIELD.traceOutput:
        observation.traceOutput = json('traceOutput')
        break
      default:
      // Of a later version, or of no interest here.
    }
  }
  if (promptName !== null) observation.prompt = { name: promptName, version: promptVersion }
  observation.timeToFirstTokenMs = timeToFirstToken(span, observation.completionStartTime)
  return observation
}

function shownPlain(attributes: Plain): Json {
  return Object.fromEntries(
    Object.entries(attributes).map(([key, value]) => [key, shownValue(value) as Json]),
  )
}

function millisecondsBetween(span: StoredSpan): number {
  const ms = (span.endSeconds - span.startSeconds) * 1000 + (span.endNanos - span.startNanos) / 1e6
  // Nanoseconds are what was measured; more digits are noise of the division.
  return Math.max(0, Math.round(ms * 1e6) / 1e6)
}

function timeToFirstToken(span: StoredSpan, time: string | null): number | null {
  const at = time === null ? null : nanosOfIso(time)
  if (at === null) return null
  const start = BigInt(span.startSeconds) * 1_000_000_000n + BigInt(span.startNanos)
  // The clock of the answer may be another one.
  return Math.max(0, Math.round(Number(at - start) / 1000) / 1000)
}

function scalarOf(value: Exclude<Value, { type: 'text' | 'json' }>): Json {
  switch (value.type) {
    case 'int':
      return typeof value.value === 'bigint' ? String(value.value) : value.value
    case 'double':
      return Number.isFinite(value.value) ? value.value : String(value.value)
    case 'bool':
      return value.value
    case 'strings':
      return [...value.values]
  }
}

function parsed({ type, length }: Value & { length: number }, text: string, most: number): Json {
  // Half a character at the cut.
  if (length > most) return text.replace(/\ufffd+$/, '')
  if (type === 'text') return text
  try {
    return JSON.parse(text) as Json
  } catch {
    // Bytes that could not be read (a lost data file): shown as they are.
    return text
  }
}

function textOf(value: Json): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** Sets a key whatever its name: `__proto__` is a key like others. */
function define(object: Record<string, Json>, key: string, value: Json): void {
  Object.defineProperty(object, key, {
    value,
    enumerable: true,
    configurable: true,
    writable: true,
  })
}
