import { PassThrough } from 'node:stream'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { joinBlobs, newTables, readRecords, type Value } from '../testing/decode.ts'
import { expectedValue, type Limits } from '../testing/expected-value.ts'
import { memorySink } from '../testing/memory-sink.ts'
import { testOptions } from '../testing/options.ts'
import { Recorder } from './recorder.ts'

const LIMITS: Limits = { maxValueBytes: 32 * 1024 * 1024, maxDepth: 64, maxNodes: 50_000 }

/** What a reader sees of each value, all of them written as inputs by one recorder. */
function recorded(values: readonly unknown[], limits: Limits = LIMITS): Value[] {
  const sink = memorySink()
  const recorder = new Recorder({ ...testOptions, ...limits }, sink, () => {})
  const span = recorder.start(null, null, 'values', 0, 0, undefined, undefined)
  for (const value of values) recorder.set(span, 3, value)
  recorder.close()
  const frames = sink.take()
  const tables = newTables(joinBlobs(frames))
  const inputs: Value[] = []
  for (const { kind, payload } of frames) {
    if (kind !== 1) continue
    for (const record of readRecords(payload, tables))
      if (record.type === 'update') inputs.push(...record.fields.map(({ value }) => value))
  }
  expect(tables.dangling).toBe(0)
  return inputs
}

function check(values: readonly unknown[], limits: Limits = LIMITS): void {
  const expected = values.map((value) => expectedValue(value, limits))
  expect(recorded(values, limits)).toStrictEqual(expected)
}

// Strings around each threshold of the encoder: short loop 16, large 256, deferrable 4096, blob 256 K.
const lengths = [0, 1, 3, 4, 5, 14, 15, 16, 17, 127, 128, 129, 255, 256, 257, 4095, 4096, 5000]
const units = [
  'a',
  '\0',
  '\x7f',
  'é',
  'ÿ',
  'Ā',
  'ế',
  '語',
  '🙂',
  '\ud83d',
  '\ude42',
  'a語',
  'aaaaaaaé',
]

const string = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc
    .tuple(
      fc.constantFrom(...lengths),
      fc.constantFrom(...units),
      fc.string({ maxLength: 3 }),
      fc.boolean(),
    )
    .map(([length, unit, extra, inFront]) => {
      const text = unit.repeat(Math.ceil(length / unit.length)).slice(0, length)
      return inFront ? extra + text : text + extra
    }),
)

class Account {
  id = 7
  name: string
  #secret = 'not recorded'
  constructor(name: string) {
    this.name = name
  }
  get computed(): string {
    return this.#secret
  }
}

/** Throws what `what` makes. */
function thrower(what: Make): () => never {
  return () => {
    throw what()
  }
}

const thrown = fc.constantFrom<Make>(
  () => new Error('no access'),
  () => new Error(''),
  () => new Error('long '.repeat(100)),
  () => new RangeError('out of range'),
  () => 'text',
  () => undefined,
  () => null,
  () => ({ toString: thrower(() => 'again') }),
  () => Object.assign(new Error(), { message: 5 }),
  () => Object.defineProperty(new Error(), 'message', { get: thrower(() => 'in message') }),
)

// Values are made when they are used: fast-check itself looks into what it generates, and some of these bite.
type Make = () => unknown

const made = (arbitrary: fc.Arbitrary<unknown>): fc.Arbitrary<Make> =>
  arbitrary.map((value) => () => value)

const key = fc.oneof(
  fc.string({ maxLength: 5 }),
  fc.constantFrom('__proto__', 'toString', '…', '0', 'k'.repeat(128), 'k'.repeat(129), 'ế\ud83d'),
)

const prototypes = [Date, Uint8Array, Map, Set, Error, String, RegExp, ArrayBuffer, Float64Array]

const targets: readonly Make[] = [
  () => [1, 2],
  () => ({ a: 1 }),
  () => new Account('p'),
  () => new Date(0),
  () => new Uint8Array(3),
  () => new Map([['a', 1]]),
  () => new Set([1]),
  () => /x/,
  () => new Error('p'),
  () => new ArrayBuffer(2),
  () => new String('p'),
  () => () => {},
]

