import {
  observe,
  propagateAttributes,
  startActiveObservation,
  startObservation,
  updateActiveObservation,
} from '#tracing'
import * as given from '../given.ts'
import type { Program } from '../program.ts'

const everything = {
  userId: 'user',
  sessionId: 'session',
  metadata: { tenant: 'a', region: 'b' },
  version: '1.0',
  tags: ['x', 'y'],
  traceName: 'trace name',
  environment: 'prod',
  prompt: { name: 'p', version: 2 },
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

export const propagation: Program[] = [
  {
    name: 'propagated to all that starts within',
    async run(report) {
      report(
        'result',
        propagateAttributes(everything, () => {
          startObservation('span').end()
          startObservation('generation', { model: 'm' }, { asType: 'generation' }).end()
          startObservation('event', {}, { asType: 'event' })
          startActiveObservation('active', (active) => {
            active.startObservation('child by hand').end()
            startObservation('child by context').end()
          })
          observe(() => 1, { name: 'observed' })()
          return 'result'
        }),
      )
      report(
        'async result',
        await propagateAttributes({ userId: 'async user' }, async () => {
          await turn()
          startObservation('after await').end()
          return 'async'
        }),
      )
      startObservation('outside').end()
    },
  },
  {
    name: 'propagation comes from the context, not from the parent',
    run() {
      const parent = propagateAttributes({ userId: 'inside' }, () => startObservation('parent'))
      parent.startObservation('child outside').end()
      propagateAttributes({ userId: 'elsewhere' }, () => parent.startObservation('child').end())
      parent.end()
    },
  },
  {
    name: 'propagation is written to the active observation',
    run() {
      startActiveObservation('active', () => {
        propagateAttributes(everything, () => startObservation('child').end())
      })
      observe(() => propagateAttributes({ sessionId: 's' }, () => {}), { name: 'observed' })()
      startActiveObservation('not to a manual one', () => {
        const manual = startObservation('manual')
        propagateAttributes({ userId: 'u' }, () => {})
        manual.end()
      })
      startActiveObservation('overrides what was set before', (active) => {
        active.update({ environment: 'own', version: 'own', metadata: { tenant: 'own' } })
        propagateAttributes(everything, () => {})
      })
      startActiveObservation('is overridden by what is set later', (active) => {
        propagateAttributes(everything, () => {})
        active.update({
          environment: 'own',
          version: 'own',
          metadata: { tenant: 'own' },
          prompt: { name: 'own', version: 9, isFallback: false },
        } as object)
      })
    },
  },
  {
    name: 'propagation nests, merges and overrides',
    run() {
      startActiveObservation('root', () => {
        const outer = {
          userId: 'u1',
          tags: ['a', 'a', 'b'],
          metadata: { one: '1', both: '1' },
          traceName: 't1',
          environment: 'e1',
          version: 'v1',
        }
        propagateAttributes(outer, () => {
          startObservation('in the outer').end()
          const inner = {
            userId: 'u2',
            tags: ['b', 'c', 'c'],
            metadata: { both: '2', two: '2' },
            environment: 'e2',
            prompt: { name: 'p', version: 1 },
          }
          propagateAttributes(inner, () => {
            startObservation('in the inner').end()
            propagateAttributes({}, () => startObservation('in nothing more').end())
          })
          startObservation('in the outer again').end()
        })
        startObservation('after both').end()
      })
    },
  },
  {
    name: 'the observation before the propagated before the process',
    env: { LANGFUSE_TRACING_ENVIRONMENT: 'from-process', LANGFUSE_RELEASE: 'r42' },
    run() {
      startObservation('process only').end()
      startObservation('own', { environment: 'own', version: 'own' }).end()
      propagateAttributes(everything, () => {
        startObservation('propagated').end()
        startObservation('own and propagated', { environment: 'own', version: 'own' }).end()
        const generation = (name: string, isFallback: boolean): void =>
          startObservation(
            name,
            { prompt: { name: 'own', version: 7, isFallback }, metadata: { tenant: 'own' } },
            { asType: 'generation' },
          ).end()
        generation('own prompt', false)
        generation('own fallback prompt', true)
        startActiveObservation('active', () => {
          updateActiveObservation({ environment: 'updated', version: 'updated' })
          startObservation('child of active').end()
        })
      })
    },
  },
  {
    name: 'values that cannot be propagated are dropped one by one',
    run() {
      propagateAttributes(
        {
          userId: 'x'.repeat(201),
          sessionId: 5,
          version: 'x'.repeat(200),
          traceName: '',
          environment: 'langfuse-internal',
          tags: ['ok', 'y'.repeat(201), 7, ''],
          metadata: { long: 'z'.repeat(201), number: 5, object: {}, ok: '1', empty: '' },
          prompt: { name: '', version: 1 },
        } as object,
        () => startObservation('mixed').end(),
      )
      const environments = {
        upper: 'Prod',
        space: 'a b',
        'too long': 'x'.repeat(41),
        'just right': 'x'.repeat(40),
        empty: '',
        null: null,
        number: 5,
        langfuse: 'langfuse',
        'inside langfuse': 'my-langfuse_1',
        undefined: undefined,
      }
      for (const [name, environment] of Object.entries(environments)) {
        propagateAttributes({ environment } as object, () =>
          startObservation(`environment ${name}`).end(),
        )
      }
      const prompts = {
        'digits as text': { name: 'p', version: '5' },
        'leading zero': { name: 'p', version: '05' },
        'not a number': { name: 'p', version: 'x' },
        fraction: { name: 'p', version: 1.5 },
        negative: { name: 'p', version: -1 },
        'number as name': { name: 5, version: 1 },
        fallback: { name: 'p', version: 1, isFallback: true },
        'long name': { name: 'p'.repeat(300), version: 1 },
        'no version': { name: 'p' },
        null: null,
      }
      for (const [name, prompt] of Object.entries(prompts)) {
        propagateAttributes({ prompt } as object, () => startObservation(`prompt ${name}`).end())
      }
      propagateAttributes({ tags: [], metadata: {}, userId: null } as object, () =>
        startObservation('empty containers').end(),
      )
      propagateAttributes({ metadata: ['listed'] } as object, () =>
        startObservation('metadata as array').end(),
      )
      propagateAttributes(
        { userId: 'Nguyễn 😀', metadata: { khóa: 'giá trị', 'a.b': 'dot' }, tags: ['thẻ'] },
        () => startObservation('unicode').end(),
      )
    },
  },
  {
    name: 'propagation as baggage',
    async run() {
      propagateAttributes({ ...everything, asBaggage: true }, () => {
        startObservation('baggage').end()
        propagateAttributes({ userId: 'inner', tags: ['z'], metadata: { tenant: 'i' } }, () =>
          startObservation('inner without baggage').end(),
        )
        propagateAttributes({ userId: 'inner', tags: ['z'], asBaggage: true }, () =>
          startObservation('inner with baggage').end(),
        )
      })
      await startActiveObservation('active', async () => {
        await propagateAttributes({ sessionId: 's', asBaggage: true }, async () => {
          await turn()
          startObservation('child with baggage').end()
        })
        startObservation('child without').end()
      })
      propagateAttributes({ tags: ['a,b', 'c'], asBaggage: true }, () =>
        startObservation('comma in a tag').end(),
      )
    },
  },
  {
    name: 'propagation in parallel and through errors',
    async run(report) {
      await Promise.all(
        ['a', 'b', 'c'].map((name) =>
          propagateAttributes({ userId: name, tags: [name] }, () =>
            startActiveObservation(`root ${name}`, async () => {
              await turn()
              startObservation(`child ${name}`).end()
            }),
          ),
        ),
      )
      try {
        propagateAttributes({ userId: 'u' }, () => {
          throw new Error('broke')
        })
      } catch (error) {
        report('sync error', String(error))
      }
      report(
        'async error',
        await propagateAttributes({ userId: 'u' }, async () => {
          throw new Error('broke later')
        }).catch(String),
      )
      startObservation('after the errors').end()
    },
  },
  {
    name: 'propagation and explicit parents',
    run() {
      startActiveObservation('outer', () => {
        propagateAttributes({ userId: 'u', traceName: 'outer name' }, () => {
          startObservation('elsewhere', {}, { parentSpanContext: given.parent }).end()
          startActiveObservation('active elsewhere', () => startObservation('below').end(), {
            parentSpanContext: given.parent,
          })
        })
      })
    },
  },
]
