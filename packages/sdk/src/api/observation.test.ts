import { describe, expect, it } from 'vitest'
import { OBSERVATION_TYPES } from '../spool/format.ts'
import {
  LangfuseAgent,
  LangfuseChain,
  LangfuseEmbedding,
  LangfuseEvaluator,
  LangfuseEvent,
  LangfuseGeneration,
  LangfuseGuardrail,
  LangfuseRetriever,
  LangfuseSpan,
  LangfuseTool,
} from './observation.ts'
import { startActiveObservation, startObservation } from './start.ts'
import { recordInMemory } from './test-recorder.ts'

const CLASSES = {
  span: LangfuseSpan,
  generation: LangfuseGeneration,
  event: LangfuseEvent,
  embedding: LangfuseEmbedding,
  agent: LangfuseAgent,
  tool: LangfuseTool,
  chain: LangfuseChain,
  retriever: LangfuseRetriever,
  evaluator: LangfuseEvaluator,
  guardrail: LangfuseGuardrail,
}

describe('startObservation', () => {
  it.each(OBSERVATION_TYPES)('makes a %s', (asType) => {
    const recorded = recordInMemory()
    const observation = startObservation('x', { input: 'in' }, { asType: asType as 'span' })
    expect(observation).toBeInstanceOf(CLASSES[asType])
    expect(observation.type).toBe(asType)
    expect(observation.id).toMatch(/^[0-9a-f]{16}$/)
    expect(observation.traceId).toMatch(/^[0-9a-f]{32}$/)
    observation.end()
    expect(recorded.one('x')).toMatchObject({
      type: asType,
      input: 'in',
      spanId: observation.id,
      traceId: observation.traceId,
      parentSpanId: null,
      finished: true,
      appRoot: true,
    })
  })

  it('takes an unknown type as a span', () => {
    recordInMemory()
    const observation = startObservation('x', {}, { asType: 'dream' as 'span' })
    expect(observation).toBeInstanceOf(LangfuseSpan)
    expect(observation.type).toBe('span')
  })

  it('records all attributes, of whatever type', () => {
    const recorded = recordInMemory()
    const completionStartTime = new Date(1_700_000_000_500)
    startObservation(
      'x',
      {
        input: { a: [1, 'ế'] },
        output: 'out',
        metadata: { k: 1 },
        level: 'WARNING',
        statusMessage: 'hm',
        version: 'v1',
        environment: 'test',
        completionStartTime,
        model: 'm',
        modelParameters: { temperature: 0.5 },
        usageDetails: { input: 1, output: 2 },
        costDetails: { total: 0.1 },
        prompt: { name: 'p', version: 3, isFallback: false },
      },
      { asType: 'generation' },
    )
    expect(recorded.one('x')).toMatchObject({
      finished: false,
      input: { a: [1, 'ế'] },
      output: 'out',
      metadata: { k: 1 },
      level: 'WARNING',
      statusMessage: 'hm',
      version: 'v1',
      environment: 'test',
      completionStartTime,
      model: 'm',
      modelParameters: { temperature: 0.5 },
      usageDetails: { input: 1, output: 2 },
      costDetails: { total: 0.1 },
      prompt: { name: 'p', version: 3 },
    })
  })

  it('takes null where attributes and options are left out', () => {
    const recorded = recordInMemory()
    startObservation('x', null as never, null as never).end()
    startObservation('y', {}, { startTime: null as never }).end(null as never)
    expect(recorded.all()).toHaveLength(2)
  })

  it('links nothing to a fallback prompt', () => {
    const recorded = recordInMemory()
    const prompt = { name: 'p', version: 1, isFallback: true }
    startObservation('x', { prompt }, { asType: 'generation' })
    expect(recorded.one('x').prompt).toBeUndefined()
  })
})

