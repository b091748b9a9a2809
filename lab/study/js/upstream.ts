import type { ServiceBody } from '../service.ts'

/** As it is recorded; the server knows no other. */
export const MODEL = 'Qwen/Qwen3-8B'
export const PARAMETERS = { temperature: 0.2, top_p: 0.9 }

export type Messages = ServiceBody['messages']

interface Completion {
  readonly answer: string
  readonly usage: { readonly input: number; readonly output: number; readonly total: number }
}

export type Model = (messages: Messages) => Promise<Completion>

interface Body {
  readonly choices: readonly [{ readonly message: { readonly content: string } }]
  readonly usage: {
    readonly prompt_tokens: number
    readonly completion_tokens: number
    readonly total_tokens: number
  }
}

/** vLLM by `fetch`, connections kept, as the OpenAI client in front of it would. */
export function connectModel(upstream: string): Model {
  return async (messages) => {
    const response = await fetch(`${upstream}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: MODEL, messages, ...PARAMETERS }),
    })
    if (!response.ok) throw new Error(`the model answered ${response.status}`)
    const { choices, usage } = (await response.json()) as Body
    return {
      answer: choices[0].message.content,
      usage: {
        input: usage.prompt_tokens,
        output: usage.completion_tokens,
        total: usage.total_tokens,
      },
    }
  }
}
