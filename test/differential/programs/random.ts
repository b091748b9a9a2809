import {
  getActiveSpanId,
  getActiveTraceId,
  observe,
  propagateAttributes,
  setActiveTraceAsPublic,
  setActiveTraceIO,
  startActiveObservation,
  startObservation,
  updateActiveObservation,
} from '#tracing'
import * as given from '../given.ts'
import type { Program, Report } from '../program.ts'

type Observation = ReturnType<typeof startObservation>

const types = [
  'span',
  'generation',
  'event',
  'embedding',
  'agent',
  'tool',
  'chain',
  'retriever',
  'evaluator',
  'guardrail',
] as const

const texts = ['text', 'a "quoted" one\n', 'Tiếng Việt', '漢字 😀', '{"json":1}', 'x'.repeat(2_000)]
const values: readonly unknown[] = [
  ...texts,
  '',
  0,
  1.5,
  -7,
  true,
  false,
  null,
  undefined,
  [],
  {},
  [1, 'a', null, undefined],
  { a: { b: [1, { c: 'd' }] }, text: 'Tiếng Việt', none: undefined },
  [{ role: 'user', content: 'hello' }],
  new Date(0),
]
const errors: readonly unknown[] = [new Error('broke'), new TypeError(''), 'text', undefined, 0, {}]
const times: readonly unknown[] = [
  given.start,
  given.end,
  1_700_000_000_500,
  [1_700_000_002, 7],
  null,
  undefined,
]
const metadataValues = values.filter((value) => value !== '')
const attributeValues = ['s', '', 1, 1.5, true, ['x', 'y'], [1, 2], null, { dropped: 1 }, ['x', 1]]

/** A walk through the API: what it does depends on the seed alone, never on what the library answers. */
class Walk {
  readonly #report: Report
  readonly #all: Observation[] = []
  readonly #prefix: string
  #state: number
  #names = 0

  constructor(seed: number, report: Report, prefix = '') {
    this.#state = seed
    this.#report = report
    this.#prefix = prefix
  }

  async steps(count: number, depth: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.#step(depth)
  }

