import { noLosses, OBSERVATION_TYPES } from './spool/format.ts'

// What the package is where there are no files to record into (Cloudflare Workers, edge functions, browsers):
// the same functions and classes, which record nothing. It imports nothing of Node.

export {
  createObservationAttributes,
  createTraceAttributes,
  LangfuseOtelSpanAttributes,
} from './api/attributes.ts'
export { createTraceId } from './api/trace-id.ts'
export { OptionsError } from './options-error.ts'

type Api = typeof import('./index.ts')

const CONTEXT = { traceId: '0'.repeat(32), spanId: '0'.repeat(16), traceFlags: 0 }

const otelSpan = {
  spanContext: (): typeof CONTEXT => CONTEXT,
  isRecording: (): boolean => false,
  setAttribute: (): unknown => otelSpan,
  setAttributes: (): unknown => otelSpan,
  addEvent: (): unknown => otelSpan,
  addLink: (): unknown => otelSpan,
  addLinks: (): unknown => otelSpan,
  setStatus: (): unknown => otelSpan,
  updateName: (): unknown => otelSpan,
  end: (): void => {},
  recordException: (): void => {},
}

class Observation {
  readonly id: string = CONTEXT.spanId
  readonly traceId: string = CONTEXT.traceId
  readonly otelSpan: typeof otelSpan = otelSpan
  readonly type: string

  constructor(type: string) {
    this.type = type
  }

  end(): void {}
  updateOtelSpanAttributes(): void {}

  setTraceIO(): this {
    return this
  }

  setTraceAsPublic(): this {
    return this
  }

  startObservation(
    _name: string,
    _attributes?: object,
    options?: { asType?: string },
  ): Observation {
    return observationOf(options)
  }
}

function observationClass(type: string): new () => Observation {
  if (type === 'event') {
    return class extends Observation {
      constructor() {
        super(type)
      }
    }
  }
  return class extends Observation {
    constructor() {
      super(type)
    }

    update(): this {
      return this
    }
  }
}

const classes: Record<string, new () => Observation> = Object.fromEntries(
  OBSERVATION_TYPES.map((type) => [type, observationClass(type)]),
)

function observationOf(options: { asType?: string } | undefined): Observation {
  return new (classes[options?.asType ?? 'span'] ?? classes.span!)()
}

export const LangfuseSpan: Api['LangfuseSpan'] = classes.span as never
export const LangfuseGeneration: Api['LangfuseGeneration'] = classes.generation as never
export const LangfuseEvent: Api['LangfuseEvent'] = classes.event as never
export const LangfuseEmbedding: Api['LangfuseEmbedding'] = classes.embedding as never
export const LangfuseAgent: Api['LangfuseAgent'] = classes.agent as never
export const LangfuseTool: Api['LangfuseTool'] = classes.tool as never
export const LangfuseChain: Api['LangfuseChain'] = classes.chain as never
export const LangfuseRetriever: Api['LangfuseRetriever'] = classes.retriever as never
export const LangfuseEvaluator: Api['LangfuseEvaluator'] = classes.evaluator as never
export const LangfuseGuardrail: Api['LangfuseGuardrail'] = classes.guardrail as never

export const startObservation: Api['startObservation'] = ((
  _name: string,
  _attributes?: object,
  options?: { asType?: string },
) => {
  sayOnce()
  return observationOf(options)
}) as never

export const startActiveObservation: Api['startActiveObservation'] = ((
  _name: string,
  fn: (observation: Observation) => unknown,
  options?: { asType?: string },
) => {
  sayOnce()
  return fn(observationOf(options))
}) as never

export const observe: Api['observe'] = (fn) => {
  sayOnce()
  return fn
}

export const propagateAttributes: Api['propagateAttributes'] = ((_: object, fn: () => unknown) =>
  fn()) as never
export const withProject: Api['withProject'] = (_, fn) => fn()

export const updateActiveObservation: Api['updateActiveObservation'] = () => {}
export const setActiveTraceIO: Api['setActiveTraceIO'] = () => {}
export const setActiveTraceAsPublic: Api['setActiveTraceAsPublic'] = () => {}
export const getActiveSpanId: Api['getActiveSpanId'] = () => undefined
export const getActiveTraceId: Api['getActiveTraceId'] = () => undefined

const tracer = {
  startSpan: () => otelSpan,
  startActiveSpan: (...args: unknown[]) =>
    (args.at(-1) as (span: typeof otelSpan) => unknown)(otelSpan),
}
const provider = { getTracer: () => tracer }
export const getLangfuseTracer: Api['getLangfuseTracer'] = () => tracer as never
export const getLangfuseTracerProvider: Api['getLangfuseTracerProvider'] = () => provider as never
export const setLangfuseTracerProvider: Api['setLangfuseTracerProvider'] = () => {}

export const init: Api['init'] = () => sayOnce()
export const flush: Api['flush'] = async () => true
export const shutdown: Api['shutdown'] = async () => true
export const stats: Api['stats'] = () => ({
  observations: 0,
  records: 0,
  bytes: 0,
  lost: noLosses(),
  lostUpdates: 0,
})

let said = false
function sayOnce(): void {
  if (said) return
  said = true
  console.warn('@offpath/sdk: there are no files to record into here, nothing is recorded')
}
