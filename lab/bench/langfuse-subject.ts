import { LangfuseSpanProcessor } from '@langfuse/otel'
import * as tracing from '@langfuse/tracing'
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node'
import { KEYS } from '../apparatus/keys.ts'
import type { Tracing } from '../apparatus/tracing.ts'
import { droppingExporter } from './dropping-exporter.ts'
import type { OpenSubject } from './subjects.ts'

/** Langfuse as its documentation sets it up. */
export function openLangfuse(
  baseUrl: string | undefined,
  options: { flushAt?: number },
): OpenSubject {
  const dropping = droppingExporter()
  const target = baseUrl === undefined ? { exporter: dropping.exporter } : { baseUrl }
  const processor = new LangfuseSpanProcessor({ ...KEYS, ...target, ...options })
  new NodeTracerProvider({ spanProcessors: [processor] }).register()
  return {
    tracing: tracing as unknown as Tracing,
    flush: () => processor.forceFlush(),
    taken: dropping.taken,
  }
}
