import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { afterEach, expect, test } from 'vitest'
import { type Simulator, type SimulatorOptions, startSimulator } from './server.ts'

let simulator: Simulator | undefined
afterEach(() => simulator?.close())

const start = async (options: SimulatorOptions = {}): Promise<void> => {
  simulator = await startSimulator({ ttftMs: 5, tokensPerSecond: 0, ...options })
}
const messages = [{ role: 'user', content: 'When does the warehouse open?' }]
const post = (body: object, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${simulator?.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ messages, ...body }),
  })
const json = async (response: Response | Promise<Response>) =>
  JSON.parse(await (await response).text())
const eventsOf = (text: string): string[] =>
  text
    .split('\n\n')
    .filter(Boolean)
    .map((event) => event.replace(/^data: /, ''))

test('answers in one body, with usage', async () => {
  await start()
  const response = await post({}, { 'x-sim-tokens': '12' })
  expect(response.status).toBe(200)
  const body = await json(response)
  expect(body).toMatchObject({
    object: 'chat.completion',
    model: 'Qwen/Qwen3-8B',
    choices: [{ index: 0, message: { role: 'assistant' }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 12, completion_tokens: 12, total_tokens: 24 },
  })
  expect(body.choices[0].message.content.length).toBeGreaterThan(20)
})

test('streams the role, one delta a token, the finish, the usage and [DONE]', async () => {
  await start()
  const headers = { 'x-sim-tokens': '6' }
  const response = await post({ stream: true, stream_options: { include_usage: true } }, headers)
  expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
  const events = eventsOf(await response.text())
  expect(events.pop()).toBe('[DONE]')
  const chunks = events.map((event) => JSON.parse(event))
  expect(chunks).toHaveLength(1 + 6 + 1 + 1)
  expect(chunks[0].choices[0].delta).toEqual({ role: 'assistant', content: '' })
  expect(chunks.map((chunk) => chunk.choices[0]?.finish_reason)).toEqual([
    ...Array(7).fill(null),
    'stop',
    undefined,
  ])
  expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 6 } })
  expect(new Set(chunks.map((chunk) => chunk.id)).size).toBe(1)

  const whole = await json(post({}, headers))
  const streamed = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')
  expect(streamed).toBe(whole.choices[0].message.content)
})

test('the seed decides the text, the question its language', async () => {
  await start()
  const say = async (seed: number, content = 'Hello'): Promise<string> => {
    const response = await post({ seed, messages: [{ role: 'user', content }] })
    return (await json(response)).choices[0].message.content
  }
  expect(await say(7)).toBe(await say(7))
  expect(await say(7)).not.toBe(await say(8))
  expect(await say(7, 'Kho mở cửa lúc mấy giờ?')).toMatch(/[ạ-ỹđ]/)
  expect(await say(7, 'What is open?')).not.toMatch(/[ạ-ỹđ]/)
})

test('keeps to the time to first token and the token rate', async () => {
  await start()
  const startedAt = performance.now()
  const response = await post(
    { stream: true },
    { 'x-sim-ttft-ms': '120', 'x-sim-tokens': '20', 'x-sim-tokens-per-second': '100' },
  )
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  await reader.read()
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(119)
  while (!(await reader.read()).done);
  // 19 pauses of 10 ms, each varied by half.
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(119 + 95)
})

test('max_tokens cuts the answer', async () => {
  await start()
  const body = await json(post({ max_tokens: 3 }, { 'x-sim-tokens': '9' }))
  expect(body.choices[0].finish_reason).toBe('length')
  expect(body.usage.completion_tokens).toBe(3)
})

test.each(['400', '429', '500', '503'])('fault %s is an error body', async (fault) => {
  await start()
  const response = await post({ stream: true }, { 'x-sim-fault': fault })
  expect(response.status).toBe(Number(fault))
  const { error } = await json(response)
  expect(error).toEqual({
    message: expect.any(String),
    type: expect.any(String),
    param: null,
    code: Number(fault),
  })
  expect(response.headers.has('retry-after')).toBe(fault === '429')
})

test('refuses bad requests, unknown models and settings as vLLM does', async () => {
  await start()
  expect((await post({ messages: [] })).status).toBe(400)
  const unknown = await post({ model: 'gpt-0' })
  expect(unknown.status).toBe(404)
  expect((await json(unknown)).error.type).toBe('NotFoundError')
  const setting = await post({}, { 'x-sim-fault': 'flood' })
  expect((await json(setting)).error.message).toMatch('fault must be one of none, 400')
})

test('dies after the chunks it was told to send', async () => {
  await start({ fault: 'die', faultAfter: 3 })
  const response = await post({ stream: true })
  let text = ''
  await expect(async () => {
    for await (const chunk of response.body as ReadableStream<Uint8Array>) {
      text += Buffer.from(chunk).toString()
    }
  }).rejects.toThrow('terminated')
  expect(eventsOf(text)).toHaveLength(3)
  await expect(post({})).rejects.toThrow('fetch failed')
})

test.each(['hang', 'hang-stream'])('fault %s never ends by itself', async (fault) => {
  const chat = Promise.withResolvers<boolean>()
  await start({ onChat: chat.resolve })
  const signal = AbortSignal.timeout(150)
  const asked = fetch(`${simulator?.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'x-sim-fault': fault },
    body: JSON.stringify({ messages, stream: true }),
    signal,
  }).then((response) => response.text())
  await expect(asked).rejects.toThrow('timeout')
  expect(await chat.promise).toBe(false)
})

test('malformed and error-event strike inside the stream', async () => {
  await start({ faultAfter: 2 })
  const malformed = await post({ stream: true }, { 'x-sim-fault': 'malformed' })
  const events = eventsOf(await malformed.text())
  expect(() => JSON.parse(events[2] as string)).toThrow(SyntaxError)
  expect(events.at(-1)).toBe('[DONE]')

  const failed = await post({ stream: true }, { 'x-sim-fault': 'error-event' })
  const [, , error, done] = eventsOf(await failed.text())
  expect(JSON.parse(error as string).error).toMatchObject({ code: 500 })
  expect(done).toBe('[DONE]')
})

test('lists its model and is healthy', async () => {
  await start({ model: 'tiny' })
  const models = await json(fetch(`${simulator?.url}/v1/models`))
  expect(models.data[0]).toMatchObject({ id: 'tiny', object: 'model', owned_by: 'vllm' })
  expect((await fetch(`${simulator?.url}/health`)).status).toBe(200)
  expect((await fetch(`${simulator?.url}/v2`)).status).toBe(404)
})

test('runs as a process that stops on SIGTERM', async () => {
  const child = spawn(process.execPath, [`${import.meta.dirname}/main.ts`, '--port', '0'], {
    env: { ...process.env, SIM_MODEL: 'from-env' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  const [line] = await once(createInterface(child.stdout), 'line')
  const { ready, url } = JSON.parse(line)
  expect(ready).toBe(true)
  const models = await json(fetch(`${url}/v1/models`))
  expect(models.data[0].id).toBe('from-env')
  child.kill('SIGTERM')
  expect(await exited).toEqual([0, null])
})
