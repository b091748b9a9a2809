import { startActiveObservation, startObservation } from '#tracing'
import type { Program } from '../program.ts'

export const updates: Program[] = [
  {
    name: 'updates merge and override',
    run(report) {
      const observation = startObservation(
        'updated',
        { input: 'i', output: 'o', metadata: { a: 1, nested: { x: 1 } }, level: 'ERROR' },
        { asType: 'generation' },
      )
      report('returns itself', observation.update({ model: 'first' }) === observation)
      observation.update({ metadata: { nested: { y: 2 }, c: 3 }, model: 'second' })
      observation.update({ usageDetails: { input: 1 } })
      observation.update({ usageDetails: { output: 2 } })
      observation.update({})
      observation.end()

      const cleared = startObservation('null and undefined do not clear', {
        input: 'i',
        output: 'o',
        metadata: { a: 'a', b: 'b' },
        level: 'WARNING',
        statusMessage: 's',
        version: 'v',
        environment: 'e',
      })
      cleared.update({
        input: null,
        output: undefined,
        metadata: { a: null, b: undefined },
        level: null,
        statusMessage: null,
        version: null,
        environment: undefined,
      } as never)
      cleared.end()

      const kinds = startObservation('metadata of two kinds', { metadata: { a: 1 } })
      kinds.update({ metadata: 'text' as never })
      kinds.update({ metadata: { a: '', b: 'b' } })
      kinds.end()
    },
  },
  {
    name: 'after the end nothing changes',
    run(report) {
      const observation = startObservation('ended', { input: 'i' })
      observation.end()
      report('recording', observation.otelSpan.isRecording())
      report('update returns itself', observation.update({ output: 'late' }) === observation)
      observation.setTraceIO({ input: 'late' }).setTraceAsPublic()
      observation.otelSpan.setAttribute('late', true)
      observation.otelSpan.addEvent('late')
      observation.otelSpan.updateName('late')
      observation.otelSpan.setStatus({ code: 2, message: 'late' })
      report('second end', observation.end(new Date(1_600_000_000_000)))
    },
  },
  {
    name: 'endOnExit false',
    async run(report) {
      let open = startObservation('unused')
      open.end()
      report(
        'sync result',
        startActiveObservation(
          'sync',
          (observation) => {
            open = observation
            return 5
          },
          { endOnExit: false },
        ),
      )
      report('still recording', open.otelSpan.isRecording())
      open.update({ output: 'later' })
      open.end()
      await startActiveObservation(
        'async',
        async (observation) => {
          open = observation
        },
        { endOnExit: false },
      )
      open.update({ output: 'later' })
      open.end()
      try {
        startActiveObservation(
          'with an error',
          (observation) => {
            open = observation
            throw new Error('broke')
          },
          { endOnExit: false },
        )
      } catch (error) {
        report('rethrown', String(error))
      }
      open.update({ output: 'later' })
      open.end()
      startActiveObservation('ended inside', (observation) => observation.end())
    },
  },
  {
    name: 'one observation changed often',
    run() {
      const observation = startObservation('often', {}, { asType: 'generation' })
      for (let i = 0; i < 100; i++) {
        observation.update({ output: `token ${i}`, metadata: { [`k${i % 10}`]: i } })
      }
      observation.end()
    },
  },
]
