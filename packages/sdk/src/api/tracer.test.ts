import { ROOT_CONTEXT, trace } from '@opentelemetry/api'
import { expect, it, onTestFinished, vi } from 'vitest'
import { state } from '../context.ts'
import { getActiveSpanId } from './active.ts'
import { startActiveObservation, startObservation } from './start.ts'
import { recordInMemory } from './test-recorder.ts'
import {
  getLangfuseTracer,
  getLangfuseTracerProvider,
  setLangfuseTracerProvider,
} from './tracer.ts'

it('starts spans under the active observation, with kind, attributes and links', () => {
  const recorded = recordInMemory()
  const context = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: 1 }
  const startTime = new Date(1_700_000_000_000)
  startActiveObservation('outer', () => {
    const attributes = { 'http.method': 'GET', 'langfuse.observation.input': 'in' }
    getLangfuseTracer()
      .startSpan('x', { kind: 2, attributes, links: [{ context }], startTime })
      .end()
    getLangfuseTracer().startSpan('root', { root: true }).end()
  })
  expect(recorded.one('x')).toMatchObject({
    type: 'span',
    kind: 2,
    startTime,
    parentSpanId: recorded.one('outer').spanId,
    appRoot: false,
    input: 'in',
    attributes: { 'http.method': 'GET' },
    links: [{ spanId: context.spanId }],
    finished: true,
  })
  expect(recorded.one('root')).toMatchObject({ kind: 0, parentSpanId: null, appRoot: true })
})

it('makes a span active', () => {
  const recorded = recordInMemory()
  const result = getLangfuseTracer().startActiveSpan('x', (span) => {
    expect(getActiveSpanId()).toBe(span.spanContext().spanId)
    startObservation('inner').end()
    span.end()
    startObservation('late').end()
    return 5
  })
  expect(result).toBe(5)
  const { spanId } = recorded.one('x')
  expect(recorded.one('inner')).toMatchObject({ parentSpanId: spanId, appRoot: false })
  expect(recorded.one('late')).toMatchObject({ parentSpanId: spanId, appRoot: true })
})

it('takes the parent from a context of OpenTelemetry', () => {
  const recorded = recordInMemory()
  const parent = startObservation('parent')
  const tracer = getLangfuseTracer()
  // OpenTelemetry's own type, so that a facade that no longer fits it doesn't compile.
  tracer.startActiveSpan('own', {}, trace.setSpan(ROOT_CONTEXT, parent.otelSpan), (span) =>
    span.end(),
  )
  const spanContext = {
    traceId: 'a'.repeat(32),
    spanId: 'b'.repeat(16),
    traceFlags: 1,
    isRemote: true,
  }
  tracer.startSpan('remote', {}, trace.setSpanContext(ROOT_CONTEXT, spanContext))
  startActiveObservation('active', () => tracer.startSpan('none', {}, ROOT_CONTEXT))
  expect(recorded.one('own')).toMatchObject({ parentSpanId: parent.id, appRoot: false })
  expect(recorded.one('remote')).toMatchObject({ parentSpanId: 'b'.repeat(16), remoteParent: true })
  expect(recorded.one('none').parentSpanId).toBeNull()
})

it('gives way to a provider that is set, with a warning', () => {
  recordInMemory()
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  onTestFinished(() => warn.mockRestore())
  onTestFinished(() => setLangfuseTracerProvider(null))
  state.warned.clear()
  const own = getLangfuseTracerProvider()
  const provider = trace.getTracerProvider()
  setLangfuseTracerProvider(provider)
  expect(getLangfuseTracerProvider()).toBe(provider)
  expect(getLangfuseTracer()).not.toBe(own.getTracer('langfuse-sdk'))
  expect(warn).toHaveBeenCalledOnce()
  setLangfuseTracerProvider(null)
  expect(getLangfuseTracerProvider()).toBe(own)
})
