import { ActiveContext, activeContext, state } from '../context.ts'
import { Ending } from '../follow/ending.ts'
import { follow } from '../follow/follow.ts'
import type { Span } from '../recorder/span.ts'
import { recording } from '../session.ts'
import {
  type LangfuseAgent,
  type LangfuseChain,
  type LangfuseEmbedding,
  type LangfuseEvaluator,
  type LangfuseEvent,
  type LangfuseGeneration,
  type LangfuseGuardrail,
  type LangfuseObservation,
  type LangfuseRetriever,
  type LangfuseSpan,
  type LangfuseTool,
  observationOf,
} from './observation.ts'
import { endSpan, spanOfContext, startUnder, typeIndex, usableTime } from './spans.ts'
import type {
  LangfuseAgentAttributes,
  LangfuseChainAttributes,
  LangfuseEmbeddingAttributes,
  LangfuseEvaluatorAttributes,
  LangfuseEventAttributes,
  LangfuseGenerationAttributes,
  LangfuseGuardrailAttributes,
  LangfuseObservationAttributes,
  LangfuseRetrieverAttributes,
  LangfuseSpanAttributes,
  LangfuseToolAttributes,
  StartActiveObservationOpts,
  StartObservationOptions,
  StartObservationOpts,
} from './types.ts'

/**
 * Starts an observation under the active one, or as a new trace. It is not made active, and you end it. An event has
 * ended when it is returned.
 */
export function startObservation(
  name: string,
  attributes: LangfuseGenerationAttributes,
  options: StartObservationOpts & { asType: 'generation' },
): LangfuseGeneration
export function startObservation(
  name: string,
  attributes: LangfuseEventAttributes,
  options: StartObservationOpts & { asType: 'event' },
): LangfuseEvent
export function startObservation(
  name: string,
  attributes: LangfuseAgentAttributes,
  options: StartObservationOpts & { asType: 'agent' },
): LangfuseAgent
export function startObservation(
  name: string,
  attributes: LangfuseToolAttributes,
  options: StartObservationOpts & { asType: 'tool' },
): LangfuseTool
export function startObservation(
  name: string,
  attributes: LangfuseChainAttributes,
  options: StartObservationOpts & { asType: 'chain' },
): LangfuseChain
export function startObservation(
  name: string,
  attributes: LangfuseRetrieverAttributes,
  options: StartObservationOpts & { asType: 'retriever' },
): LangfuseRetriever
export function startObservation(
  name: string,
  attributes: LangfuseEvaluatorAttributes,
  options: StartObservationOpts & { asType: 'evaluator' },
): LangfuseEvaluator
export function startObservation(
  name: string,
  attributes: LangfuseGuardrailAttributes,
  options: StartObservationOpts & { asType: 'guardrail' },
): LangfuseGuardrail
export function startObservation(
  name: string,
  attributes: LangfuseEmbeddingAttributes,
  options: StartObservationOpts & { asType: 'embedding' },
): LangfuseEmbedding
export function startObservation(
  name: string,
  attributes?: LangfuseSpanAttributes,
  options?: StartObservationOpts & { asType?: 'span' },
): LangfuseSpan
export function startObservation(
  name: string,
  attributes?: LangfuseObservationAttributes,
  options?: StartObservationOpts,
): LangfuseObservation {
  const type = typeIndex(options?.asType)
  return observationOf(startSpan(name, type, attributes, options ?? undefined), type)
}

/** Starts a span under the parent that the options name, or the active one. */
export function startSpan(
  name: string,
  type: number,
  attributes: object | undefined,
  options: StartObservationOptions | undefined,
): Span {
  if (options === undefined)
    return startUnder(activeContext()?.span ?? null, name, type, attributes, undefined)
  const { parentSpanContext, startTime } = options
  const parent = parentSpanContext
    ? spanOfContext(parentSpanContext)
    : (activeContext()?.span ?? null)
  return startUnder(
    parent,
    name,
    type,
    attributes,
    startTime === undefined ? undefined : usableTime(startTime),
  )
}

/** The context in which the span is the active one. */
export function contextWithin(span: Span): ActiveContext {
  const outer = activeContext()
  return new ActiveContext(span, outer?.propagated ?? null, span, outer?.baggage ?? null)
}

/**
 * Starts an observation and runs `fn` with it active. It ends when the result of `fn` is complete: a promise or thenable
 * settled, a generator or stream read to its end, failed or given up. Returns what `fn` returns: the same
 * object, except for a native promise. An error sets the status and is thrown on.
 */
export function startActiveObservation<F extends (generation: LangfuseGeneration) => unknown>(
  name: string,
  fn: F,
  options: StartActiveObservationOpts & { asType: 'generation' },
): ReturnType<F>
export function startActiveObservation<F extends (embedding: LangfuseEmbedding) => unknown>(
  name: string,
  fn: F,
  options: StartActiveObservationOpts & { asType: 'embedding' },
): ReturnType<F>
export function startActiveObservation<F extends (agent: LangfuseAgent) => unknown>(
  name: string,
  fn: F,
  options: StartActiveObservationOpts & { asType: 'agent' },
): ReturnType<F>
export function startActiveObservation<F extends (tool: LangfuseTool) => unknown>(
  name: string,
  fn: F,
  options: StartActiveObservationOpts & { asType: 'tool' },
): ReturnType<F>
export function startActiveObservation<F extends (chain: LangfuseChain) => unknown>(
  name: string,
  fn: F,
  options: StartActiveObservationOpts & { asType: 'chain' },
): ReturnType<F>
export function startActiveObservation<F extends (retriever: LangfuseRetriever) => unknown>(
  name: string,
  fn: F,
  options: StartActiveObservationOpts & { asType: 'retriever' },
): ReturnType<F>
export function startActiveObservation<F extends (evaluator: LangfuseEvaluator) => unknown>(
  name: string,
  fn: F,
  options: StartActiveObservationOpts & { asType: 'evaluator' },
): ReturnType<F>
export function startActiveObservation<F extends (guardrail: LangfuseGuardrail) => unknown>(
  name: string,
  fn: F,
  options: StartActiveObservationOpts & { asType: 'guardrail' },
): ReturnType<F>
export function startActiveObservation<F extends (span: LangfuseSpan) => unknown>(
  name: string,
  fn: F,
  options?: StartActiveObservationOpts & { asType?: 'span' },
): ReturnType<F>
export function startActiveObservation(
  name: string,
  fn: (observation: never) => unknown,
  options?: StartActiveObservationOpts,
): unknown {
  const type = typeIndex(options?.asType)
  const span = startSpan(name, type, undefined, options ?? undefined)
  const observation = observationOf(span, type) as never
  if (recording() === undefined) return fn(observation)
  const context = contextWithin(span)
  const endOnExit = options?.endOnExit !== false
  let result: unknown
  try {
    result = state.storage.run(context, fn, observation)
  } catch (error) {
    new Ending(span, context, 'status', false, endOnExit).fail(error)
    throw error
  }
  if (typeof result === 'object' && result !== null) {
    return follow(result, new Ending(span, context, 'status', false, endOnExit))
  }
  if (endOnExit) endSpan(span, undefined)
  return result
}
