import { describe, expect, it } from 'vitest'
import { LangfuseOtelSpanAttributes as NAMES } from './attributes.ts'
import type { OtelSpan } from './otel-types.ts'
import { startObservation } from './start.ts'
import { type Recorded, recordInMemory } from './test-recorder.ts'

/** What is recorded of an observation after `use` had its span. */
function recordedOf(use: (span: OtelSpan) => void): Recorded {
  const recorded = recordInMemory()
  use(startObservation('x').otelSpan)
  return recorded.all()[0]!
}

it('is made once, with the ids of the observation', () => {
  recordInMemory()
  const observation = startObservation('x')
  expect(observation.otelSpan).toBe(observation.otelSpan)
  expect(observation.otelSpan.spanContext()).toEqual({
    traceId: observation.traceId,
    spanId: observation.id,
    traceFlags: 1,
  })
})

it('is chained, and ends the observation', () => {
  const recorded = recordedOf((span) => {
    expect(
      span.setAttribute('a', 1).setAttributes({ b: 2 }).updateName('y').setStatus({ code: 1 }),
    ).toBe(span)
    expect(span.isRecording()).toBe(true)
    span.end(new Date(4_000_000_000_000))
    expect(span.isRecording()).toBe(false)
    span.setAttribute('late', 1).addEvent('late').updateName('late')
  })
  expect(recorded).toMatchObject({
    name: 'y',
    attributes: { a: 1, b: 2 },
    events: [],
    status: { code: 'ok' },
    endTime: new Date(4_000_000_000_000),
  })
})

describe('setAttribute', () => {
  it("records Langfuse's attributes as what they mean", () => {
    const completionStartTime = new Date(1_700_000_000_000)
    const recorded = recordedOf((span) =>
      span.setAttributes({
        [NAMES.OBSERVATION_TYPE]: 'generation',
        [NAMES.OBSERVATION_INPUT]: '{"a":1}',
        [NAMES.OBSERVATION_OUTPUT]: 'out',
        [`${NAMES.OBSERVATION_METADATA}.a.b`]: 'm',
        [NAMES.OBSERVATION_LEVEL]: 'ERROR',
        [NAMES.OBSERVATION_STATUS_MESSAGE]: 'bad',
        [NAMES.OBSERVATION_MODEL]: 'gpt',
        [NAMES.OBSERVATION_PROMPT_NAME]: 'p',
        [NAMES.OBSERVATION_PROMPT_VERSION]: 2,
        [NAMES.VERSION]: 'v',
        [NAMES.ENVIRONMENT]: 'e',
        [NAMES.TRACE_NAME]: 't',
        [NAMES.TRACE_USER_ID]: 'u',
        [NAMES.TRACE_SESSION_ID]: 's',
        [NAMES.TRACE_TAGS]: ['x'],
        [NAMES.TRACE_PUBLIC]: true,
        [`${NAMES.TRACE_METADATA}.k`]: 'tm',
        [NAMES.TRACE_INPUT]: 'ti',
        [NAMES.TRACE_OUTPUT]: 'to',
        [NAMES.OBSERVATION_COMPLETION_START_TIME]: completionStartTime.toISOString(),
      }),
    )
    expect(recorded).toMatchObject({
      type: 'generation',
      input: '{"a":1}',
      output: 'out',
      metadata: { 'a.b': 'm' },
      level: 'ERROR',
      statusMessage: 'bad',
      model: 'gpt',
      prompt: { name: 'p', version: 2 },
      version: 'v',
      environment: 'e',
      completionStartTime,
      attributes: {},
      trace: {
        name: 't',
        userId: 'u',
        sessionId: 's',
        tags: ['x'],
        public: true,
        metadata: { k: 'tm' },
        input: 'ti',
        output: 'to',
      },
    })
  })

  it('keeps others, and Langfuse’s with values of another type, as they are', () => {
    const attributes = {
      'gen_ai.system': 'openai',
      n: 1.5,
      flag: false,
      list: ['a', null, 'b'],
      numbers: [1, 2],
      [NAMES.OBSERVATION_LEVEL]: 5,
      [NAMES.OBSERVATION_TYPE]: 'dream',
      [NAMES.RELEASE]: 'r',
      [NAMES.EXPERIMENT_ID]: 'ex',
    }
    expect(recordedOf((span) => span.setAttributes(attributes)).attributes).toEqual(attributes)
  })

  it('drops what OpenTelemetry drops', () => {
    const attributes = {
      '': 'x',
      nil: null,
      none: undefined,
      object: {},
      big: 1n,
      mixed: ['a', 1],
      nested: [['a']],
      fn: () => {},
      symbol: Symbol('s'),
    }
    expect(recordedOf((span) => span.setAttributes(attributes as never)).attributes).toEqual({})
  })
})

