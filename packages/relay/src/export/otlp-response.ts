/**
 * Spans that an OTLP endpoint took and dropped: `partial_success.rejected_spans` of an
 * ExportTraceServiceResponse (opentelemetry-proto, collector/trace/v1), protobuf or JSON.
 *
 * @returns 0 when the answer does not say, or is something else: it was a 2xx
 */
export function readPartialSuccess(body: Buffer, contentType: string): number {
  if (body.length === 0) return 0
  const rejected = contentType.includes('json') ? fromJson(body) : fromProtobuf(body)
  return Number.isSafeInteger(rejected) && rejected > 0 ? rejected : 0
}

function fromJson(body: Buffer): number {
  try {
    const { partialSuccess } = JSON.parse(body.toString()) as {
      partialSuccess?: { rejectedSpans?: string | number }
    }
    return Number(partialSuccess?.rejectedSpans ?? 0)
  } catch {
    return 0
  }
}

function fromProtobuf(body: Buffer): number {
  const partialSuccess = field(body, 1)
  return Buffer.isBuffer(partialSuccess) ? Number(field(partialSuccess, 1) ?? 0) : 0
}

/** The last field of that number: a varint, or the bytes of a length-delimited one. */
function field(message: Buffer, wanted: number): number | Buffer | undefined {
  let at = 0
  let found: number | Buffer | undefined
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
    let value: number | Buffer | undefined
    if ((tag & 7) === 0) value = varint()
    else if ((tag & 7) === 2) {
      const length = varint()
      value = message.subarray(at, at + length)
      at += length
    } else return found
    if (tag >>> 3 === wanted) found = value
    // A length that is not a number, or beyond the end, ends the loop.
    if (!(at <= message.length)) return found
  }
  return found
}
