import type { OtelSpanContext } from './otel-types.ts'

// The types of @langfuse/tracing 5.x, by the same names.

export type LangfuseObservationType =
  | 'span'
  | 'generation'
  | 'event'
  | 'embedding'
  | 'agent'
  | 'tool'
  | 'chain'
  | 'retriever'
  | 'evaluator'
  | 'guardrail'

export type ObservationLevel = 'DEBUG' | 'DEFAULT' | 'WARNING' | 'ERROR'

export type LangfuseSpanAttributes = {
  /** What went in; any value. Captured at the call. */
  input?: unknown
  /** What came out; any value. */
  output?: unknown
  /** Merged by top-level key over updates. */
  metadata?: Record<string, unknown>
  level?: ObservationLevel
  statusMessage?: string
  version?: string
  environment?: string
}

export type LangfuseGenerationAttributes = LangfuseSpanAttributes & {
  /** When the model's first token came. */
  completionStartTime?: Date
  model?: string
  modelParameters?: { [key: string]: string | number }
  usageDetails?:
    | { [key: string]: number }
    | { promptTokens?: number; completionTokens?: number; totalTokens?: number }
  /** In US dollars. */
  costDetails?: { [key: string]: number }
  /** The prompt to link; a fallback links nothing. */
  prompt?: { name: string; version: number; isFallback: boolean }
}

export type LangfuseEventAttributes = LangfuseSpanAttributes
export type LangfuseAgentAttributes = LangfuseSpanAttributes
export type LangfuseToolAttributes = LangfuseSpanAttributes
export type LangfuseChainAttributes = LangfuseSpanAttributes
export type LangfuseRetrieverAttributes = LangfuseSpanAttributes
export type LangfuseEvaluatorAttributes = LangfuseSpanAttributes
export type LangfuseGuardrailAttributes = LangfuseSpanAttributes
export type LangfuseEmbeddingAttributes = LangfuseGenerationAttributes

/** All attributes that any observation type takes. */
export type LangfuseObservationAttributes = LangfuseSpanAttributes & LangfuseGenerationAttributes

export type LangfuseTraceAttributes = {
  input?: unknown
  output?: unknown
}

export type StartObservationOptions = {
  startTime?: Date
  /** A parent in place of the active observation. Trace flags 0 record nothing; invalid ids begin a new trace. */
  parentSpanContext?: OtelSpanContext
}

export type StartActiveObservationContext = StartObservationOptions & {
  /** False: the observation is ended by you and not when the function's result is complete. */
  endOnExit?: boolean
}

export type StartObservationOpts = StartObservationOptions & {
  asType?: LangfuseObservationType
}

export type StartActiveObservationOpts = StartActiveObservationContext & {
  asType?: LangfuseObservationType
}

export interface ObserveOptions {
  /** The function's name by default. */
  name?: string
  asType?: LangfuseObservationType
  /** Records the argument (or an array of several) as input; true by default. */
  captureInput?: boolean
  /** Records what is returned, or all that is yielded, as output; true by default. */
  captureOutput?: boolean
  parentSpanContext?: OtelSpanContext
  endOnExit?: boolean
}

export type PropagatedPromptInput = {
  name: string
  /** An integer, as a number or in digits. */
  version: number | string
  isFallback?: boolean
}

export interface PropagateAttributesParams {
  /** At most 200 characters, like all strings here but the prompt's name; longer ones are dropped with a warning. */
  userId?: string
  sessionId?: string
  metadata?: Record<string, string>
  version?: string
  tags?: string[]
  traceName?: string
  /** 1 to 40 of a-z, 0-9, - and _; not starting with `langfuse`. */
  environment?: string
  prompt?: PropagatedPromptInput
  /** Also as W3C baggage, which leaves the process in the headers of outgoing requests. */
  asBaggage?: boolean
}
