import { describe, expect, it } from 'vitest'
import { getActiveSpanId } from '../api/active.ts'
import { observe } from '../api/observe.ts'
import { startActiveObservation, startObservation } from '../api/start.ts'
import { recordInMemory } from '../api/test-recorder.ts'

function* numbers(): Generator<number, string, unknown> {
  startObservation('inside').end()
  try {
    yield 1
    yield 2
    yield 3
    return 'returned'
  } finally {
    startObservation('cleanup').end()
  }
}

async function* tokens(): AsyncGenerator<string, void, unknown> {
  for (const token of ['Xin ', 'chào', '!']) {
    await new Promise(setImmediate)
    startObservation('inside').end()
    yield token
  }
}

describe('generators', () => {
  it('end with their last item; their items are the output', () => {
    const recorded = recordInMemory()
    const generator = observe(numbers, { name: 'f' })()
    expect(Object.prototype.toString.call(generator)).toBe('[object Generator]')
    expect(recorded.one('f').finished).toBe(false)
    expect([...generator]).toEqual([1, 2, 3])
    expect(recorded.one('f')).toMatchObject({ output: [1, 2, 3], finished: true })
  })

  it('run within the observation at every step', () => {
    const recorded = recordInMemory()
    startActiveObservation('caller', (caller) => {
      for (const _ of observe(numbers, { name: 'f' })()) expect(getActiveSpanId()).toBe(caller.id)
    })
    const { spanId } = recorded.one('f')
    expect(recorded.one('inside').parentSpanId).toBe(spanId)
    expect(recorded.one('cleanup').parentSpanId).toBe(spanId)
  })

  it('end with a break, after their cleanup', () => {
    const recorded = recordInMemory()
    for (const item of observe(numbers, { name: 'f' })()) if (item === 2) break
    const f = recorded.one('f')
    expect(f).toMatchObject({ output: [1, 2], finished: true, level: undefined })
    expect(recorded.one('cleanup').parentSpanId).toBe(f.spanId)
  })

  it('end with an error, and keep what came before it', () => {
    const recorded = recordInMemory()
    const failing = observe(
      function* () {
        yield 'some'
        throw new Error('broken')
      },
      { name: 'f' },
    )
    expect(() => [...failing()]).toThrow('broken')
    expect(recorded.one('f')).toMatchObject({
      output: 'some',
      level: 'ERROR',
      statusMessage: 'broken',
      finished: true,
    })
  })

  it('take and give values, errors and results', () => {
    const recorded = recordInMemory()
    const echo = observe(
      function* (): Generator<unknown, string, unknown> {
        for (;;) {
          try {
            const got = yield 'ready'
            if (got === 'stop') return 'stopped'
          } catch (error) {
            yield error
          }
        }
      },
      { name: 'f' },
    )()
    expect(echo.next()).toEqual({ value: 'ready', done: false })
    expect(echo.throw('thrown')).toEqual({ value: 'thrown', done: false })
    echo.next()
    expect(echo.next('stop')).toEqual({ value: 'stopped', done: true })
    expect(echo.next()).toEqual({ value: undefined, done: true })
    expect(recorded.one('f')).toMatchObject({ output: 'readythrownready', finished: true })
  })

  it('that yield nothing have what they return as output', () => {
    const recorded = recordInMemory()
    const generator = observe(
      // biome-ignore lint/correctness/useYield: it yields nothing
      function* () {
        return 'only this'
      },
      { name: 'f' },
    )()
    generator.next()
    expect(recorded.one('f').output).toBe('only this')
  })

  it('that were never begun end when they are closed', () => {
    const recorded = recordInMemory()
    observe(numbers, { name: 'f' })().return('x')
    expect(recorded.one('f')).toMatchObject({ finished: true, output: undefined })
  })

  it('are followed through yield* and iterator helpers', () => {
    const recorded = recordInMemory()
    const outer = function* () {
      yield* observe(numbers, { name: 'f' })()
    }
    expect([...outer()]).toEqual([1, 2, 3])
    // TypeScript's es2024 has no iterator helpers, Node 22 has.
    const generator = observe(numbers, { name: 'g' })() as unknown as number[]
    expect([...generator.map((n) => n * 2)]).toEqual([2, 4, 6])
    for (const name of ['f', 'g'])
      expect(recorded.one(name)).toMatchObject({ output: [1, 2, 3], finished: true })
  })
})

