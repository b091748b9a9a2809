import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { BatchSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node'
import { tracingOf } from '../../../apparatus/otel-tracing.ts'
import type { Tracer } from './tracer.ts'

/** The bare OpenTelemetry SDK, as one uses it with a collector beside the service. */
export function openOtel(sink: string): Tracer {
  const processor = new BatchSpanProcessor(new OTLPTraceExporter({ url: `${sink}/v1/traces` }))
  const provider = new NodeTracerProvider({ spanProcessors: [processor] })
  provider.register()
  const tracing = tracingOf(provider)
  return { forRequest: () => tracing, flush: () => processor.forceFlush() }
}
