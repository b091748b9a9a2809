import { type Attributes, context, type Span, SpanStatusCode, trace } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { BatchSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node'
import { droppingExporter } from './dropping-exporter.ts'
import type { OpenSubject } from './subjects.ts'
import type { Observation, Tracing } from './tracing.ts'

/** The bare OpenTelemetry SDK: no processor but the batching one. */
export function openOtel(url: string | undefined): OpenSubject {
  const dropping = droppingExporter()
  const exporter =
    url === undefined ? dropping.exporter : new OTLPTraceExporter({ url: `${url}/v1/traces` })
  const processor = new BatchSpanProcessor(exporter)
  const provider = new NodeTracerProvider({ spanProcessors: [processor] })
  provider.register()
  return {
    tracing: tracingOf(provider),
    flush: () => processor.forceFlush(),
    taken: dropping.taken,
  }
}

// What one writes by hand around the bare API: objects become JSON text, as span attributes have to be primitive.
function tracingOf(provider: NodeTracerProvider): Tracing {
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
