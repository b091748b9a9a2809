import {
  type AnyValue,
  checkCount,
  type KeyValue,
  MAX_DEPTH,
  MalformedError,
  NO_VALUE,
  newCount,
  type ResourceSpans,
  type ScopeSpans,
  type TraceRequest,
  type WireEvent,
  type WireLink,
  type WireScope,
  type WireSpan,
} from './message.ts'
import { Reader } from './reader.ts'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

const NO_ID = Buffer.alloc(0)

/**
 * Reads a trace request in protobuf. Values are views of `bytes`. A span that is malformed is left out, and counted.
 *
 * @throws MalformedError, TooManyError
 */
export function fromProtobuf(bytes: Buffer): TraceRequest {
  const reader = new Reader(bytes)
  const count = newCount()
  let malformed = 0
  let fault = ''

  /** Reads the fields of a message that is the value of the field at hand. */
  const message = (field: (number: number) => void): void => {
    count.messages++
    checkCount(count)
    const outer = reader.enter()
    while (reader.next()) {
      count.parts++
      checkCount(count)
      field(reader.field)
    }
    reader.leave(outer)
  }

  const anyValue = (depth: number): AnyValue => {
    if (depth > MAX_DEPTH) reader.fail(`a value has more than ${MAX_DEPTH} levels`)
    let value: AnyValue = NO_VALUE
    message((field) => {
      switch (field) {
        case 1:
          value = { type: 'text', bytes: reader.view() }
          break
        case 2:
          value = { type: 'bool', value: reader.uint32() !== 0 }
          break
        case 3:
          value = { type: 'int', value: reader.int64() }
          break
        case 4:
          value = { type: 'double', value: reader.double() }
          break
        case 5: {
          const values: AnyValue[] = []
          message((inner) => (inner === 1 ? values.push(anyValue(depth + 1)) : reader.skip()))
          value = { type: 'array', values }
          break
        }
        case 6: {
          const values: KeyValue[] = []
          message((inner) => (inner === 1 ? values.push(keyValue(depth + 1)) : reader.skip()))
          value = { type: 'kvlist', values }
          break
        }
        case 7:
          value = { type: 'bytes', bytes: reader.view() }
          break
        default:
          reader.skip()
      }
    })
    return value
  }

  const keyValue = (depth = 0): KeyValue => {
    let key = ''
    let value: AnyValue = NO_VALUE
    message((field) => {
      if (field === 1) key = reader.text()
      else if (field === 2) value = anyValue(depth)
      else reader.skip()
    })
    return { key, value }
  }

  const event = (): WireEvent => {
    const attributes: KeyValue[] = []
    const read: Mutable<WireEvent> = { time: 0n, name: '', attributes }
    message((field) => {
      if (field === 1) read.time = reader.fixed64()
      else if (field === 2) read.name = reader.text()
      else if (field === 3) attributes.push(keyValue())
      else reader.skip()
    })
    return read
  }

  const link = (): WireLink => {
    const attributes: KeyValue[] = []
    const read: Mutable<WireLink> = { traceId: NO_ID, spanId: NO_ID, flags: 0, attributes }
    message((field) => {
      if (field === 1) read.traceId = reader.view()
      else if (field === 2) read.spanId = reader.view()
      else if (field === 4) attributes.push(keyValue())
      else if (field === 6) read.flags = reader.fixed32()
      else reader.skip()
    })
    return read
  }

  const span = (): WireSpan => {
    const attributes: KeyValue[] = []
    const events: WireEvent[] = []
    const links: WireLink[] = []
    const read: Mutable<WireSpan> = {
      traceId: NO_ID,
      spanId: NO_ID,
      parentSpanId: NO_ID,
      traceState: '',
      name: '',
      kind: 0,
      start: 0n,
      end: 0n,
      attributes,
      events,
      links,
      statusCode: 0,
      statusMessage: '',
      flags: 0,
    }
    message((field) => {
      switch (field) {
        case 1:
          read.traceId = reader.view()
          break
        case 2:
          read.spanId = reader.view()
          break
        case 3:
          read.traceState = reader.text()
          break
        case 4:
          read.parentSpanId = reader.view()
          break
        case 5:
          read.name = reader.text()
          break
        case 6:
          read.kind = reader.uint32()
          break
        case 7:
          read.start = reader.fixed64()
          break
        case 8:
          read.end = reader.fixed64()
          break
        case 9:
          attributes.push(keyValue())
          break
        case 11:
          events.push(event())
          break
        case 13:
          links.push(link())
          break
        case 15:
          message((inner) => {
            if (inner === 2) read.statusMessage = reader.text()
            else if (inner === 3) read.statusCode = reader.uint32()
            else reader.skip()
          })
          break
        case 16:
          read.flags = reader.fixed32()
          break
        default:
          reader.skip()
      }
    })
    return read
  }

  /** Null: it is none, and what comes behind it can be read all the same. */
  const spanOrFault = (): WireSpan | null => {
    count.spans++
    checkCount(count)
    const { at, end } = reader
    // Of a length that is wrong nobody knows where the next span is.
    const behind = at + reader.length() + (reader.at - at)
    reader.at = at
    try {
      return span()
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
      malformed++
      fault ||= error.message
      reader.at = Math.min(behind, end)
      reader.end = end
      return null
    }
  }

  const scopeSpans = (): ScopeSpans => {
    const attributes: KeyValue[] = []
    const scope: Mutable<WireScope> = { name: '', version: '', attributes }
    const spans: WireSpan[] = []
    message((field) => {
      if (field === 1) {
        message((inner) => {
          if (inner === 1) scope.name = reader.text()
          else if (inner === 2) scope.version = reader.text()
          else if (inner === 3) attributes.push(keyValue())
          else reader.skip()
        })
      } else if (field === 2) {
        const one = spanOrFault()
        if (one !== null) spans.push(one)
      } else reader.skip()
    })
    return { scope, spans }
  }

  const resourceSpans: ResourceSpans[] = []
  while (reader.next()) {
    if (reader.field !== 1) {
      reader.skip()
      continue
    }
    const attributes: KeyValue[] = []
    const scopes: ScopeSpans[] = []
    message((field) => {
      if (field === 1) {
        message((inner) => (inner === 1 ? attributes.push(keyValue()) : reader.skip()))
      } else if (field === 2) scopes.push(scopeSpans())
      else reader.skip()
    })
    resourceSpans.push({ attributes, scopeSpans: scopes })
  }
  return { resourceSpans, malformed, fault }
}
