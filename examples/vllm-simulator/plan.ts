import type { Behaviour } from './behaviour.ts'
import {
  type ChatRequest,
  estimateTokens,
  type FinishReason,
  textOf,
  type Usage,
} from './dialect.ts'
import { hashText, seededRandom, writeTokens } from './text.ts'

/** All of one answer, decided before its first byte. */
export interface Plan {
  /** Each token with the time it is due, in milliseconds after the request came. */
  tokens: { text: string; dueMs: number }[]
  finish: FinishReason
  usage: Usage
}

/** The same request, seed and settings give the same plan. */
export function planAnswer(request: ChatRequest, behaviour: Behaviour): Plan {
  const text = textOf(request.messages)
  const random = seededRandom(hashText(text, behaviour.seed + (request.seed ?? 0)))
  const wanted = behaviour.tokens || 24 + Math.floor(random() * 73)
  const allowed = request.max_completion_tokens ?? request.max_tokens ?? wanted
  const count = Math.min(wanted, allowed)

  const gapMs = behaviour.tokensPerSecond === 0 ? 0 : 1000 / behaviour.tokensPerSecond
  let dueMs = behaviour.ttftMs
  const tokens: Plan['tokens'] = []
  for (const word of writeTokens(random, textOf(request.messages.slice(-1)), count)) {
    tokens.push({ text: word, dueMs })
    dueMs += gapMs * (0.5 + random())
  }
  const promptTokens = estimateTokens(request.messages, text)
  return {
    tokens,
    finish: count < wanted ? 'length' : 'stop',
    usage: {
      prompt_tokens: promptTokens,
      total_tokens: promptTokens + count,
      completion_tokens: count,
    },
  }
}
