import { ActiveContext, activeContext, state, warnOnce } from '../context.ts'
import type { Span } from '../recorder/span.ts'
import { FIELD } from '../spool/format.ts'
import { addLink, OtelSpanFacade, setAttributes } from './otel-span.ts'
import type {
  OtelContext,
  OtelSpan,
  OtelSpanOptions,
  OtelTracer,
  OtelTracerProvider,
} from './otel-types.ts'
import { spanOfContext, startUnder, usableTime } from './spans.ts'

const LANGFUSE_SCOPE = 'langfuse-sdk'
const KIND_SHIFT = 8
const KINDS: readonly number[] = [0, 1, 2, 3, 4]
// @opentelemetry/api 1.x makes its context keys by Symbol.for.
const SPAN_IN_CONTEXT = Symbol.for('OpenTelemetry Context Key SPAN')

/** OpenTelemetry's tracer on the recorder: its spans are observations of type span. */
class Tracer implements OtelTracer {
  readonly #scope: readonly [string, string, object] | undefined

  constructor(name: string, version: string | undefined) {
    this.#scope = name === LANGFUSE_SCOPE ? undefined : [name, version ?? '', {}]
  }

  startSpan(name: string, options?: OtelSpanOptions, context?: OtelContext): OtelSpan {
    return new OtelSpanFacade(this.#start(name, options, context))
  }

  #start(name: string, options: OtelSpanOptions = {}, context: OtelContext | undefined): Span {
    const parent = options.root ? null : parentIn(context)
    const span = startUnder(
      parent,
      name,
      0,
      undefined,
      usableTime(options.startTime),
      kindOf(options) << KIND_SHIFT,
    )
    if (this.#scope !== undefined) state.recorder?.set(span, FIELD.scope, this.#scope)
    if (options.attributes) setAttributes(span, options.attributes)
    for (const link of options.links ?? []) addLink(span, link)
    return span
  }

  startActiveSpan<F extends (span: OtelSpan) => unknown>(
    name: string,
    ...rest: [F] | [OtelSpanOptions, F] | [OtelSpanOptions, OtelContext, F]
  ): ReturnType<F> {
    const fn = rest.at(-1) as F
    const options = rest.length > 1 ? (rest[0] as OtelSpanOptions) : undefined
    const context = rest.length > 2 ? (rest[1] as OtelContext) : undefined
    const span = this.#start(name, options, context)
    const facade = new OtelSpanFacade(span)
    if (state.recorder === undefined) return fn(facade) as ReturnType<F>
    const outer = activeContext()
    const inner = new ActiveContext(
      span,
      outer?.propagated ?? null,
      outer?.claim ?? null,
      outer?.baggage ?? null,
    )
    return state.storage.run(inner, fn, facade) as ReturnType<F>
  }
}

function kindOf({ kind }: OtelSpanOptions): number {
  return kind !== undefined && KINDS.includes(kind) ? kind : 0
}

function parentIn(context: OtelContext | undefined): Span | null {
  if (context === undefined) return activeContext()?.span ?? null
  const span = context.getValue(SPAN_IN_CONTEXT) as OtelSpan | undefined
  if (!span) return null
  return OtelSpanFacade.spanOf(span) ?? spanOfContext(span.spanContext())
}

const offpathProvider: OtelTracerProvider = {
  getTracer: (name, version) => new Tracer(name, version),
}
const langfuseTracer: OtelTracer = offpathProvider.getTracer(LANGFUSE_SCOPE)

/** The tracer that observations could be made with: of Offpath, or of the provider that was set. */
export function getLangfuseTracer(): OtelTracer {
  return state.tracerProvider?.getTracer(LANGFUSE_SCOPE) ?? langfuseTracer
}

/** Offpath's provider, or the one that was set. */
export function getLangfuseTracerProvider(): OtelTracerProvider {
  return state.tracerProvider ?? offpathProvider
}

/**
 * Sets what getLangfuseTracerProvider and getLangfuseTracer return; null takes it back. Observations are recorded by
 * Offpath all the same: no provider is needed for them.
 */
export function setLangfuseTracerProvider(provider: OtelTracerProvider | null): void {
  state.tracerProvider = provider
  if (provider !== null && provider !== offpathProvider) {
    warnOnce(
      'tracer provider',
      'setLangfuseTracerProvider: observations are recorded by Offpath and do not go through the provider; ' +
        'only getLangfuseTracer() and getLangfuseTracerProvider() return it',
    )
  }
}
