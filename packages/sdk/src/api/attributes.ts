import type { OtelAttributes } from './otel-types.ts'
import type {
  LangfuseObservationAttributes,
  LangfuseObservationType,
  LangfuseTraceAttributes,
} from './types.ts'

/** Names of the attributes that Langfuse understands on an OpenTelemetry span. */
export const LangfuseOtelSpanAttributes = {
  TRACE_NAME: 'langfuse.trace.name',
  TRACE_USER_ID: 'user.id',
  TRACE_SESSION_ID: 'session.id',
  TRACE_TAGS: 'langfuse.trace.tags',
  TRACE_PUBLIC: 'langfuse.trace.public',
  TRACE_METADATA: 'langfuse.trace.metadata',
  TRACE_INPUT: 'langfuse.trace.input',
  TRACE_OUTPUT: 'langfuse.trace.output',
  OBSERVATION_TYPE: 'langfuse.observation.type',
  OBSERVATION_METADATA: 'langfuse.observation.metadata',
  OBSERVATION_LEVEL: 'langfuse.observation.level',
  OBSERVATION_STATUS_MESSAGE: 'langfuse.observation.status_message',
  OBSERVATION_INPUT: 'langfuse.observation.input',
  OBSERVATION_OUTPUT: 'langfuse.observation.output',
  OBSERVATION_COMPLETION_START_TIME: 'langfuse.observation.completion_start_time',
  OBSERVATION_MODEL: 'langfuse.observation.model.name',
  OBSERVATION_MODEL_PARAMETERS: 'langfuse.observation.model.parameters',
  OBSERVATION_USAGE_DETAILS: 'langfuse.observation.usage_details',
  OBSERVATION_COST_DETAILS: 'langfuse.observation.cost_details',
  OBSERVATION_PROMPT_NAME: 'langfuse.observation.prompt.name',
  OBSERVATION_PROMPT_VERSION: 'langfuse.observation.prompt.version',
  ENVIRONMENT: 'langfuse.environment',
  RELEASE: 'langfuse.release',
  VERSION: 'langfuse.version',
  AS_ROOT: 'langfuse.internal.as_root',
  IS_APP_ROOT: 'langfuse.internal.is_app_root',
  EXPERIMENT_ID: 'langfuse.experiment.id',
  EXPERIMENT_NAME: 'langfuse.experiment.name',
  EXPERIMENT_DESCRIPTION: 'langfuse.experiment.description',
  EXPERIMENT_METADATA: 'langfuse.experiment.metadata',
  EXPERIMENT_DATASET_ID: 'langfuse.experiment.dataset.id',
  EXPERIMENT_ITEM_ID: 'langfuse.experiment.item.id',
  EXPERIMENT_ITEM_EXPECTED_OUTPUT: 'langfuse.experiment.item.expected_output',
  EXPERIMENT_ITEM_METADATA: 'langfuse.experiment.item.metadata',
  EXPERIMENT_ITEM_ROOT_OBSERVATION_ID: 'langfuse.experiment.item.root_observation_id',
  TRACE_COMPAT_USER_ID: 'langfuse.user.id',
  TRACE_COMPAT_SESSION_ID: 'langfuse.session.id',
} as const
export type LangfuseOtelSpanAttributes =
  (typeof LangfuseOtelSpanAttributes)[keyof typeof LangfuseOtelSpanAttributes]

const NAMES: typeof LangfuseOtelSpanAttributes = LangfuseOtelSpanAttributes

/**
 * An observation's attributes as OpenTelemetry attributes in Langfuse's encoding, for spans of other libraries.
 * Values that JSON can't hold become `<failed to serialize>`.
 */
export function createObservationAttributes(
  type: LangfuseObservationType,
  attributes: LangfuseObservationAttributes,
): OtelAttributes {
  const { metadata, prompt } = attributes
  const linked = prompt && !prompt.isFallback ? prompt : undefined
  return withoutEmpty({
    [NAMES.OBSERVATION_TYPE]: type,
    [NAMES.OBSERVATION_LEVEL]: attributes.level,
    [NAMES.OBSERVATION_STATUS_MESSAGE]: attributes.statusMessage,
    [NAMES.VERSION]: attributes.version,
    [NAMES.ENVIRONMENT]: attributes.environment,
    [NAMES.OBSERVATION_INPUT]: serialize(attributes.input),
    [NAMES.OBSERVATION_OUTPUT]: serialize(attributes.output),
    [NAMES.OBSERVATION_MODEL]: attributes.model,
    [NAMES.OBSERVATION_USAGE_DETAILS]: serialize(attributes.usageDetails),
    [NAMES.OBSERVATION_COST_DETAILS]: serialize(attributes.costDetails),
    [NAMES.OBSERVATION_COMPLETION_START_TIME]: serialize(attributes.completionStartTime),
    [NAMES.OBSERVATION_MODEL_PARAMETERS]: serialize(attributes.modelParameters),
    [NAMES.OBSERVATION_PROMPT_NAME]: linked?.name,
    [NAMES.OBSERVATION_PROMPT_VERSION]: linked?.version,
    ...metadataAttributes(metadata),
  })
}

/** A trace's input and output as OpenTelemetry attributes in Langfuse's encoding. */
export function createTraceAttributes({
  input,
  output,
}: LangfuseTraceAttributes = {}): OtelAttributes {
  return withoutEmpty({
    [NAMES.TRACE_INPUT]: serialize(input),
    [NAMES.TRACE_OUTPUT]: serialize(output),
  })
}

function withoutEmpty(attributes: OtelAttributes): OtelAttributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value != null))
}

function serialize(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (value === null || value === undefined) return undefined
  try {
    return JSON.stringify(value)
  } catch {
    return '<failed to serialize>'
  }
}

function metadataAttributes(metadata: unknown): OtelAttributes {
  const prefix = NAMES.OBSERVATION_METADATA
  const whole = typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)
  const entries: [string, unknown][] = whole
    ? [[prefix, metadata]]
    : Object.entries(metadata).map(([key, value]) => [`${prefix}.${key}`, value])
  const attributes: OtelAttributes = {}
  for (const [name, value] of entries) {
    const text = serialize(value)
    if (text) attributes[name] = text
  }
  return attributes
}
