import { STATUS_CODES } from 'node:http'

export interface Message {
  role: string
  content?: unknown
}

/** The fields of a chat request that the simulator heeds; vLLM accepts others and so does it. */
export interface ChatRequest {
  model?: string
  messages: Message[]
  stream?: boolean
  stream_options?: { include_usage?: boolean }
  max_tokens?: number
  max_completion_tokens?: number
  seed?: number
}

export interface Usage {
  prompt_tokens: number
  total_tokens: number
  completion_tokens: number
}

export interface Answer {
  id: string
  created: number
  model: string
}

export type FinishReason = 'stop' | 'length'

export interface ErrorBody {
  error: { message: string; type: string; param: string | null; code: number }
}

/** An error body of vLLM (0.10 and later). `type` is the exception's name, or the status phrase. */
export function errorBody(
  status: number,
  message: string,
  type: string = STATUS_CODES[status] ?? 'Error',
  param: string | null = null,
): ErrorBody {
  return { error: { message, type, param, code: status } }
}

export function completionBody(
  answer: Answer,
  content: string,
  finish: FinishReason,
  usage: Usage,
): object {
  const message = { role: 'assistant', content, refusal: null, tool_calls: [] }
  return {
    ...answer,
    object: 'chat.completion',
    choices: [{ index: 0, message, logprobs: null, finish_reason: finish, stop_reason: null }],
    usage: { ...usage, prompt_tokens_details: null },
  }
}

/** One chunk with one choice. The chunk with the role comes first, the one with `finish` last. */
export function deltaChunk(
  answer: Answer,
  delta: { role?: string; content: string },
  finish: FinishReason | null = null,
): object {
  return {
    ...answer,
    object: 'chat.completion.chunk',
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
  }
}

/** The chunk after the last choice, sent when `stream_options.include_usage` is set. */
export function usageChunk(answer: Answer, usage: Usage): object {
  return { ...answer, object: 'chat.completion.chunk', choices: [], usage }
}

export function sse(data: object | '[DONE]'): string {
  return `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`
}

export function modelList(model: string, created: number): object {
  const card = {
    id: model,
    object: 'model',
    created,
    owned_by: 'vllm',
    root: model,
    parent: null,
    max_model_len: 131_072,
  }
  return { object: 'list', data: [card] }
}

/** The text of all messages; parts that are not text (images, audio) have none. */
export function textOf(messages: readonly Message[]): string {
  return messages
    .flatMap(({ content }) =>
      Array.isArray(content) ? content.map((part) => part?.text) : content,
    )
    .filter((text) => typeof text === 'string')
    .join('\n')
}

/** Four characters a token is near enough for English; vLLM counts with the model's tokenizer. */
export function estimateTokens(messages: readonly Message[], text: string): number {
  return Math.ceil(text.length / 4) + 4 * messages.length
}
