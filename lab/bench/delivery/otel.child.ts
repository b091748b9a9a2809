// What OpenTelemetry's exporter takes to encode spans: `node otel.child.ts '{"kind":"small","seconds":1,"seed":1}'`. Batches
// of 512, as its BatchSpanProcessor makes them; serialised again and again, for their making is not the exporter's.
import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer'
import { BasicTracerProvider, type ReadableSpan } from '@opentelemetry/sdk-trace-base'
import { seededRandom } from '../../../examples/vllm-simulator/text.ts'
import { attributesOf } from '../relay/spans.ts'
import type { EncodingRequest, EncodingResult } from './encoding.ts'

const BATCH = 512
const BATCHES = 4

const { kind, seconds, seed } = JSON.parse(process.argv[2] as string) as EncodingRequest
const attributes = attributesOf(kind, seededRandom(seed))
const ended: ReadableSpan[] = []
const processor = {
  onStart: () => {},
  onEnd: (span: ReadableSpan) => void ended.push(span),
  forceFlush: async () => {},
  shutdown: async () => {},
}
const tracer = new BasicTracerProvider({ spanProcessors: [processor] }).getTracer('bench')

/** As Langfuse's SDK names them, and text, as attributes of spans have to be. */
function named(values: object): Record<string, string> {
  const entries = Object.entries(values).map(([key, value]) => [
    `langfuse.observation.${key}`,
    typeof value === 'string' ? value : JSON.stringify(value),
  ])
  return { 'langfuse.observation.type': 'span', ...Object.fromEntries(entries) }
}

const batches = Array.from({ length: BATCHES }, () => {
  for (let i = 0; i < BATCH; i++) {
    tracer.startSpan('look-up', { attributes: named(attributes()) }).end()
  }
  return ended.splice(0)
})

function encode(forSeconds: number): EncodingResult {
  const before = process.cpuUsage()
  const until = performance.now() + forSeconds * 1000
  let spans = 0
  let bytes = 0
  while (performance.now() < until) {
    for (const batch of batches) {
      bytes += ProtobufTraceSerializer.serializeRequest(batch)?.length ?? 0
      spans += batch.length
    }
  }
  const { user, system } = process.cpuUsage(before)
  return { spans, bytes, cpuUs: user + system }
}

encode(seconds / 2)
process.send?.(encode(seconds))
process.disconnect?.()
