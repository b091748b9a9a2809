// ExportTraceServiceRequest (opentelemetry-proto 1.x), written in one pass from left to right:
//
//   request        = { 0a length ResourceSpans }
//   ResourceSpans  = 0a length Resource  { 12 length ScopeSpans }
//   ScopeSpans     = 0a length Scope     { 12 length Span }
//
// Spans keep their order; a new group begins where resource or scope change. The same spans give the
// same bytes, so that a resend is the same request.
import { START_FLAG } from '@offpath/sdk/spool-format'
import {
  RECEIVED_FLAG,
  type Resource,
  type Scope,
  type StoredEvent,
  type StoredLink,
  type StoredSpan,
} from '../store/span.ts'
import {
  EVENT_ATTRIBUTE,
  encodeAttributes,
  LINK_ATTRIBUTE,
  RESOURCE_ATTRIBUTE,
  SCOPE_ATTRIBUTE,
  writePlainAttributes,
} from './attributes.ts'
import { cutSpan, spanBytes } from './cut.ts'
import type { Encoder, EncodingOptions, RequestWriter } from './encoder.ts'
import type { Dialect } from './langfuse.ts'
import { mayHaveMedia } from './media.ts'
import {
  LENGTH_BYTES,
  patchLength,
  writeBytes,
  writeFixed32,
  writeNanos,
  writeText,
  writeVarint,
} from './protobuf.ts'

export interface EncoderOptions extends EncodingOptions {
  readonly dialect: Dialect
}

/** OTLP's SpanFlags: bits 0–7 are W3C's trace flags (sampled = 1), then whether the parent is remote. */
const FLAG_SAMPLED = 0x001
const FLAG_RANDOM = 0x002
const FLAG_HAS_REMOTE = 0x100
const FLAG_REMOTE = 0x200

const OWN_BUFFER_BYTES = 64 * 1024
/** Tag and length of a group. */
const GROUP_BYTES = 1 + LENGTH_BYTES

export function createEncoder(options: EncoderOptions): Encoder {
  const { dialect, load, maxSpanBytes, cutMedia } = options
  const ownScope = encodeScope({ ...dialect.scope, attributes: {} })
  const resources = new WeakMap<Resource, Buffer>()
  const resourceOf = (resource: Resource): Buffer => {
    let known = resources.get(resource)
    if (known === undefined) {
      const attributes = dialect.resourceAttributes(resource)
      known = message(0x0a, encodeAttributes(RESOURCE_ATTRIBUTE, attributes))
      resources.set(resource, known)
    }
    return known
  }

  const begin = (given: Buffer, maxBytes: number): RequestWriter => {
    let into = given
    let at = 0
    let spans = 0
    // Of the open group: what it is for, and where its lengths belong.
    let resource: Resource | null = null
    let scope = ''
    let resourceAt = 0
    let scopeAt = 0

    const closeScope = (): void => {
      if (resource !== null) patchLength(into, scopeAt, at)
    }
    const closeResource = (): void => {
      closeScope()
      if (resource !== null) patchLength(into, resourceAt, at)
    }
    const openResource = (next: Resource): void => {
      closeResource()
      into[at++] = 0x0a
      resourceAt = at
      at = writeBytes(into, at + LENGTH_BYTES, resourceOf(next))
      resource = next
    }
    const openScope = (key: string, encoded: Buffer): void => {
      into[at++] = 0x12
      scopeAt = at
      at = writeBytes(into, at + LENGTH_BYTES, encoded)
      scope = key
    }

    const add = (stored: StoredSpan): boolean => {
      let span = stored
      let bytes = spanBytes(span)
      if (bytes > maxSpanBytes && cutMedia !== undefined) {
        span = cutMedia(span)
        bytes = spanBytes(span)
      }
      if (bytes > maxSpanBytes) {
        span = cutSpan(span, maxSpanBytes, load)
        bytes = spanBytes(span)
      }
      const scopeKey = span.scope === null ? '' : JSON.stringify(span.scope)
      const newResource = span.resource !== resource
      const newScope = newResource || scopeKey !== scope
      const head = newScope && span.scope !== null ? encodeScope(span.scope) : ownScope
      if (newScope) bytes += GROUP_BYTES + head.length
      if (newResource) bytes += GROUP_BYTES + resourceOf(span.resource).length
      if (spans > 0 && at + bytes > maxBytes) return false
      if (at + bytes > into.length) into = grown(into, at, at + bytes, maxBytes)
      if (newResource) openResource(span.resource)
      else if (newScope) closeScope()
      if (newScope) openScope(scopeKey, head)
      const start = at
      at = writeSpan(into, start, span)
      // To look at what is written costs less than to load all values first.
      if (cutMedia !== undefined && mayHaveMedia(span, into.subarray(start, at))) {
        const rest = cutMedia(span)
        if (rest !== span) at = writeSpan(into, start, rest)
      }
      spans++
      return true
    }
    const finish = (): { buffer: Buffer; length: number } => {
      closeResource()
      return { buffer: into, length: at }
    }
    return {
      get spans() {
        return spans
      },
      add,
      finish,
    }
  }

  const writeSpan = (into: Buffer, at: number, span: StoredSpan): number => {
    into[at++] = 0x12
    const lengthAt = at
    at += LENGTH_BYTES
    into[at] = 0x0a
    into[at + 1] = 16
    into.set(span.traceId, at + 2)
    into[at + 18] = 0x12
    into[at + 19] = 8
    at = writeBytes(into, at + 20, span.spanId)
    if (span.traceState !== '') at = writeText(into, at, 0x1a, span.traceState)
    if (span.parentSpanId !== null) {
      into[at] = 0x22
      into[at + 1] = 8
      at = writeBytes(into, at + 2, span.parentSpanId)
    }
    at = writeText(into, at, 0x2a, span.name)
    into[at] = 0x30
    into[at + 1] = span.kind + 1
    into[at + 2] = 0x39
    at = writeNanos(into, at + 3, span.startSeconds, span.startNanos)
    into[at++] = 0x41
    at = writeNanos(into, at, span.endSeconds, span.endNanos)
    at = dialect.writeAttributes(into, at, span, load)
    for (const event of span.events) at = writeEvent(into, at, event)
    for (const link of span.links) at = writeLink(into, at, link)
    if (span.statusCode !== 0) at = writeStatus(into, at, span)
    into[at] = 0x85
    into[at + 1] = 0x01
    at = writeFixed32(into, at + 2, flagsOf(span))
    patchLength(into, lengthAt, at)
    return at
  }

  const encode = (spans: readonly StoredSpan[]): Buffer => {
    const writer = begin(Buffer.allocUnsafeSlow(OWN_BUFFER_BYTES), Number.POSITIVE_INFINITY)
    for (const span of spans) writer.add(span)
    const { buffer, length } = writer.finish()
    return buffer.subarray(0, length)
  }

  return { begin, encode }
}

