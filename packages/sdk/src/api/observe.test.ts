import { describe, expect, it } from 'vitest'
import { getActiveSpanId, updateActiveObservation } from './active.ts'
import { observe } from './observe.ts'
import { startObservation } from './start.ts'
import { recordInMemory } from './test-recorder.ts'
import type { ObserveOptions } from './types.ts'

describe('observe', () => {
  it('records a call: name, input, output', () => {
    const recorded = recordInMemory()
    const add = observe(function add(a: number, b: number) {
      startObservation('inner').end()
      return a + b
    })
    expect(add(1, 2)).toBe(3)
    const { spanId } = recorded.one('add')
    expect(recorded.one('add')).toMatchObject({
      type: 'span',
      input: [1, 2],
      output: 3,
      finished: true,
      level: undefined,
    })
    expect(recorded.one('inner').parentSpanId).toBe(spanId)
    expect(getActiveSpanId()).toBeUndefined()
  })

  it('records each call of an async function, and its result once there', async () => {
    const recorded = recordInMemory()
    const wait = observe(
      async (name: string) => {
        await new Promise(setImmediate)
        updateActiveObservation({ model: name }, { asType: 'generation' })
        return { name }
      },
      { name: 'wait', asType: 'generation' },
    )
    const calls = Promise.all([wait('a'), wait('b')])
    expect(recorded.all().map(({ finished }) => finished)).toEqual([false, false])
    expect(await calls).toEqual([{ name: 'a' }, { name: 'b' }])
    expect(recorded.all()).toMatchObject([
      { type: 'generation', input: 'a', output: { name: 'a' }, model: 'a', finished: true },
      { type: 'generation', input: 'b', output: { name: 'b' }, model: 'b', finished: true },
    ])
  })

  it('keeps name and number of parameters', () => {
    const handler = (_error: unknown, _request: unknown, _response: unknown, _next: unknown) => {}
    const observed = observe(handler, { name: 'other' })
    expect([observed.name, observed.length]).toEqual(['handler', 4])
  })

  it.each<[string, unknown[], unknown]>([
    ['no argument', [], undefined],
    ['one', [{ a: 1 }], { a: 1 }],
    ['one that is falsy', [0], undefined],
    ['several, falsy or not', [0, ''], [0, '']],
  ])('records as input: %s', (_, args, input) => {
    const recorded = recordInMemory()
    observe((..._args: unknown[]) => {}, { name: 'f' })(...args)
    expect(recorded.one('f').input).toEqual(input)
  })

  it.each([[0], [false], [''], [null], [undefined]])('records as output: %o', (value) => {
    const recorded = recordInMemory()
    observe(() => value, { name: 'f' })()
    expect(recorded.one('f')).toMatchObject({ output: value ?? undefined, finished: true })
  })

  it.each<[string, (...args: never[]) => unknown, ObserveOptions, string]>([
    ['its name', function named() {}, {}, 'named'],
    ['the one given', function named() {}, { name: 'given' }, 'given'],
    ['an empty one given', function named() {}, { name: '' }, ''],
    ['none', (() => () => {})(), {}, 'anonymous-function'],
  ])('is called by %s', (_, fn, options, name) => {
    const recorded = recordInMemory()
    observe(fn, options)()
    expect(recorded.all()[0]?.name).toBe(name)
  })

  it('captures nothing where it is told so', async () => {
    const recorded = recordInMemory()
    const options = { captureInput: false, captureOutput: false }
    observe((_: string) => 'out', { ...options, name: 'f' })('in')
    const failing = observe(() => Promise.reject(new Error('e')), { ...options, name: 'g' })
    await expect(failing()).rejects.toThrow('e')
    expect(recorded.one('f')).toMatchObject({ input: undefined, output: undefined })
    expect(recorded.one('g')).toMatchObject({ output: undefined, statusMessage: 'e' })
  })

  it('passes `this` on', () => {
    recordInMemory()
    const object = {
      factor: 3,
      times: observe(function (this: { factor: number }, n: number) {
        return this.factor * n
      }),
    }
    expect(object.times(2)).toBe(6)
  })

  it.each<[unknown, string, string]>([
    [new TypeError('broken'), 'broken', 'TypeError: broken'],
    [new Error(''), 'Function threw an error', 'Error'],
    ['text', 'text', 'text'],
    [undefined, 'undefined', 'undefined'],
    [{ a: 1 }, '[object Object]', '[object Object]'],
    [0, '0', '0'],
    [Object.create(null), '[object Object]', '[object Object]'],
    [Symbol('s'), 'Symbol(s)', 'Symbol(s)'],
  ])('records an error and lets it pass: %o', async (error, statusMessage, text) => {
    const recorded = recordInMemory()
    const sync = observe(
      () => {
        throw error
      },
      { name: 'sync' },
    )
    await expect(new Promise(() => sync())).rejects.toBe(error)
    await expect(observe(() => Promise.reject(error), { name: 'async' })()).rejects.toBe(error)
    for (const name of ['sync', 'async']) {
      expect(recorded.one(name)).toMatchObject({
        finished: true,
        level: 'ERROR',
        statusMessage,
        output: { error: text },
        status: { code: 'unset' },
      })
    }
  })

  it('leaves the end to the caller with endOnExit false', async () => {
    const recorded = recordInMemory()
    await observe(async () => 1, { name: 'f', endOnExit: false })()
    await expect(
      observe(() => Promise.reject(new Error('e')), { name: 'g', endOnExit: false })(),
    ).rejects.toThrow()
    expect(recorded.one('f')).toMatchObject({ finished: false, output: 1 })
    expect(recorded.one('g')).toMatchObject({ finished: false, level: 'ERROR' })
  })

  it('writes its own type with the output and with an error, as Langfuse does', async () => {
    const recorded = recordInMemory()
    const retype = (): void => updateActiveObservation({ model: 'm' }, { asType: 'generation' })
    observe(retype, { name: 'set back', asType: 'tool' })()
    observe(retype, { name: 'kept', asType: 'tool', captureOutput: false })()
    const failing = observe(
      () => {
        retype()
        throw new Error('e')
      },
      { name: 'failed', captureOutput: false },
    )
    expect(failing).toThrow('e')
    const types = ['set back', 'kept', 'failed'].map((name) => recorded.one(name).type)
    expect(types).toEqual(['tool', 'generation', 'span'])
  })

  it('takes a parent', () => {
    const recorded = recordInMemory()
    const parentSpanContext = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: 1 }
    observe(() => {}, { name: 'f', parentSpanContext })()
    expect(recorded.one('f').parentSpanId).toBe('b'.repeat(16))
  })

  it('works for events, whose output and errors it knows', async () => {
    const recorded = recordInMemory()
    expect(observe((_: string) => 'out', { name: 'f', asType: 'event' })('in')).toBe('out')
    await expect(
      observe(() => Promise.reject(new Error('e')), { name: 'g', asType: 'event' })(),
    ).rejects.toThrow('e')
    expect(recorded.one('f')).toMatchObject({
      type: 'event',
      input: 'in',
      output: 'out',
      finished: true,
    })
    expect(recorded.one('g')).toMatchObject({ type: 'event', level: 'ERROR', finished: true })
  })
})
