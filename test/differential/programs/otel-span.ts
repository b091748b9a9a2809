import {
  getActiveSpanId,
  getLangfuseTracer,
  LangfuseEvent,
  LangfuseGeneration,
  LangfuseSpan,
  propagateAttributes,
  startActiveObservation,
  startObservation,
  updateActiveObservation,
} from '#tracing'
import * as given from '../given.ts'
import type { Program } from '../program.ts'

export const otelSpan: Program[] = [
  {
    name: 'the OpenTelemetry span of an observation',
    run(report) {
      const observation = startObservation('first name', { input: 'i' })
      const span = observation.otelSpan
      report('recording', span.isRecording())
      report('chains', [
        span.setAttribute('a', 1) === span,
        span.setAttributes({ b: 2 }) === span,
        span.addEvent('e') === span,
        span.setStatus({ code: 0 }) === span,
        span.updateName('second name') === span,
        span.addLink({ context: given.parent }) === span,
      ])
      report('recordException', span.recordException(new Error('x')))
      span.setAttribute('langfuse.observation.type', 'tool')
      span.setAttribute('user.id', 'u')
      observation.end()
      report('recording after', span.isRecording())
      startObservation('ended by its span', {}).otelSpan.end(new Date(4_102_444_800_000))
    },
  },
  {
    name: 'OpenTelemetry attribute values',
    run() {
      const span = startObservation('attributes').otelSpan
      const attributes: Record<string, unknown> = {
        string: 'text',
        'empty string': '',
        int: 5,
        negative: -5,
        'large int': 2 ** 53,
        double: 1.5,
        true: true,
        false: false,
        strings: ['x', 'y'],
        ints: [1, 2],
        numbers: [1, 2.5],
        booleans: [true, false],
        'empty array': [],
        'array with null': [null, 'a'],
        'mixed array': [1, 'a'],
        object: { a: 1 },
        'array of objects': [{ a: 1 }],
        null: null,
        undefined: undefined,
        bigint: 5n,
        function: () => 1,
        '': 'empty key',
        'khóa 😀': 'giá trị',
      }
      for (const [key, value] of Object.entries(attributes)) {
        span.setAttribute(key, value as string)
      }
      span.setAttribute('overridden', 'first').setAttribute('overridden', 2)
      span.setAttribute('kept', 'first').setAttribute('kept', { a: 1 } as never)
      span.end()
      const list = ['captured']
      const late = startObservation('array changed later').otelSpan
      late.setAttributes({ list, 'set together': true })
      late.end()
    },
  },
  {
    name: 'OpenTelemetry events and links',
    run() {
      const observation = startObservation('with events', {}, { startTime: given.start })
      const span = observation.otelSpan
      span.addEvent('plain')
      span.addEvent('attributes', { a: 1, b: 'x', bad: { c: 1 } as never, list: ['l'] })
      span.addEvent('date', given.start)
      span.addEvent('attributes and time', { a: 1 }, [1_700_000_001, 5])
      span.addEvent('milliseconds', { a: 1 }, 1_700_000_002_000)
      span.addEvent('Sự kiện 😀')
      span.recordException('text alone', given.start)
      span.recordException(new TypeError('wrong type'), given.start)
      span.recordException({ code: 42, message: 'coded' }, given.start)
      span.recordException({ name: 'NameOnly' }, given.start)
      span.recordException({} as never, given.start)
      span.addLink({ context: { ...given.parent, traceFlags: 0 }, attributes: { l: 1 } })
      span.addLinks([
        { context: given.parent },
        { context: { ...given.parent, traceId: given.otherTraceId, isRemote: true } },
      ])
      observation.end()
    },
  },
  {
    name: 'OpenTelemetry status',
    run() {
      const set = (name: string, ...statuses: { code: number; message?: unknown }[]): void => {
        const observation = startObservation(name)
        for (const status of statuses) observation.otelSpan.setStatus(status as { code: 0 })
        observation.end()
      }
      set('ok', { code: 1 })
      set('ok drops its message', { code: 1, message: 'fine' })
      set('error', { code: 2, message: 'broke' })
      set('error without message', { code: 2 })
      set('error with an empty message', { code: 2, message: '' })
      set('error with a number', { code: 2, message: 5 })
      set('ok stays', { code: 1 }, { code: 2, message: 'broke' })
      set('error becomes ok', { code: 2, message: 'broke' }, { code: 1 })
      set('error stays on unset', { code: 2, message: 'broke' }, { code: 0 })
      set('the last error', { code: 2, message: 'first' }, { code: 2, message: 'second' })
      set('message lost', { code: 2, message: 'first' }, { code: 2 })
      try {
        startActiveObservation('thrown after ok', (active) => {
          active.otelSpan.setStatus({ code: 1 })
          throw new Error('broke')
        })
      } catch {
        // what it left in the span is compared
      }
    },
  },
  {
    name: "Langfuse's attributes set one by one",
    run() {
      const tagged = propagateAttributes({ tags: ['a', 'b'], metadata: { kept: '1' } }, () =>
        startObservation('trace attributes'),
      )
      tagged.otelSpan.setAttributes({
        'langfuse.trace.tags': ['c'],
        'langfuse.trace.name': 'named',
        'langfuse.trace.metadata.more': 'm',
        'langfuse.trace.metadata.empty': '',
        'langfuse.trace.public': false,
        'session.id': 's',
      })
      tagged.end()
      const own = startObservation('own attributes', { input: 'before', metadata: { a: 1 } })
      own.otelSpan.setAttributes({
        'langfuse.observation.input': 'after',
        'langfuse.observation.output': '',
        'langfuse.observation.metadata.a': '2',
        'langfuse.observation.metadata.empty': '',
        'langfuse.observation.metadata.number': 3,
        'langfuse.observation.prompt.name': 'p',
        'langfuse.observation.prompt.version': 4,
        'langfuse.observation.type': 'not a type',
        'langfuse.environment': 'prod',
        'langfuse.release': 'r',
        'langfuse.unknown': 'u',
      })
      own.end()
      const replaced = startObservation('replaced by updates', {}, { asType: 'generation' })
      replaced.otelSpan.setAttributes({
        'langfuse.observation.input': 'set',
        'langfuse.observation.level': 'DEBUG',
        'langfuse.observation.model.name': 'set',
        'langfuse.observation.metadata.a': 'set',
        'langfuse.observation.usage_details': '{"input":1}',
        'langfuse.observation.type': 'tool',
      })
      replaced
        .update({ input: { u: 1 }, level: 'ERROR', model: 'updated', metadata: { a: 'updated' } })
        .update({ usageDetails: { input: 2 } })
        .end()
    },
  },
  {
    name: 'spans of the tracer',
    async run(report) {
      const tracer = getLangfuseTracer()
      const span = tracer.startSpan('raw span', {
        kind: 2,
        attributes: { a: 1, bad: { b: 1 } as never, 'langfuse.observation.type': 'tool' },
        links: [{ context: given.parent, attributes: { l: 'x' } }],
        startTime: given.start,
      })
      span.end(given.end)
      tracer.startSpan('without a type').end()
      report(
        'active',
        tracer.startActiveSpan('raw and active', (active) => {
          startObservation('observation below').end()
          updateActiveObservation({ input: 'i', metadata: { a: 1 } })
          updateActiveObservation({ model: 'm' }, { asType: 'generation' })
          report('active id', getActiveSpanId() === active.spanContext().spanId)
          tracer.startSpan('raw below').end()
          tracer.startSpan('raw root', { root: true }).end()
          active.end()
          return 'result'
        }),
      )
      await startActiveObservation('observation', async () => {
        tracer.startSpan('raw below an observation', { kind: 4 }).end()
        await propagateAttributes({ userId: 'u', tags: ['t'] }, async () => {
          tracer.startSpan('raw with propagated').end()
        })
      })
    },
  },
  {
    name: 'observations made of a span',
    run(report) {
      const { otelSpan } = startObservation('a generation of it', { input: 'i' })
      const generation = new LangfuseGeneration({ otelSpan, attributes: { model: 'm' } })
      report('type', generation.type)
      report('same ids', [
        generation.id === otelSpan.spanContext().spanId,
        generation.traceId === otelSpan.spanContext().traceId,
      ])
      report('chains', generation.update({ output: 'o' }).setTraceIO({ input: 't' }) === generation)
      generation.startObservation('child').end()
      generation.end()
      const raw = getLangfuseTracer().startSpan('a span of it')
      new LangfuseSpan({ otelSpan: raw }).end(given.end)
      const event = new LangfuseEvent({
        otelSpan: getLangfuseTracer().startSpan('an event of it', { startTime: given.start }),
        attributes: { input: 'e' },
        timestamp: given.end,
      })
      report('event', event.type)
      const late = startObservation('ended before')
      late.end()
      new LangfuseGeneration({ otelSpan: late.otelSpan, attributes: { model: 'too late' } }).end()
    },
  },
]
