import { state } from '../context.ts'
import { INVALID_SPAN, type Span, traceIdOf } from '../recorder/span.ts'
import { FIELD, OBSERVATION_TYPES } from '../spool/format.ts'
import {
  createObservationAttributes,
  createTraceAttributes,
  LangfuseOtelSpanAttributes,
} from './attributes.ts'
import { OtelSpanFacade } from './otel-span.ts'
import type { OtelSpan, OtelTimeInput, OtelTracer } from './otel-types.ts'
import { endSpan, publishedId, spanOfContext, startUnder, typeIndex } from './spans.ts'
import { getLangfuseTracer } from './tracer.ts'
import type {
  LangfuseAgentAttributes,
  LangfuseChainAttributes,
  LangfuseEmbeddingAttributes,
  LangfuseEvaluatorAttributes,
  LangfuseEventAttributes,
  LangfuseGenerationAttributes,
  LangfuseGuardrailAttributes,
  LangfuseObservationAttributes,
  LangfuseObservationType,
  LangfuseRetrieverAttributes,
  LangfuseSpanAttributes,
  LangfuseToolAttributes,
  LangfuseTraceAttributes,
} from './types.ts'

export type LangfuseObservation =
  | LangfuseSpan
  | LangfuseGeneration
  | LangfuseEvent
  | LangfuseAgent
  | LangfuseTool
  | LangfuseChain
  | LangfuseRetriever
  | LangfuseEvaluator
  | LangfuseGuardrail
  | LangfuseEmbedding

interface Params<A> {
  otelSpan: OtelSpan
  attributes?: A
}

/** What all observations can do. It holds ids: what is set on it has been recorded when the call returns. */
abstract class LangfuseBaseObservation {
  /** Null for an observation made of another library's span. */
  readonly #span: Span | null
  readonly #type: number
  #otelSpan: OtelSpan | undefined

  /** From a span of the recorder, or from the public constructors' parameters. */
  constructor(type: number, source: Span | Params<LangfuseObservationAttributes>) {
    this.#type = type
    if ('serial' in source) {
      this.#span = source
      return
    }
    this.#otelSpan = source.otelSpan
    this.#span = OtelSpanFacade.spanOf(source.otelSpan) ?? null
    this.updateOtelSpanAttributes(source.attributes ?? {})
  }

  /** Span id, 16 hex digits; zeros when recording is disabled. */
  get id(): string {
    return this.#span === null ? this.otelSpan.spanContext().spanId : publishedId(this.#span)
  }

  /** 32 hex digits. */
  get traceId(): string {
    return this.#span === null ? this.otelSpan.spanContext().traceId : traceIdOf(this.#span)
  }

