import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { FIELD } from '../spool/format.ts'
import { addRecord, collected, newAssembly, recordsOf } from '../testing/assemble.ts'
import { type Frame, joinBlobs, newTables } from '../testing/decode.ts'
import { memorySink } from '../testing/memory-sink.ts'
import { testOptions } from '../testing/options.ts'
import type { RecorderOptions } from './options.ts'
import { Recorder } from './recorder.ts'
import { Propagated, remoteSpan, type Span, spanIdOf, traceIdOf } from './span.ts'

const KB = 1024
const MB = 1024 * KB

/** A recorder on a sink in memory. */
function open(options: Partial<RecorderOptions> = {}) {
  const sink = memorySink()
  const recorder = new Recorder({ ...testOptions, ...options }, sink, () => {})
  const frames: Frame[] = []
  const take = () => {
    frames.push(...sink.take())
    return frames
  }
  /** All that has left the recorder, read from the beginning. */
  const read = () => {
    const tables = newTables(joinBlobs(take()))
    const assembly = newAssembly()
    for (const record of recordsOf(frames, tables)) addRecord(assembly, record)
    return { observations: collected(assembly), dangling: tables.dangling }
  }
  const flushed = () => {
    recorder.flush()
    return read()
  }
  return { recorder, sink, take, read, flushed }
}

function start(recorder: Recorder, name: string, attributes?: object): Span {
  return recorder.start(null, null, name, 0, 0, attributes, undefined)
}

test("all of Langfuse's attributes are recorded", () => {
  const { recorder, flushed } = open()
  const completionStartTime = new Date('2026-11-24T01:02:03.456Z')
  const span = recorder.start(
    null,
    new Propagated({
      userId: 'user',
      sessionId: 'session',
      traceName: 'trace',
      version: 'propagated',
      environment: 'staging',
      tags: ['a', 'b'],
      metadata: { tenant: 'x' },
      promptName: 'base',
      promptVersion: 1,
      project: 'p2',
    }),
    'generation',
    1,
    0,
    {
      input: [{ role: 'user', content: 'hi' }],
      output: 'hello',
      metadata: { a: 1, b: { c: 2 } },
      level: 'WARNING',
      statusMessage: 'slow',
      version: 'v1',
      completionStartTime,
      model: 'llama',
      modelParameters: { temperature: 0.5, stop: ['x'] },
      usageDetails: { input: 10, output: 20 },
      costDetails: { total: 0.25 },
      prompt: { name: 'greeting', version: 3, isFallback: false },
      unknown: 'left out',
    },
    new Date('2026-11-24T01:02:03.000Z'),
  )
  recorder.update(span, { metadata: { b: 'later', d: null }, level: undefined, output: null })
  recorder.set(span, FIELD.tags, ['b', 'c'])
  recorder.set(span, FIELD.tracePublic, true)
  recorder.set(span, FIELD.traceInput, 'in')
  recorder.set(span, FIELD.traceOutput, { out: 1 })
  recorder.set(span, FIELD.statusCode, 2)
  recorder.set(span, FIELD.statusDescription, 'broke')
  recorder.set(span, FIELD.event, ['exception', 1_700_000_000, 5e8, { 'exception.type': 'E' }])
  recorder.setAttribute(span, 'http.route', '/x')
  recorder.setAttribute(span, 'http.route', '/y')
  recorder.setType(span, 4)
  recorder.end(span, new Date('2026-11-24T01:02:04.250Z'))
  recorder.update(span, { output: 'after the end' })
  recorder.end(span, new Date('2026-11-24T01:02:09.000Z'))
  expect(flushed().observations).toEqual([
    {
      traceId: traceIdOf(span),
      spanId: spanIdOf(span),
      parentSpanId: null,
      name: 'generation',
      type: 'agent',
      startTime: new Date('2026-11-24T01:02:03.000Z'),
      endTime: new Date('2026-11-24T01:02:04.250Z'),
      durationMs: 1250,
      finished: true,
      input: [{ role: 'user', content: 'hi' }],
      output: 'hello',
      metadata: { a: 1, b: 'later', d: null },
      level: 'WARNING',
      statusMessage: 'slow',
      version: 'v1',
      environment: 'staging',
      model: 'llama',
      modelParameters: { temperature: 0.5, stop: ['x'] },
      usageDetails: { input: 10, output: 20 },
      costDetails: { total: 0.25 },
      completionStartTime,
      prompt: { name: 'greeting', version: 3 },
      status: { code: 'error', message: 'broke' },
      project: 'p2',
      trace: {
        name: 'trace',
        userId: 'user',
        sessionId: 'session',
        tags: ['a', 'b', 'c'],
        metadata: { tenant: 'x' },
        public: true,
        input: 'in',
        output: { out: 1 },
      },
      attributes: { 'http.route': '/y' },
      events: [
        {
          name: 'exception',
          time: new Date(1_700_000_000_500),
          attributes: { 'exception.type': 'E' },
        },
      ],
      links: [],
    },
  ])
})

