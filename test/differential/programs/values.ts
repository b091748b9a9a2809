import { createObservationAttributes, createTraceAttributes, startObservation } from '#tracing'
import type { Program } from '../program.ts'

class Point {
  x = 1
  readonly #hidden = 2
  get sum(): number {
    return this.x + this.#hidden
  }
}

const plainValues: Record<string, unknown> = {
  string: 'text',
  'empty string': '',
  zero: 0,
  'minus zero': -0,
  integer: 42,
  fraction: 0.1,
  large: 1e21,
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  true: true,
  false: false,
  null: null,
  undefined: undefined,
  array: [1, 'a', null, undefined, [2]],
  'empty array': [],
  // biome-ignore lint/suspicious/noSparseArray: what JSON makes of a hole is the question
  'sparse array': [1, , 3],
  object: { a: { b: { c: [1] } }, 'key with "quotes"': 1, '': 2 },
  'empty object': {},
  'undefined inside': { a: undefined, b: 1 },
  function: () => 1,
  symbol: Symbol('s'),
  'function inside': { f: () => 1, s: Symbol('s'), n: 1 },
  date: new Date(0),
  'date inside': { at: new Date(0) },
  url: new URL('http://example.com/a?b=c'),
  'class instance': new Point(),
  'null prototype': Object.assign(Object.create(null), { a: 1 }),
  'boxed string': new String('boxed'),
  'boxed number': { n: new Number(5), b: new Boolean(false) },
  toJSON: { toJSON: () => ({ from: 'toJSON' }) },
  'toJSON with key': { a: { toJSON: (key: string) => `key ${key}` } },
  'toJSON to undefined': { toJSON: () => undefined },
  proxy: new Proxy({ a: 1 }, {}),
  'not enumerable': Object.defineProperty({ a: 1 }, 'b', { value: 2, enumerable: false }),
  inherited: Object.create({ inherited: 1 }, { own: { value: 2, enumerable: true } }),
  'integer keys': { 2: 'b', 1: 'a', z: 'z' },
  nul: 'a\u0000b',
  control: '\u0001\u001f\u007f\u2028\u2029',
  vietnamese: 'Tiếng Việt có dấu',
  cjk: '漢字かな交じり文',
  emoji: '😀👩‍👩‍👧‍👦',
  'unicode inside': { khóa: 'giá trị 漢字 😀 \u2028' },
  'lone surrogate inside': { text: 'a\ud800b' },
  'json text': '{"already":"json"}',
  'long text': 'Được rồi, hãy xem. '.repeat(2_000),
  'long ascii': 'The quick brown fox. '.repeat(4_000),
  'many keys': Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`key ${i}`, i])),
  deep: Array.from({ length: 40 }).reduce<unknown>((inner) => ({ inner }), 'bottom'),
}

