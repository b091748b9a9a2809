import type { Observing } from '../../apparatus/tracing.ts'
import type { Step } from '../service.ts'
import type { Call, Handler } from './call.ts'
import { letOthersIn, type Path, search, useTool } from './handlers.ts'
import { type Messages, MODEL, PARAMETERS } from './upstream.ts'

/** What functions of a request have beside their arguments, which are recorded. */
interface Request {
  readonly call: Call
  step?: Step
}

/** `/chat` and `/agent` with the SDK's `observe`, wrapped once, as a module's functions are: the same observations. */
export function observedHandlers(observing: Observing): Partial<Record<Path, Handler>> {
  const { observe, updateActiveObservation } = observing

  const generate = observe(
    async function (this: Request, messages: Messages) {
      const { answer, usage } = await this.call.model(messages)
      const attributes = { model: MODEL, modelParameters: PARAMETERS, usageDetails: usage }
      updateActiveObservation(attributes, { asType: 'generation' })
      return answer
    },
    { name: 'vllm.chat.completion', asType: 'generation' },
  )
  const find = observe(
    async function (this: Request, _question: string | undefined) {
      return search(this.call.body)
    },
    { name: 'search.documents', asType: 'retriever' },
  )
  const chat = observe(
    async function (this: Request, messages: Messages) {
      updateActiveObservation({ metadata: { user: this.call.body.user } })
      await find.call(this, messages.at(-1)?.content)
      return generate.call(this, messages)
    },
    { name: 'api.chat.completions' },
  )

  const tools = new Map<string, ReturnType<typeof toolOf>>()
  const toolOf = (name: string) =>
    observe(
      async function (this: Request, _input: unknown) {
        return useTool(this.step as Step)
      },
      { name },
    )
  const agent = observe(
    async function (this: Request, messages: Messages) {
      updateActiveObservation({ metadata: { user: this.call.body.user } })
      const answer = await generate.call(this, messages)
      for (const [number, step] of (this.call.body.steps ?? []).entries()) {
        const tool = tools.get(step.name) ?? toolOf(step.name)
        tools.set(step.name, tool)
        this.step = step
        await tool.call(this, step.input)
        await letOthersIn(number)
      }
      return answer
    },
    { name: 'agent.run', asType: 'agent' },
  )
  return {
    '/chat': (call) => chat.call({ call }, call.body.messages),
    '/agent': (call) => agent.call({ call }, call.body.messages),
  }
}