function flagsOf(span: StoredSpan): number {
  const remote = (span.startFlags & START_FLAG.remoteParent) !== 0 ? FLAG_REMOTE : 0
  if (span.resource.received === true) return remote | receivedFlags(span.startFlags)
  // Langfuse's Python SDK leaves the sampled bit out, as OpenTelemetry's Python exporter does.
  const sampled = span.resource.language === 'javascript' ? FLAG_SAMPLED : 0
  return FLAG_HAS_REMOTE | remote | sampled
}

function receivedFlags(startFlags: number): number {
  const knows = (startFlags & RECEIVED_FLAG.knows) !== 0 ? FLAG_HAS_REMOTE : 0
  const sampled = (startFlags & RECEIVED_FLAG.sampled) !== 0 ? FLAG_SAMPLED : 0
  return knows | sampled | ((startFlags & RECEIVED_FLAG.random) !== 0 ? FLAG_RANDOM : 0)
}

function writeStatus(into: Buffer, at: number, span: StoredSpan): number {
  into[at++] = 0x7a
  const lengthAt = at
  at += LENGTH_BYTES
  if (span.statusDescription !== '') at = writeText(into, at, 0x12, span.statusDescription)
  into[at] = 0x18
  into[at + 1] = span.statusCode
  at += 2
  patchLength(into, lengthAt, at)
  return at
}

function writeEvent(into: Buffer, at: number, event: StoredEvent): number {
  into[at++] = 0x5a
  const lengthAt = at
  at += LENGTH_BYTES
  into[at++] = 0x09
  at = writeNanos(into, at, event.seconds, event.nanos)
  at = writeText(into, at, 0x12, event.name)
  at = writePlainAttributes(into, at, EVENT_ATTRIBUTE, event.attributes)
  patchLength(into, lengthAt, at)
  return at
}

function writeLink(into: Buffer, start: number, link: StoredLink): number {
  into[start] = 0x6a
  const lengthAt = start + 1
  let at = lengthAt + LENGTH_BYTES
  into[at] = 0x0a
  into[at + 1] = 16
  into[at + 18] = 0x12
  into[at + 19] = 8
  const trace = into.write(link.traceId, at + 2, 16, 'hex')
  const span = into.write(link.spanId, at + 20, 8, 'hex')
  // Malformed ids would have the whole request rejected.
  if (trace !== 16 || span !== 8) return start
  at = writePlainAttributes(into, at + 28, LINK_ATTRIBUTE, link.attributes)
  into[at++] = 0x35
  at = writeFixed32(into, at, FLAG_HAS_REMOTE | link.flags)
  patchLength(into, lengthAt, at)
  return at
}

function encodeScope(scope: Scope): Buffer {
  const attributes = encodeAttributes(SCOPE_ATTRIBUTE, scope.attributes)
  const head = Buffer.alloc(3 * (scope.name.length + scope.version.length) + 16)
  let at = writeText(head, 0, 0x0a, scope.name)
  if (scope.version !== '') at = writeText(head, at, 0x12, scope.version)
  return message(0x0a, Buffer.concat([head.subarray(0, at), attributes]))
}

/** A length-delimited field. */
function message(tag: number, content: Buffer): Buffer {
  const head = Buffer.alloc(6)
  head[0] = tag
  return Buffer.concat([head.subarray(0, writeVarint(head, 1, content.length)), content])
}

/** A longer buffer with the same first bytes: twice as long, but not beyond what a request may take. */
function grown(buffer: Buffer, used: number, wanted: number, most: number): Buffer {
  const longer = Buffer.allocUnsafeSlow(Math.max(wanted, Math.min(2 * buffer.length, most)))
  buffer.copy(longer, 0, 0, used)
  return longer
}
