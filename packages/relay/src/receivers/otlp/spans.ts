// Spans as OTLP has them to spans of the store: the inverse of export/langfuse.ts and export/otlp.ts. What goes out again to
// an OTLP endpoint is what came in.
import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { FIELD, OBSERVATION_TYPES, START_FLAG } from '@offpath/sdk/spool-format'
import {
  APP_ROOT,
  AS_ROOT,
  INTERRUPTED,
  javascript5,
  OF_INTERRUPTED,
  type Origin,
  originOf,
  RELEASE,
  TYPE,
} from '../../export/langfuse.ts'
import { isValidJson, looksLikeJson } from '../../otlp/from-json.ts'
import { HINT, textValue } from '../../otlp/hints.ts'
import {
  type AnyValue,
  Fault,
  type KeyValue,
  type ResourceSpans,
  type TraceRequest,
  type WireScope,
  type WireSpan,
} from '../../otlp/message.ts'
import { plainAttributes, plainOf } from '../../otlp/typed.ts'
import {
  type Plain,
  RECEIVED_FLAG,
  type Resource,
  type Scope,
  type StoredField,
  type StoredLink,
  type StoredSpan,
  type Value,
} from '../../store/span.ts'

/** Why a span is not taken. */
export const REJECTIONS = ['malformed', 'invalid_id', 'invalid_time', 'too_large'] as const
type Rejection = (typeof REJECTIONS)[number]

/** Spans of one resource, and the name under which the store knows it. */
export interface ReceivedGroup {
  readonly writer: string
  readonly resource: Resource
  readonly spans: readonly StoredSpan[]
}

export interface Received {
  readonly groups: readonly ReceivedGroup[]
  readonly rejected: Readonly<Partial<Record<Rejection, number>>>
  /** What is wrong with the first span that was rejected, or link that was left out; '': nothing. */
  readonly message: string
  /** Links whose ids are none: the span is taken without them. */
  readonly linksLeftOut: number
}

/** A key's length has 16 bits in the store. */
const MAX_KEY_BYTES = 65_534
/** Seconds have 32 bits there: up to the year 2106. */
const MAX_SECONDS = 2n ** 32n - 1n
const MAX_KIND = 5
const FLAG = { sampled: 1, random: 2, hasRemote: 0x100, remote: 0x200 } as const
const NOT_NAMED = /^unknown_service(?::|$)/

class Rejected extends Fault {
  readonly reason: Rejection
  constructor(reason: Rejection, message: string) {
    super(message)
    this.reason = reason
  }
}

/** Of a resource's attributes in JSON: the store keeps each in memory, and in a row of its own. */
const MAX_RESOURCE_LENGTH = 256 * 1024
/** In a request: each has a chunk of its own. */
const MAX_RESOURCES = 2000
/** Of the scopes of a request, in JSON: each span has a copy of its own. */
const MAX_SCOPES_LENGTH = 64 * 1024 * 1024
/** Of one that goes to the resource. */
const MAX_RELEASE_LENGTH = 1024

/** Equal resources are one object: encoders and the store know them again. */
export class Resources {
  readonly #known = new Map<string, { readonly writer: string; readonly resource: Resource }>()
  /** Of all that are known, in JSON. */
  #length = 0
  static readonly MAX_LENGTH: number = 16 * 1024 * 1024

  of(attributes: Plain, release: string | null): { writer: string; resource: Resource } {
    const resource = resourceOf(attributes, release)
    const json = JSON.stringify(resource)
    let known = this.#known.get(json)
    if (known === undefined) {
      const digest = createHash('sha256').update(json).digest('hex')
      known = { writer: `otlp:${digest.slice(0, 32)}`, resource }
      if (this.#length + json.length > Resources.MAX_LENGTH) {
        this.#known.clear()
        this.#length = 0
      }
      this.#known.set(json, known)
      this.#length += json.length
    }
    return known
  }
}

function resourceOf(attributes: Plain, release: string | null): Resource {
  const text = (name: string): string => {
    const value = attributes[name]
    return typeof value === 'string' ? value : ''
  }
  const service = text('service.name')
  const language = text('telemetry.sdk.language')
  const pid = attributes['process.pid']
  const sdk = { name: text('telemetry.sdk.name'), version: text('telemetry.sdk.version') }
  // Those of ours have it in their observations.
  const named = sdk.name === 'offpath' ? '' : environmentOf(text)
  return {
    service: service === '' || NOT_NAMED.test(service) ? null : service,
    environment: named || null,
    release,
    host: text('host.name'),
    pid: typeof pid === 'number' ? pid : 0,
    sdk,
    language: language === 'nodejs' ? 'javascript' : language,
    attributes,
    received: true,
  }
}

