import { Readable } from 'node:stream'
import {
  observe,
  propagateAttributes,
  startActiveObservation,
  startObservation,
  updateActiveObservation,
} from '#tracing'
import * as given from '../given.ts'
import type { Program } from '../program.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const each of source) all.push(each)
  return all
}

async function attempt(body: () => unknown): Promise<unknown> {
  try {
    return await body()
  } catch (error) {
    return `threw ${(error as Error).name}`
  }
}

// The frames are those of the program that runs it.
function withoutFrames(error: Error): Error {
  error.stack = String(error)
  return error
}

/** Where the two differ on purpose: each has its entry in intended.ts. */
export const better: Program[] = [
  {
    name: 'values that JSON has no word for',
    run() {
      const circular: Record<string, unknown> = { a: 1 }
      circular.self = circular
      const odd: Record<string, unknown> = {
        bigint: 10n,
        'bigint inside': { n: 10n, kept: 'x' },
        circular,
        map: new Map([['k', { v: 1 }]]),
        set: new Set([1, 'a']),
        error: withoutFrames(new TypeError('broke', { cause: withoutFrames(new Error('why')) })),
        'error inside': { error: withoutFrames(new Error('broke')) },
        regexp: /a+/g,
        bytes: new Uint8Array([1, 2, 3]),
        buffer: Buffer.from('ab'),
        'throwing getter': {
          kept: 'x',
          get bad(): never {
            throw new Error('no')
          },
        },
        'throwing toJSON': {
          toJSON: (): never => {
            throw new Error('no')
          },
        },
        'lone surrogate': 'a\ud800b',
        'lone surrogate in a key': { 'a\ud800b': 1 },
        'lone surrogate in a large text': { text: `\ud800${'b'.repeat(300_000)}` },
      }
      for (const [name, value] of Object.entries(odd))
        startObservation(name, { input: value }).end()
      const metadata = { map: new Map([['k', 'v']]), set: new Set(['a']), date: new Date(0) }
      for (const [name, value] of Object.entries(metadata)) {
        startObservation(`${name} as metadata`, { metadata: value as never }).end()
      }
    },
  },
  {
    name: 'generators',
    run(report) {
      const count = observe(
        function* () {
          startObservation('inside the generator').end()
          yield 1
          yield 2
          return 3
        },
        { name: 'generator' },
      )
      report('values', [...count()])
      const early = observe(
        function* () {
          yield 1
          yield 2
        },
        { name: 'generator left early' },
      )
      for (const value of early()) {
        report('first', value)
        break
      }
    },
  },
  {
    name: 'async generators',
    async run(report) {
      const values: unknown[] = []
      const stream = observe(
        async function* () {
          await turn()
          startObservation('inside the async generator').end()
          yield 'a'
          yield 'b'
        },
        { name: 'async generator' },
      )
      for await (const value of stream()) values.push(value)
      report('values', values)
      const failing = observe(
        async function* () {
          yield 'a'
          throw new Error('broke')
        },
        { name: 'failing async generator' },
      )
      report('error', await attempt(async () => collect(failing())))
    },
  },
  {
    name: 'thenables and streams',
    async run(report) {
      let executed = 0
      const query = {
        // biome-ignore lint/suspicious/noThenProperty: a lazy query is a thenable
        then(resolve: (value: string) => void): void {
          executed++
          resolve('rows')
        },
        limit: 5,
      }
      const result = observe(() => query, { name: 'lazy query' })()
      report('its own properties stay', result.limit)
      report('rows', await result)
      report('executed', executed)
      report(
        'in startActiveObservation',
        await startActiveObservation('active lazy query', () => query),
      )
      const web = observe(() => ReadableStream.from(['a', 'b']), { name: 'web stream' })()
      report('web stream', await collect(web))
      const node = observe(() => Readable.from(['a', 'b']), { name: 'node stream' })()
      report('node stream', await collect(node))
    },
  },
  {
    name: 'mistakes that must not reach the application',
    async run(report) {
      report('observed event', await attempt(observe(() => 1, { name: 'event', asType: 'event' })))
      report(
        'observed async event',
        await attempt(observe(async () => 1, { name: 'async event', asType: 'event' })),
      )
      const observation = startObservation('updated with nothing', { input: 'i' })
      report('update(null)', await attempt(() => observation.update(null as never) === observation))
      report(
        'update(undefined)',
        await attempt(() => observation.update(undefined as never) === observation),
      )
      observation.end()
      report(
        'updateActiveObservation(null)',
        await attempt(() =>
          startActiveObservation('active', () => updateActiveObservation(null as never)),
        ),
      )
      report(
        'tags as text',
        await attempt(() => propagateAttributes({ tags: 'text' as never }, () => 'called')),
      )
      report(
        'propagateAttributes(null)',
        await attempt(() => propagateAttributes(null as never, () => 'called')),
      )
    },
  },
  {
    name: 'many attributes and events',
    run() {
      const metadata = Object.fromEntries(
        Array.from({ length: 200 }, (_, i) => [`key ${String(i).padStart(3, '0')}`, i]),
      )
      startObservation('200 metadata keys', { metadata, output: 'o' })
        .update({ level: 'ERROR' })
        .end()
      const span = startObservation('200 events', {}, { startTime: given.start }).otelSpan
      for (let i = 0; i < 200; i++) span.addEvent(`event ${i}`, given.start)
      span.end()
    },
  },
  {
    name: 'OpenTelemetry numbers that JSON cannot carry',
    run() {
      const span = startObservation('numbers').otelSpan
      span.setAttribute('NaN', Number.NaN)
      span.setAttribute('Infinity', Number.POSITIVE_INFINITY)
      span.setAttribute('beyond int64', 1e21)
      span.setAttribute('minus zero', -0)
      span.end()
    },
  },
  {
    name: 'Langfuse variables that its JavaScript SDK does not read: sampling',
    env: { LANGFUSE_SAMPLE_RATE: '0' },
    run: () => startObservation('sampled out').end(),
  },
  {
    name: 'Langfuse variables that its JavaScript SDK does not read: switched off',
    env: { LANGFUSE_TRACING_ENABLED: 'false' },
    run: () => startObservation('switched off').end(),
  },
  {
    name: 'tags one after the other',
    run() {
      startActiveObservation('two scopes', () => {
        propagateAttributes({ tags: ['a'] }, () => startObservation('in the first').end())
        propagateAttributes({ tags: ['b'] }, () => startObservation('in the second').end())
      })
    },
  },
  {
    name: 'base64 data URIs',
    run() {
      const uri = 'data:text/plain;base64,aGVsbG8='
      startObservation('in the text', { input: `see ${uri} here` }).end()
      startObservation('in an object', { output: { url: uri }, metadata: { url: uri } }).end()
    },
  },
  {
    name: 'never ended',
    leavesOpen: ['never ended'],
    run() {
      const root = startObservation('never ended', { input: 'i' })
      root.startObservation('ended').end()
    },
  },
]
