import type { Recording } from '../context.ts'
import { state } from '../context.ts'
import type { Span } from '../recorder/span.ts'
import { FIELD, OBSERVATION_TYPES } from '../spool/format.ts'
import { LangfuseOtelSpanAttributes as NAMES } from './attributes.ts'
import type {
  AttributeValue,
  OtelAttributes,
  OtelException,
  OtelLink,
  OtelSpan,
  OtelSpanContext,
  OtelSpanStatus,
  OtelTimeInput,
} from './otel-types.ts'
import { API_FLAG, endSpan, isOpen, spanContextOf, usableTime } from './spans.ts'

const STATUS = { ok: 1, error: 2 } as const

// Langfuse's attributes that are fields of a record. A value of another type stays an attribute.
const TEXT_FIELDS: ReadonlyMap<string, number> = new Map<string, number>([
  [NAMES.OBSERVATION_INPUT, FIELD.input],
  [NAMES.OBSERVATION_OUTPUT, FIELD.output],
  [NAMES.OBSERVATION_METADATA, FIELD.metadata],
  [NAMES.OBSERVATION_LEVEL, FIELD.level],
  [NAMES.OBSERVATION_STATUS_MESSAGE, FIELD.statusMessage],
  [NAMES.VERSION, FIELD.version],
  [NAMES.ENVIRONMENT, FIELD.environment],
  [NAMES.OBSERVATION_COMPLETION_START_TIME, FIELD.completionStartTime],
  [NAMES.OBSERVATION_MODEL, FIELD.model],
  [NAMES.OBSERVATION_MODEL_PARAMETERS, FIELD.modelParameters],
  [NAMES.OBSERVATION_USAGE_DETAILS, FIELD.usageDetails],
  [NAMES.OBSERVATION_COST_DETAILS, FIELD.costDetails],
  [NAMES.OBSERVATION_PROMPT_NAME, FIELD.promptName],
  [NAMES.TRACE_NAME, FIELD.traceName],
  [NAMES.TRACE_USER_ID, FIELD.userId],
  [NAMES.TRACE_SESSION_ID, FIELD.sessionId],
  [NAMES.TRACE_INPUT, FIELD.traceInput],
  [NAMES.TRACE_OUTPUT, FIELD.traceOutput],
])
/** The format's seconds end in 2106. */
const MAX_MS = 2 ** 32 * 1000
/** OTLP's flag for a span context that came from another process. */
const LINK_REMOTE = 0x200
const METADATA_PREFIX = `${NAMES.OBSERVATION_METADATA}.`
const TRACE_METADATA_PREFIX = `${NAMES.TRACE_METADATA}.`

/** An observation as an OpenTelemetry span: for code that takes one. Made when it is first asked for. */
export class OtelSpanFacade implements OtelSpan {
  readonly #span: Span
  #context: OtelSpanContext | undefined

  constructor(span: Span) {
    this.#span = span
  }

  /** The span behind a facade; undefined for spans of others. */
  static spanOf(span: object): Span | undefined {
    return #span in span ? span.#span : undefined
  }

  spanContext(): OtelSpanContext {
    this.#context ??= spanContextOf(this.#span)
    return this.#context
  }