function environmentOf(text: (name: string) => string): string {
  return (
    text('langfuse.environment') ||
    text('deployment.environment.name') ||
    text('deployment.environment')
  )
}

/**
 * The spans of a request as the store has them. Those that it can't have are counted, and the others taken.
 *
 * @param project of spans that name none; null: none
 */
export function receivedSpans(
  request: TraceRequest,
  resources: Resources,
  project: string | null,
): Received {
  const groups = new Map<Resource, { writer: string; resource: Resource; spans: StoredSpan[] }>()
  const rejected: Partial<Record<Rejection, number>> = {}
  let message = request.fault
  let linksLeftOut = 0
  let scopesLength = 0
  if (request.malformed > 0) rejected.malformed = request.malformed

  const reject = (reason: Rejection, why: string, spans: number): void => {
    rejected[reason] = (rejected[reason] ?? 0) + spans
    message ||= why
  }
  const add = (of: ResourceSpans): void => {
    const attributes = plainAttributes(of.attributes)
    if (JSON.stringify(attributes).length > MAX_RESOURCE_LENGTH) {
      const spans = of.scopeSpans.reduce((sum, { spans: { length } }) => sum + length, 0)
      if (spans > 0) reject('too_large', 'a resource is longer than 256 KB', spans)
      return
    }
    const byRelease = new Map<string | null, ReturnType<Resources['of']>>()
    // One alone: a resource is copied for each.
    const lifts = (release: string): boolean =>
      byRelease.has(release) || byRelease.size === Number(byRelease.has(null))
    for (const { scope, spans } of of.scopeSpans) {
      const storedScope = scopeOf(scope)
      const length = JSON.stringify(storedScope.scope).length * spans.length
      if (scopesLength + length > MAX_SCOPES_LENGTH) {
        reject('too_large', 'the scopes of all spans are longer than 64 MB', spans.length)
        continue
      }
      scopesLength += length
      for (const span of spans) {
        try {
          const { release, ...stored } = storedSpan(span, storedScope, project, lifts)
          linksLeftOut += span.links.length - stored.links.length
          const known = byRelease.get(release) ?? resources.of(attributes, release)
          byRelease.set(release, known)
          const group = groups.get(known.resource) ?? { ...known, spans: [] }
          if (group.spans.length === 0 && groups.size === MAX_RESOURCES) {
            throw new Rejected('too_large', `more than ${MAX_RESOURCES} resources in a request`)
          }
          groups.set(known.resource, group)
          group.spans.push({ ...stored, resource: known.resource })
        } catch (error) {
          if (!(error instanceof Rejected)) throw error
          reject(error.reason, error.message, 1)
        }
      }
    }
  }
  for (const of of request.resourceSpans) add(of)
  if (linksLeftOut > 0) message ||= 'a link without a trace id of 16 bytes and a span id of 8'
  return { groups: [...groups.values()], rejected, message, linksLeftOut }
}

/** An own one is that of observations that have none (null). */
interface KnownScope {
  readonly scope: Scope
  readonly isOwn: boolean
}

function scopeOf({ name, version, attributes }: WireScope): KnownScope {
  const own = javascript5.scope
  const isOwn = name === own.name && version === own.version && attributes.length === 0
  return { scope: { name, version, attributes: plainAttributes(attributes) }, isOwn }
}

type WithRelease = Omit<StoredSpan, 'resource'> & { readonly release: string | null }

