/**
 * Counts the spans of a request without decoding them: a protobuf is walked over its lengths, in
 * JSON the key that every span has once and nothing else has is searched for.
 */
export function countSpans(body: Buffer, contentType: string): number {
  return contentType.includes('json') ? countInJson(body) : countInProtobuf(body)
}

function countInProtobuf(body: Buffer): number {
  let spans = 0
  eachSpan(body, () => {
    spans++
  })
  return spans
}

/** Where the spans of a protobuf lie. @throws RangeError when it is none */
export function eachSpan(body: Buffer, visit: (start: number, end: number) => void): void {
  // ExportTraceServiceRequest.resource_spans = 1, ResourceSpans.scope_spans = 2, ScopeSpans.spans = 2
  eachMessage(body, 0, body.length, 1, (resourceStart, resourceEnd) => {
    eachMessage(body, resourceStart, resourceEnd, 2, (scopeStart, scopeEnd) => {
      eachMessage(body, scopeStart, scopeEnd, 2, visit)
    })
  })
}

function eachMessage(
  body: Buffer,
  start: number,
  end: number,
  field: number,
  visit: (start: number, end: number) => void,
): void {
  let at = start
  const varint = (): number => {
    let value = 0
    let scale = 1
    for (;;) {
      const byte = body[at++]
      if (byte === undefined || at > end) throw new RangeError('truncated protobuf')
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 128
    }
  }
  while (at < end) {
    const tag = varint()
    const wireType = tag & 7
    if (wireType === 2) {
      const length = varint()
      if (at + length > end) throw new RangeError('truncated protobuf')
      if (tag >>> 3 === field) visit(at, at + length)
      at += length
    } else if (wireType === 0) varint()
    else if (wireType === 1) at += 8
    else if (wireType === 5) at += 4
    else throw new RangeError(`unknown protobuf wire type ${wireType}`)
  }
}

const key = Buffer.from('"startTimeUnixNano"')

// Inside a JSON string a quote has a backslash before it, so the key with both quotes is a string of
// its own; the colon after it tells a key from a value.
function countInJson(body: Buffer): number {
  let spans = 0
  for (let at = body.indexOf(key); at >= 0; at = body.indexOf(key, at)) {
    const escaped = body[at - 1] === 0x5c
    at += key.length
    if (escaped) continue
    while (isSpace(body[at])) at++
    if (body[at] === 0x3a) spans++
  }
  return spans
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}