describe('update', () => {
  it('merges metadata, replaces the rest, and is chained', () => {
    const recorded = recordInMemory()
    const span = startObservation('x', { metadata: { a: 1, b: { x: 1 } }, input: 'first' })
    const same = span.update({ metadata: { b: { y: 2 }, c: 3 }, input: 'second' })
    expect(same).toBe(span)
    span.update({ input: undefined, output: null } as never)
    expect(recorded.one('x')).toMatchObject({
      metadata: { a: 1, b: { y: 2 }, c: 3 },
      input: 'second',
      output: undefined,
    })
  })

  it('does nothing after the end, nor does a second end', () => {
    const recorded = recordInMemory()
    const span = startObservation('x', { output: 'kept' })
    span.end(new Date(Date.now() + 1000))
    const { endTime } = recorded.one('x')
    span.update({ output: 'late' }).setTraceIO({ input: 'late' }).setTraceAsPublic()
    span.end()
    span.otelSpan.end()
    expect(recorded.one('x')).toMatchObject({
      output: 'kept',
      endTime,
      trace: { input: undefined, public: undefined },
    })
  })

  it('sees the value as it is at the call', () => {
    const recorded = recordInMemory()
    const messages = ['one']
    const span = startObservation('x', { input: messages })
    messages.push('two')
    span.end()
    expect(recorded.one('x').input).toEqual(['one'])
  })

  it('records nothing but the type it has', () => {
    const recorded = recordInMemory()
    startObservation('x', {}, { asType: 'tool' }).update({ output: 1 }).end()
    expect(recorded.one('x')).toMatchObject({ type: 'tool', types: 0 })
  })

  it('exists on all but events', () => {
    recordInMemory()
    const event = startObservation('x', {}, { asType: 'event' })
    expect('update' in event).toBe(false)
  })
})

describe('events', () => {
  it('have ended when they are made', () => {
    const recorded = recordInMemory()
    const event = startObservation('x', { output: 1 }, { asType: 'event' })
    expect(event.otelSpan.isRecording()).toBe(false)
    event.end()
    expect(recorded.one('x')).toMatchObject({
      type: 'event',
      finished: true,
      durationMs: 0,
      output: 1,
    })
  })

  it('happen when they are said to', () => {
    const recorded = recordInMemory()
    const startTime = new Date(1_700_000_000_123)
    startObservation('x', {}, { asType: 'event', startTime })
    expect(recorded.one('x')).toMatchObject({ startTime, endTime: startTime })
  })
})

describe('times', () => {
  it.each([
    ['Date', new Date(1_700_000_000_250)],
    ['milliseconds', 1_700_000_000_250],
    ['HrTime', [1_700_000_000, 250_000_000] as [number, number]],
  ])('%s', (_, end) => {
    const recorded = recordInMemory()
    startObservation('x', {}, { startTime: new Date(1_700_000_000_000) }).end(end)
    expect(recorded.one('x')).toMatchObject({
      startTime: new Date(1_700_000_000_000),
      endTime: new Date(1_700_000_000_250),
      durationMs: 250,
    })
  })

  it.each([Number.NaN, new Date(Number.NaN), 'noon', {}, [1], ['a', 'b']])('%o is now', (time) => {
    const recorded = recordInMemory()
    const before = Date.now()
    startObservation('x', {}, { startTime: time as Date }).end(time as Date)
    const { startTime, endTime } = recorded.one('x')
    for (const recordedTime of [startTime, endTime!]) {
      expect(Math.abs(recordedTime.getTime() - before)).toBeLessThan(1000)
    }
  })
})

describe('children', () => {
  it('have their parent, active or not, ended or not', () => {
    const recorded = recordInMemory()
    const parent = startObservation('parent')
    const child = parent.startObservation('child', { model: 'm' }, { asType: 'generation' })
    expect(child).toBeInstanceOf(LangfuseGeneration)
    parent.end()
    parent.startObservation('late').end()
    for (const name of ['child', 'late']) {
      expect(recorded.one(name)).toMatchObject({ traceId: parent.traceId, parentSpanId: parent.id })
    }
    expect(recorded.one('child')).toMatchObject({ model: 'm', appRoot: false })
    expect(recorded.one('late').appRoot).toBe(true)
  })

  it('ignore start time and parent in their options', () => {
    const recorded = recordInMemory()
    const parent = startObservation('parent')
    const startTime = new Date(5)
    parent.startObservation('child', {}, { startTime, parentSpanContext: {} } as never)
    const child = recorded.one('child')
    expect(child.parentSpanId).toBe(parent.id)
    expect(child.startTime).not.toEqual(startTime)
  })

  it('are no application roots where their trace is worked on', () => {
    const recorded = recordInMemory()
    startActiveObservation('outer', (outer) => {
      const inner = outer.startObservation('inner')
      inner.end()
      inner.startObservation('after inner').end()
    })
    expect(recorded.one('outer').appRoot).toBe(true)
    expect(recorded.one('inner').appRoot).toBe(false)
    expect(recorded.one('after inner').appRoot).toBe(false)
  })
})

