import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../../examples/vllm-simulator/server.ts'
import { startLangfuseServer } from '../../../test/langfuse-server/server.ts'
import type { CapturedSpan, LangfuseServer } from '../../../test/langfuse-server/types.ts'
import { KEYS } from '../../apparatus/keys.ts'
import { type LineChild, startNode } from '../../apparatus/processes.ts'
import type { ServiceFigures } from '../results.ts'
import type { ServiceBody } from '../service.ts'
import { JS_ARMS } from './arms.ts'
import type { Settings } from './settings.ts'

let model: Simulator
let server: LangfuseServer
beforeAll(async () => {
  model = await startSimulator({ ttftMs: 2, tokensPerSecond: 0 })
  server = await startLangfuseServer({ projects: { [KEYS.publicKey]: KEYS.secretKey } })
})
afterAll(async () => {
  await model.close()
  await server.close()
})

const body: ServiceBody = {
  user: 'user-7',
  messages: [
    { role: 'system', content: 'You know the contracts.' },
    { role: 'user', content: 'When is it due?' },
  ],
  documents: { total: 1, hits: [{ id: 'doc-1', content: 'in May' }] },
  steps: [
    { name: 'search_orders', input: { query: 'May' }, output: { orders: 2 } },
    { name: 'rank', input: { query: 'due' }, output: { orders: 1 } },
    { name: 'search_orders', input: { query: 'June' }, output: { orders: 0 } },
  ],
  audio: Buffer.from('RIFF0000WAVE').toString('base64'),
}

/** A service with an arm's settings, asked eight times, so that one request is timed; what it says and what came. */
async function run(
  settings: Settings,
  path: string,
): Promise<{ figures: ServiceFigures; spans: CapturedSpan[] }> {
  server.clear()
  const request = { settings, port: 0, upstream: model.url, sink: server.url }
  const service = startNode(join(import.meta.dirname, 'service.child.ts'), request, {})
  try {
    const { port, pid } = await service.receive<{ port: number; pid: number }>()
    expect(pid).toBeGreaterThan(0)
    await ask(service, 'begin')
    for (let number = 0; number < 8; number++) {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      expect(response.status).toBe(200)
      const { answer } = (await response.json()) as { answer: string }
      expect(answer.length).toBeGreaterThan(20)
    }
    await ask(service, 'loaded')
    const { recorded } = await ask<{ recorded: number }>(service, 'flush')
    await server.waitForSpans(settings.sampleRate === undefined ? recorded : 0)
    const figures = await ask<ServiceFigures>(service, 'end')
    await service.ended()
    return { figures, spans: server.spans() }
  } finally {
    await service.stop()
  }
}

function ask<T>(service: LineChild, command: string): Promise<T> {
  service.send(command)
  return service.receive<T>()
}

/** What a trace has, without ids and times: `type name < parent`, and its attributes. */
function shapeOf(spans: readonly CapturedSpan[]): unknown[] {
  const names = new Map(spans.map(({ spanId, name }) => [spanId, name]))
  const { traceId } = spans[0] as CapturedSpan
  return spans
    .filter((span) => span.traceId === traceId)
    .map(({ name, parentSpanId, attributes }) => {
      const type = attributes['langfuse.observation.type']
      return [`${type} ${name} < ${names.get(parentSpanId) ?? ''}`, attributes]
    })
    .sort(([a], [b]) => String(a).localeCompare(String(b)))
}

const keysOf = (shapes: unknown[]): unknown[] => shapes.map((shape) => (shape as [string])[0])

test('what a service says of itself', async () => {
  const { figures, spans } = await run({}, '/chat')
  expect(spans).toEqual([])
  expect(figures).toMatchObject({
    recorded: 0,
    split: { requests: 1, waitingInCallsUs: 0, flushUs: 0, networkUs: 0 },
  })
  expect(figures.mainUs).toBeGreaterThan(100)
  expect(figures.processUs).toBeGreaterThanOrEqual(figures.mainUs * 0.99)
  expect(figures.lag.maxMs).toBeGreaterThanOrEqual(figures.lag.p99Ms)
  expect(figures.rssMb).toBeGreaterThan(30)
  expect(figures.threads).toBeGreaterThan(1)
})