/** @throws Rejected */
function storedSpan(
  span: WireSpan,
  { scope, isOwn }: KnownScope,
  project: string | null,
  lifts: (release: string) => boolean,
): WithRelease {
  if (!isId(span.traceId, 16)) throw noId('a trace id', 16)
  if (!isId(span.spanId, 8)) throw noId('a span id', 8)
  const parentSpanId = isId(span.parentSpanId, 8) ? span.parentSpanId : null
  // A root may have an id of zeros in the place of none.
  if (parentSpanId === null && !span.parentSpanId.equals(Buffer.alloc(span.parentSpanId.length))) {
    throw noId('the span id of a parent', 8)
  }
  const [startSeconds, startNanos] = timeOf(span.start)
  // One that never ended ended at once.
  const [endSeconds, endNanos] = timeOf(span.end === 0n ? span.start : span.end)
  const read = readAttributes(span.attributes, isOwn, lifts)
  return {
    traceId: span.traceId,
    spanId: span.spanId,
    parentSpanId,
    name: span.name,
    type: read.type,
    kind: span.kind >= 1 && span.kind <= MAX_KIND ? span.kind - 1 : 0,
    startFlags: read.rootFlags | startFlagsOf(span.flags),
    startSeconds,
    startNanos,
    endSeconds,
    endNanos,
    interrupted: read.interrupted,
    revision: 0,
    statusCode: span.statusCode <= 2 ? span.statusCode : 0,
    statusDescription: span.statusCode === 0 ? '' : span.statusMessage,
    project: read.project ?? project,
    // Without a type it is no observation of ours, whoever's scope it has.
    scope: isOwn && read.hasType ? null : scope,
    fields: read.fields,
    events: span.events.map(({ name, time, attributes }) => {
      const [seconds, nanos] = timeOf(time)
      return { name, seconds, nanos, attributes: plainAttributes(attributes) }
    }),
    links: span.links.flatMap((link): StoredLink[] => {
      // Of zeros it leads nowhere, and harms nobody.
      if (link.traceId.length !== 16 || link.spanId.length !== 8) return []
      return [
        {
          traceId: link.traceId.toString('hex'),
          spanId: link.spanId.toString('hex'),
          flags: link.flags & ~FLAG.hasRemote,
          attributes: plainAttributes(link.attributes),
        },
      ]
    }),
    traceState: span.traceState,
    release: read.release,
  }
}

function isId(id: Buffer, bytes: number): boolean {
  return id.length === bytes && id.some((byte) => byte !== 0)
}

function noId(what: string, bytes: number): Rejected {
  return new Rejected('invalid_id', `${what} has to be ${bytes} bytes, not all of them zero`)
}

function timeOf(nanoseconds: bigint): [seconds: number, nanos: number] {
  const seconds = nanoseconds / 1_000_000_000n
  if (seconds > MAX_SECONDS) {
    throw new Rejected(
      'invalid_time',
      'a time is later than the year 2106: it has to be in nanoseconds',
    )
  }
  return [Number(seconds), Number(nanoseconds % 1_000_000_000n)]
}

function startFlagsOf(flags: number): number {
  return (
    ((flags & FLAG.remote) !== 0 ? START_FLAG.remoteParent : 0) |
    ((flags & FLAG.hasRemote) !== 0 ? RECEIVED_FLAG.knows : 0) |
    ((flags & FLAG.sampled) !== 0 ? RECEIVED_FLAG.sampled : 0) |
    ((flags & FLAG.random) !== 0 ? RECEIVED_FLAG.random : 0)
  )
}

interface ReadAttributes {
  type: number
  hasType: boolean
  rootFlags: number
  interrupted: boolean
  project: string | null
  release: string | null
  readonly fields: StoredField[]
}

function readAttributes(
  attributes: readonly KeyValue[],
  isOwn: boolean,
  lifts: (release: string) => boolean,
): ReadAttributes {
  const read: ReadAttributes = {
    type: 0,
    hasType: false,
    rootFlags: 0,
    interrupted: false,
    project: null,
    release: null,
    fields: [],
  }
  const hints = hintsOf(attributes)
  if (hints?.project !== undefined) read.project = hints.project
  const rest = hints === null ? attributes : attributes.filter(({ key }) => !HINTS.has(key))
  const release = liftedRelease(rest, lifts)
  for (const [index, { key, value }] of rest.entries()) {
    if (Buffer.byteLength(key) > MAX_KEY_BYTES) {
      throw new Rejected(
        'too_large',
        `the name of an attribute is longer than ${MAX_KEY_BYTES} bytes`,
      )
    }
    if (index === release) read.release = textOf(value) as string
    else if (read.interrupted && saysInterrupted(key) && OF_INTERRUPTED[key] === textOf(value))
      continue
    else if (!readConstant(read, key, value, isOwn)) read.fields.push(fieldOf(key, value, hints))
  }
  if (read.interrupted && hints?.level !== undefined) {
    read.fields.push({ field: FIELD.level, value: textValue(hints.level) })
  }
  return read
}

/** What is no field of a span; true: it was that. */
function readConstant(read: ReadAttributes, key: string, value: AnyValue, isOwn: boolean): boolean {
  switch (key) {
    case TYPE: {
      const type = (OBSERVATION_TYPES as readonly string[]).indexOf(textOf(value) ?? '')
      // With a scope of its own a span that is of no special type says nothing of it.
      if (read.hasType || type === -1 || (type === 0 && !isOwn)) return false
      read.type = type
      read.hasType = true
      return true
    }
    case APP_ROOT:
    case AS_ROOT:
      if (value.type !== 'bool' || !value.value) return false
      read.rootFlags |= key === APP_ROOT ? START_FLAG.appRoot : START_FLAG.asRoot
      return true
    case INTERRUPTED:
      if (value.type !== 'bool' || !value.value) return false
      read.interrupted = true
      return true
    default:
      return false
  }
}

