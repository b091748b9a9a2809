import * as langfuse from '@langfuse/tracing'
import type * as otel from '@opentelemetry/api'
import { expect, it } from 'vitest'
import * as offpath from '../index.ts'
import type * as own from './otel-types.ts'

// What is stated here is stated to the compiler. That one program compiles against both packages is a test of
// test/differential, which compiles its programs twice.

type Both<A, B> = [A] extends [B] ? ([B] extends [A] ? true : 'too wide') : 'too narrow'
type All<T extends readonly true[]> = T
type FirstParameters<F> = F extends (...args: infer P) => unknown ? P : never

export type Types = All<
  [
    Both<offpath.LangfuseObservationType, langfuse.LangfuseObservationType>,
    Both<offpath.ObservationLevel, langfuse.ObservationLevel>,
    Both<offpath.LangfuseSpanAttributes, langfuse.LangfuseSpanAttributes>,
    Both<offpath.LangfuseGenerationAttributes, langfuse.LangfuseGenerationAttributes>,
    Both<offpath.LangfuseEventAttributes, langfuse.LangfuseEventAttributes>,
    Both<offpath.LangfuseObservationAttributes, langfuse.LangfuseObservationAttributes>,
    Both<offpath.LangfuseTraceAttributes, langfuse.LangfuseTraceAttributes>,
    Both<offpath.StartObservationOptions, langfuse.StartObservationOptions>,
    Both<offpath.StartObservationOpts, langfuse.StartObservationOpts>,
    Both<offpath.StartActiveObservationContext, langfuse.StartActiveObservationContext>,
    Both<offpath.StartActiveObservationOpts, langfuse.StartActiveObservationOpts>,
    Both<offpath.ObserveOptions, langfuse.ObserveOptions>,
    Both<offpath.PropagatedPromptInput, langfuse.PropagatedPromptInput>,
    Both<
      offpath.PropagateAttributesParams,
      Omit<langfuse.PropagateAttributesParams, '_internalExperiment'>
    >,
    Both<typeof offpath.observe, typeof langfuse.observe>,
    Both<typeof offpath.updateActiveObservation, typeof langfuse.updateActiveObservation>,
    Both<typeof offpath.setActiveTraceIO, typeof langfuse.setActiveTraceIO>,
    Both<typeof offpath.createTraceId, typeof langfuse.createTraceId>,
    Both<typeof offpath.createObservationAttributes, typeof langfuse.createObservationAttributes>,
    Both<typeof offpath.createTraceAttributes, typeof langfuse.createTraceAttributes>,
    Both<typeof offpath.setLangfuseTracerProvider, typeof langfuse.setLangfuseTracerProvider>,
    Both<typeof offpath.getLangfuseTracer, typeof langfuse.getLangfuseTracer>,
    // The last overload: of a plain span.
    Both<
      FirstParameters<typeof offpath.startObservation>,
      FirstParameters<typeof langfuse.startObservation>
    >,
    Both<own.OtelSpan, otel.Span>,
    Both<own.OtelSpanContext, otel.SpanContext>,
    Both<own.OtelTimeInput, otel.TimeInput>,
    Both<own.OtelAttributes, otel.Attributes>,
    Both<own.OtelLink, otel.Link>,
    Both<own.OtelSpanOptions, otel.SpanOptions>,
    Both<own.OtelContext, otel.Context>,
    Both<own.OtelTracer, otel.Tracer>,
    Both<own.OtelTracerProvider, otel.TracerProvider>,
  ]
>

it('exports all that Langfuse exports', () => {
  const kinds = (module: object) =>
    Object.entries(module).map(([name, value]) => [
      name,
      typeof value === 'function' && /^class/.test(String(value)) ? 'class' : typeof value,
    ])
  const ours = Object.fromEntries(kinds(offpath))
  for (const [name, kind] of kinds(langfuse)) {
    if (name?.startsWith('Langfuse') && kind === 'function') expect(ours[name]).toBe('class')
    else expect([name, ours[name!]]).toEqual([name, kind])
  }
})