describe('async generators', () => {
  it('end with their last item, text joined', async () => {
    const recorded = recordInMemory()
    let text = ''
    for await (const token of observe(tokens, { name: 'f' })()) text += token
    expect(text).toBe('Xin chào!')
    const f = recorded.one('f')
    expect(f).toMatchObject({ output: 'Xin chào!', finished: true })
    const inside = recorded.all().filter(({ name }) => name === 'inside')
    expect(inside.map(({ parentSpanId }) => parentSpanId)).toEqual([f.spanId, f.spanId, f.spanId])
  })

  it('end with a break', async () => {
    const recorded = recordInMemory()
    for await (const _ of observe(tokens, { name: 'f' })()) break
    expect(recorded.one('f')).toMatchObject({ output: 'Xin ', finished: true })
  })

  it('end with an error', async () => {
    const recorded = recordInMemory()
    const failing = async function* () {
      yield 'some'
      throw new Error('broken')
    }
    const read = async (name: string, generator: AsyncGenerator<string>) => {
      await expect(generator.next()).resolves.toMatchObject({ value: 'some' })
      await expect(generator.next()).rejects.toThrow('broken')
      return recorded.one(name)
    }
    expect(await read('f', observe(failing, { name: 'f' })())).toMatchObject({
      statusMessage: 'broken',
      output: 'some',
    })
    expect(await read('g', startActiveObservation('g', failing))).toMatchObject({
      status: { code: 'error', message: 'broken' },
      output: undefined,
      finished: true,
    })
  })

  it('are followed when a promise brings them', async () => {
    const recorded = recordInMemory()
    const generator = await observe(async () => tokens(), { name: 'f' })()
    expect(recorded.one('f').finished).toBe(false)
    for await (const _ of generator);
    expect(recorded.one('f')).toMatchObject({ output: 'Xin chào!', finished: true })
  })

  it('take several requests at once', async () => {
    const recorded = recordInMemory()
    const generator = observe(tokens, { name: 'f' })()
    const steps = await Promise.all([
      generator.next(),
      generator.next(),
      generator.next(),
      generator.next(),
    ])
    expect(steps.map(({ value }) => value)).toEqual(['Xin ', 'chào', '!', undefined])
    expect(recorded.one('f')).toMatchObject({ output: 'Xin chào!', finished: true })
  })
})

/** As the streams of OpenAI's and Anthropic's clients are made. */
class ClientStream<T> implements AsyncIterable<T> {
  readonly iterator: () => AsyncIterator<T>
  readonly controller: AbortController = new AbortController()

  constructor(iterator: () => AsyncIterator<T>) {
    this.iterator = iterator
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    return this.iterator()
  }

  first(): Promise<IteratorResult<T>> {
    return this.iterator().next()
  }
}

describe('async iterables', () => {
  it('stay what they are and end with their iteration', async () => {
    const recorded = recordInMemory()
    const stream = new ClientStream(tokens)
    const returned = await observe(async () => stream, { name: 'f' })()
    expect(returned).toBe(stream)
    expect(returned.controller.signal.aborted).toBe(false)
    for await (const _ of returned);
    expect(recorded.one('f')).toMatchObject({ output: 'Xin chào!', finished: true })
  })

  it('end when their consumer breaks off', async () => {
    const recorded = recordInMemory()
    for await (const _ of observe(() => new ClientStream(tokens), { name: 'f' })()) break
    expect(recorded.one('f')).toMatchObject({ output: 'Xin ', finished: true })
  })

  it('are followed however they are iterated', async () => {
    const recorded = recordInMemory()
    const stream = observe(() => new ClientStream(() => tokens()), { name: 'f' })()
    await stream.first()
    expect(recorded.one('f').finished).toBe(false)
    const plain = { [Symbol.asyncIterator]: () => tokens() }
    for await (const _ of observe(() => plain, { name: 'g' })());
    expect(recorded.one('g')).toMatchObject({ output: 'Xin chào!', finished: true })
  })
})

describe('arrays, maps and sets', () => {
  it.each([[[1, 2]], [new Set([1])], [new Map([[1, 2]])]])('are values: %o', (value) => {
    const recorded = recordInMemory()
    expect(observe(() => value, { name: 'f' })()).toBe(value)
    expect(recorded.one('f').finished).toBe(true)
  })
})

it('keeps no more items than a value may have', () => {
  const recorded = recordInMemory({ maxNodes: 3, maxValueBytes: 100 })
  const many = observe(
    function* (item: unknown) {
      for (let i = 0; i < 10; i++) yield item
    },
    { name: 'f', captureInput: false },
  )
  expect([...many({})]).toHaveLength(10)
  expect([...many('x')]).toHaveLength(10)
  const [objects, text] = recorded.all()
  expect(objects!.output).toHaveLength(3)
  expect(text!.output).toBe('xxx…[truncated: 7 more items]')
})

it('hooks an object once, however often it is returned', async () => {
  const recorded = recordInMemory()
  const cached = new ClientStream(tokens)
  const get = observe(() => cached, { name: 'f' })
  // A hook on each other's shoulders would overflow the stack.
  for (let i = 0; i < 15_000; i++) get()
  for await (const _ of get());
  for await (const _ of get()) break
  const all = recorded.all().filter(({ name }) => name === 'f')
  expect(all).toHaveLength(15_002)
  expect(all.every(({ finished }) => finished)).toBe(true)
  const outputs = new Set(all.slice(0, -1).map(({ output }) => output))
  expect([...outputs, all.at(-1)?.output]).toEqual(['Xin chào!', 'Xin '])
})
