import { StringDecoder } from 'node:string_decoder'

interface Usage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
}

/** What is recorded of an answer. */
export interface Answer {
  /** The assistant's message, or one per choice where more than one was asked for. */
  message?: unknown
  model?: string
  finishReason?: string
  usage?: Usage
  firstTokenAt?: Date
  /** The text of an `error` event: vLLM reports what breaks in mid-stream with status 200. */
  error?: string
  /** Lines that are not JSON. */
  malformed: number
  /** Whether `[DONE]` came. */
  done: boolean
}

export interface AnswerStream {
  /** Takes a piece of the stream as it came. It is parsed after this turn's sockets are served. */
  push(bytes: Buffer): void
  /** Parses what is left and gives what the stream amounted to. */
  finish(): Answer
  /** Pieces taken so far. */
  readonly count: number
}

interface Message {
  role?: string
  content?: string
  reasoning?: string
  reasoning_content?: string
  refusal?: string
  tool_calls?: ToolCall[]
}

interface ToolCall {
  id?: string
  type: string
  function: { name: string; arguments: string }
}

interface Delta extends Omit<Message, 'tool_calls'> {
  tool_calls?: { index: number; id?: string; function?: Partial<ToolCall['function']> }[]
}

interface Chunk {
  model?: string
  choices?: { index: number; delta?: Delta; finish_reason?: string | null }[]
  usage?: Usage | null
  error?: { message?: string }
}

/** Assembles a streamed completion from its server-sent events. */
export function assembleAnswer(): AnswerStream {
  const decoder = new StringDecoder('utf8')
  const messages: Message[] = []
  const answer: Answer = { malformed: 0, done: false }
  let waiting: { bytes: Buffer; cameAt: number }[] = []
  let rest = ''
  let count = 0

  function parseWaiting(): void {
    const batch = waiting
    waiting = []
    for (const { bytes, cameAt } of batch) {
      const lines = (rest + decoder.write(bytes)).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) if (line.startsWith('data:')) readData(line.slice(5).trim(), cameAt)
    }
  }

  function readData(data: string, cameAt: number): void {
    if (data === '[DONE]') {
      answer.done = true
      return
    }
    let chunk: Chunk
    try {
      chunk = JSON.parse(data)
    } catch {
      answer.malformed++
      return
    }
    if (chunk.model) answer.model = chunk.model
    if (chunk.error) answer.error = chunk.error.message ?? 'unknown error'
    if (chunk.usage) answer.usage = chunk.usage
    for (const { index, delta, finish_reason } of chunk.choices ?? []) {
      if (finish_reason) answer.finishReason = finish_reason
      const message = messages[index] ?? {}
      messages[index] = message
      if (delta && addDelta(message, delta)) answer.firstTokenAt ??= new Date(cameAt)
    }
  }

  return {
    push(bytes) {
      count++
      waiting.push({ bytes, cameAt: Date.now() })
      if (waiting.length === 1) setImmediate(parseWaiting)
    },
    finish() {
      parseWaiting()
      if (messages.length > 0) answer.message = messages.length === 1 ? messages[0] : messages
      return answer
    },
    get count() {
      return count
    },
  }
}

/** Reads a completion that came in one body. */
export function readAnswer(body: string): Answer {
  try {
    const { model, choices = [], usage } = JSON.parse(body)
    const messages = choices.map((choice: { message: unknown }) => choice.message)
    const message = messages.length > 1 ? messages : messages[0]
    return {
      model,
      message,
      finishReason: choices[0]?.finish_reason,
      usage,
      malformed: 0,
      done: true,
    }
  } catch {
    return { error: 'it is not JSON', malformed: 0, done: true }
  }
}

const texts = ['content', 'reasoning', 'reasoning_content', 'refusal'] as const

/** Adds a delta to its message. Returns whether it brought a token, and not the role alone. */
function addDelta(message: Message, delta: Delta): boolean {
  let token = false
  if (delta.role) message.role = delta.role
  for (const key of texts) {
    const text = delta[key]
    if (typeof text !== 'string') continue
    message[key] = (message[key] ?? '') + text
    token ||= text !== ''
  }
  for (const { index, id, function: part } of delta.tool_calls ?? []) {
    const calls = message.tool_calls ?? []
    const call = calls[index] ?? { type: 'function', function: { name: '', arguments: '' } }
    message.tool_calls = calls
    calls[index] = call
    if (id) call.id = id
    call.function.name += part?.name ?? ''
    call.function.arguments += part?.arguments ?? ''
    token = true
  }
  return token
}
