// Encodes and posts batches for another process: `node export.child.ts <sink>`, started by export-in-child.ts.
import { readdirSync } from 'node:fs'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import type { FromChild, ToChild } from './export-in-child.ts'
import { langfuseEndpoint } from './langfuse-endpoint.ts'

const exporter = new OTLPTraceExporter(langfuseEndpoint(process.argv.at(-1) as string))
const answer = (message: FromChild): void => void process.send?.(message)

process.once('disconnect', () => process.exit())
process.on('message', (message: ToChild) => {
  if (message === 'usage') return answer(usage())
  const { batch, spans } = message
  const resource = resourceFromAttributes(spans[0]?.resource ?? {})
  const readable = spans.map((span) => ({ ...span, resource, spanContext: () => span.spanContext }))
  exporter.export(readable, ({ code }) => answer({ batch, code }))
})

function usage(): Extract<FromChild, { cpuUs: number }> {
  const { user, system } = process.cpuUsage()
  return {
    cpuUs: user + system,
    rssBytes: process.memoryUsage.rss(),
    threads: readdirSync('/proc/self/task').length,
  }
}