describe('parentSpanContext', () => {
  const traceId = '0af7651916cd43dd8448eb211c80319c'
  const spanId = 'b7ad6b7169203331'

  it('is the parent in place of the active observation', () => {
    const recorded = recordInMemory()
    startActiveObservation('outer', () => {
      startObservation(
        'x',
        {},
        { parentSpanContext: { traceId, spanId, traceFlags: 1, isRemote: true } },
      )
    })
    expect(recorded.one('x')).toMatchObject({
      traceId,
      parentSpanId: spanId,
      remoteParent: true,
      appRoot: true,
    })
  })

  it('marks the direct child alone as having a remote parent', () => {
    const recorded = recordInMemory()
    const x = startObservation(
      'x',
      {},
      { parentSpanContext: { traceId, spanId, traceFlags: 1, isRemote: true } },
    )
    x.startObservation('y')
    expect(recorded.one('y')).toMatchObject({ traceId, remoteParent: false, appRoot: false })
  })

  it.each([0, 2, undefined])('with flags %s records nothing, and has ids', (traceFlags) => {
    const recorded = recordInMemory()
    const x = startObservation(
      'x',
      {},
      { parentSpanContext: { traceId, spanId, traceFlags: traceFlags as number } },
    )
    x.update({ output: 1 }).startObservation('y').end()
    x.end()
    expect(recorded.all()).toEqual([])
    expect(x.traceId).toBe(traceId)
    expect(x.id).not.toBe(spanId)
    expect(x.otelSpan.isRecording()).toBe(false)
    expect(x.otelSpan.spanContext().traceFlags).toBe(0)
  })

  it.each([
    { traceId: '0'.repeat(32), spanId, traceFlags: 1 },
    { traceId, spanId: '0'.repeat(16), traceFlags: 1 },
    { traceId: 'x', spanId, traceFlags: 1 },
    { traceId: undefined as never, spanId, traceFlags: 1 },
  ])('that is invalid begins a new trace: %o', (parentSpanContext) => {
    const recorded = recordInMemory()
    const x = startObservation('x', {}, { parentSpanContext })
    expect(x.traceId).not.toBe(traceId)
    expect(recorded.one('x')).toMatchObject({ parentSpanId: null, appRoot: true })
  })

  it('of an open observation of this process makes no application root, of an ended one it does', () => {
    const recorded = recordInMemory()
    const parent = startObservation('parent')
    const parentSpanContext = { traceId: parent.traceId, spanId: parent.id, traceFlags: 1 }
    startObservation('child', {}, { parentSpanContext })
    parent.end()
    startObservation('late', {}, { parentSpanContext })
    expect(recorded.one('child')).toMatchObject({ parentSpanId: parent.id, appRoot: false })
    expect(recorded.one('late')).toMatchObject({ parentSpanId: parent.id, appRoot: true })
  })
})

describe('trace attributes', () => {
  it('are set on the observation, and chained', () => {
    const recorded = recordInMemory()
    const span = startObservation('x')
    expect(span.setTraceIO({ input: { q: 1 }, output: 'a' }).setTraceAsPublic()).toBe(span)
    span.setTraceIO({ input: null })
    expect(recorded.one('x').trace).toMatchObject({ input: { q: 1 }, output: 'a', public: true })
  })
})

describe('constructors', () => {
  it('take an observation through its otelSpan', () => {
    const recorded = recordInMemory()
    const span = startObservation('x')
    const tool = new LangfuseTool({ otelSpan: span.otelSpan, attributes: { input: 1 } })
    expect(tool.id).toBe(span.id)
    tool.update({ output: 2 }).end()
    expect(recorded.one('x')).toMatchObject({ type: 'tool', input: 1, output: 2, finished: true })
  })

  it('end an event at its timestamp', () => {
    const recorded = recordInMemory()
    const { otelSpan } = startObservation('x', {}, { startTime: new Date(1_700_000_000_000) })
    new LangfuseEvent({ otelSpan, timestamp: new Date(1_700_000_000_100) })
    expect(recorded.one('x')).toMatchObject({ type: 'event', endTime: new Date(1_700_000_000_100) })
  })
})

describe('sampling', () => {
  it('leaves ids and context of what it drops, children included', () => {
    const recorded = recordInMemory({ sampleRate: 0 })
    startActiveObservation('x', (x) => {
      expect(x.traceId).toMatch(/[1-9a-f]/)
      const child = startObservation('y')
      expect(child.traceId).toBe(x.traceId)
      expect(child.id).not.toBe(x.id)
      expect(x.otelSpan.isRecording()).toBe(false)
    })
    expect(recorded.all()).toEqual([])
  })

  it("follows a sampled parent's flag", () => {
    const recorded = recordInMemory({ sampleRate: 0 })
    const parentSpanContext = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: 1 }
    startObservation('x', {}, { parentSpanContext }).startObservation('y')
    expect(recorded.all()).toHaveLength(2)
  })
})
