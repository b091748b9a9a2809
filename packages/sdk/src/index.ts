export {
  getActiveSpanId,
  getActiveTraceId,
  setActiveTraceAsPublic,
  setActiveTraceIO,
  updateActiveObservation,
} from './api/active.ts'
export {
  createObservationAttributes,
  createTraceAttributes,
  LangfuseOtelSpanAttributes,
} from './api/attributes.ts'
export {
  LangfuseAgent,
  LangfuseChain,
  LangfuseEmbedding,
  LangfuseEvaluator,
  LangfuseEvent,
  LangfuseGeneration,
  LangfuseGuardrail,
  type LangfuseObservation,
  LangfuseRetriever,
  LangfuseSpan,
  LangfuseTool,
} from './api/observation.ts'
export { observe } from './api/observe.ts'
export { propagateAttributes, withProject } from './api/propagate.ts'
export { startActiveObservation, startObservation } from './api/start.ts'
export { createTraceId } from './api/trace-id.ts'
export {
  getLangfuseTracer,
  getLangfuseTracerProvider,
  setLangfuseTracerProvider,
} from './api/tracer.ts'
export type {
  LangfuseEventAttributes,
  LangfuseGenerationAttributes,
  LangfuseObservationAttributes,
  LangfuseObservationType,
  LangfuseSpanAttributes,
  LangfuseTraceAttributes,
  ObservationLevel,
  ObserveOptions,
  PropagateAttributesParams,
  PropagatedPromptInput,
  StartActiveObservationContext,
  StartActiveObservationOpts,
  StartObservationOptions,
  StartObservationOpts,
} from './api/types.ts'
export type { InitOptions } from './config.ts'
export type { FlushOptions } from './flush-options.ts'
export { OptionsError } from './options-error.ts'
export type { RecorderStats } from './recorder/recorder.ts'
export { flush, init, shutdown, stats } from './session.ts'