  get type(): LangfuseObservationType {
    return OBSERVATION_TYPES[this.#type]!
  }

  /** The observation as an OpenTelemetry span. */
  get otelSpan(): OtelSpan {
    this.#otelSpan ??= new OtelSpanFacade(this.#span ?? INVALID_SPAN)
    return this.#otelSpan
  }

  protected get tracer(): OtelTracer {
    return getLangfuseTracer()
  }

  /** Ends the observation, now or at the given time. Nothing changes it afterwards. */
  end(endTime?: OtelTimeInput): void {
    if (this.#span === null) this.otelSpan.end(endTime)
    else endSpan(this.#span, endTime)
  }

  updateOtelSpanAttributes(attributes: LangfuseObservationAttributes): void {
    const span = this.#span
    if (span === null) {
      this.otelSpan.setAttributes(createObservationAttributes(this.type, attributes))
      return
    }
    if (span.type !== this.#type) state.recorder?.setType(span, this.#type)
    state.recorder?.update(span, attributes)
  }

  /** Input and output of the whole trace; Langfuse's older evaluators read them. */
  setTraceIO(attributes: LangfuseTraceAttributes): this {
    if (this.#span === null) this.otelSpan.setAttributes(createTraceAttributes(attributes))
    else setTraceIO(this.#span, attributes)
    return this
  }

  /** Makes the trace visible to everybody who has its link; this can't be taken back. */
  setTraceAsPublic(): this {
    if (this.#span === null)
      this.otelSpan.setAttribute(LangfuseOtelSpanAttributes.TRACE_PUBLIC, true)
    else state.recorder?.set(this.#span, FIELD.tracePublic, true)
    return this
  }

  /** Starts a child, which is not made active. Its propagated attributes are the active context's. */
  startObservation(
    name: string,
    attributes: LangfuseGenerationAttributes,
    options: { asType: 'generation' },
  ): LangfuseGeneration
  startObservation(
    name: string,
    attributes: LangfuseEventAttributes,
    options: { asType: 'event' },
  ): LangfuseEvent
  startObservation(
    name: string,
    attributes: LangfuseAgentAttributes,
    options: { asType: 'agent' },
  ): LangfuseAgent
  startObservation(
    name: string,
    attributes: LangfuseToolAttributes,
    options: { asType: 'tool' },
  ): LangfuseTool
  startObservation(
    name: string,
    attributes: LangfuseChainAttributes,
    options: { asType: 'chain' },
  ): LangfuseChain
  startObservation(
    name: string,
    attributes: LangfuseRetrieverAttributes,
    options: { asType: 'retriever' },
  ): LangfuseRetriever
  startObservation(
    name: string,
    attributes: LangfuseEvaluatorAttributes,
    options: { asType: 'evaluator' },
  ): LangfuseEvaluator
  startObservation(
    name: string,
    attributes: LangfuseGuardrailAttributes,
    options: { asType: 'guardrail' },
  ): LangfuseGuardrail
  startObservation(
    name: string,
    attributes: LangfuseEmbeddingAttributes,
    options: { asType: 'embedding' },
  ): LangfuseEmbedding
  startObservation(
    name: string,
    attributes?: LangfuseSpanAttributes,
    options?: { asType?: 'span' },
  ): LangfuseSpan
  startObservation(
    name: string,
    attributes?: LangfuseObservationAttributes,
    options?: { asType?: LangfuseObservationType },
  ): LangfuseObservation {
    const type = typeIndex(options?.asType)
    const parent = this.#span ?? spanOfContext(this.otelSpan.spanContext())
    return observationOf(startUnder(parent, name, type, attributes, undefined), type)
  }
}

export class LangfuseSpan extends LangfuseBaseObservation {
  constructor(params: Params<LangfuseSpanAttributes>) {
    super(0, params)
  }

  update(attributes: LangfuseSpanAttributes): LangfuseSpan {
    this.updateOtelSpanAttributes(attributes)
    return this
  }
}

export class LangfuseGeneration extends LangfuseBaseObservation {
  constructor(params: Params<LangfuseGenerationAttributes>) {
    super(1, params)
  }

  update(attributes: LangfuseGenerationAttributes): LangfuseGeneration {
    this.updateOtelSpanAttributes(attributes)
    return this
  }
}

/** A point in time: it has ended when it is made, and can't be updated. */
export class LangfuseEvent extends LangfuseBaseObservation {
  constructor(params: Params<LangfuseEventAttributes> & { timestamp: OtelTimeInput }) {
    super(2, params)
    this.end(params.timestamp)
  }
}

export class LangfuseEmbedding extends LangfuseBaseObservation {
  constructor(params: Params<LangfuseEmbeddingAttributes>) {
    super(3, params)
  }

  update(attributes: LangfuseEmbeddingAttributes): LangfuseEmbedding {
    this.updateOtelSpanAttributes(attributes)
    return this
  }
}

export class LangfuseAgent extends LangfuseBaseObservation {
  constructor(params: Params<LangfuseAgentAttributes>) {
    super(4, params)
  }

  update(attributes: LangfuseAgentAttributes): LangfuseAgent {
    this.updateOtelSpanAttributes(attributes)
    return this
  }
}

export class LangfuseTool extends LangfuseBaseObservation {
  constructor(params: Params<LangfuseToolAttributes>) {
    super(5, params)
  }

  update(attributes: LangfuseToolAttributes): LangfuseTool {
    this.updateOtelSpanAttributes(attributes)
    return this
  }
}

export class LangfuseChain extends LangfuseBaseObservation {
  constructor(params: Params<LangfuseChainAttributes>) {
    super(6, params)
  }

  update(attributes: LangfuseChainAttributes): LangfuseChain {
    this.updateOtelSpanAttributes(attributes)
    return this
  }
}

export class LangfuseRetriever extends LangfuseBaseObservation {
  constructor(params: Params<LangfuseRetrieverAttributes>) {
    super(7, params)
  }

  update(attributes: LangfuseRetrieverAttributes): LangfuseRetriever {
    this.updateOtelSpanAttributes(attributes)
    return this
  }
}

export class LangfuseEvaluator extends LangfuseBaseObservation {
  constructor(params: Params<LangfuseEvaluatorAttributes>) {
    super(8, params)
  }

  update(attributes: LangfuseEvaluatorAttributes): LangfuseEvaluator {
    this.updateOtelSpanAttributes(attributes)
    return this
  }
}

export class LangfuseGuardrail extends LangfuseBaseObservation {
  constructor(params: Params<LangfuseGuardrailAttributes>) {
    super(9, params)
  }

  update(attributes: LangfuseGuardrailAttributes): LangfuseGuardrail {
    this.updateOtelSpanAttributes(attributes)
    return this
  }
}

// By type. A recorder's span goes in where the public constructors take parameters.
const CLASSES = [
  LangfuseSpan,
  LangfuseGeneration,
  LangfuseEvent,
  LangfuseEmbedding,
  LangfuseAgent,
  LangfuseTool,
  LangfuseChain,
  LangfuseRetriever,
  LangfuseEvaluator,
  LangfuseGuardrail,
] as unknown as readonly (new (
  span: Span,
) => LangfuseObservation)[]

export function observationOf(span: Span, type: number): LangfuseObservation {
  return new CLASSES[type]!(span)
}

export function setTraceIO(span: Span, attributes: LangfuseTraceAttributes | undefined): void {
  const { recorder } = state
  const { input, output } = attributes ?? {}
  if (recorder === undefined) return
  if (input !== undefined && input !== null) recorder.set(span, FIELD.traceInput, input)
  if (output !== undefined && output !== null) recorder.set(span, FIELD.traceOutput, output)
}