/** Values that make trouble; `inner` makes what they hold. */
function unusualValues(inner: fc.Arbitrary<Make>): fc.Arbitrary<Make> {
  const holding = (around: (value: unknown) => unknown) => inner.map((make) => () => around(make()))
  const some = fc.array(inner, { maxLength: 4 })
  const all = (makes: readonly Make[]) => makes.map((make) => make())
  const pairs = fc.array(fc.tuple(key, inner), { maxLength: 4 })
  const named = (list: readonly (readonly [string, Make])[]) =>
    list.map(([name, make]): [string, unknown] => [name, make()])
  return fc.oneof(
    some.map((makes) => () => all(makes)),
    pairs.map((list) => () => Object.fromEntries(named(list))),
    pairs.map((list) => () => Object.assign(Object.create(null), Object.fromEntries(named(list)))),
    pairs.map((list) => () => new Map(named(list))),
    fc
      .array(fc.tuple(inner, inner), { maxLength: 3 })
      .map((list) => () => new Map(list.map(([a, b]) => [a(), b()]))),
    some.map((makes) => () => new Set(all(makes))),
    fc.tuple(string, inner).map(
      ([message, make]) =>
        () =>
          new TypeError(message, { cause: make() }),
    ),
    holding((field) => Object.assign(new Error('failed'), { code: 'E', field })),
    some.map((makes) => () => new AggregateError(all(makes), 'several')),
    string.map((name) => () => new Account(name)),
    holding((value) => ({ toJSON: () => value })),
    holding((value) => ({ toJSON: (key: unknown) => [key, value] })),
    holding((value) => Object.assign(new Account('j'), { toJSON: () => value })),
    holding((value) => ({ toJSON: () => ({ toJSON: () => 'not called', value }) })),
    holding((value) => ({
      own: value,
      toJSON() {
        return this
      },
    })),
    holding((value) => ({ toJSON: () => new Map([['k', value]]) })),
    holding((value) => ({ toJSON: () => Object.assign(new Account('k'), { value }) })),
    holding((value) => ({ toJSON: 'no function', value })),
    thrown.map((what) => () => ({ toJSON: thrower(what) })),
    fc.tuple(thrown, inner).map(([what, make]) => () => {
      const object = { before: make(), bad: 0, after: make() }
      return Object.defineProperty(object, 'bad', { enumerable: true, get: thrower(what) })
    }),
    thrown.map((what) => () => Object.defineProperty([1, 2, 3], 1, { get: thrower(what) })),
    fc
      .tuple(
        thrown,
        fc.constantFrom(...targets),
        fc.constantFrom<keyof ProxyHandler<object>>(
          'get',
          'ownKeys',
          'getPrototypeOf',
          'getOwnPropertyDescriptor',
          'has',
        ),
      )
      .map(
        ([what, target, trap]) =>
          () =>
            new Proxy(target() as object, { [trap]: thrower(what) }),
      ),
    fc.constantFrom(...targets).map((target) => () => new Proxy(target() as object, {})),
    fc.constantFrom(...targets).map((target) => () => {
      const { proxy, revoke } = Proxy.revocable(target() as object, {})
      revoke()
      return proxy
    }),
    fc.constantFrom(...prototypes).map(
      ({ prototype }) =>
        () =>
          Object.create(prototype),
    ),
    holding((value) => {
      const sparse: unknown[] = []
      sparse[3] = value
      return sparse
    }),
    holding((value) => Object.assign(() => {}, { value })),
    holding((value) => ({
      _contentBytes: new Uint8Array([1, 2, 3]),
      _contentType: 'image/png',
      value,
    })),
    some.map((makes) => () => ({
      *[Symbol.iterator]() {
        yield* all(makes)
      },
    })),
  )
}

const bytes = fc.uint8Array({ maxLength: 9 })