/**
 * Where the release stands that a writer gave all of its spans: last, but for what says that it was interrupted. -1: none.
 * It goes to the resource, as it came from one.
 */
function liftedRelease(
  attributes: readonly KeyValue[],
  lifts: (release: string) => boolean,
): number {
  const first = attributes.findIndex(({ key }) => key === RELEASE)
  if (first === -1) return -1
  const release = textOf(attributes[first]!.value)
  if (!release || release.length > MAX_RELEASE_LENGTH || !lifts(release)) return -1
  const behind = attributes.slice(first + 1)
  return behind.every(({ key }, i) => (i === 0 ? key === INTERRUPTED : saysInterrupted(key)))
    ? first
    : -1
}

function saysInterrupted(key: string): boolean {
  return Object.hasOwn(OF_INTERRUPTED, key)
}

interface Hints {
  readonly project: string | undefined
  readonly level: string | undefined
  readonly json: ReadonlySet<string>
  readonly text: ReadonlySet<string>
}

const HINTS: ReadonlySet<string> = new Set(Object.values(HINT))

/** Null: there are none, as nearly always. */
function hintsOf(attributes: readonly KeyValue[]): Hints | null {
  const found = attributes.filter(({ key }) => HINTS.has(key))
  if (found.length === 0) return null
  const find = (name: string): AnyValue | undefined => found.find(({ key }) => key === name)?.value
  const names = (name: string): Set<string> => {
    const value = find(name)
    return new Set(value?.type === 'array' ? value.values.map((item) => textOf(item) ?? '') : [])
  }
  const text = (name: string): string | undefined => textOf(find(name)) || undefined
  return {
    project: text(HINT.project),
    level: textOf(find(HINT.level)),
    json: names(HINT.json),
    text: names(HINT.text),
  }
}

function textOf(value: AnyValue | undefined): string | undefined {
  return value?.type === 'text' ? value.bytes.toString() : undefined
}

/** A field that writes the same attribute; where none of the known ones would, an attribute. */
function fieldOf(name: string, value: AnyValue, hints: Hints | null): StoredField {
  const origin = originOf(name)
  const known = origin === undefined ? undefined : knownValue(name, value, origin, hints)
  if (known === undefined) {
    return { field: FIELD.attribute, key: name, value: attributeValue(name, value, hints) }
  }
  const { field, key } = origin as Origin
  return key === undefined ? { field, value: known } : { field, key, value: known }
}

function knownValue(
  name: string,
  value: AnyValue,
  { form }: Origin,
  hints: Hints | null,
): Value | undefined {
  if (form === 'raw') {
    const scalar = scalarOf(value)
    return scalar?.type === 'json' ? undefined : scalar
  }
  if (value.type !== 'text') return undefined
  // What is empty would not be written as metadata.
  if (form === 'metadata' && value.bytes.length === 0) return undefined
  const isJson = hints?.json.has(name)
    ? isValidJson(value.bytes)
    : !hints?.text.has(name) && looksLikeJson(value.bytes)
  const isEmptyJson = form === 'metadata' && value.bytes.toString('latin1', 0, 5) === 'null'
  return { ...wellFormed(value.bytes), type: isJson && !isEmptyJson ? 'json' : 'text' }
}

function attributeValue(name: string, value: AnyValue, hints: Hints | null): Value {
  const scalar = scalarOf(value)
  if (scalar === undefined) return jsonValue(plainOf(value))
  if (value.type !== 'text' || !hints?.json.has(name) || !isValidJson(value.bytes)) return scalar
  return { ...scalar, type: 'json' } as Value
}

/** Undefined: it is no scalar and no array of them. */
function scalarOf(value: AnyValue): Value | undefined {
  switch (value.type) {
    case 'text':
      return wellFormed(value.bytes)
    case 'int':
    case 'double':
    case 'bool':
      return value
    case 'array': {
      const texts = value.values.map(textOf)
      if (!texts.includes(undefined)) return { type: 'strings', values: texts as string[] }
      const plain = plainOf(value)
      return Array.isArray(plain) ? jsonValue(plain) : undefined
    }
    default:
      return undefined
  }
}

/** What is not UTF-8 is replaced: nobody behind us could read it. */
function wellFormed(bytes: Buffer): Extract<Value, { type: 'text' }> {
  return textValue(isUtf8(bytes) ? bytes : bytes.toString())
}

function jsonValue(value: unknown): Value {
  const bytes = Buffer.from(JSON.stringify(value))
  return { type: 'json', parts: [bytes], length: bytes.length }
}