export const values: Program[] = [
  {
    name: 'values as input and output',
    run() {
      for (const [name, value] of Object.entries(plainValues)) {
        startObservation(name, { input: value, output: value }).end()
      }
    },
  },
  {
    name: 'values in metadata and trace input and output',
    run() {
      for (const [name, value] of Object.entries(plainValues)) {
        const observation = startObservation(name, { metadata: { value } })
        observation.setTraceIO({ input: value, output: value })
        observation.end()
      }
    },
  },
  {
    name: 'values by update',
    run() {
      for (const [name, value] of Object.entries(plainValues)) {
        startObservation(name, { input: 'before' })
          .update({ input: value, output: value, metadata: { value } })
          .end()
      }
    },
  },
  {
    name: 'metadata that is no object',
    run() {
      const others: Record<string, unknown> = {
        string: 'text',
        'empty string': '',
        zero: 0,
        number: 5,
        true: true,
        false: false,
        null: null,
        array: [1, 'a'],
        'empty array': [],
        'empty object': {},
        date: new Date(0),
        function: () => 1,
      }
      for (const [name, metadata] of Object.entries(others)) {
        startObservation(name, { metadata } as object).end()
      }
      startObservation('odd keys', {
        metadata: { '': 'empty', 'a.b': 'dot', 'ä ö': 'unicode', '0': 'zero', __proto__x: 'p' },
      }).end()
      startObservation('class instance', { metadata: new Point() as never }).end()
    },
  },
  {
    name: 'values are captured when they are given',
    run() {
      const input = { list: [1], nested: { a: 1 } }
      const metadata: Record<string, unknown> = { state: { step: 1 } }
      const observation = startObservation('mutated later', { input, metadata })
      input.list.push(2)
      input.nested.a = 2
      metadata.state = 'gone'
      observation.update({ output: input })
      input.list.length = 0
      observation.end()
    },
  },
  {
    name: 'attribute functions',
    run(report) {
      report(
        'createObservationAttributes',
        createObservationAttributes('generation', {
          input: { a: 1 },
          output: undefined,
          model: 'm',
          prompt: { name: 'p', version: 1, isFallback: false },
          metadata: { a: 'x', b: null, c: 1 },
        }),
      )
      report('createTraceAttributes', createTraceAttributes({ input: 'a', output: null }))
      report('createTraceAttributes of nothing', createTraceAttributes())
    },
  },
  {
    name: 'large values, and the same again',
    run() {
      const line = (i: number): string => `Line ${i}: the quick brown fox, "quoted" \\ twice.\n`
      const dong = (i: number): string => `Dòng ${i}: được rồi, hãy xem “thử” 漢字 😀.\n`
      const text = (of: (i: number) => string, lines: number): string =>
        Array.from({ length: lines }, (_, i) => of(i)).join('')
      const texts = {
        '4 KB': text(line, 90),
        '300 KB': text(line, 6_500),
        '1 MB': text(line, 22_000),
        'Vietnamese, 4 KB': text(dong, 90),
        'Vietnamese, 500 KB': text(dong, 11_000),
      }
      for (const [name, value] of Object.entries(texts)) {
        const root = startObservation(name, { input: value, metadata: { value } })
        root
          .startObservation(`${name}, in messages`, {
            input: [{ role: 'user', content: value }],
            output: value,
          })
          .update({ output: { content: value, again: value } })
          .end()
        root.setTraceIO({ output: value }).end()
      }
    },
  },
  {
    name: 'a history that grows',
    run() {
      const messages: object[] = []
      const agent = startObservation('agent', {}, { asType: 'agent' })
      for (let step = 0; step < 30; step++) {
        messages.push({ role: 'user', content: `Question ${step}. ${'Vì sao? '.repeat(200)}` })
        const generation = agent.startObservation(
          `step ${step}`,
          { input: messages, model: 'm' },
          { asType: 'generation' },
        )
        const answer = `Answer ${step}. ${'Because. '.repeat(200)}`
        generation.update({ output: { role: 'assistant', content: answer } }).end()
        messages.push({ role: 'assistant', content: answer })
      }
      agent.update({ output: messages }).end()
    },
  },
  {
    name: 'names and keys',
    run() {
      const names = [
        'tên có dấu 漢字 😀',
        'with\u0000nul and\nline',
        'x'.repeat(300),
        'ế'.repeat(300),
        ' spaces ',
        '__proto__',
        'constructor',
      ]
      for (const name of names) {
        startObservation(name, {
          input: { [name]: 1 },
          metadata: { [name]: 'v', [`${name}.${name}`]: { [name]: [name] } },
        }).end()
        startObservation(`attribute ${name}`).otelSpan.setAttribute(name, name).end()
      }
      startObservation(5 as never).end()
    },
  },
  {
    name: 'a thousand observations',
    run() {
      const root = startObservation('root')
      for (let i = 0; i < 1_000; i++) root.startObservation(`child ${i}`, { input: { i } }).end()
      root.end()
    },
  },
]
