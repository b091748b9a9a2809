// Spans and an outbox in memory for the tests of this folder.
import { FIELD } from '@offpath/sdk/spool-format'
import type { Part, Resource, StoredField, StoredSpan, Value } from '../store/span.ts'
import type { LoadParts } from './attributes.ts'
import type { Clock } from './clock.ts'

export const resource: Resource = {
  service: 'shop',
  environment: 'staging',
  release: 'v1.2',
  host: 'host-a',
  pid: 42,
  sdk: { name: 'offpath', version: '0.1.0' },
  language: 'javascript',
  attributes: { 'deployment.zone': 'a' },
}

export function text(value: string): Value {
  const bytes = Buffer.from(value)
  return { type: 'text', parts: [bytes], length: bytes.length }
}

export function json(value: unknown): Value {
  const bytes = Buffer.from(JSON.stringify(value))
  return { type: 'json', parts: [bytes], length: bytes.length }
}

/** A data file that parts may lie in. */
export const FILE: Buffer = Buffer.from('0123456789 “tiếng Việt” 😀 '.repeat(400))

export const load: LoadParts = (parts, into, at) => {
  for (const part of parts) {
    const bytes = isInline(part) ? part : FILE.subarray(part.offset, part.offset + part.length)
    into.set(bytes, at)
    at += bytes.length
  }
  return at
}

function isInline(part: Part): part is Buffer {
  return part instanceof Uint8Array
}

let serial = 0

/** A finished generation with ids of its own. */
export function makeSpan(over: Partial<StoredSpan> = {}): StoredSpan {
  serial++
  const traceId = Buffer.alloc(16, 7)
  traceId.writeUInt32BE(serial, 12)
  const spanId = Buffer.alloc(8, 9)
  spanId.writeUInt32BE(serial, 4)
  return {
    traceId,
    spanId,
    parentSpanId: null,
    name: 'vllm.chat.completion',
    type: 1,
    kind: 0,
    startSeconds: 1_790_000_000,
    startNanos: 123_456_789,
    endSeconds: 1_790_000_001,
    endNanos: 5,
    startFlags: 0,
    interrupted: false,
    revision: 0,
    statusCode: 0,
    statusDescription: '',
    traceState: '',
    project: null,
    scope: null,
    resource,
    fields: [field(FIELD.input, text('hello')), field(FIELD.output, json({ answer: 42 }))],
    events: [],
    links: [],
    ...over,
  }
}

export function manySpans(count: number, bytes = 10): StoredSpan[] {
  return Array.from({ length: count }, () =>
    makeSpan({ fields: [field(FIELD.input, text('x'.repeat(bytes)))] }),
  )
}

/** In hex. */
export function idsOf(spans: readonly { readonly spanId: Buffer | string }[]): string[] {
  return spans.map(({ spanId }) => spanId.toString('hex'))
}

/** Long enough for a request that should not be sent to arrive. */
export function turns(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 50))
}

/** @throws Error when it does not become true within 8 s */
export async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 8_000
  while (!condition()) {
    if (Date.now() > deadline) throw new Error('it never came')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

export function field(number: number, value: Value, key?: string): StoredField {
  return key === undefined ? { field: number, value } : { field: number, key, value }
}

export interface FakeClock extends Clock {
  /** Sets the wall clock forward, or back. */
  step(ms: number): void
  /** All waits so far, in ms. */
  readonly waits: number[]
  stop(): void
}

/** Waiting takes a millisecond, whatever its length: the earliest sleeper wakes, and it is its time. */
export function startFakeClock(start: number): FakeClock {
  let time = 0
  let wall = start
  const waits: number[] = []
  const sleepers = new Set<{ until: number; wake(): void }>()
  const timer = setInterval(() => {
    let next: { until: number; wake(): void } | undefined
    for (const sleeper of sleepers) if (!next || sleeper.until < next.until) next = sleeper
    if (next === undefined) return
    time = Math.max(time, next.until)
    next.wake()
  }, 1)
  return {
    waits,
    now: () => wall + time,
    elapsed: () => time,
    step: (ms) => {
      wall += ms
    },
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason)
        waits.push(ms)
        const abort = (): void => {
          sleepers.delete(sleeper)
          reject(signal.reason)
        }
        const sleeper = {
          until: time + ms,
          wake() {
            sleepers.delete(sleeper)
            signal.removeEventListener('abort', abort)
            resolve()
          },
        }
        signal.addEventListener('abort', abort, { once: true })
        sleepers.add(sleeper)
      }),
    stop: () => clearInterval(timer),
  }
}

export interface ManualClock extends Clock {
  /** Sets the wall clock forward, or back. */
  step(ms: number): void
  pass(ms: number): void
}

/** A clock that stands still but for `pass`. */
export function manualClock(start: number): ManualClock {
  let time = 0
  let wall = start
  const sleepers = new Set<{ until: number; wake(): void }>()
  return {
    now: () => wall + time,
    elapsed: () => time,
    step: (ms) => {
      wall += ms
    },
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason)
        sleepers.add({ until: time + ms, wake: resolve })
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      }),
    pass(ms) {
      time += ms
      for (const sleeper of sleepers) {
        if (sleeper.until > time) continue
        sleepers.delete(sleeper)
        sleeper.wake()
      }
    },
  }
}