const leaf: fc.Arbitrary<Make> = fc.oneof(
  made(string),
  made(fc.integer()),
  made(fc.double()),
  made(
    fc.constantFrom(
      ...[0, -0, Number.NaN, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), -(2 ** 31) - 1, 2 ** 53, 1e308],
    ),
  ),
  made(fc.bigInt()),
  made(fc.boolean()),
  made(fc.constantFrom(null, undefined, Symbol('s'), Symbol.iterator)),
  made(fc.date({ noInvalidDate: false })),
  made(bytes),
  bytes.map((bytes) => () => Buffer.from(bytes)),
  bytes.map((bytes) => () => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)),
  bytes.map((bytes) => () => bytes.slice().buffer),
  bytes.map((bytes) => () => {
    const shared = new SharedArrayBuffer(bytes.length)
    new Uint8Array(shared).set(bytes)
    return shared
  }),
  made(fc.uint8ClampedArray({ maxLength: 4 })),
  made(fc.float64Array({ maxLength: 4 })),
  made(fc.int16Array({ maxLength: 4 })),
  made(fc.bigInt64Array({ maxLength: 3 })),
  fc.constantFrom<Make>(
    () => new String('boxed'),
    () => new Number(5),
    () => new Boolean(false),
    () => Object(7n),
    () => Object(Symbol('boxed')),
    () => /a+/gi,
    () => new URL('https://example.com/a?b=c'),
    () => Promise.resolve(1),
    () => new WeakMap(),
    () => new PassThrough(),
    () => new DOMException('aborted', 'AbortError'),
    () => new Date(Number.NaN),
    () => globalThis.process.versions,
  ),
)

const anything: fc.Arbitrary<Make> = fc.letrec<{ value: Make }>((tie) => ({
  value: fc.oneof({ maxDepth: 4, withCrossShrink: true }, leaf, unusualValues(tie('value'))),
})).value

const cyclic: fc.Arbitrary<Make> = fc.tuple(anything, fc.nat(7)).map(([make, shape]) => () => {
  const inner = make()
  const root: Record<string, unknown> = { inner }
  const map = new Map<unknown, unknown>([['inner', inner]])
  switch (shape) {
    case 0:
      return Object.assign(root, { self: root })
    case 1:
      return Object.assign(root, { list: [root, [root]] })
    case 2:
      return map.set('self', map)
    case 3:
      return map.set(map, new Set([map]))
    case 4: {
      const error = new Error('cyclic')
      error.cause = { error, inner }
      return error
    }
    case 5:
      return Object.assign(new Account('c'), { root, toJSON: () => ({ root, again: root }) })
    case 6: {
      const again = { toJSON: () => ({ again, inner }) }
      return again
    }
    default: {
      const shared = { inner }
      return [shared, shared, { shared }]
    }
  }
})

// Hundreds of cases take 2 to 5 s on a free core and several times that on a busy one; a hang is still found.
const many = { timeout: 60_000 }

test('every value is recorded as docs/values.md says', many, () => {
  const values = fc.array(fc.oneof(anything, cyclic), { minLength: 1, maxLength: 5 })
  fc.assert(
    fc.property(values, (makes) => check(makes.map((make) => make()))),
    { numRuns: 800 },
  )
})

test('toJSON is called with its key, as by JSON.stringify', () => {
  const keyed = { toJSON: (key: unknown) => `<${typeof key} ${key}>` }
  const values = [keyed, [keyed, [keyed]], { a: keyed, b: { 7: [1, keyed] } }]
  expect(recorded(values)).toEqual(
    JSON.parse(JSON.stringify(values.map((value) => ({ value })))).map(
      ({ value }: { value: unknown }, i: number) => (i === 0 ? '<string >' : value),
    ),
  )
})

test('a proxy around an array that a toJSON returns is read as one', () => {
  const proxy = new Proxy([1, 2], { getPrototypeOf: thrower(() => new Error('no access')) })
  expect(recorded([[{ toJSON: () => proxy }]])).toStrictEqual([[[1, 2]]])
})

