import { LangfuseSpanProcessor, type LangfuseSpanProcessorParams } from '@langfuse/otel'
import * as tracing from '@langfuse/tracing'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { NodeTracerProvider, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace-node'
import { KEYS } from '../../../apparatus/keys.ts'
import type { Observing, Tracing } from '../../../apparatus/tracing.ts'
import type { Settings } from '../settings.ts'
import { exportInChild } from './export-in-child.ts'
import { langfuseEndpoint } from './langfuse-endpoint.ts'
import type { Tracer } from './tracer.ts'

/** Langfuse as its documentation sets it up, with what the arm changes. */
export async function openLangfuse(settings: Settings, sink: string): Promise<Tracer> {
  const { flushAt, flushInterval, exportMode, sampleRate } = settings
  const child = settings.export === 'child' ? exportInChild(sink) : undefined
  const exporter = child?.exporter ?? (settings.compression && gzipping(sink))
  const processor = new LangfuseSpanProcessor({
    ...KEYS,
    baseUrl: sink,
    ...(flushAt !== undefined && { flushAt }),
    ...(flushInterval !== undefined && { flushInterval }),
    ...(exportMode !== undefined && { exportMode }),
    ...(exporter !== undefined && { exporter }),
  })
  // The SDK reads no LANGFUSE_SAMPLE_RATE in JavaScript: one sets OpenTelemetry's sampler.
  const sampler =
    sampleRate === undefined ? {} : { sampler: new TraceIdRatioBasedSampler(sampleRate) }
  new NodeTracerProvider({ spanProcessors: [processor], ...sampler }).register()
  return {
    forRequest: () => tracing as unknown as Tracing,
    observing: tracing as unknown as Observing,
    async flush() {
      await processor.forceFlush()
      // It does not wait for a batch that was on its way already; the SDK keeps its own exporter to itself.
      await exporter?.forceFlush?.()
    },
    ...(child !== undefined && { usageOfChildren: child.usage }),
  }
}

/** The SDK's own exporter, which compresses nothing, but for that. */
function gzipping(sink: string): NonNullable<LangfuseSpanProcessorParams['exporter']> {
  // The enum is exported by a package that is not ours to import.
  const compression = 'gzip' as unknown as CompressionAlgorithm
  return new OTLPTraceExporter({ ...langfuseEndpoint(sink), compression })
}

type CompressionAlgorithm = NonNullable<
  NonNullable<ConstructorParameters<typeof OTLPTraceExporter>[0]>['compression']
>
