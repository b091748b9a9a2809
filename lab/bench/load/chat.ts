import { setTimeout as delay } from 'node:timers/promises'
import {
  type Answer,
  type Message,
  toJson,
  writeAnswer,
  writeDocuments,
  writeMessages,
} from '../../apparatus/payloads.ts'
import { about, type Language } from '../../apparatus/text.ts'
import type { Workload } from './workload.ts'

interface ChatOptions {
  /** Characters of context. */
  readonly size: number
  readonly language: Language
  /** A fourth observation: another model judges the answer. */
  readonly judged?: boolean
}

interface Body {
  readonly user: string
  readonly messages: readonly Message[]
}

/**
 * A chat request with context: the root has the messages as input, a retriever gets documents of the same size (other
 * strings, from another service), the generation has the messages again, as services in front of a model trace it.
 */
export function chatOf({ size, language, judged = false }: ChatOptions): Workload {
  return {
    prepare: (random) => [
      toJson({
        user: `user-${Math.floor(random() * 1e6)}`,
        messages: writeMessages(random, language, about(random, size)),
      } satisfies Body),
      toJson(writeDocuments(random, language, about(random, size))),
      toJson(writeAnswer(random, language, 1200)),
    ],
    handle: (tracing, receive) =>
      tracing.startActiveObservation('api.chat.completions', async (root) => {
        const { user, messages } = receive<Body>()
        root.update({ input: messages, metadata: { user, route: '/api/chat/completions' } })
        await tracing.startActiveObservation(
          'search.documents',
          async (retriever) => {
            retriever.update({ input: { query: messages.at(-1)?.content, top: 20 } })
            await delay(4)
            retriever.update({ output: receive() })
          },
          { asType: 'retriever' },
        )
        const generation = tracing.startObservation(
          'vllm.chat.completion',
          { model: 'qwen3-32b', modelParameters: { temperature: 0.2 }, input: messages },
          { asType: 'generation' },
        )
        await delay(30)
        const { message, usage } = receive<Answer>()
        generation.update({ output: message, usageDetails: usage })
        generation.end()
        if (judged) {
          const judge = tracing.startObservation(
            'judge.grounded',
            { input: { messages, answer: message } },
            { asType: 'evaluator' },
          )
          await delay(5)
          judge.update({ output: { grounded: true, score: 0.93 } })
          judge.end()
        }
        root.update({ output: message.content })
      }),
  }
}
