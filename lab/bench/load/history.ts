import { setTimeout as delay } from 'node:timers/promises'
import { type Message, toJson } from '../../apparatus/payloads.ts'
import { about, between, writeText } from '../../apparatus/text.ts'
import type { Workload } from './workload.ts'

const STEPS = 40
/** Root, a generation and a tool in each step. */
export const HISTORY_SPANS: number = 1 + 2 * STEPS

/** An agent of 40 steps: each records its whole message list, which the tool's answer has made 8 K longer. */
export const history: Workload = {
  prepare: (random) => [
    toJson({
      role: 'system',
      content: writeText(random, 'en', between(random, 1500, 2500)),
    } satisfies Message),
    ...Array.from({ length: STEPS }, () =>
      toJson([
        { role: 'assistant', content: writeText(random, 'en', about(random, 700)) },
        { role: 'tool', content: writeText(random, 'en', about(random, 7492)) },
      ] satisfies Message[]),
    ),
  ],
  handle: (tracing, receive) =>
    tracing.startActiveObservation(
      'agent.run',
      async (root) => {
        const messages: Message[] = [receive<Message>()]
        root.update({ input: messages })
        for (let step = 0; step < STEPS; step++) {
          const generation = tracing.startObservation(
            'plan',
            { model: 'qwen3-32b', input: messages },
            { asType: 'generation' },
          )
          await delay(20)
          const [call, result] = receive<[Message, Message]>()
          generation.update({ output: call, usageDetails: { input: 2000 * step, output: 180 } })
          generation.end()
          const tool = tracing.startObservation(
            'search_orders',
            { input: { step, top: 10 } },
            { asType: 'tool' },
          )
          await delay(5)
          tool.update({ output: result.content })
          tool.end()
          messages.push(call, result)
        }
        root.update({ output: messages.at(-2)?.content })
      },
      { asType: 'agent' },
    ),
}
