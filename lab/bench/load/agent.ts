import { setTimeout as delay } from 'node:timers/promises'
import {
  type Message,
  toJson,
  writeDocuments,
  writeMessages,
  writeToolCall,
} from '../../apparatus/payloads.ts'
import { about, between, type Random, writeText } from '../../apparatus/text.ts'
import type { Workload } from './workload.ts'

const ROUNDS = 11
/** Root, five in a round, four at the end. */
export const AGENT_SPANS: number = 1 + ROUNDS * 5 + 4

interface Round {
  readonly plan: readonly Message[]
  readonly call: unknown
  readonly result: unknown
  readonly hits: readonly { id: string; score: number }[]
}

interface Run {
  readonly question: string
  readonly rounds: readonly Round[]
  readonly answer: string
}

/** An agent's run of many small observations: it waits for its model, tools are local; one in five has a text of 4 K. */
export const agent: Workload = {
  prepare: (random) => [
    toJson({
      question: writeText(random, 'en', between(random, 60, 300)),
      rounds: Array.from({ length: ROUNDS }, (_, number) => writeRound(random, number)),
      answer: writeText(random, 'en', about(random, 4096)),
    } satisfies Run),
  ],
  handle: (tracing, receive) =>
    tracing.startActiveObservation(
      'agent.run',
      async (root) => {
        const { question, rounds, answer } = receive<Run>()
        root.update({ input: question, metadata: { agent: 'orders', attempt: 1 } })
        for (const [number, { plan, call, result, hits }] of rounds.entries()) {
          await tracing.startActiveObservation(
            'round',
            async (round) => {
              const planning = tracing.startObservation(
                'plan',
                { model: 'qwen3-32b', input: plan },
                { asType: 'generation' },
              )
              await delay(2)
              planning.update({ output: call, usageDetails: { input: 900 + number, output: 60 } })
              planning.end()
              const tool = tracing.startObservation(
                'search_orders',
                { input: call },
                { asType: 'tool' },
              )
              tool.update({ output: result })
              tool.end()
              const lookUp = { input: { ids: hits.length }, output: hits }
              tracing.startObservation('look-up', lookUp, { asType: 'retriever' }).end()
              tracing
                .startObservation('rank', { metadata: { kept: hits.length, round: number } })
                .end()
              round.update({ output: { done: number === ROUNDS - 1 } })
            },
            { asType: 'chain' },
          )
        }
        const guard = { input: 'policy-7', output: { allowed: true } }
        tracing.startObservation('policy', guard, { asType: 'guardrail' }).end()
        const scores = { output: { relevance: 0.88, tone: 0.97 } }
        tracing.startObservation('self-check', scores, { asType: 'evaluator' }).end()
        const embedding = { model: 'bge-m3', input: question, usageDetails: { input: 40 } }
        tracing.startObservation('remember', embedding, { asType: 'embedding' }).end()
        const final = tracing.startObservation(
          'answer',
          { model: 'qwen3-32b', input: question },
          { asType: 'generation' },
        )
        await delay(2)
        final.update({ output: answer })
        final.end()
        root.update({ output: answer })
      },
      { asType: 'agent' },
    ),
}

function writeRound(random: Random, number: number): Round {
  const large = number % 2 === 0
  return {
    plan: writeMessages(random, 'en', large ? about(random, 4096) : between(random, 150, 500)),
    call: writeToolCall(random),
    result:
      number % 3 === 0
        ? writeDocuments(random, 'en', about(random, 4096))
        : { orders: between(random, 0, 9), note: writeText(random, 'en', 60) },
    hits: Array.from({ length: between(random, 1, 6) }, () => ({
      id: `order-${between(random, 1, 1e7)}`,
      score: random(),
    })),
  }
}
