import { AsyncLocalStorage } from 'node:async_hooks'
import type { OtelTracerProvider } from './api/otel-types.ts'
import { warnOfOldNode } from './node-version.ts'
import type { OpenRecorder } from './recorder/open.ts'
import type { RecorderOptions } from './recorder/options.ts'
import type { Recorder } from './recorder/recorder.ts'
import type { Propagated, Span } from './recorder/span.ts'

/** What is in force at a point of the program. Immutable: a new one for each change. */
export class ActiveContext {
  /** Parent of observations that name none. */
  readonly span: Span | null
  readonly propagated: Propagated | null
  /** An observation on whose trace this process works already: what joins that trace is no application root. */
  readonly claim: Span | null
  /** W3C baggage. */
  readonly baggage: Readonly<Record<string, string>> | null

  constructor(
    span: Span | null,
    propagated: Propagated | null,
    claim: Span | null,
    baggage: Readonly<Record<string, string>> | null,
  ) {
    this.span = span
    this.propagated = propagated
    this.claim = claim
    this.baggage = baggage
  }
}

/** What the functions of the package need of a recorder. */
export type Recording = Pick<
  Recorder,
  | 'start'
  | 'event'
  | 'update'
  | 'setType'
  | 'set'
  | 'setAttribute'
  | 'end'
  | 'handOver'
  | 'stats'
  | 'close'
>

/** One per process (and worker thread), shared by all copies of the package that are loaded in it. */
export interface ProcessState {
  readonly storage: AsyncLocalStorage<ActiveContext>
  /** `idle` until init or the first observation; `off`: disabled, shut down, or nowhere to record. */
  phase: 'idle' | 'on' | 'off'
  /** Set in phase `on` only. */
  recorder: Recording | undefined
  /** What a recorder that was shut down had to say at its end; a copy of an earlier version keeps none. */
  last?: ReturnType<Recording['stats']> | undefined
  delivered: OpenRecorder['delivered'] | undefined
  options: RecorderOptions | undefined
  /** In force where no context says otherwise: the project of the options. */
  base: Propagated | null
  /** Open observations whose span id was read, by its first word: only these can be named in a parentSpanContext. */
  readonly known: Map<number, Span>
  /** Warnings that were given; each is given once. */
  readonly warned: Set<string>
  tracerProvider: OtelTracerProvider | null
}

// The number changes when copies of the package can no longer work together.
// `startRelay` of the package offpath reads recorder, delivered and options there.
const PLACE = Symbol.for('offpath.1')

function processState(): ProcessState {
  const place = globalThis as { [PLACE]?: ProcessState }
  let found = place[PLACE]
  if (found === undefined) {
    found = {
      storage: new AsyncLocalStorage(),
      phase: 'idle',
      recorder: undefined,
      delivered: undefined,
      options: undefined,
      base: null,
      known: new Map(),
      warned: new Set(),
      tracerProvider: null,
    }
    Object.defineProperty(place, PLACE, { value: found })
    warnOfOldNode()
  }
  return found
}

export const state: ProcessState = processState()

export function activeContext(): ActiveContext | undefined {
  return state.storage.getStore()
}

/** One process.emitWarning for each `key`. */
export function warnOnce(key: string, message: string): void {
  if (state.warned.has(key) || state.warned.size >= 100) return
  state.warned.add(key)
  process.emitWarning(message, { type: 'OffpathWarning', code: 'OFFPATH_API' })
}
