import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../../examples/vllm-simulator/server.ts'
import { pythonEnvironment } from '../../../scripts/python-environment.ts'
import { findPython } from '../../../scripts/pythons.ts'
import { startLangfuseServer } from '../../../test/langfuse-server/server.ts'
import type { CapturedSpan, LangfuseServer } from '../../../test/langfuse-server/types.ts'
import { KEYS } from '../../apparatus/keys.ts'
import { type LineChild, startPython } from '../../apparatus/processes.ts'
import type { ServiceFigures } from '../results.ts'
import type { ServiceBody } from '../service.ts'
import { PYTHON_ARMS } from './arms.ts'

const command = findPython(11)
if (command === undefined) console.warn('no Python from 3.11 on: its service is not tried')

let python = ''
let model: Simulator
let server: LangfuseServer
beforeAll(async () => {
  model = await startSimulator({ ttftMs: 2, tokensPerSecond: 0, tokens: 60 })
  server = await startLangfuseServer({ projects: { [KEYS.publicKey]: KEYS.secretKey } })
  if (command === undefined) return
  python = pythonEnvironment(command, join(import.meta.dirname, 'requirements-langfuse-5.txt'))
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
  jobs: ['a first job', 'a second', 'a third'],
}

/** A service with an arm's settings, asked eight times, so that one request is timed; what it says and what came. */
async function run(
  settings: Readonly<Record<string, unknown>>,
  path: string,
  { flush = true } = {},
): Promise<{ figures: ServiceFigures; spans: CapturedSpan[] }> {
  server.clear()
  const request = { settings, port: 0, upstream: model.url, sink: server.url }
  const service = startPython(python, join(import.meta.dirname, 'service.py'), request, {})
  try {
    const { port } = await service.receive<{ port: number }>()
    await ask(service, 'begin')
    for (let number = 0; number < 8; number++) {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      expect(response.status).toBe(200)
      expect(await response.json()).toEqual({ answer: expect.stringMatching(/../) })
    }
    await ask(service, 'loaded')
    if (flush) await ask(service, 'flush')
    const figures = await ask<ServiceFigures>(service, 'end')
    await service.ended()
    return { figures, spans: server.spans() }
  } finally {
    await service.stop()
  }
}

function ask<T>(service: LineChild, line: string): Promise<T> {
  service.send(line)
  return service.receive<T>()
}

/** Of the first trace: `type name < parent`. */
function shapeOf(spans: readonly CapturedSpan[]): string[] {
  const names = new Map(spans.map(({ spanId, name }) => [spanId, name]))
  return spans
    .filter(({ traceId }) => traceId === spans[0]?.traceId)
    .map(({ name, parentSpanId, attributes }) => {
      const type = attributes['langfuse.observation.type']
      return `${type} ${name} < ${names.get(parentSpanId) ?? ''}`
    })
    .sort()
}

function attributeOf(spans: readonly CapturedSpan[], name: string, key: string): string {
  const span = spans.find((each) => each.name === name)
  return String(span?.attributes[`langfuse.observation.${key}`])
}

test.runIf(command)('what a service says of itself', async () => {
  const { figures, spans } = await run({ tracer: 'untraced' }, '/chat')
  expect(spans).toEqual([])
  expect(figures).toMatchObject({
    recorded: 0,
    split: { requests: 1, flushUs: 0, networkUs: 0 },
  })
  // What the clock itself takes is not counted.
  expect(figures.split.recordingUs).toBeLessThan(50)
  expect(figures.mainUs).toBeGreaterThan(100)
  expect(figures.processUs).toBeGreaterThanOrEqual(figures.mainUs * 0.99)
  expect(figures.lag.maxMs).toBeGreaterThanOrEqual(figures.lag.p99Ms)
  expect(figures.gil?.maxMs).toBeGreaterThan(0)
  expect(figures.rssMb).toBeGreaterThan(20)
  expect(figures.threads).toBe(1)
})

// As uvicorn has them on a connection, when it could not read on before the answer.
const IN_ONE_CONTEXT = `
import asyncio
from types import SimpleNamespace
from service import Counts, endpoint_of
from split import Split, timed

class Tracer:
    of_framework = 0
    def for_request(self):
        return None
    async def hand_over(self, client, call=None):
        pass

class Http:
    state = SimpleNamespace()
    async def json(self):
        return {}

async def handler(service, client, body):
    timed(lambda: None)

split = Split()
split.begin()
service = SimpleNamespace(tracer=Tracer(), settings=SimpleNamespace(tracer="any"))
endpoint = endpoint_of("/chat", handler, service, split, Counts())

async def requests():
    for _ in range(20):
        await endpoint(Http())

asyncio.run(requests())
print([len(account.calls) for account in split._accounts])
`

test.runIf(command)('of requests that share a context each eighth is timed, by itself', () => {
  const options = { cwd: import.meta.dirname, encoding: 'utf8' } as const
  expect(execFileSync(python, ['-c', IN_ONE_CONTEXT], options)).toBe('[1, 1]\n')
})

test.runIf(command).each([
  ['/chat', 3],
  ['/agent', 5],
])('%s: observed functions record what context managers do', async (path, observations) => {
  const active = await run({ tracer: 'langfuse' }, path)
  const observed = await run({ tracer: 'langfuse', style: 'observe' }, path)
  expect(shapeOf(active.spans)).toHaveLength(observations)
  expect(shapeOf(observed.spans)).toEqual(shapeOf(active.spans))
  for (const { figures, spans } of [active, observed]) {
    expect(figures.recorded).toBe(8 * observations)
    expect(spans).toHaveLength(8 * observations)
    expect(figures.split.recordingUs).toBeGreaterThan(100)
  }
  const output = (spans: readonly CapturedSpan[]) => attributeOf(spans, 'rank', 'output')
  expect(output(observed.spans)).toBe(output(active.spans))
  const model = (spans: readonly CapturedSpan[]) =>
    attributeOf(spans, 'vllm.chat.completion', 'model.name')
  expect(model(observed.spans)).toBe('Qwen/Qwen3-8B')
  expect(model(active.spans)).toBe('Qwen/Qwen3-8B')
})

test.runIf(command).each(['langfuse', 'otel'])(
  '%s: what is not handed over is held',
  async (tracer) => {
    const flushed = await run({ tracer }, '/chat')
    expect(flushed.figures).toMatchObject({ held: 0, isFlushGivenUp: false })
    const queued = await run({ tracer }, '/chat', { flush: false })
    expect(queued.figures).toMatchObject({ recorded: 24, held: 24 })
    expect(queued.spans).toEqual([])
  },
)

test.runIf(command)('LangChain: the generation is the callback handler’s', async () => {
  const { figures, spans } = await run({ tracer: 'langfuse', attached: 'langchain' }, '/chat')
  expect(shapeOf(spans)).toEqual([
    'generation Streaming < api.chat.completions',
    'retriever search.documents < api.chat.completions',
    'span api.chat.completions < ',
  ])
  expect(attributeOf(spans, 'Streaming', 'completion_start_time')).not.toBe('undefined')
  expect(figures.recorded).toBe(24)
})

test.runIf(command)('a log line is an update of the span', async () => {
  const { spans } = await run({ tracer: 'langfuse', attached: 'logs' }, '/chat')
  const message = attributeOf(spans, 'api.chat.completions', 'metadata.message')
  expect(message).toContain('step 19 of the answer for user-7: 4 documents kept')
})

test.runIf(command).each(['/chat', '/agent'])(
  '%s: values as text arrive as the same values',
  async (path) => {
    const trees = await run({ tracer: 'langfuse' }, path)
    const texts = await run({ tracer: 'langfuse', as_text: true }, path)
    const inputs = (spans: readonly CapturedSpan[]) =>
      spans.map(({ attributes }) => JSON.parse(`${attributes['langfuse.observation.input']}`))
    expect(shapeOf(texts.spans)).toEqual(shapeOf(trees.spans))
    const generations = (spans: readonly CapturedSpan[]) =>
      spans.filter(({ name }) => name === 'vllm.chat.completion')
    expect(inputs(generations(texts.spans))).toEqual(inputs(generations(trees.spans)))
  },
)

test.runIf(command)('text of its own is the same text', async () => {
  const { figures, spans } = await run({ tracer: 'langfuse', own_text: true }, '/chat')
  expect(figures.recorded).toBe(24)
  const input = attributeOf(spans, 'vllm.chat.completion', 'input')
  expect(JSON.parse(input)).toEqual(body.messages)
  expect(attributeOf(spans, 'api.chat.completions', 'input')).toBe(input)
})

test.runIf(command)('a flush at the end of each request waits', async () => {
  const { figures } = await run({ tracer: 'langfuse', flush_each_request: true }, '/chat')
  expect(figures.split.flushUs).toBeGreaterThan(100)
  expect(server.requests).toHaveLength(8)
})

test.runIf(command)('a child exports the same, and its CPU counts', async () => {
  const here = await run({ tracer: 'langfuse' }, '/chat')
  const there = await run({ tracer: 'langfuse', export: 'child' }, '/chat')
  const attributesOf = (spans: readonly CapturedSpan[]) =>
    spans
      .map(({ name, attributes }) => [name, attributes] as const)
      .sort(([a], [b]) => a.localeCompare(b))[0]
  expect(shapeOf(there.spans)).toEqual(shapeOf(here.spans))
  expect(attributesOf(there.spans)).toEqual(attributesOf(here.spans))
  expect(there.figures.processUs).toBeGreaterThan(there.figures.mainUs)
})

test.runIf(command).each(['base64', 'bytes'])('audio as %s', async (media) => {
  const { spans } = await run({ tracer: 'langfuse', media }, '/audio')
  expect(attributeOf(spans, 'transcribe', 'input')).toContain('@@@langfuseMedia:')
})

test.runIf(command)('jobs in plain threads lose their trace', async () => {
  const { figures, spans } = await run({ tracer: 'langfuse' }, '/jobs')
  expect(figures.recorded).toBe(8 * (1 + 3 * 2))
  expect(spans).toHaveLength(8 * (1 + 3 * 2))
  expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(8 * (1 + 3))
})

test.runIf(command)('bare OpenTelemetry', async () => {
  const { spans } = await run({ tracer: 'otel' }, '/agent')
  expect(new Set(spans.map(({ project }) => project))).toEqual(new Set(['']))
  expect(spans).toHaveLength(8 * 5)
})

test('arms are named once, compared with one that there is, and fit a table', () => {
  const ids = PYTHON_ARMS.map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
  for (const { title, what, against = 'untraced', cases, swept, attributed = [] } of PYTHON_ARMS) {
    expect(title.length).toBeLessThanOrEqual(30)
    expect(what).toMatch(/\.$/)
    const other = PYTHON_ARMS.find(({ id }) => id === against)
    expect(other?.cases).toEqual(expect.arrayContaining([...cases]))
    expect(cases).toEqual(expect.arrayContaining([...attributed]))
    if (swept) expect(cases).toContain('rag')
  }
})
