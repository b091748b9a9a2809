import { startObservation } from '@offpath/sdk'
import type { FastifyReply, FastifyRequest, RouteHandlerMethod } from 'fastify'
import { type Answer, assembleAnswer } from './answer.ts'
import { errorBody, type Outcome, outcomeOfThrow } from './outcome.ts'
import {
  type Call,
  passRefusal,
  passStream,
  passWhole,
  type Result,
  sendFailure,
} from './pass-on.ts'
import type { Upstream } from './upstream.ts'

interface ChatRequest {
  messages: unknown[]
  model?: string
  stream?: boolean
  stream_options?: object
  [parameter: string]: unknown
}

/** `POST /api/chat/completions`: asks the upstream and passes its answer on. */
export function chatCompletions(upstream: Upstream, timeoutMs: number): RouteHandlerMethod {
  return async (request, reply) => {
    const body = readBody(request.body)
    const work = complete(upstream, timeoutMs, body, request, reply)
    request.trace.work = work
    await work
    return reply
  }
}

async function complete(
  upstream: Upstream,
  timeoutMs: number,
  body: ChatRequest,
  { trace, headers }: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const { clientGone } = trace
  const generation = startObservation(
    'vllm.chat.completion',
    {
      input: body.messages,
      modelParameters: parametersOf(body),
      ...(body.model && { model: body.model }),
    },
    { asType: 'generation' },
  )
  const call: Call = { pieces: assembleAnswer(), clientWaitMs: 0 }
  const startedAt = performance.now()
  let result: Result
  try {
    const response = await upstream.post(withUsage(body), headers, clientGone)
    if (response.statusCode !== 200) result = await passRefusal(response, reply)
    else if (body.stream) result = await passStream(response, reply, call, clientGone)
    else result = await passWhole(response, reply)
  } catch (error) {
    const outcome = outcomeOfThrow(error, call.pieces.count, clientGone, timeoutMs)
    if (clientGone.aborted) reply.hijack()
    else sendFailure(reply, outcome)
    result = { outcome, answer: call.pieces.finish() }
  }

  const { outcome, answer } = result
  trace.upstreamMs = performance.now() - startedAt - call.clientWaitMs
  trace.outcome = outcome
  trace.output = answer.message ?? (outcome.level && errorBody(outcome))
  generation.update(generationOf(answer, body, outcome)).end()
}

/** Throws an error with status 400 for what no upstream could answer; the rest is vLLM's to judge. */
function readBody(body: unknown): ChatRequest {
  if (Array.isArray((body as Partial<ChatRequest> | null)?.messages)) return body as ChatRequest
  throw Object.assign(new Error('messages must be a list'), { statusCode: 400 })
}

/** Asks for the token counts of a stream too, unless the client has its own wishes. */
function withUsage(body: ChatRequest): ChatRequest {
  if (!body.stream) return body
  return { ...body, stream_options: { include_usage: true, ...body.stream_options } }
}

/** Every setting of the request that is a number or a text, vLLM's own ones included. */
function parametersOf(body: ChatRequest): Record<string, string | number> {
  const { messages, model, user, session_id, ...parameters } = body
  return Object.fromEntries(
    Object.entries(parameters).filter(
      (entry): entry is [string, string | number] =>
        typeof entry[1] === 'number' || typeof entry[1] === 'string',
    ),
  )
}

function generationOf(answer: Answer, body: ChatRequest, { level, statusMessage }: Outcome) {
  const { message, model = body.model, usage, firstTokenAt, finishReason } = answer
  return {
    output: message,
    ...(model && { model }),
    ...(firstTokenAt && { completionStartTime: firstTokenAt }),
    ...(usage && {
      usageDetails: {
        input: usage.prompt_tokens,
        output: usage.completion_tokens,
        total: usage.total_tokens,
      },
    }),
    ...(finishReason && { metadata: { finish_reason: finishReason } }),
    ...(level && { level }),
    ...(statusMessage && { statusMessage }),
  }
}