  endAll(): void {
    for (const observation of this.#all) observation.end()
  }

  async #step(depth: number): Promise<void> {
    const name = `${this.#prefix}${this.#names++}`
    const asType = this.#pick(types) as 'span'
    const target = this.#all.length > 0 ? this.#pick(this.#all) : undefined
    const inner = (): Promise<void> => this.steps(this.#below(5), depth + 1)
    const nests = depth < 4
    switch (this.#below(18)) {
      case 0:
      case 1:
        this.#all.push(startObservation(name, this.#attributes(), { asType, ...this.#place() }))
        return
      case 2:
      case 3:
        if (target) this.#all.push(target.startObservation(name, this.#attributes(), { asType }))
        return
      case 4:
      case 5:
        if (target && 'update' in target) target.update(this.#attributes())
        return
      case 6:
        target?.end(this.#chance(2) ? (this.#pick(times) as Date) : undefined)
        return
      case 7:
        target?.setTraceIO({ input: this.#pick(values), output: this.#pick(values) })
        if (this.#chance(3)) target?.setTraceAsPublic()
        return
      case 8:
        if (target) this.#otelSpan(target)
        return
      case 9:
        updateActiveObservation(this.#attributes(), this.#chance(3) ? { asType } : undefined)
        return
      case 10:
        setActiveTraceIO({ input: this.#pick(values) })
        if (this.#chance(3)) setActiveTraceAsPublic()
        return
      case 11:
      case 12:
        if (nests) await this.#active(name, asType, inner)
        return
      case 13:
        if (nests) await this.#observed(name, asType, inner)
        return
      case 14:
        if (nests) this.#sync(name, asType, target)
        return
      case 15:
        if (nests) await this.#parallel(name, depth)
        return
      default:
        if (nests) await propagateAttributes(this.#propagated(), inner)
    }
  }

  async #active(name: string, asType: 'span', inner: () => Promise<void>): Promise<void> {
    const fails = this.#chance(5)
    const endOnExit = !this.#chance(6)
    const result = startActiveObservation(
      name,
      async (observation) => {
        this.#report(`${name} is active`, [
          getActiveSpanId() === observation.id,
          getActiveTraceId() === observation.traceId,
        ])
        this.#all.push(observation)
        await inner()
        if (fails) throw this.#pick(errors)
        return name
      },
      { asType, endOnExit, ...this.#place() },
    )
    this.#report(name, await result.catch(String))
  }

  async #observed(name: string, asType: 'span', inner: () => Promise<void>): Promise<void> {
    const fails = this.#chance(5)
    const value = this.#pick(values)
    const observed = observe(
      async (..._args: unknown[]) => {
        await inner()
        if (fails) throw this.#pick(errors)
        return value
      },
      {
        name,
        asType: asType === ('event' as string) ? 'span' : asType,
        captureInput: !this.#chance(5),
        captureOutput: !this.#chance(5),
      },
    )
    const args = Array.from({ length: this.#below(3) }, () => this.#pick(values))
    this.#report(name, (await observed(...args).catch(String)) === value)
  }

  #sync(name: string, asType: 'span', target: Observation | undefined): void {
    const error = this.#chance(3) ? this.#pick(errors) : this
    const body = (): unknown => {
      updateActiveObservation(this.#attributes())
      this.#all.push(startObservation(`${name}, below`, this.#attributes()))
      if (target && 'update' in target) target.update(this.#attributes())
      if (error !== this) throw error
      return name
    }
    const observed = observe(body, { name: `${name}, observed`, endOnExit: !this.#chance(4) })
    const place = this.#place()
    try {
      this.#report(
        name,
        startActiveObservation(name, () => observed(), { asType, ...place }),
      )
    } catch (caught) {
      this.#report(name, caught === error)
    }
  }

  /** Walks of their own, side by side: each takes turns with the others and none sees their context. */
  async #parallel(name: string, depth: number): Promise<void> {
    const walks = ['a', 'b'].map(
      (branch) => new Walk(this.#below(2 ** 31), this.#report, `${name}${branch}.`),
    )
    await Promise.all(
      walks.map((walk, i) =>
        startActiveObservation(`${name}${i}`, async () => {
          await walk.steps(6, depth + 1)
          walk.endAll()
        }),
      ),
    )
  }

  #otelSpan({ otelSpan }: Observation): void {
    const key = `key ${this.#below(5)}`
    const attribute = this.#pick(attributeValues) as string
    switch (this.#below(5)) {
      case 0:
        otelSpan.setAttribute(this.#pick(['user.id', 'langfuse.version', 'langfuse.trace.x']), key)
        return
      case 1:
        otelSpan.setAttribute(key, attribute)
        return
      case 2:
        otelSpan.addEvent(key, { [key]: attribute }, given.start)
        return
      case 3:
        otelSpan.setStatus({ code: this.#below(3) as 0, message: this.#pick(texts) })
        return
      default:
        otelSpan.addLink({ context: given.parent, attributes: { [key]: attribute } })
    }
  }

  #place(): { startTime?: Date; parentSpanContext?: typeof given.parent } {
    const target = this.#all.length > 0 ? this.#pick(this.#all) : undefined
    const context = this.#chance(2) ? target?.otelSpan.spanContext() : given.parent
    return {
      ...(this.#chance(5) && { startTime: this.#pick(times) as Date }),
      ...(this.#chance(5) && context && { parentSpanContext: context }),
    }
  }

  #attributes(): object {
    const version = this.#below(5)
    const all = {
      input: this.#pick(values),
      output: this.#pick(values),
      metadata: { [`m${version}`]: this.#pick(metadataValues), both: this.#pick(metadataValues) },
      level: this.#pick(['DEBUG', 'DEFAULT', 'WARNING', 'ERROR', null, undefined]),
      statusMessage: this.#pick(texts),
      version: `v${version}`,
      environment: this.#pick(['prod', 'staging', '']),
      model: this.#pick(['qwen3', '', undefined]),
      modelParameters: { temperature: version / 4, stop: this.#pick(texts) },
      usageDetails: { input: version, output: this.#below(1_000) },
      costDetails: { total: version / 3 },
      completionStartTime: given.start,
      prompt: { name: 'p', version, isFallback: this.#chance(3) },
    }
    return Object.fromEntries(Object.entries(all).filter(() => this.#chance(4)))
  }

  #propagated(): object {
    const all = {
      userId: this.#pick(['u1', 'u2', '', 'x'.repeat(201), 5]),
      sessionId: this.#pick(['s1', 's2', null]),
      metadata: { [`t${this.#below(3)}`]: this.#pick(['a', 'b', '', 7]) },
      version: this.#pick(['1', '2']),
      tags: this.#pick([['a'], ['a', 'x'.repeat(201)], []]),
      traceName: this.#pick(['trace', 'tên']),
      environment: this.#pick(['prod', 'Not Valid', 'e_1']),
      prompt: { name: this.#pick(['p', '']), version: this.#pick([1, '2', 'x']) },
      asBaggage: this.#chance(2),
    }
    return Object.fromEntries(Object.entries(all).filter(() => this.#chance(3)))
  }

  /** True once in so many times. */
  #chance(times: number): boolean {
    return this.#below(times) === 0
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#below(from.length)] as T
  }

  /** A whole number below `limit` (mulberry32). */
  #below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit)
  }
}

function randomProgram(seed: number): Program {
  return {
    name: `a walk through the API, seed ${seed}`,
    async run(report) {
      const walk = new Walk(seed, report)
      await walk.steps(80, 0)
      walk.endAll()
    },
  }
}

// More seeds found nothing more: 600 were tried.
export const random: Program[] = [1, 2, 3, 4, 5, 6].map(randomProgram)
