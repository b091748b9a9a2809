import { activeContext, state, warnOnce } from '../context.ts'
import { type Span, traceIdOf } from '../recorder/span.ts'
import { FIELD } from '../spool/format.ts'
import { setTraceIO } from './observation.ts'
import { publishedId, typeIndex } from './spans.ts'
import type {
  LangfuseAgentAttributes,
  LangfuseChainAttributes,
  LangfuseEmbeddingAttributes,
  LangfuseEvaluatorAttributes,
  LangfuseGenerationAttributes,
  LangfuseGuardrailAttributes,
  LangfuseObservationAttributes,
  LangfuseObservationType,
  LangfuseRetrieverAttributes,
  LangfuseSpanAttributes,
  LangfuseToolAttributes,
  LangfuseTraceAttributes,
} from './types.ts'

/** Trace id of the active observation, 32 hex digits. */
export function getActiveTraceId(): string | undefined {
  const span = activeContext()?.span
  return span ? traceIdOf(span) : undefined
}

/** Span id of the active observation, 16 hex digits. */
export function getActiveSpanId(): string | undefined {
  const span = activeContext()?.span
  return span ? publishedId(span) : undefined
}

/** Updates the active observation, and its type when `asType` is given. Warns when there is none. */
export function updateActiveObservation(
  attributes: LangfuseSpanAttributes,
  options?: { asType: 'span' },
): void
export function updateActiveObservation(
  attributes: LangfuseGenerationAttributes,
  options: { asType: 'generation' },
): void
export function updateActiveObservation(
  attributes: LangfuseAgentAttributes,
  options: { asType: 'agent' },
): void
export function updateActiveObservation(
  attributes: LangfuseToolAttributes,
  options: { asType: 'tool' },
): void
export function updateActiveObservation(
  attributes: LangfuseChainAttributes,
  options: { asType: 'chain' },
): void
export function updateActiveObservation(
  attributes: LangfuseEmbeddingAttributes,
  options: { asType: 'embedding' },
): void
export function updateActiveObservation(
  attributes: LangfuseEvaluatorAttributes,
  options: { asType: 'evaluator' },
): void
export function updateActiveObservation(
  attributes: LangfuseGuardrailAttributes,
  options: { asType: 'guardrail' },
): void
export function updateActiveObservation(
  attributes: LangfuseRetrieverAttributes,
  options: { asType: 'retriever' },
): void
export function updateActiveObservation(
  attributes: LangfuseObservationAttributes,
  options?: { asType?: LangfuseObservationType },
): void {
  const span = activeSpan('updateActiveObservation')
  if (span === undefined) return
  if (options?.asType) state.recorder?.setType(span, typeIndex(options.asType))
  state.recorder?.update(span, attributes)
}

/** Input and output of the active observation's trace; Langfuse's older evaluators read them. */
export function setActiveTraceIO(attributes: LangfuseTraceAttributes): void {
  const span = activeSpan('setActiveTraceIO')
  if (span !== undefined) setTraceIO(span, attributes)
}

/** Makes the active observation's trace visible to everybody who has its link; this can't be taken back. */
export function setActiveTraceAsPublic(): void {
  const span = activeSpan('setActiveTraceAsPublic')
  if (span !== undefined) state.recorder?.set(span, FIELD.tracePublic, true)
}

function activeSpan(caller: string): Span | undefined {
  const span = activeContext()?.span
  if (span) return span
  if (state.phase !== 'off') {
    warnOnce(caller, `${caller}: no observation is active here, nothing is updated`)
  }
  return undefined
}
