import { startObservation } from '#tracing'
import * as given from '../given.ts'
import type { Program } from '../program.ts'

const common = {
  input: { question: 'why?', n: 1 },
  output: 'because',
  metadata: { team: 'a', attempt: 2 },
  level: 'WARNING',
  statusMessage: 'slow',
  version: '1.2',
  environment: 'staging',
} as const

const model = {
  ...common,
  model: 'qwen3',
  modelParameters: { temperature: 0.5, stop: 'x' },
  usageDetails: { input: 10, output: 20, total: 30 },
  costDetails: { input: 0.001, output: 0.002 },
  completionStartTime: given.start,
  prompt: { name: 'greeting', version: 3, isFallback: false },
}

const plainTypes = ['agent', 'tool', 'chain', 'retriever', 'evaluator', 'guardrail'] as const

export const types: Program[] = [
  {
    name: 'all attributes of each type',
    run(report) {
      const describe = (observation: object): string =>
        `${observation.constructor.name} ${Object.keys(observation).sort()} ${'update' in observation}`
      const span = startObservation('span', common)
      const generation = startObservation('generation', model, { asType: 'generation' })
      const embedding = startObservation('embedding', model, { asType: 'embedding' })
      const event = startObservation('event', common, { asType: 'event' })
      for (const observation of [span, generation, embedding, event]) {
        report(`shape of ${observation.type}`, describe(observation))
        report(`end of ${observation.type}`, observation.end())
      }
      for (const asType of plainTypes) {
        const observation = startObservation(asType, common, { asType: asType as 'agent' })
        report(`shape of ${asType}`, describe(observation))
        report(`type of ${asType}`, observation.type)
        observation.end()
      }
    },
  },
  {
    name: 'every type takes every attribute at run time',
    run() {
      for (const asType of ['span', 'event', ...plainTypes]) {
        const observation = startObservation(`${asType} with a model`, model as object, {
          asType: asType as 'agent',
        })
        observation.end()
      }
      startObservation('unknown type', {}, { asType: 'dream' as 'span' }).end()
    },
  },
  {
    name: 'no attributes',
    run() {
      startObservation('nothing').end()
      startObservation('empty object', {}).end()
      startObservation('null', null as never).end()
      startObservation('null options', {}, null as never).end()
      startObservation('', {}).end()
      startObservation('unknown key', { colour: 'red' } as object).end()
    },
  },
  {
    name: 'usage, cost and model',
    run() {
      const generation = (name: string, attributes: object): void =>
        startObservation(name, attributes, { asType: 'generation' }).end()
      generation('openai usage', {
        usageDetails: {
          prompt_tokens: 1,
          completion_tokens: 2,
          total_tokens: 3,
          prompt_tokens_details: { cached_tokens: 1 },
          completion_tokens_details: null,
        },
      })
      generation('empty objects', { usageDetails: {}, costDetails: {}, modelParameters: {} })
      generation('undefined inside', {
        usageDetails: { input: undefined, output: 1 },
        modelParameters: { a: undefined, b: null, c: [1, 'x'], d: true },
      })
      generation('strings and numbers', {
        usageDetails: 5,
        modelParameters: 'fast',
        completionStartTime: '2020-01-01',
      })
      generation('nulls', {
        usageDetails: null,
        costDetails: null,
        modelParameters: null,
        model: null,
        completionStartTime: null,
        prompt: null,
      })
      generation('empty strings', { model: '', statusMessage: '', version: '', environment: '' })
      generation('floats', { costDetails: { total: 1e-9, sum: 0.1 + 0.2, big: 1e21 } })
      generation('completion start', { completionStartTime: given.start })
      generation('completion start that is no time', { completionStartTime: new Date(Number.NaN) })
      generation('numbers as text', { model: 5, modelParameters: 5, costDetails: '0.1' })
      generation('lists', { model: ['a'], usageDetails: [1], level: ['ERROR'] })
    },
  },
  {
    name: 'fields that are passed on unchecked',
    run() {
      startObservation('wrong types', {
        level: 5,
        statusMessage: { a: 1 },
        version: 1.5,
        environment: ['a', 'b'],
        model: true,
      } as object).end()
      startObservation('unknown level', {
        level: 'LOUD',
        environment: 'Not Valid!',
      } as object).end()
      for (const level of ['DEBUG', 'DEFAULT', 'WARNING', 'ERROR'] as const) {
        startObservation(level, { level }).end()
      }
    },
  },
  {
    name: 'prompts',
    run() {
      const withPrompt = (name: string, prompt: object | null): void =>
        startObservation(name, { prompt } as object, { asType: 'generation' }).end()
      withPrompt('linked', { name: 'p', version: 3, isFallback: false })
      withPrompt('fallback', { name: 'p', version: 3, isFallback: true })
      withPrompt('without isFallback', { name: 'p', version: 3 })
      withPrompt('string version', { name: 'p', version: '3', isFallback: false })
      withPrompt('fractional version', { name: 'p', version: 1.5, isFallback: false })
      withPrompt('empty name', { name: '', version: 0, isFallback: false })
      withPrompt('only a name', { name: 'p' })
      withPrompt('only a version', { version: 3 })
      withPrompt('null', null)
      const updated = startObservation('by update', {}, { asType: 'generation' })
      updated.update({ prompt: { name: 'first', version: 1, isFallback: false } })
      updated.update({ prompt: { name: 'second', version: 2, isFallback: true } })
      updated.end()
    },
  },
]
