import {
  createTraceId,
  getActiveSpanId,
  getActiveTraceId,
  observe,
  startActiveObservation,
  startObservation,
} from '#tracing'
import * as given from '../given.ts'
import type { Program } from '../program.ts'

const parents: Record<string, object> = {
  sampled: given.parent,
  remote: { ...given.parent, isRemote: true },
  'not remote': { ...given.parent, isRemote: false },
  'not sampled': { ...given.parent, traceFlags: 0 },
  'no flags': { traceId: given.traceId, spanId: given.spanId },
  'more flags': { ...given.parent, traceFlags: 3 },
  'short trace id': { ...given.parent, traceId: 'abc' },
  'no hex': { ...given.parent, traceId: 'x'.repeat(32) },
  'zero trace id': { ...given.parent, traceId: '0'.repeat(32) },
  'zero span id': { ...given.parent, spanId: '0'.repeat(16) },
  'upper case': { ...given.parent, traceId: given.traceId.toUpperCase() },
  empty: {},
}

export const parentContexts: Program[] = [
  {
    name: 'explicit parents',
    run(report) {
      for (const [name, context] of Object.entries(parents)) {
        const parentSpanContext = context as typeof given.parent
        const observation = startObservation(`by hand, ${name}`, {}, { parentSpanContext })
        report(`recording, ${name}`, observation.otelSpan.isRecording())
        report(`flags, ${name}`, observation.otelSpan.spanContext().traceFlags)
        report(`trace, ${name}`, observation.traceId.toLowerCase() === given.traceId)
        report(`own id, ${name}`, observation.id !== given.spanId)
        observation.startObservation(`child, ${name}`).end()
        observation.end()
        startActiveObservation(
          `active, ${name}`,
          (active) => {
            report(`active trace, ${name}`, getActiveTraceId() === active.traceId)
            report(`active id, ${name}`, getActiveSpanId() === active.id)
            startObservation(`inside active, ${name}`).end()
          },
          { parentSpanContext },
        )
        observe(() => startObservation(`inside observed, ${name}`).end(), {
          name: `observed, ${name}`,
          parentSpanContext,
        })()
      }
    },
  },
  {
    name: 'an explicit parent before the active one',
    run() {
      startActiveObservation('outer', (outer) => {
        startObservation('elsewhere', {}, { parentSpanContext: given.parent }).end()
        startActiveObservation(
          'active elsewhere',
          () => {
            startObservation('below').end()
            startObservation(
              'back to the outer',
              {},
              {
                parentSpanContext: outer.otelSpan.spanContext(),
              },
            ).end()
          },
          { parentSpanContext: given.parent },
        )
        startObservation(
          'unknown parent in the same trace',
          {},
          { parentSpanContext: { ...given.parent, traceId: outer.traceId } },
        ).end()
        startObservation(
          'invalid parent',
          {},
          {
            parentSpanContext: { traceId: 'x', spanId: 'y', traceFlags: 1 },
          },
        ).end()
        startObservation('below the outer').end()
      })
    },
  },
  {
    name: 'traces with a seeded id',
    async run(report) {
      const traceId = await createTraceId('seed')
      report('seed', traceId)
      report('unicode seed', await createTraceId('Tiếng Việt 😀'))
      const random = [await createTraceId(), await createTraceId(''), await createTraceId()]
      report('random', [new Set(random).size, random.every((id) => /^[0-9a-f]{32}$/.test(id))])
      const parentSpanContext = { traceId, spanId: given.spanId, traceFlags: 1 }
      startObservation('in the seeded trace', {}, { parentSpanContext }).end()
      startActiveObservation('active in it', () => startObservation('child').end(), {
        parentSpanContext,
      })
    },
  },
]