  isRecording(): boolean {
    return isOpen(this.#span)
  }

  setAttribute(key: string, value: AttributeValue): this {
    setAttribute(this.#span, key, value)
    return this
  }

  setAttributes(attributes: OtelAttributes): this {
    setAttributes(this.#span, attributes)
    return this
  }

  addEvent(
    name: string,
    attributesOrTime?: OtelAttributes | OtelTimeInput,
    time?: OtelTimeInput,
  ): this {
    const early = usableTime(attributesOrTime)
    const attributes = early === undefined ? attributesOrTime : undefined
    addEvent(this.#span, name, attributes as OtelAttributes | undefined, usableTime(time) ?? early)
    return this
  }

  addLink(link: OtelLink): this {
    addLink(this.#span, link)
    return this
  }

  addLinks(links: OtelLink[]): this {
    for (const link of links ?? []) this.addLink(link)
    return this
  }

  setStatus(status: OtelSpanStatus): this {
    setStatus(this.#span, status?.code, status?.message)
    return this
  }

  updateName(name: string): this {
    state.recorder?.set(this.#span, FIELD.name, name)
    return this
  }

  end(endTime?: OtelTimeInput): void {
    endSpan(this.#span, endTime)
  }

  recordException(exception: OtelException, time?: OtelTimeInput): void {
    const attributes = exceptionAttributes(exception)
    if ('exception.type' in attributes || 'exception.message' in attributes) {
      addEvent(this.#span, 'exception', attributes, usableTime(time))
    }
  }
}

export function setAttributes(span: Span, attributes: OtelAttributes): void {
  for (const key of Object.keys(attributes ?? {})) setAttribute(span, key, attributes[key])
}

/** Langfuse's attributes become the fields they mean, others are kept as they are. */
function setAttribute(span: Span, key: string, value: unknown): void {
  const { recorder } = state
  if (recorder === undefined || typeof key !== 'string' || key === '') return
  if (!isAttributeValue(value)) return
  if (
    key.startsWith('langfuse.') ||
    key === NAMES.TRACE_USER_ID ||
    key === NAMES.TRACE_SESSION_ID
  ) {
    if (setField(recorder, span, key, value)) return
  }
  recorder.setAttribute(span, key, value)
}

function setField(recorder: Recording, span: Span, key: string, value: AttributeValue): boolean {
  if (typeof value === 'string') {
    const field = TEXT_FIELDS.get(key)
    if (field !== undefined) recorder.set(span, field, value)
    else if (key.startsWith(METADATA_PREFIX)) {
      recorder.set(span, FIELD.metadata, { [key.slice(METADATA_PREFIX.length)]: value })
    } else if (key.startsWith(TRACE_METADATA_PREFIX)) {
      recorder.set(span, FIELD.traceMetadata, { [key.slice(TRACE_METADATA_PREFIX.length)]: value })
    } else if (key === NAMES.OBSERVATION_TYPE) {
      const type = (OBSERVATION_TYPES as readonly string[]).indexOf(value)
      if (type < 0) return false
      recorder.setType(span, type)
    } else return false
    return true
  }
  if (key === NAMES.OBSERVATION_PROMPT_VERSION && Number.isInteger(value)) {
    recorder.set(span, FIELD.promptVersion, value)
  } else if (key === NAMES.TRACE_PUBLIC && typeof value === 'boolean') {
    recorder.set(span, FIELD.tracePublic, value)
  } else if (key === NAMES.TRACE_TAGS && Array.isArray(value) && typeof value[0] === 'string') {
    recorder.set(span, FIELD.tags, value)
  } else return false
  return true
}

/** Status OK is final; an error replaces an earlier error with its message. */
export function setStatus(span: Span, code: number, message: string | undefined): void {
  const { recorder } = state
  if (recorder === undefined || (span.flags & API_FLAG.statusOk) !== 0) return
  if (code !== STATUS.ok && code !== STATUS.error) return
  if (code === STATUS.ok) span.flags |= API_FLAG.statusOk
  recorder.set(span, FIELD.statusCode, code)
  const description = code === STATUS.error && typeof message === 'string' ? message : ''
  recorder.set(span, FIELD.statusDescription, description)
}

function addEvent(
  span: Span,
  name: string,
  attributes: OtelAttributes | undefined,
  time: OtelTimeInput | undefined,
): void {
  if (!isOpen(span)) return
  const [seconds, nanoseconds] = eventTime(span, time)
  const event = [String(name), seconds, nanoseconds, usableAttributes(attributes)]
  state.recorder?.set(span, FIELD.event, event)
}

export function addLink(span: Span, link: OtelLink): void {
  if (!link?.context) return
  const { context, attributes } = link
  const { traceId, spanId, traceFlags, isRemote } = context
  const flags = (traceFlags ?? 0) | (isRemote ? LINK_REMOTE : 0)
  state.recorder?.set(span, FIELD.link, [traceId, spanId, flags, usableAttributes(attributes)])
}

function eventTime(span: Span, time: OtelTimeInput | undefined): [number, number] {
  if (Array.isArray(time)) return time
  const now = performance.now()
  let milliseconds = time instanceof Date ? time.getTime() : (time ?? Number.NaN)
  // As in OpenTelemetry, a number up to performance.now() is one of its own.
  if (typeof time === 'number' && time <= now) milliseconds += span.clock.offset
  if (!(milliseconds >= 0 && milliseconds < MAX_MS)) milliseconds = span.clock.offset + now
  const seconds = Math.floor(milliseconds / 1000)
  return [seconds, Math.round((milliseconds - seconds * 1000) * 1e6)]
}

function exceptionAttributes(exception: OtelException): OtelAttributes {
  if (typeof exception === 'string') return { 'exception.message': exception }
  const attributes: OtelAttributes = {}
  const { code, name, message, stack } = exception ?? {}
  if (code) attributes['exception.type'] = String(code)
  else if (name) attributes['exception.type'] = name
  if (message) attributes['exception.message'] = message
  if (stack) attributes['exception.stacktrace'] = stack
  return attributes
}

function usableAttributes(attributes: OtelAttributes | undefined): OtelAttributes {
  if (typeof attributes !== 'object' || attributes === null) return {}
  // Of events and links, unlike of spans, an attribute that is null is kept.
  const usable = Object.entries(attributes).filter(
    ([key, value]) => key !== '' && (value === null || isAttributeValue(value)),
  )
  return Object.fromEntries(usable)
}

/** OpenTelemetry's rule: a string, number or boolean, or an array of one of these types, with gaps. */
function isAttributeValue(value: unknown): value is AttributeValue {
  if (!Array.isArray(value)) return isAttributeType(typeof value)
  const items = value.filter((item) => item !== null && item !== undefined)
  const type = typeof items[0]
  return (
    items.length === 0 || (isAttributeType(type) && items.every((item) => typeof item === type))
  )
}

function isAttributeType(type: string): boolean {
  return type === 'string' || type === 'number' || type === 'boolean'
}
