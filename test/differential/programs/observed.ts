import { getActiveSpanId, observe, startObservation, updateActiveObservation } from '#tracing'
import * as given from '../given.ts'
import type { Program } from '../program.ts'

export const observed: Program[] = [
  {
    name: 'arguments and results of observe',
    async run(report) {
      const echo = (name: string): ((...args: unknown[]) => unknown) =>
        observe((...args: unknown[]) => (args.length === 1 ? args[0] : args), { name })
      report('no argument', echo('no argument')())
      for (const [name, value] of Object.entries({
        string: 'text',
        'empty string': '',
        zero: 0,
        false: false,
        null: null,
        undefined: undefined,
        array: [1, 2],
        'empty array': [],
        object: { a: 1 },
        function: () => 1,
        date: new Date(0),
      })) {
        report(name, echo(name)(value) === value)
      }
      echo('two')('x', { y: 1 })
      echo('three with holes')(undefined, null, 3)
      report('async', await observe(async (n: number) => n + 1, { name: 'async' })(1))
      report('async undefined', await observe(async () => {}, { name: 'async undefined' })())
    },
  },
  {
    name: 'names of observe',
    run(report) {
      report('named', observe(function named() {})())
      const assigned = (): number => 1
      report('arrow', observe(assigned)())
      report(
        'anonymous',
        observe(
          (
            () => () =>
              'anonymous'
          )(),
        )(),
      )
      report('empty name', observe(function unused() {}, { name: '' })())
    },
  },
  {
    name: 'observe without capture',
    async run() {
      const f = (input: string): string => `${input}!`
      observe(f, { name: 'no input', captureInput: false })('secret')
      observe(f, { name: 'no output', captureOutput: false })('a')
      observe(f, { name: 'neither', captureInput: false, captureOutput: false })('a')
      await observe(async (input: string) => input, {
        name: 'async neither',
        captureInput: false,
        captureOutput: false,
      })('a')
    },
  },
  {
    name: 'observe with each type',
    run() {
      const types = [
        'span',
        'generation',
        'embedding',
        'agent',
        'tool',
        'chain',
        'retriever',
        'evaluator',
        'guardrail',
      ] as const
      for (const asType of types) observe((n: number) => n + 1, { name: asType, asType })(1)
      observe(() => 1, { name: 'event', asType: 'event', captureOutput: false })()
    },
  },
  {
    name: 'context and this in observe',
    async run(report) {
      const service = {
        factor: 3,
        multiply: observe(
          function (this: { factor: number }, n: number) {
            return this.factor * n
          },
          { name: 'method' },
        ),
      }
      report('this', service.multiply(2))
      const inner = observe(
        async (n: number) => {
          await null
          startObservation('manual in inner').end()
          updateActiveObservation({ metadata: { from: 'inner' } })
          return n * 2
        },
        { name: 'inner' },
      )
      const outer = observe(
        async (n: number) => {
          const before = getActiveSpanId()
          const result = await inner(n)
          report('active again', getActiveSpanId() === before)
          return result
        },
        { name: 'outer', asType: 'agent' },
      )
      report('result', await outer(4))
      report('active outside', getActiveSpanId())
      observe(() => startObservation('child in another trace').end(), {
        name: 'with a parent',
        parentSpanContext: given.parent,
      })()
    },
  },
  {
    name: 'endOnExit false in observe',
    leavesOpen: ['left open'],
    run(report) {
      const f = observe((n: number) => n + 1, { name: 'left open', endOnExit: false })
      report('result', f(6))
      startObservation('something that is exported').end()
    },
  },
  {
    name: 'promises keep their class',
    async run(report) {
      class Query<T> extends Promise<T> {}
      const result = observe(() => new Query<number>((resolve) => resolve(1)), { name: 'query' })()
      report('class', result.constructor.name)
      report('value', await result)
    },
  },
]