test('limits of nodes, depth and size leave a marker', many, () => {
  const limits = fc.record({
    maxValueBytes: fc.constantFrom(0, 1, 5, 40, 300),
    maxDepth: fc.integer({ min: 0, max: 4 }),
    maxNodes: fc.integer({ min: 1, max: 12 }),
  })
  fc.assert(
    fc.property(fc.oneof(anything, cyclic), limits, (make, limits) => check([make()], limits)),
    { numRuns: 800 },
  )
})

test('Map, Set and typed array are cut once, and say how much is missing', () => {
  const limits = { ...LIMITS, maxNodes: 4 }
  const entries = Array.from({ length: 1000 }, (_, i): [string, number] => [`key ${i}`, i])
  const strings = new Map<string, unknown>(entries)
  expect(
    recorded(
      [strings, new Map(entries.map(([key, i]) => [i, key])), new Set(strings.values())],
      limits,
    ),
  ).toEqual([
    { 'key 0': 0, 'key 1': 1, 'key 2': 2, '…': '[truncated: 997 more]' },
    [[0, 'key 0'], '[truncated: 999 more]'],
    [0, 1, 2, '[truncated: 997 more]'],
  ])
  const sparse = new Map([['nothing', undefined], ...strings])
  expect(recorded([new Uint16Array(1000), { sparse }], limits)).toEqual([
    [0, 0, 0, '[truncated: 997 more]'],
    { sparse: { 'key 0': 0, 'key 1': 1, '…': '[truncated: 999 more]' } },
  ])
  const whole = new Map(entries.slice(0, 3))
  expect(recorded([whole, new Set(whole.keys())], limits)).toEqual([
    Object.fromEntries(whole),
    [...whole.keys()],
  ])
})

test('values of another realm are recorded as those of this one', () => {
  // As Jest runs its tests.
  const values = `[
    new TypeError('failed', { cause: new RangeError('why') }),
    new AggregateError([new Error('one')], 'several'),
    new Map([['a', new Set([1])]]),
    /a+/g,
    new Date(5),
    new Uint8Array([1, 2]),
    new DataView(new Uint8Array([3, 4]).buffer),
    new Uint8Array([5]).buffer,
    new Float64Array([0.5]),
    new String('boxed'),
    { plain: [{ toJSON: () => 'json' }] },
  ]`
  const [error, several, ...others] = recorded(runInNewContext(values)) as [object, ...Value[]]
  expect(error).toEqual({
    name: 'TypeError',
    message: 'failed',
    stack: expect.stringContaining('TypeError: failed'),
    cause: expect.objectContaining({ name: 'RangeError', message: 'why' }),
  })
  expect(several).toMatchObject({ errors: [{ name: 'Error', message: 'one' }] })
  expect(others).toEqual([
    { a: [1] },
    '/a+/g',
    new Date(5),
    Buffer.from([1, 2]),
    Buffer.from([3, 4]),
    Buffer.from([5]),
    [0.5],
    'boxed',
    { plain: ['json'] },
  ])
})

test('strings of all kinds, around each length at which they are written differently', many, () => {
  const large = [65_536, 131_072, 262_143, 262_144, 262_145, 400_001]
  const texts = units.flatMap((unit) =>
    [...lengths, ...large].flatMap((length) => {
      const text = unit.repeat(Math.ceil(length / unit.length)).slice(0, length)
      // The odd one where no sample is taken.
      return [text, `${text}語`, `a${text}\udc00`, `${text}é`]
    }),
  )
  const twice = (text: string) => [text, text]
  for (const within of [(text: string): unknown => text, twice]) {
    const read = recorded(texts.map((text) => within(text)))
    expect(read.length).toBe(texts.length)
    texts.forEach((text, i) => {
      const value = read[i]
      const found = Array.isArray(value) ? value : [value]
      if (!found.every((one) => one === text))
        expect.fail(`${text.length} × ${JSON.stringify(text.slice(0, 9))} came back differently`)
    })
  }
})
