import { ExportResultCode } from '@opentelemetry/core'
import type { SpanExporter } from '@opentelemetry/sdk-trace-base'

/** An exporter that takes every batch and drops it at once; `taken` counts the spans. */
export function droppingExporter(): { exporter: SpanExporter; taken: () => number } {
  let taken = 0
  return {
    exporter: {
      export: (spans, done) => {
        taken += spans.length
        done({ code: ExportResultCode.SUCCESS })
      },
      shutdown: async () => {},
    },
    taken: () => taken,
  }
}
