import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import {
  collectObservations as collectFromPackage,
  type ObservationCollector,
} from '@offpath/sdk/testing'
import { afterEach, expect, test } from 'vitest'
import { observe, propagateAttributes, startActiveObservation, startObservation } from '../index.ts'
import { collectObservations } from '../testing.ts'

let collector: ObservationCollector | undefined
afterEach(() => collector?.restore())

test('finished observations, typed, in the order of their starts', async () => {
  collector = collectObservations()
  const ask = observe(
    async (question: string) => {
      const generation = startObservation(
        'llm',
        { model: 'm', input: [{ role: 'user', content: question }] },
        { asType: 'generation' },
      )
      await delay(20)
      generation.update({ output: 'yes', usageDetails: { input: 3, output: 1 } }).end()
      return 'yes'
    },
    { name: 'ask' },
  )
  await propagateAttributes({ userId: 'u1', tags: ['t'] }, () => ask('ready?'))
  const [root, llm, ...none] = collector.finished
  expect(none).toEqual([])
  expect(root).toMatchObject({
    name: 'ask',
    type: 'span',
    parentSpanId: null,
    input: 'ready?',
    output: 'yes',
    finished: true,
    trace: { userId: 'u1', tags: ['t'] },
  })
  expect(llm).toMatchObject({
    name: 'llm',
    type: 'generation',
    traceId: root?.traceId,
    parentSpanId: root?.spanId,
    model: 'm',
    input: [{ role: 'user', content: 'ready?' }],
    output: 'yes',
    usageDetails: { input: 3, output: 1 },
  })
  expect(llm?.durationMs).toBeGreaterThan(15)
  expect(llm?.endTime?.getTime()).toBeGreaterThan(llm?.startTime.getTime() ?? 0)
})

test('open observations are seen as far as they are', () => {
  collector = collectObservations()
  const span = startObservation('long', { input: 1 })
  expect(collector.open).toMatchObject([{ name: 'long', input: 1, finished: false }])
  expect(collector.open[0]?.endTime).toBeUndefined()
  expect(collector.finished).toEqual([])
  span.update({ output: 2 })
  expect(collector.open).toMatchObject([{ output: 2 }])
  span.end()
  expect(collector.open).toEqual([])
  expect(collector.finished).toMatchObject([{ name: 'long', input: 1, output: 2 }])
})

test('values are copies of what they were when they were recorded', () => {
  collector = collectObservations()
  const input = { messages: ['a'], bytes: Buffer.from('x'), at: new Date(0), big: 5n }
  const text = 'large '.repeat(100_000)
  startActiveObservation('copy', (span) => {
    span.update({ input, output: text })
    input.messages.push('b')
  })
  const [observation] = collector.finished
  expect(observation?.input).toEqual({
    messages: ['a'],
    bytes: Buffer.from('x'),
    at: new Date(0),
    big: 5n,
  })
  expect(observation?.output === text).toBe(true)
})

test('clear forgets finished and open ones; what is recorded later may refer to what was before', () => {
  collector = collectObservations()
  const large = 'again '.repeat(100_000)
  const text = 'again and again '.repeat(100)
  const open = startObservation('open', { input: text, output: large })
  startObservation('done').end()
  collector.clear()
  open.update({ metadata: { late: true } }).end()
  startObservation('next', { input: text, output: large }).end()
  const { finished } = collector
  expect(finished.map(({ name }) => name)).toEqual(['next'])
  expect(finished[0]?.input).toBe(text)
  expect(finished[0]?.output === large).toBe(true)
})

test('restore ends the collecting, once; collectors nest', () => {
  collector = collectObservations()
  startObservation('outer').end()
  {
    using inner = collectObservations()
    startObservation('inner').end()
    assert.deepEqual(
      inner.finished.map(({ name }) => name),
      ['inner'],
    )
  }
  startObservation('outer again').end()
  expect(collector.finished.map(({ name }) => name)).toEqual(['outer', 'outer again'])
  collector.restore()
  collector.restore()
  using next = collectFromPackage()
  startObservation('next').end()
  expect(next.finished.map(({ name }) => name)).toEqual(['next'])
  expect(collector.finished.map(({ name }) => name)).toEqual(['outer', 'outer again'])
})

test('errors are seen as they are exported', async () => {
  collector = collectObservations()
  const failing = observe(() => Promise.reject(new Error('no luck')), { name: 'failing' })
  await expect(failing()).rejects.toThrow('no luck')
  expect(collector.finished).toMatchObject([
    { name: 'failing', level: 'ERROR', statusMessage: 'no luck' },
  ])
})
