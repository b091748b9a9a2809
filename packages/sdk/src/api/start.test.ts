import { describe, expect, it } from 'vitest'
import { getActiveSpanId, getActiveTraceId } from './active.ts'
import { startActiveObservation, startObservation } from './start.ts'
import { recordInMemory } from './test-recorder.ts'

describe('startActiveObservation', () => {
  it('runs the function within the observation and hands on what it returns', () => {
    const recorded = recordInMemory()
    const result = startActiveObservation(
      'outer',
      (outer) => {
        expect(getActiveSpanId()).toBe(outer.id)
        expect(getActiveTraceId()).toBe(outer.traceId)
        outer.update({ model: 'm' })
        startObservation('inner').end()
        return 42
      },
      { asType: 'generation' },
    )
    expect(result).toBe(42)
    expect(getActiveSpanId()).toBeUndefined()
    const outer = recorded.one('outer')
    expect(outer).toMatchObject({
      type: 'generation',
      model: 'm',
      finished: true,
      output: undefined,
    })
    expect(recorded.one('inner').parentSpanId).toBe(outer.spanId)
  })

  it('starts with nothing but what it is given', () => {
    const recorded = recordInMemory()
    const startTime = new Date(1_700_000_000_000)
    const parentSpanContext = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: 1 }
    startActiveObservation('x', () => {}, { startTime, parentSpanContext })
    expect(recorded.one('x')).toMatchObject({
      startTime,
      parentSpanId: 'b'.repeat(16),
      type: 'span',
    })
  })

  it('ends with the promise', async () => {
    const recorded = recordInMemory()
    const promise = startActiveObservation('outer', async (outer) => {
      await null
      expect(getActiveSpanId()).toBe(outer.id)
      return 'value'
    })
    expect(recorded.one('outer').finished).toBe(false)
    expect(await promise).toBe('value')
    expect(recorded.one('outer')).toMatchObject({ finished: true, output: undefined })
  })

  it.each<[unknown, string]>([
    [new TypeError('broken'), 'broken'],
    [new Error(''), ''],
    ['text', 'Unknown error'],
    [undefined, 'Unknown error'],
  ])('sets the status for an error: %o', async (error, message) => {
    const recorded = recordInMemory()
    const sync = new Promise(() => {
      startActiveObservation('sync', () => {
        throw error
      })
    })
    await expect(sync).rejects.toBe(error)
    await expect(startActiveObservation('async', () => Promise.reject(error))).rejects.toBe(error)
    for (const name of ['sync', 'async']) {
      expect(recorded.one(name)).toMatchObject({
        finished: true,
        status: { code: 'error', message },
        level: undefined,
        statusMessage: undefined,
        output: undefined,
        events: [],
      })
    }
  })

  it('leaves the end to the caller with endOnExit false', async () => {
    const recorded = recordInMemory()
    const options = { endOnExit: false }
    startActiveObservation('sync', () => 1, options)
    await startActiveObservation('async', async () => 1, options)
    const failing = startActiveObservation('failing', () => Promise.reject(new Error('e')), options)
    await expect(failing).rejects.toThrow('e')
    for (const { finished } of recorded.all()) expect(finished).toBe(false)
    expect(recorded.one('failing').status).toEqual({ code: 'error', message: 'e' })
  })

  it('ends an event before the function runs, which is its child all the same', () => {
    const recorded = recordInMemory()
    startActiveObservation(
      'event',
      (event) => {
        expect(event.otelSpan.isRecording()).toBe(false)
        startObservation('inner').end()
      },
      { asType: 'event' as 'span' },
    )
    const event = recorded.one('event')
    expect(event).toMatchObject({ type: 'event', durationMs: 0 })
    expect(recorded.one('inner')).toMatchObject({ parentSpanId: event.spanId, appRoot: false })
  })

  it('keeps concurrent observations apart', async () => {
    const recorded = recordInMemory()
    await Promise.all(
      ['a', 'b', 'c'].map((name) =>
        startActiveObservation(name, async (outer) => {
          for (let i = 0; i < 3; i++) {
            await new Promise(setImmediate)
            startObservation(`${name}${i}`).end()
            expect(getActiveSpanId()).toBe(outer.id)
          }
        }),
      ),
    )
    for (const name of ['a', 'b', 'c']) {
      const { spanId } = recorded.one(name)
      for (let i = 0; i < 3; i++) expect(recorded.one(`${name}${i}`).parentSpanId).toBe(spanId)
    }
  })
})
