import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { BatchSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node'
import { tracingOf } from '../apparatus/otel-tracing.ts'
import { droppingExporter } from './dropping-exporter.ts'
import type { OpenSubject } from './subjects.ts'

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