test('a fallback prompt links nothing', () => {
  const { recorder, flushed } = open()
  start(recorder, 'g', { prompt: { name: 'p', version: 1, isFallback: true } })
  expect(flushed().observations[0]?.prompt).toBeUndefined()
})

test('a child has its parent, its trace and its sampling; a remote parent too', () => {
  const { recorder, flushed } = open({ sampleRate: 0.5 })
  const traceId = '0af7651916cd43dd8448eb211c80319c'
  const remote = remoteSpan(traceId, 'b7ad6b7169203331', 1, true)
  const unsampled = remoteSpan(traceId, 'b7ad6b7169203331', 0, true)
  const child = recorder.start(remote, null, 'child', 0, 1, undefined, undefined)
  recorder.event(child, null, 'grandchild', 2, 0, undefined, undefined)
  const silent = recorder.start(unsampled, null, 'silent', 0, 0, undefined, undefined)
  recorder.update(silent, { input: 1 })
  recorder.end(silent, undefined)
  expect(traceIdOf(silent)).toBe(traceId)
  expect(spanIdOf(silent)).not.toBe('0000000000000000')
  expect(flushed().observations).toMatchObject([
    { name: 'child', traceId, parentSpanId: 'b7ad6b7169203331' },
    { name: 'grandchild', traceId, parentSpanId: spanIdOf(child), type: 'event', finished: true },
  ])
})

test('times: dates, milliseconds, performance.now() and HrTime; nonsense is now', () => {
  const { recorder, flushed } = open()
  const at = Date.now()
  const early = performance.now()
  const nonsense = [Number.NaN, new Date(Number.NaN), Infinity, null, 'x', {}, new Date(-1)]
  const times: unknown[] = [new Date(at), at, [Math.floor(at / 1000), (at % 1000) * 1e6], early]
  for (const time of [...times, ...nonsense])
    recorder.event(null, null, 'e', 2, 0, undefined, time as number)
  const clocks = flushed().observations.map(({ startTime }) => startTime.getTime())
  expect(clocks.slice(0, 3)).toEqual([at, at, at])
  for (const clock of clocks) expect(Math.abs(clock - at)).toBeLessThan(1000)
})

test('what is recorded while a value is read comes after it', () => {
  const { recorder, flushed } = open()
  let inner: Span | undefined
  const entity = {
    id: 1,
    toJSON() {
      inner = start(recorder, 'inner', { input: { key: 'nested' } })
      recorder.update(inner, { output: { another: ['x'] } })
      recorder.setAttribute(inner, 'attribute', 1)
      recorder.set(inner, FIELD.level, 'DEBUG')
      recorder.end(inner, undefined)
      // Not now: a record is in progress.
      recorder.flush()
      return { id: 1, key: 'k' }
    },
  }
  const outer = start(recorder, 'outer', { input: { entity, after: 'it' } })
  recorder.update(outer, { output: [entity] })
  recorder.end(outer, undefined)
  const { observations, dangling } = flushed()
  expect(dangling).toBe(0)
  const nested = {
    name: 'inner',
    input: { key: 'nested' },
    output: { another: ['x'] },
    attributes: { attribute: 1 },
    level: 'DEBUG',
    finished: true,
  }
  expect(observations).toMatchObject([
    {
      name: 'outer',
      input: { entity: { id: 1, key: 'k' }, after: 'it' },
      output: [{ id: 1, key: 'k' }],
      finished: true,
    },
    nested,
    nested,
  ])
})

