// What /api answers and the CLI prints with --json. Keys are added, never renamed or removed.

/** A trace in a list. Times are ISO 8601 in UTC with nanoseconds. */
export interface TraceSummary {
  readonly id: string
  /** Of the root observation, once it has ended; else of the trace, if it was given one. */
  readonly name: string | null
  /** Its root observation has ended. */
  readonly complete: boolean
  readonly service: string | null
  readonly environment: string | null
  readonly userId: string | null
  readonly sessionId: string | null
  /** Of the first observation. */
  readonly startTime: string
  /** From the first start to the last end. */
  readonly durationMs: number
  readonly observations: number
  readonly errors: number
  /** Of level WARNING. */
  readonly warnings: number
  readonly interrupted: number
  /** Of all observations, by what their usage details say; null: nothing. A total is given, or input and output. */
  readonly tokens: {
    readonly input: number | null
    readonly output: number | null
    readonly total: number | null
  } | null
}

export interface TraceList {
  readonly traces: readonly TraceSummary[]
  /** `before` of the next page; null: this was the last. */
  readonly next: string | null
}

/** JSON as recorded; long texts may be cut, see `cut`. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

export interface Observation {
  readonly id: string
  readonly traceId: string
  readonly parentId: string | null
  readonly name: string
  /** span, generation, event, … */
  readonly type: string
  readonly service: string | null
  readonly startTime: string
  readonly endTime: string
  readonly durationMs: number
  readonly level: string
  readonly statusMessage: string | null
  /** Its process ended before it did. */
  readonly interrupted: boolean
  readonly environment: string | null
  readonly version: string | null
  readonly project: string | null
  readonly model: string | null
  readonly modelParameters: Json
  /** Tokens and the like by kind. */
  readonly usage: Json
  readonly cost: Json
  readonly completionStartTime: string | null
  readonly timeToFirstTokenMs: number | null
  readonly prompt: { readonly name: string; readonly version: Json } | null
  readonly userId: string | null
  readonly sessionId: string | null
  readonly traceName: string | null
  readonly tags: readonly string[]
  readonly input: Json
  readonly output: Json
  readonly traceInput: Json
  readonly traceOutput: Json
  readonly metadata: { readonly [key: string]: Json }
  readonly traceMetadata: { readonly [key: string]: Json }
  /** OpenTelemetry attributes beside the fields above. */
  readonly attributes: { readonly [key: string]: Json }
  readonly events: readonly Json[]
  readonly links: readonly Json[]
  /** Values too long for the answer, of which only the beginning is here: name → length in bytes as recorded. */
  readonly cut: { readonly [name: string]: number }
}

export interface Trace {
  readonly trace: TraceSummary
  /** In the order of their starts. */
  readonly observations: readonly Observation[]
  /** Observations left out, of a trace too large for one answer. */
  readonly omitted: number
}

/** What an exporter's server rejected, and nobody has had sent again. */
export interface DeadLetter {
  /** Its kind and number: `span:12`, `score:7`, `media:9`; of a pool its entry in Redis: `span:1764260000000-0`. */
  readonly id: string
  /** Of a pool also a whole entry, which is none or ended relays. */
  readonly what: 'span' | 'score' | 'media' | 'entry'
  readonly exporter: string
  /** When it was rejected. */
  readonly time: string
  readonly reason: string
  /** Null: it has none, as the score of a session. */
  readonly traceId: string | null
  readonly observationId: string | null
  /** Of the observation or the score; of media where they stand, and their type. */
  readonly name: string
}

export interface DeadLetterList {
  /** Newest first. */
  readonly deadLetters: readonly DeadLetter[]
  /** How many there are, those left out included. */
  readonly total: number
}

/** With what was rejected: one of the three, as its kind says. */
export interface WholeDeadLetter extends DeadLetter {
  /** Null as well when it cannot be read any more. */
  readonly observation: Observation | null
  /** As Langfuse's API has it. */
  readonly score: { readonly [key: string]: Json } | null
  readonly media: {
    /** input, output or metadata. */
    readonly field: string
    readonly contentType: string
    readonly bytes: number
    /** Hex. */
    readonly sha256: string
  } | null
  /** Of a whole entry, as far as they can be read. */
  readonly observations?: readonly Observation[]
}
