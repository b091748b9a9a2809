import { decodeProtobuf } from './otlp-schema.ts'
import type { Attributes, AttributeValue, CapturedSpan } from './types.ts'

/** What makes Langfuse answer 400 to the whole request. */
class MalformedError extends Error {}

type Fields = Record<string, unknown>

/**
 * Decodes a body into spans. One malformed span (ids of a wrong length, something else than an array
 * where spans, attributes or events should be, text that is not UTF-8) condemns the whole request.
 *
 * @param body after decompression
 * @throws MalformedError
 */
export function decodeSpans(
  body: Buffer,
  contentType: string,
  project: string,
  requestNumber: number,
): CapturedSpan[] {
  const spans: CapturedSpan[] = []
  for (const resourceSpans of fieldList(parse(body, contentType).resourceSpans, 'resourceSpans')) {
    const resource = {
      attributes: attributes(fields(resourceSpans.resource).attributes),
      schemaUrl: text(resourceSpans.schemaUrl),
    }
    for (const scopeSpans of fieldList(resourceSpans.scopeSpans, 'scopeSpans')) {
      const from = fields(scopeSpans.scope)
      const scope = {
        name: text(from.name),
        version: text(from.version),
        attributes: attributes(from.attributes),
        schemaUrl: text(scopeSpans.schemaUrl),
      }
      for (const span of fieldList(scopeSpans.spans, 'spans')) {
        spans.push({ ...decodeSpan(span), scope, resource, project, request: requestNumber })
      }
    }
  }
  return spans
}

function parse(body: Buffer, contentType: string): Fields {
  try {
    return contentType.includes('json')
      ? fields(JSON.parse(utf8.decode(body)))
      : decodeProtobuf(body)
  } catch (error) {
    throw new MalformedError(`cannot parse the body: ${(error as Error).message}`)
  }
}

function decodeSpan(
  span: Fields,
): Omit<CapturedSpan, 'scope' | 'resource' | 'project' | 'request'> {
  const status = fields(span.status)
  return {
    traceId: id(span.traceId, 16, 'trace id'),
    spanId: id(span.spanId, 8, 'span id'),
    parentSpanId: isEmpty(span.parentSpanId) ? '' : id(span.parentSpanId, 8, 'parent span id'),
    traceState: text(span.traceState),
    flags: Number(span.flags ?? 0),
    name: text(span.name),
    kind: Number(span.kind ?? 0),
    startTimeUnixNano: integer(span.startTimeUnixNano),
    endTimeUnixNano: integer(span.endTimeUnixNano),
    status: { code: Number(status.code ?? 0), message: text(status.message) },
    attributes: attributes(span.attributes),
    events: fieldList(span.events, 'events').map((event) => ({
      name: text(event.name),
      timeUnixNano: integer(event.timeUnixNano),
      attributes: attributes(event.attributes),
      droppedAttributesCount: Number(event.droppedAttributesCount ?? 0),
    })),
    links: fieldList(span.links, 'links').map((link) => ({
      traceId: id(link.traceId, 16, "link's trace id"),
      spanId: id(link.spanId, 8, "link's span id"),
      traceState: text(link.traceState),
      flags: Number(link.flags ?? 0),
      attributes: attributes(link.attributes),
      droppedAttributesCount: Number(link.droppedAttributesCount ?? 0),
    })),
    droppedAttributesCount: Number(span.droppedAttributesCount ?? 0),
    droppedEventsCount: Number(span.droppedEventsCount ?? 0),
    droppedLinksCount: Number(span.droppedLinksCount ?? 0),
  }
}

function attributes(value: unknown): Attributes {
  const result: Attributes = {}
  for (const pair of fieldList(value, 'attributes')) result[text(pair.key)] = any(pair.value)
  return result
}

function any(value: unknown): AttributeValue {
  const from = fields(value)
  if (from.stringValue !== undefined) return text(from.stringValue)
  if (from.boolValue !== undefined) return from.boolValue === true
  if (from.intValue !== undefined) return integer(from.intValue)
  // JSON has no NaN: OpenTelemetry's JSON exporter writes null for it.
  if (from.doubleValue === null) return null
  if (from.doubleValue !== undefined) return Number(from.doubleValue)
  if (from.arrayValue !== undefined) {
    return fieldList(fields(from.arrayValue).values, 'values').map(any)
  }
  if (from.kvlistValue !== undefined) return attributes(fields(from.kvlistValue).values)
  if (from.bytesValue !== undefined) {
    return typeof from.bytesValue === 'string'
      ? Buffer.from(from.bytesValue, 'base64')
      : (from.bytesValue as Uint8Array)
  }
  return null
}

function fields(value: unknown): Fields {
  if (value === undefined || value === null) return {}
  if (typeof value === 'object' && !Array.isArray(value)) return value as Fields
  throw new MalformedError(`expected an object, got ${JSON.stringify(value)}`)
}

function fieldList(value: unknown, what: string): Fields[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw new MalformedError(`${what} is not an array`)
  return value.map(fields)
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function text(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (typeof value === 'string') return value
  if (value instanceof Uint8Array) {
    try {
      return utf8.decode(value)
    } catch {
      throw new MalformedError('a string is not UTF-8')
    }
  }
  return String(value)
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || (value as string | Uint8Array).length === 0
}

function id(value: unknown, bytes: number, what: string): string {
  if (value instanceof Uint8Array && value.length === bytes) {
    return Buffer.from(value).toString('hex')
  }
  if (typeof value === 'string' && value.length === 2 * bytes && /^[0-9a-f]+$/i.test(value)) {
    return value.toLowerCase()
  }
  throw new MalformedError(`${what} is not ${bytes} bytes long`)
}

function integer(value: unknown): bigint {
  if (value === undefined || value === null) return 0n
  try {
    return BigInt(value as string | number)
  } catch {
    throw new MalformedError(`not an integer: ${value}`)
  }
}
