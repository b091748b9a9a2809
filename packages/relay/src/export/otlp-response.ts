/**
 * Whether the body of a 2xx is one that an API of OTLP or JSON answers with: nothing, JSON, or an ExportTraceServiceResponse as
 * Protobuf. Whatever its content type: Go's net/http calls JSON without a type text/plain, PHP calls it text/html; and a gateway
 * in front, whose page means that nothing was taken, may call it anything.
 */
export function isAnswer(body: Buffer): boolean {
  return textOf(body) === '' || parsed(body) !== undefined || partialSuccess(body) !== undefined
}

/**
 * Spans that an OTLP endpoint took and dropped: `partial_success.rejected_spans` of an
 * ExportTraceServiceResponse (opentelemetry-proto, collector/trace/v1), protobuf or JSON.
 *
 * @returns 0 when the answer does not say
 */
export function readPartialSuccess(body: Buffer): number {
  if (body.length === 0) return 0
  const json = parsed(body) as { partialSuccess?: { rejectedSpans?: unknown } } | null | undefined
  const rejected =
    json === undefined
      ? partialSuccess(body)?.get(REJECTED_SPANS)
      : json?.partialSuccess?.rejectedSpans
  const count = Number(rejected ?? 0)
  return Number.isSafeInteger(count) && count > 0 ? count : 0
}

/** Without a byte order mark, which .NET writes. */
function textOf(body: Buffer): string {
  return body.toString().trim()
}

/** Undefined: it is no JSON. */
function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(textOf(body))
  } catch {
    return undefined
  }
}

const PARTIAL_SUCCESS = 1
const PARTIAL_SUCCESS_TAG = 0x0a
const REJECTED_SPANS = 1
/** By wire type. */
const FIXED_BYTES: Readonly<Record<number, number>> = { 1: 8, 5: 4 }

type Fields = ReadonlyMap<number, number | Buffer>

/**
 * Undefined: the body is no ExportTraceServiceResponse. This is its only field, so it begins with the tag; of what else begins
 * with a line feed the lengths will not fit.
 */
function partialSuccess(body: Buffer): Fields | undefined {
  if (body[0] !== PARTIAL_SUCCESS_TAG) return undefined
  const value = fieldsOf(body)?.get(PARTIAL_SUCCESS)
  return Buffer.isBuffer(value) ? fieldsOf(value) : undefined
}

/** By number, the last of each: varints as numbers, all else as bytes. Undefined: that is no message. */
function fieldsOf(message: Buffer): Fields | undefined {
  const fields = new Map<number, number | Buffer>()
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let scale = 1; at < message.length; scale *= 128) {
      const byte = message[at++]!
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
    return Number.NaN
  }
  while (at < message.length) {
    const tag = varint()
    const type = tag & 7
    const size = type === 0 || type === 2 ? varint() : (FIXED_BYTES[type] ?? Number.NaN)
    const end = type === 0 ? at : at + size
    // NaN: it is cut, or of a wire type that there is not.
    if (Number.isNaN(size) || end > message.length) return undefined
    fields.set(tag >>> 3, type === 0 ? size : message.subarray(at, end))
    at = end
  }
  return fields
}
