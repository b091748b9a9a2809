import { join } from 'node:path'
import { startChild } from '../../apparatus/processes.ts'
import type { SpanKind } from '../relay/spans.ts'

export interface EncodingRequest {
  readonly kind: SpanKind
  readonly seconds: number
  readonly seed: number
}

export interface EncodingResult {
  readonly spans: number
  /** Of the requests. */
  readonly bytes: number
  readonly cpuUs: number
}

/** CPU that OpenTelemetry's OTLP exporter takes to encode such spans; sending and all else is not in it. */
export async function encodeWithOtel(request: EncodingRequest): Promise<EncodingResult> {
  const child = startChild(join(import.meta.dirname, 'otel.child.ts'), request, {})
  const result = await child.receive<EncodingResult>()
  await child.ended()
  return result
}
