import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { afterEach, expect, test } from 'vitest'

let child: ChildProcess | undefined
afterEach(() => {
  child?.kill('SIGKILL')
})

test('runs as a process, counts, and ends on SIGTERM', async () => {
  const main = fileURLToPath(new URL('main.ts', import.meta.url))
  child = spawn(process.execPath, [main, '--count-only', '--quiet', '--project', 'a:b:c'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout! })
  const [first] = (await once(lines, 'line')) as [string]
  const { url, port } = JSON.parse(first) as { url: string; port: number }
  expect(url).toBe(`http://127.0.0.1:${port}`)

  const exporter = new OTLPTraceExporter({
    url: `${url}/api/public/otel/v1/traces`,
    headers: { authorization: `Basic ${btoa('a:b:c')}` },
  })
  const provider = new BasicTracerProvider({
    spanProcessors: [new BatchSpanProcessor(exporter, { maxExportBatchSize: 10 })],
  })
  const tracer = provider.getTracer('t')
  for (let i = 0; i < 25; i++) tracer.startSpan(`s${i}`).end()
  await provider.forceFlush()
  await provider.shutdown()

  const stats = async (): Promise<unknown> => (await fetch(`${url}/__stats`)).json()
  expect(await stats()).toMatchObject({ requests: 3, received: 25, answers: { 200: 3 } })
  await fetch(`${url}/__clear`, { method: 'POST' })
  expect(await stats()).toMatchObject({ requests: 0, received: 0 })

  child.kill('SIGTERM')
  expect(await once(child, 'exit')).toEqual([0, null])
})