test('a stack that overflows in a record costs that record at most', async () => {
  const { recorder, read } = open()
  const span = start(recorder, 'open')
  const descend = (frames: number, then: () => void): void => {
    if (frames === 0) then()
    else descend(frames - 1, then)
  }
  let overflowed = 0
  let value: Record<string, unknown> = { last: 'value' }
  for (let i = 0; i < 25; i++) value = { [`key ${i}`]: [value] }
  // Nearer to the edge step by step, and a little over it, so that it overflows everywhere.
  let steps = 0
  for (let i = 1; overflowed < 300; i++) {
    try {
      descend(i * 11, () => {
        if (i % 2 === 0) recorder.update(span, { metadata: { [`update ${i}`]: value } })
        const user = new Propagated({ userId: `user ${i}` })
        const child = recorder.start(span, user, `event ${i}`, 0, 0, { input: value }, undefined)
        recorder.end(child, undefined)
      })
    } catch (error) {
      expect(error).toBeInstanceOf(RangeError)
      overflowed++
    }
    if (i % 3 === 0) await turn()
    recorder.event(null, null, 'after', 2, 0, { input: { 'key 3': i } }, undefined)
    steps++
  }
  await turn()
  recorder.update(span, { output: value })
  recorder.end(span, undefined)
  recorder.close()
  const { observations, dangling } = read()
  expect(dangling).toBe(0)
  expect(observations[0]).toMatchObject({ name: 'open', output: value, finished: true })
  const after = observations.filter(({ name }) => name === 'after')
  expect(after.length).toBe(steps)
  for (const { name, input, metadata } of observations) {
    if (name === 'after') expect(input).toEqual({ 'key 3': expect.any(Number) })
    for (const recorded of name === 'open' ? Object.values(metadata as object) : [])
      if (typeof recorded !== 'string') expect(recorded).toEqual(value)
    if (name.startsWith('event') && typeof input !== 'string') expect(input).toEqual(value)
  }
  const { observations: recorded, lost } = recorder.stats()
  expect(recorded - observations.length).toBe(lost.invalid)
})

test('attributes that throw when they are read', () => {
  const { recorder, flushed } = open()
  const bad = {
    input: 'read',
    get output(): never {
      throw new Error('no')
    },
  }
  const span = start(recorder, 'bad', bad)
  recorder.update(
    span,
    new Proxy(
      {},
      {
        ownKeys: () => {
          throw new Error('never')
        },
      },
    ),
  )
  recorder.update(span, { model: 'm' })
  expect(flushed().observations).toMatchObject([
    { input: 'read', output: undefined, model: 'm', statusMessage: '[unreadable: never]' },
  ])
})

test('more names than a segment numbers', () => {
  const { recorder, flushed } = open()
  const keys = Array.from({ length: 6000 }, (_, i) => `key ${i}`)
  const input = Object.fromEntries(keys.map((key, i) => [key, i]))
  for (const key of keys) start(recorder, key)
  start(recorder, 'all', { input })
  start(recorder, 'all', { input })
  const { observations } = flushed()
  expect(observations.slice(0, 6000).map(({ name }) => name)).toEqual(keys)
  expect(observations.slice(6000).map(({ input }) => input)).toEqual([input, input])
})

test('a large string is written once and then referred to', () => {
  const { recorder, take, flushed } = open()
  const words = 'a history of messages that grows by one at each step of an agent'.split(' ')
  let state = 1
  const word = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return words[(state >>> 16) % words.length]
  }
  const messages: string[] = []
  const steps = 40
  for (let i = 0; i < steps; i++) {
    messages.push(Array.from({ length: 900 }, word).join(' '))
    // A copy: strings are compared by what they hold.
    const input = messages.map((text) => `${text.slice(0, 10)}${text.slice(10)}`)
    recorder.event(null, null, 'step', 2, 0, { input }, undefined)
    recorder.flush()
  }
  const bytes = take().reduce((sum, { payload }) => sum + payload.length, 0)
  const once = messages.reduce((sum, text) => sum + text.length, 0)
  expect(bytes).toBeLessThan(once * 1.2)
  const { observations, dangling } = flushed()
  expect(dangling).toBe(0)
  expect(observations.map(({ input }) => input)).toEqual(
    messages.map((_, i) => messages.slice(0, i + 1)),
  )
})

