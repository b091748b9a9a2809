import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import type { ServiceBody, Step } from '../service.ts'
import type { Attached } from './attached/attached.ts'
import type { Call, Handler } from './call.ts'
import type { Settings } from './settings.ts'
import { MODEL, PARAMETERS } from './upstream.ts'

// The requests of ../service.ts, traced with active observations. observed.ts has `/chat` and `/agent` with `observe`.

/** Tools of an agent run on the loop; after some it lets others in. */
const STEPS_IN_A_ROW = 8
const SEARCH_MS = 4

export type Path = '/chat' | '/agent' | '/audio'

/** The handlers for what the arm sets and attaches. */
export function handlersOf(settings: Settings, attached: Attached): Record<Path, Handler> {
  return {
    '/chat': (call) => chat(call, attached, settings.ownText === true),
    '/agent': (call) => agent(call, settings.few !== true),
    '/audio': (call) => audio(call, attached),
  }
}

/** What a request records. */
export function observationsOf(path: Path, settings: Settings, body: ServiceBody): number {
  if (settings.tracer === undefined) return 0
  if (path === '/chat') return 3
  return path === '/audio' || settings.few ? 2 : 2 + (body.steps?.length ?? 0)
}

async function chat(call: Call, attached: Attached, hasOwnText: boolean): Promise<string> {
  const { tracing, body, log, account } = call
  const { messages, user } = body
  await attached.prompt?.(account)
  return tracing.startActiveObservation('api.chat.completions', async (root) => {
    root.update({ input: messages, metadata: { user } })
    await tracing.startActiveObservation(
      'search.documents',
      async (retriever) => {
        retriever.update({ input: messages.at(-1)?.content })
        retriever.update({ output: await search(body) })
      },
      { asType: 'retriever' },
    )
    attached.writeLog?.(log, user, account)
    const asked = hasOwnText ? { ...call, body: { ...body, messages: anew(messages) } } : call
    const answer = await (attached.generate?.(asked) ?? generate(asked))
    root.update({ output: answer })
    return answer
  })
}

/** As a service has them that builds its prompt from parts. */
function anew(messages: ServiceBody['messages']): ServiceBody['messages'] {
  return JSON.parse(JSON.stringify(messages))
}

async function generate({ tracing, body, model }: Call): Promise<string> {
  const { messages } = body
  const generation = tracing.startObservation(
    'vllm.chat.completion',
    { model: MODEL, modelParameters: PARAMETERS, input: messages },
    { asType: 'generation' },
  )
  const { answer, usage } = await model(messages)
  generation.update({ output: answer, usageDetails: usage })
  generation.end()
  return answer
}

async function agent(call: Call, all: boolean): Promise<string> {
  const { tracing, body } = call
  const { messages, steps = [], user } = body
  return tracing.startActiveObservation(
    'agent.run',
    async (root) => {
      root.update({ input: messages, metadata: { user } })
      const answer = await generate(call)
      for (const [number, step] of steps.entries()) {
        if (all) {
          await tracing.startActiveObservation(step.name, async (span) => {
            span.update({ input: step.input })
            span.update({ output: await useTool(step) })
          })
        } else await useTool(step)
        await letOthersIn(number)
      }
      root.update({ output: answer })
      return answer
    },
    { asType: 'agent' },
  )
}

async function audio({ tracing, body, model }: Call, attached: Attached): Promise<string> {
  const { messages, user, audio: base64 = '' } = body
  // A service has the bytes, however it records them.
  const wav = Buffer.from(base64, 'base64')
  const value = attached.media?.(wav) ?? `data:audio/wav;base64,${base64}`
  return tracing.startActiveObservation('api.audio.transcriptions', async (root) => {
    root.update({ input: messages, metadata: { user, bytes: wav.length } })
    const answer = await tracing.startActiveObservation('transcribe', async (span) => {
      span.update({ input: [{ role: 'user', content: [{ type: 'audio', audio: value }] }] })
      const { answer } = await model(messages)
      span.update({ output: answer })
      return answer
    })
    root.update({ output: answer })
    return answer
  })
}

/** What a retriever finds. */
export async function search(body: ServiceBody): Promise<unknown> {
  await delay(SEARCH_MS)
  return body.documents
}

/** A tool that answers at once. */
export async function useTool(step: Step): Promise<unknown> {
  return step.output
}

/** After the step of this number others get their turn. */
export async function letOthersIn(number: number): Promise<void> {
  if (number % STEPS_IN_A_ROW === 0) await nextTurn()
}