describe('setStatus', () => {
  it.each<[string, [0 | 1 | 2, string?][], { code: string; message: string }]>([
    ['error', [[2, 'y']], { code: 'error', message: 'y' }],
    ['unset changes nothing', [[2, 'y'], [0]], { code: 'error', message: 'y' }],
    [
      'a later error wins',
      [
        [2, 'y'],
        [2, 'z'],
      ],
      { code: 'error', message: 'z' },
    ],
    ['an error without message has none', [[2, 'y'], [2]], { code: 'error', message: '' }],
    [
      'ok replaces an error, without its message',
      [
        [2, 'y'],
        [1, 'm'],
      ],
      { code: 'ok', message: '' },
    ],
    ['ok is final', [[1], [2, 'y']], { code: 'ok', message: '' }],
  ])('%s', (_, statuses, expected) => {
    const { status } = recordedOf((span) => {
      for (const [code, message] of statuses) {
        span.setStatus(message === undefined ? { code } : { code, message })
      }
    })
    expect(status).toEqual(expected)
  })
})

describe('events', () => {
  it('have a time and usable attributes', () => {
    const time = new Date(1_700_000_000_123)
    const { events, startTime } = recordedOf((span) => {
      span.addEvent('now', { a: 1, bad: {} as never, nil: null as never })
      span.addEvent('at', { a: 1 }, time)
      span.addEvent('time second', time)
      span.addEvent('number', 1_700_000_000_123)
      span.addEvent('pair', [1_700_000_000, 123_000_000])
    })
    expect(events.map(({ name, attributes }) => [name, attributes])).toEqual([
      ['now', { a: 1, nil: null }],
      ['at', { a: 1 }],
      ['time second', {}],
      ['number', {}],
      ['pair', {}],
    ])
    expect(events.slice(1).map((event) => event.time)).toEqual([time, time, time, time])
    expect(Math.abs(events[0]!.time.getTime() - startTime.getTime())).toBeLessThan(1000)
  })

  it('tell of exceptions', () => {
    const error = Object.assign(new RangeError('too far'), { code: 'E_FAR' })
    const { events } = recordedOf((span) => {
      span.recordException(error)
      span.recordException(new TypeError('wrong'))
      span.recordException('plain')
      span.recordException({} as never)
      span.recordException(undefined as never)
    })
    expect(events.map(({ name, attributes }) => [name, attributes])).toEqual([
      [
        'exception',
        {
          'exception.type': 'E_FAR',
          'exception.message': 'too far',
          'exception.stacktrace': error.stack,
        },
      ],
      [
        'exception',
        expect.objectContaining({ 'exception.type': 'TypeError', 'exception.message': 'wrong' }),
      ],
      ['exception', { 'exception.message': 'plain' }],
    ])
  })
})

it('records links', () => {
  const context = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: 1 }
  const { links } = recordedOf((span) => {
    span.addLink({ context, attributes: { a: 1 } })
    span.addLinks([{ context }])
  })
  expect(links).toEqual([
    { traceId: context.traceId, spanId: context.spanId, attributes: { a: 1 } },
    { traceId: context.traceId, spanId: context.spanId, attributes: {} },
  ])
})

it('takes no harm from values that TypeScript would refuse', () => {
  const none = undefined as never
  const recorded = recordedOf((span) => {
    span
      .setAttributes(none)
      .setAttribute(5 as never, 'x')
      .setAttribute(none, 'x')
    span
      .setStatus(none)
      .setStatus({ code: 7 as never })
      .setStatus({ code: -1 as never })
    span
      .addLink(none)
      .addLink({} as never)
      .addLinks(none)
    span.addEvent(5 as never, null as never)
  })
  expect(recorded).toMatchObject({ attributes: {}, links: [], status: { code: 'unset' } })
  expect(recorded.events).toMatchObject([{ name: '5', attributes: {} }])
})

it.each([
  ['invalid', new Date(Number.NaN)],
  ['before 1970', new Date(-1)],
  ['after 2106', new Date(2 ** 32 * 1000)],
  ['a pair before 1970', [-1, 0]],
  ['a pair after 2106', [2 ** 32, 0]],
  ['a pair with negative nanoseconds', [1, -5]],
  ['no numbers', ['1', Number.NaN]],
  ['text', '2020-01-01'],
])('a time that is %s counts as not given', (_, given) => {
  const recorded = recordInMemory()
  const before = Date.now() - 10
  const { otelSpan } = startObservation('x', {}, { startTime: given as Date })
  otelSpan.addEvent('e', {}, given as Date)
  otelSpan.end(given as Date)
  const { startTime, endTime, events } = recorded.one('x')
  for (const time of [startTime, events[0]!.time, endTime!]) {
    expect(time.getTime()).toBeGreaterThanOrEqual(before)
    expect(time.getTime()).toBeLessThanOrEqual(Date.now() + 10)
  }
})