test('a turn writes about 1 MB, and the rest in the turns behind it', async () => {
  const { recorder, take, read } = open()
  const texts = Array.from({ length: 40 }, (_, i) => `${i} `.repeat(30_000))
  for (const input of texts) recorder.event(null, null, 'e', 2, 0, { input }, undefined)
  const small = Array.from({ length: 50 }, (_, i) => Buffer.alloc(100, i))
  for (const input of small) recorder.event(null, null, 's', 2, 0, { input }, undefined)
  const copied = small.map((bytes) => Buffer.from(bytes))
  for (const bytes of small) bytes.fill(255)
  await turn()
  const before = take().length
  for (let i = 0; i < 60; i++) await turn()
  const frames = take()
  expect(frames.length).toBeGreaterThan(before + 10)
  for (const { payload } of frames) expect(payload.length).toBeLessThan(1.5 * MB)
  // What is small is captured at once, however full the turn.
  expect(read().observations.map(({ input }) => input)).toEqual([...texts, ...copied])
})

test('blobs that wait are bounded', () => {
  const { recorder, take } = open()
  for (let i = 0; i < 20; i++)
    recorder.event(null, null, 'audio', 2, 0, { input: Buffer.alloc(4 * MB, i) }, undefined)
  // No turn has ended: 80 MB came, 32 may wait.
  const written = take().reduce((sum, { payload }) => sum + payload.length, 0)
  expect(written).toBeGreaterThan(40 * MB)
})

test('bytes that are transferred away before they are written leave a marker', () => {
  const { recorder, flushed } = open()
  const audio = new Uint8Array(2 * MB)
  start(recorder, 'audio', { input: audio, output: 'heard' })
  structuredClone(audio.buffer, { transfer: [audio.buffer] })
  expect(audio.length).toBe(0)
  expect(flushed().observations).toMatchObject([{ input: '[lost: blob 1]', output: 'heard' }])
})

test('the defaults bound what one value may cost', () => {
  const { recorder, flushed } = open()
  const deep: Record<string, unknown> = {}
  let at = deep
  for (let i = 0; i < 100_000; i++) {
    const next = {}
    at.next = next
    at = next
  }
  const wide = Array.from({ length: 200_000 }, (_, i) => i)
  const long = 'x'.repeat(33 * MB)
  start(recorder, 'deep', { input: deep })
  start(recorder, 'wide', { input: wide })
  start(recorder, 'long', { input: long, output: { long, more: 'm' } })
  start(recorder, 'keys', { input: { [long]: 1 } })
  const observations = flushed().observations
  let depth = 0
  let inner = observations[0]?.input as Record<string, unknown> | string
  for (; typeof inner === 'object'; inner = inner.next as typeof inner) depth++
  expect(depth).toBe(64)
  expect(inner).toBe('[truncated: deeper than 64]')
  const items = observations[1]?.input as unknown[]
  expect(items.length).toBe(50_000)
  expect(items.at(-1)).toBe('[truncated: 150001 more]')
  const marker = `…[truncated: ${32 * MB} of ${33 * MB} characters]`
  const cut = observations[2]?.input as string
  expect(cut.length).toBe(32 * MB + marker.length)
  expect(cut.endsWith(marker)).toBe(true)
  expect(observations[2]?.output).toMatchObject({ more: '…[truncated: 0 of 1 characters]' })
  expect(Object.keys(observations[3]?.input as object)[0]?.length).toBe(32 * MB + marker.length)
})

test('a record never outgrows a frame', () => {
  const { recorder, take, flushed } = open()
  const input = Array.from({ length: 12_000 }, (_, i) => `${i}${'語'.repeat(3900)}`)
  const span = start(recorder, 'many', { input: ['small'], output: input, model: 'm' })
  recorder.end(span, undefined)
  expect(flushed().observations).toMatchObject([
    {
      input: ['small'],
      output: '[unreadable: too many strings in one record]',
      model: 'm',
      finished: true,
    },
  ])
  for (const { payload } of take()) expect(payload.length).toBeLessThan(64 * MB)
})

test('what is recorded after close changes nothing that was written', () => {
  const { recorder, take, read } = open()
  const span = start(recorder, 'before')
  recorder.close()
  const frames = take().length
  start(recorder, 'after')
  recorder.update(span, { input: 1 })
  recorder.end(span, undefined)
  recorder.close()
  expect(take().length).toBe(frames)
  expect(read().observations).toMatchObject([{ name: 'before' }])
})
