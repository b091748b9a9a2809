import {
  getActiveSpanId,
  getActiveTraceId,
  setActiveTraceAsPublic,
  setActiveTraceIO,
  startActiveObservation,
  startObservation,
  updateActiveObservation,
} from '#tracing'
import type { Program } from '../program.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

export const structure: Program[] = [
  {
    name: 'nesting by hand',
    run(report) {
      const root = startObservation('root', { input: 'in' }, { asType: 'agent' })
      const child = root.startObservation('child', { input: 1 }, { asType: 'chain' })
      const leaf = child.startObservation('leaf', { model: 'm' }, { asType: 'generation' })
      child.startObservation('event', { input: 'e' }, { asType: 'event' })
      report('same trace', leaf.traceId === root.traceId)
      report('ids differ', new Set([root.id, child.id, leaf.id]).size)
      report('id format', [/^[0-9a-f]{16}$/.test(root.id), /^[0-9a-f]{32}$/.test(root.traceId)])
      report('span context agrees', [
        root.otelSpan.spanContext().spanId === root.id,
        root.otelSpan.spanContext().traceId === root.traceId,
        root.otelSpan.spanContext().traceFlags,
      ])
      leaf.end()
      child.end()
      root.end()
      startObservation('another root').end()
    },
  },
  {
    name: 'children of an ended parent',
    run() {
      const parent = startObservation('ended first')
      const open = parent.startObservation('open while it ends')
      parent.end()
      parent.startObservation('started afterwards').end()
      open.startObservation('grandchild of an open one').end()
      open.end()
    },
  },
  {
    name: 'active nesting, sync and async',
    async run(report) {
      report(
        'sync result',
        startActiveObservation('sync outer', (outer) => {
          outer.update({ input: 'i' })
          startActiveObservation('sync inner', (inner) => inner.update({ output: 'o' }), {
            asType: 'tool',
          })
          startObservation('manual in sync').end()
          report('active id', getActiveSpanId() === outer.id)
          report('active trace', getActiveTraceId() === outer.traceId)
          return 'value'
        }),
      )
      report('active outside', [getActiveSpanId(), getActiveTraceId()])
      const result = startActiveObservation(
        'async outer',
        async (outer) => {
          await turn()
          const inner = await startActiveObservation('async inner', async () => {
            await turn()
            startObservation('manual in async').end()
            return 'inner'
          })
          report('active id after await', getActiveSpanId() === outer.id)
          return inner
        },
        { asType: 'agent' },
      )
      report('a promise', result instanceof Promise)
      report('async result', await result)
    },
  },
  {
    name: 'parallel contexts do not mix',
    async run() {
      await Promise.all(
        ['a', 'b', 'c'].map((name) =>
          startActiveObservation(`root ${name}`, async () => {
            await turn()
            startObservation(`first child ${name}`).end()
            await startActiveObservation(`second child ${name}`, turn)
            startObservation(`third child ${name}`).end()
          }),
        ),
      )
    },
  },
  {
    name: 'deep nesting',
    run() {
      const descend = (level: number): void => {
        if (level === 60) return
        startActiveObservation(`level ${level}`, () => descend(level + 1))
      }
      descend(0)
      let observation = startObservation('by hand 0')
      const all = [observation]
      for (let level = 1; level < 60; level++) {
        observation = observation.startObservation(`by hand ${level}`)
        all.push(observation)
      }
      for (const each of all.reverse()) each.end()
    },
  },
  {
    name: 'work that outlives its active observation',
    async run(report) {
      let late = Promise.resolve()
      startActiveObservation('over soon', (outer) => {
        late = (async () => {
          await turn()
          report('still active', getActiveSpanId() === outer.id)
          updateActiveObservation({ input: 'too late' })
          startObservation('late by context').end()
          outer.startObservation('late by hand').end()
          startActiveObservation('late and active', () => {})
        })()
      })
      await late
      let kept: ReturnType<typeof startObservation> | undefined
      startActiveObservation('kept', (outer) => {
        kept = outer
      })
      kept?.startObservation('late from outside').end()
    },
  },
  {
    name: 'updating the active observation',
    run(report) {
      startActiveObservation(
        'without asType',
        (tool) => {
          report(
            'returns',
            updateActiveObservation({ input: 'i', metadata: { a: 1 }, level: 'DEBUG' }),
          )
          updateActiveObservation({ metadata: { b: 2 } })
          report('type', tool.type)
        },
        { asType: 'tool' },
      )
      startActiveObservation(
        'with asType',
        (tool) => {
          updateActiveObservation({ output: 'o', model: 'm' }, { asType: 'generation' })
          report('type stays on the object', tool.type)
        },
        { asType: 'tool' },
      )
      startActiveObservation(
        'its own update sets the type back',
        (tool) => {
          updateActiveObservation({ output: 'o' }, { asType: 'generation' })
          tool.update({ input: 'i' })
        },
        { asType: 'tool' },
      )
      startActiveObservation('a manual one is not active', () => {
        const manual = startObservation('manual')
        updateActiveObservation({ output: 'for the active one' })
        manual.end()
      })
      startActiveObservation('model fields without asType', () => {
        updateActiveObservation({ model: 'm', usageDetails: { input: 1 } } as object)
      })
      report('outside', [
        updateActiveObservation({ input: 'nowhere' }),
        setActiveTraceIO({ input: 'nowhere' }),
        setActiveTraceAsPublic(),
      ])
    },
  },
  {
    name: 'trace input, output and publishing',
    run(report) {
      const root = startObservation('root')
      const child = root.startObservation('child')
      report(
        'chains',
        child.setTraceIO({ input: 'i', output: { a: 1 } }).setTraceAsPublic() === child,
      )
      child.setTraceIO({ input: null, output: 'second' })
      child.end()
      root.setTraceIO({}).end()
      startActiveObservation('active', () => {
        report('returns', [
          setActiveTraceIO({ input: { q: 1 }, output: 'o' }),
          setActiveTraceAsPublic(),
        ])
        startObservation('child of active').end()
      })
    },
  },
  {
    name: 'events',
    run(report) {
      const event = startObservation('event', { input: 'i', output: 'o' }, { asType: 'event' })
      report('recording', event.otelSpan.isRecording())
      report('end again', event.end())
      event.setTraceIO({ input: 'too late' })
      event.startObservation('child of an event').end()
      startActiveObservation(
        'active event',
        (active) => {
          report('recording when active', active.otelSpan.isRecording())
          report('active id', getActiveSpanId() === active.id)
          updateActiveObservation({ input: 'too late' })
          startObservation('inside an active event').end()
        },
        { asType: 'event' as 'span' },
      )
    },
  },
]
