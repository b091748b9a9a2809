import { setImmediate as nextTurn } from 'node:timers/promises'
import type { BaseCallbackHandler } from '@langchain/core/callbacks/base'
import type { CallbackManagerForLLMRun } from '@langchain/core/callbacks/manager'
import { SimpleChatModel } from '@langchain/core/language_models/chat_models'
import { AIMessageChunk, type BaseMessage } from '@langchain/core/messages'
import { ChatGenerationChunk } from '@langchain/core/outputs'
import { CallbackHandler } from '@langfuse/langchain'
import type { Call } from '../call.ts'
import type { Account } from '../split.ts'
import type { Messages, Model } from '../upstream.ts'

const TOKENS = 200
/** Of the handler; LangChain calls them. */
const CALLBACKS = [
  'handleChatModelStart',
  'handleLLMNewToken',
  'handleLLMEnd',
  'handleLLMError',
] as const

/** The model as a chat model of LangChain that streams; with Langfuse's callback handler, or without. */
export function generateWith(handler: boolean): (call: Call) => Promise<string> {
  return async ({ body, model, account }) => {
    const callbacks: BaseCallbackHandler[] = handler ? [callbackHandler(account)] : []
    const streaming = new Streaming(model)
    const turns = body.messages.map(({ role, content }): [string, string] => [role, content])
    let answer = ''
    for await (const chunk of await streaming.stream(turns, { callbacks })) answer += chunk.text
    return answer
  }
}

function callbackHandler(account: Account | undefined): CallbackHandler {
  const handler = new CallbackHandler()
  if (account === undefined) return handler
  for (const name of CALLBACKS) {
    const original = handler[name].bind(handler) as (...args: unknown[]) => Promise<void>
    Object.assign(handler, {
      [name]: (...args: unknown[]) => account.call(() => original(...args)),
    })
  }
  return handler
}

const ROLES: Readonly<Record<string, string>> = { human: 'user', ai: 'assistant', system: 'system' }

class Streaming extends SimpleChatModel {
  readonly #model: Model

  constructor(model: Model) {
    super({})
    this.#model = model
  }

  _llmType(): string {
    return 'vllm'
  }

  async _call(): Promise<string> {
    throw new Error('it streams')
  }

  override async *_streamResponseChunks(
    messages: BaseMessage[],
    _options: this['ParsedCallOptions'],
    run?: CallbackManagerForLLMRun,
  ): AsyncGenerator<ChatGenerationChunk> {
    const turns: Messages = messages.map((message) => ({
      role: ROLES[message.type] ?? 'user',
      content: message.text,
    }))
    const { answer } = await this.#model(turns)
    for (const text of pieces(answer)) {
      yield new ChatGenerationChunk({ text, message: new AIMessageChunk(text) })
      await run?.handleLLMNewToken(text)
      await nextTurn()
    }
  }
}

/** The answer in some 200 pieces. */
function pieces(answer: string): string[] {
  const size = Math.max(1, Math.ceil(answer.length / TOKENS))
  return Array.from({ length: Math.ceil(answer.length / size) }, (_, at) =>
    answer.slice(at * size, (at + 1) * size),
  )
}
