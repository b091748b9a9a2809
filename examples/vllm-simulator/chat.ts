import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Behaviour, Fault } from './behaviour.ts'
import {
  type Answer,
  type ChatRequest,
  completionBody,
  deltaChunk,
  errorBody,
  sse,
  usageChunk,
} from './dialect.ts'
import { type Plan, planAnswer } from './plan.ts'

const refusals: Partial<Record<Fault, object>> = {
  400: errorBody(400, "This model's maximum context length is 131072 tokens.", 'BadRequestError'),
  429: errorBody(429, 'Too many requests are waiting, try again later.'),
  500: errorBody(500, 'EngineCore encountered an issue.', 'InternalServerError'),
  503: errorBody(503, 'The server is not ready to answer.'),
}
const midStream = errorBody(500, 'Internal server error', 'InternalServerError')

/** Answers one valid chat request. `closed` aborts when the client has gone. */
export async function answerChat(
  request: ChatRequest,
  model: string,
  behaviour: Behaviour,
  response: ServerResponse,
  closed: AbortSignal,
): Promise<void> {
  const { fault } = behaviour
  const refusal = refusals[fault]
  if (refusal) return sendJson(response, Number(fault), refusal)
  if (fault === 'hang') return

  const plan = planAnswer(request, behaviour)
  const created = Math.floor(Date.now() / 1000)
  const answer = { id: `chatcmpl-${randomUUID().replaceAll('-', '')}`, created, model }
  if (!request.stream) return sendWhole(answer, plan, fault, response, closed)
  return sendStream(
    answer,
    plan,
    request.stream_options?.include_usage === true,
    behaviour,
    response,
    closed,
  )
}

async function sendWhole(
  answer: Answer,
  { tokens, finish, usage }: Plan,
  fault: Fault,
  response: ServerResponse,
  closed: AbortSignal,
): Promise<void> {
  await sleep(tokens.at(-1)?.dueMs, undefined, { signal: closed })
  if (fault === 'hang-stream') return
  if (fault === 'die') return void response.destroy()
  if (fault === 'error-event') return sendJson(response, 500, midStream)
  const body = completionBody(answer, tokens.map(({ text }) => text).join(''), finish, usage)
  if (fault === 'malformed') sendText(response, 200, JSON.stringify(body).slice(0, 40))
  else sendJson(response, 200, body)
}

async function sendStream(
  answer: Answer,
  { tokens, finish, usage }: Plan,
  includeUsage: boolean,
  { ttftMs, fault, faultAfter }: Behaviour,
  response: ServerResponse,
  closed: AbortSignal,
): Promise<void> {
  const startedAt = performance.now()
  const chunks: (object | '[DONE]')[] = [
    deltaChunk(answer, { role: 'assistant', content: '' }),
    ...tokens.map(({ text }) => deltaChunk(answer, { content: text })),
    deltaChunk(answer, { content: '' }, finish),
    ...(includeUsage ? [usageChunk(answer, usage)] : []),
    '[DONE]',
  ]
  const strikesAt = fault === 'none' ? -1 : Math.min(faultAfter, chunks.length - 1)

  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
  response.flushHeaders()
  for (const [index, chunk] of chunks.entries()) {
    const dueMs = index === 0 ? ttftMs : (tokens[index - 1]?.dueMs ?? 0)
    const waitMs = startedAt + dueMs - performance.now()
    if (waitMs > 0) await sleep(waitMs, undefined, { signal: closed })
    if (index === strikesAt) {
      if (fault === 'die') return void response.destroy()
      if (fault === 'hang-stream') return void (await once(closed, 'abort'))
      if (fault === 'error-event') return void response.end(sse(midStream) + sse('[DONE]'))
      response.write('data: {"id":"chatcmpl-broken","choices":[{"ind\n\n')
    }
    // Waiting for each write spares memory when the reader is slow, and lets the network have
    // all that came before a `die`.
    await new Promise((resolve) => response.write(sse(chunk), resolve))
    if (closed.aborted) return
  }
  response.end()
}

export function sendJson(response: ServerResponse, status: number, body: object): void {
  sendText(response, status, JSON.stringify(body))
}

function sendText(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    ...(status === 429 && { 'retry-after': '1' }),
  })
  response.end(body)
}
