import { createContext, runInContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { getActiveSpanId } from '../api/active.ts'
import { observe } from '../api/observe.ts'
import { startActiveObservation, startObservation } from '../api/start.ts'
import { recordInMemory } from '../api/test-recorder.ts'

/** A query as those of Prisma, Knex and Mongoose: it runs when `then` is called, each time anew. */
class Query implements PromiseLike<string[]> {
  runs = 0
  readonly #fail: boolean

  constructor(fail = false) {
    this.#fail = fail
  }

  where(): this {
    return this
  }

  // biome-ignore lint/suspicious/noThenProperty: a thenable is what is tested
  then<A, B>(
    onFulfilled?: ((rows: string[]) => A | PromiseLike<A>) | null,
    onRejected?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.runs++
    return this.#run().then(onFulfilled as never, onRejected)
  }

  catch<B>(onRejected: (error: unknown) => B): Promise<string[] | B> {
    this.runs++
    return this.#run().catch(onRejected)
  }

  async #run(): Promise<string[]> {
    startObservation('inside').end()
    if (this.#fail) throw new Error('no table')
    return ['row']
  }
}

/** As OpenAI's client has it: a promise that is fulfilled with nothing, and parses at `then`. */
class ApiPromise extends Promise<unknown> {
  parses = 0
  readonly #response: Promise<{ data: unknown }>

  constructor(response: Promise<{ data: unknown }>) {
    super((resolve) => resolve(null))
    this.#response = response
  }

  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  asResponse(): Promise<{ data: unknown }> {
    return this.#response
  }

  parse(): Promise<unknown> {
    this.parses++
    return this.#response.then(({ data }) => data)
  }

  async withResponse(): Promise<unknown> {
    const [data, response] = await Promise.all([this.parse(), this.asResponse()])
    return { data, response }
  }

  // biome-ignore lint/suspicious/noThenProperty: a thenable is what is tested
  override then<A = unknown, B = never>(
    onFulfilled?: ((value: unknown) => A | PromiseLike<A>) | null,
    onRejected?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.parse().then(onFulfilled, onRejected)
  }
}

describe('promises', () => {
  it('keep what libraries put on them', async () => {
    recordInMemory()
    const cancel = () => 'cancelled'
    const promise = observe(() => Object.assign(Promise.resolve(1), { cancel }))()
    expect(promise.cancel()).toBe('cancelled')
    expect(await promise).toBe(1)
  })

  it('keep their class', async () => {
    recordInMemory()
    class Mine extends Promise<number> {}
    const promise = observe(() => Mine.resolve(1))()
    expect(promise).toBeInstanceOf(Mine)
    expect(await promise).toBe(1)
  })

  it('keep the methods of a class whose then gives plain promises', async () => {
    const recorded = recordInMemory()
    class Cancelable extends Promise<number> {
      reason = 'none'
      static override get [Symbol.species](): PromiseConstructor {
        return Promise
      }
      cancel(): string {
        return `cancelled: ${this.reason}`
      }
    }
    const make = () => Object.assign(Cancelable.resolve(1) as Cancelable, { reason: 'enough' })
    const promise = observe(make, { name: 'f' })()
    expect(promise).toBeInstanceOf(Cancelable)
    expect(promise.cancel()).toBe('cancelled: enough')
    expect(await promise).toBe(1)
    expect(await promise.then((n) => n + 1)).toBe(2)
    expect(recorded.one('f')).toMatchObject({ output: 1, finished: true })
  })

  it('of another realm are followed', async () => {
    const recorded = recordInMemory()
    const promise = runInContext('Promise.resolve(5)', createContext())
    expect(await observe(() => promise, { name: 'f' })()).toBe(5)
    expect(recorded.one('f')).toMatchObject({ output: 5, finished: true })
  })

  it('that nobody handles are still reported', async () => {
    const recorded = recordInMemory()
    const reasons: unknown[] = []
    const listeners = process.listeners('unhandledRejection')
    process.removeAllListeners('unhandledRejection')
    const reported = new Promise<void>((resolve) => {
      process.on('unhandledRejection', (reason) => {
        reasons.push((reason as Error).message)
        if (reasons.length === 3) resolve()
      })
    })
    observe(() => Promise.reject(new Error('promise')), { name: 'f' })()
    void observe(() => new Query(true), { name: 'g' })().then()
    void startActiveObservation('h', () => Promise.reject(new Error('active')))
    await reported
    await new Promise(setImmediate)
    process.removeAllListeners('unhandledRejection')
    for (const listener of listeners) process.on('unhandledRejection', listener)
    expect(reasons.sort()).toEqual(['active', 'no table', 'promise'])
    for (const name of ['f', 'g', 'h']) expect(recorded.one(name).finished).toBe(true)
  })
})

describe('lazy queries', () => {
  it("run once, at the caller's await, within the observation", async () => {
    const recorded = recordInMemory()
    const query = new Query()
    const returned = observe(() => query, { name: 'f' })()
    expect(returned).toBe(query)
    expect(returned.where()).toBe(query)
    await new Promise(setImmediate)
    expect(query.runs).toBe(0)
    expect(recorded.one('f').finished).toBe(false)
    expect(await returned).toEqual(['row'])
    expect(query.runs).toBe(1)
    const f = recorded.one('f')
    expect(f).toMatchObject({ output: ['row'], finished: true })
    expect(recorded.one('inside').parentSpanId).toBe(f.spanId)
  })

  it('fail as they fail', async () => {
    const recorded = recordInMemory()
    await expect(observe(() => new Query(true), { name: 'f' })()).rejects.toThrow('no table')
    await expect(startActiveObservation('g', () => new Query(true))).rejects.toThrow('no table')
    expect(recorded.one('f')).toMatchObject({
      level: 'ERROR',
      statusMessage: 'no table',
      finished: true,
    })
    expect(recorded.one('g')).toMatchObject({
      status: { code: 'error', message: 'no table' },
      finished: true,
    })
  })

  it('are followed through catch', async () => {
    const recorded = recordInMemory()
    expect(await observe(() => new Query(true), { name: 'f' })().catch(() => 'caught')).toBe(
      'caught',
    )
    expect(await observe(() => new Query(), { name: 'g' })().catch(() => 'caught')).toEqual(['row'])
    expect(recorded.one('f')).toMatchObject({ statusMessage: 'no table', finished: true })
    expect(recorded.one('g')).toMatchObject({ output: ['row'], finished: true })
  })

  it("call the caller's callbacks in the caller's context", async () => {
    recordInMemory()
    await startActiveObservation('caller', async (caller) => {
      const query = observe(() => new Query())()
      await query.then(() => expect(getActiveSpanId()).toBe(caller.id))
      await observe(() => new Query(true))().then(undefined, () =>
        expect(getActiveSpanId()).toBe(caller.id),
      )
      await query
      expect(getActiveSpanId()).toBe(caller.id)
    })
  })

  it('end as soon as nobody holds them any more', async () => {
    const recorded = recordInMemory()
    const { setFlagsFromString } = await import('node:v8')
    setFlagsFromString('--expose-gc')
    const collect = runInContext('gc', createContext()) as () => void
    observe(() => new Query(), { name: 'f' })()
    for (let i = 0; i < 100 && !recorded.one('f').finished; i++) {
      collect()
      await new Promise(setImmediate)
    }
    expect(recorded.one('f')).toMatchObject({ finished: true, output: undefined, level: undefined })
  })

  it('that can’t be hooked end at once', async () => {
    const recorded = recordInMemory()
    const query = Object.freeze(new Query())
    expect(observe(() => query, { name: 'f', captureOutput: false })()).toBe(query)
    expect(recorded.one('f').finished).toBe(true)
  })
})

describe('OpenAI’s APIPromise', () => {
  const answer = () => new ApiPromise(Promise.resolve({ data: { text: 'hi' } }))

  it('stays what it is, and is parsed once', async () => {
    const recorded = recordInMemory()
    const promise = answer()
    const returned = observe(() => promise, { name: 'f' })()
    expect(returned).toBe(promise)
    expect(await returned).toEqual({ text: 'hi' })
    expect(promise.parses).toBe(1)
    expect(recorded.one('f')).toMatchObject({ output: { text: 'hi' }, finished: true })
  })

  it('is followed through withResponse, catch and finally', async () => {
    const recorded = recordInMemory()
    const withResponse = observe(answer, { name: 'f' })().withResponse()
    expect(await withResponse).toMatchObject({ data: { text: 'hi' } })
    expect(await observe(answer, { name: 'g' })().catch(() => {})).toEqual({ text: 'hi' })
    expect(await observe(answer, { name: 'h' })().finally(() => {})).toEqual({ text: 'hi' })
    for (const name of ['f', 'g', 'h']) {
      expect(recorded.one(name)).toMatchObject({ output: { text: 'hi' }, finished: true })
    }
  })

  it('ends with the response where that is all that is wanted', async () => {
    const recorded = recordInMemory()
    expect(await observe(answer, { name: 'f' })().asResponse()).toEqual({ data: { text: 'hi' } })
    expect(recorded.one('f')).toMatchObject({ output: undefined, finished: true })
  })

  it('fails as it fails', async () => {
    const recorded = recordInMemory()
    const failing = () => new ApiPromise(Promise.reject(new Error('429')))
    await expect(observe(failing, { name: 'f' })()).rejects.toThrow('429')
    await expect(observe(failing, { name: 'g' })().asResponse()).rejects.toThrow('429')
    for (const name of ['f', 'g'])
      expect(recorded.one(name)).toMatchObject({ statusMessage: '429', finished: true })
  })
})

it('hands on an object that throws when it is looked at', () => {
  const recorded = recordInMemory()
  const hostile = new Proxy(
    {},
    {
      get: () => {
        throw new Error('private')
      },
    },
  )
  expect(observe(() => hostile, { name: 'f', captureOutput: false })()).toBe(hostile)
  expect(recorded.one('f').finished).toBe(true)
})
