import {
  type Attributes,
  context,
  type Span,
  SpanStatusCode,
  type TracerProvider,
  trace,
} from '@opentelemetry/api'
import type { Observation, Tracing } from './tracing.ts'

/** What one writes by hand around the bare API: objects become JSON text, as span attributes have to be primitive. */
export function tracingOf(provider: TracerProvider): Tracing {
  const tracer = provider.getTracer('bench')

  function observationOf(span: Span): Observation {
    const observation: Observation = {
      update: (attributes) => {
        span.setAttributes(primitive(attributes))
        return observation
      },
      end: () => span.end(),
      startObservation: (name, attributes) => {
        const within = trace.setSpan(context.active(), span)
        return observationOf(tracer.startSpan(name, { attributes: primitive(attributes) }, within))
      },
    }
    return observation
  }

  return {
    startObservation: (name, attributes) =>
      observationOf(tracer.startSpan(name, { attributes: primitive(attributes) })),
    startActiveObservation: (name, run) =>
      tracer.startActiveSpan(name, async (span) => {
        try {
          return await run(observationOf(span))
        } catch (error) {
          span.setStatus({ code: SpanStatusCode.ERROR, message: String(error) })
          throw error
        } finally {
          span.end()
        }
      }),
  }
}

function primitive(attributes: object = {}): Attributes {
  const values = attributes as Record<string, unknown>
  let flat = true
  for (const key in values) if (typeof values[key] === 'object') flat = false
  // The common case costs OpenTelemetry no copy of ours.
  if (flat) return values as Attributes
  const copy: Attributes = {}
  for (const key in values) {
    const value = values[key]
    copy[key] = typeof value === 'object' ? JSON.stringify(value) : (value as string)
  }
  return copy
}