test.each([
  ['/chat', 3],
  ['/agent', 5],
])('%s: observed functions record what active observations do', async (path, observations) => {
  const active = await run({ tracer: 'langfuse' }, path)
  const observed = await run({ tracer: 'langfuse', style: 'observe' }, path)
  expect(active.figures.recorded).toBe(8 * observations)
  expect(observed.figures.recorded).toBe(8 * observations)
  expect(shapeOf(active.spans)).toHaveLength(observations)
  expect(shapeOf(observed.spans)).toEqual(shapeOf(active.spans))
  expect(observed.figures.split.recordingUs).toBeGreaterThan(10)
})

test('the shape of a chat', async () => {
  const { spans } = await run({ tracer: 'langfuse' }, '/chat')
  expect(keysOf(shapeOf(spans))).toEqual([
    'generation vllm.chat.completion < api.chat.completions',
    'retriever search.documents < api.chat.completions',
    'span api.chat.completions < ',
  ])
})

test('LangChain: the generation is the callback handler', async () => {
  const { spans } = await run({ tracer: 'langfuse', attached: 'langchain' }, '/chat')
  expect(keysOf(shapeOf(spans))).toEqual([
    'generation Streaming < api.chat.completions',
    'retriever search.documents < api.chat.completions',
    'span api.chat.completions < ',
  ])
  const generation = spans.find(({ name }) => name === 'Streaming')
  expect(generation?.attributes['langfuse.observation.completion_start_time']).toBeDefined()
})

test('a log line is an update of the request', async () => {
  const { spans } = await run({ tracer: 'langfuse', attached: 'logs' }, '/chat')
  const root = spans.find(({ name }) => name === 'api.chat.completions')
  const line = JSON.parse(String(root?.attributes['langfuse.observation.metadata.log']))
  expect(line).toMatchObject({ step: 19, msg: 'a step of the answer' })
})

test('a flush at the end of each request waits', async () => {
  const { figures } = await run({ tracer: 'langfuse', flushEachRequest: true }, '/chat')
  expect(figures.split.flushUs).toBeGreaterThan(100)
  expect(server.requests).toHaveLength(8)
})

test('another process exports the same', async () => {
  const here = await run({ tracer: 'langfuse' }, '/chat')
  const there = await run({ tracer: 'langfuse', export: 'child' }, '/chat')
  expect(shapeOf(there.spans)).toEqual(shapeOf(here.spans))
})

test.each([
  ['base64', {}],
  ['bytes', { media: 'bytes' }],
] as const)('audio as %s', async (_kind, media) => {
  const { spans } = await run({ tracer: 'langfuse', ...media }, '/audio')
  const transcribed = spans.find(({ name }) => name === 'transcribe')
  expect(transcribed?.attributes['langfuse.observation.input']).toContain('@@@langfuseMedia:')
})

test('bare OpenTelemetry', async () => {
  const { spans } = await run({ tracer: 'otel' }, '/agent')
  expect(new Set(spans.map(({ project }) => project))).toEqual(new Set(['']))
  expect(spans).toHaveLength(8 * 5)
})

test('arms are named once, compared with one that there is, and fit a table', () => {
  const ids = JS_ARMS.map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
  for (const { title, what, against = 'untraced', cases, swept, attributed = [] } of JS_ARMS) {
    expect(title.length).toBeLessThanOrEqual(30)
    expect(what).toMatch(/\.$/)
    const other = JS_ARMS.find(({ id }) => id === against)
    expect(other?.cases).toEqual(expect.arrayContaining([...cases]))
    expect(cases).toEqual(expect.arrayContaining([...attributed]))
    if (swept) expect(cases).toContain('rag')
  }
})
