import { observe, startActiveObservation } from '#tracing'
import type { Program } from '../program.ts'

class ValidationError extends Error {
  override name = 'ValidationError'
}

const thrown: Record<string, unknown> = {
  error: new Error('broke'),
  'error without message': new Error(''),
  'own class': new ValidationError('not valid'),
  'type error': new TypeError('Tiếng Việt'),
  string: 'just text',
  'empty string': '',
  number: 0,
  undefined: undefined,
  null: null,
  object: { code: 5 },
}

export const errors: Program[] = [
  {
    name: 'errors in startActiveObservation',
    async run(report) {
      for (const [name, error] of Object.entries(thrown)) {
        try {
          startActiveObservation(`sync ${name}`, () => {
            throw error
          })
        } catch (caught) {
          report(`sync ${name}`, caught === error)
        }
        try {
          await startActiveObservation(
            `async ${name}`,
            async (generation) => {
              generation.update({ input: 'i' })
              await null
              throw error
            },
            { asType: 'generation' },
          )
        } catch (caught) {
          report(`async ${name}`, caught === error)
        }
      }
    },
  },
  {
    name: 'errors in observe',
    async run(report) {
      for (const [name, error] of Object.entries(thrown)) {
        const sync = observe(
          (_argument: string) => {
            throw error
          },
          { name: `sync ${name}` },
        )
        try {
          sync('argument')
        } catch (caught) {
          report(`sync ${name}`, caught === error)
        }
        const asynchronous = observe(
          async () => {
            await null
            throw error
          },
          { name: `async ${name}`, asType: 'tool' },
        )
        try {
          await asynchronous()
        } catch (caught) {
          report(`async ${name}`, caught === error)
        }
        try {
          observe(
            () => {
              throw error
            },
            { name: `no capture ${name}`, captureOutput: false },
          )()
        } catch (caught) {
          report(`no capture ${name}`, caught === error)
        }
      }
    },
  },
  {
    name: 'an error passes through nested observations',
    async run(report) {
      const inner = observe(
        async () => {
          throw new Error('deep')
        },
        { name: 'inner' },
      )
      const outer = observe(async () => inner(), { name: 'outer' })
      report(
        'caught',
        await startActiveObservation('root', () => outer()).catch((error: Error) => error.message),
      )
      report(
        'caught inside',
        await startActiveObservation('root that recovers', async () => {
          try {
            await outer()
          } catch {
            return 'recovered'
          }
          return 'not thrown'
        }),
      )
    },
  },
]
