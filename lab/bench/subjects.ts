import type { Tracing } from '../apparatus/tracing.ts'

// What is compared, each opened in a process of its own that loads no other subject's packages.
//
//   none            the same program without tracing; each round has two of them, and their difference is the noise
//   offpath         @offpath/sdk as installed
//   langfuse        @langfuse/tracing and @langfuse/otel as installed
//   langfuse-tuned  the same with flushAt: 10, what an expert does against stalls
//   otel            the bare OpenTelemetry SDK: BatchSpanProcessor, OTLP/protobuf exporter

export const SUBJECTS = ['none', 'offpath', 'langfuse', 'langfuse-tuned', 'otel'] as const
export type Subject = (typeof SUBJECTS)[number]

export interface OpenSubject {
  readonly tracing: Tracing
  /** Hands over what is recorded: to the exporter, or (Offpath) to the spool. */
  flush(): Promise<void>
  /** Observations that the spool or the dropping exporter took so far; 0 with an exporter that sends. */
  taken(): number
}
