import { expect, it } from 'vitest'
import { load, makeSpan } from '../../export/fixtures.ts'
import { entryEncoder } from '../../redis/entry.ts'
import type { Settlement } from '../../store/store.ts'
import { type Departure, RedisOutbox } from './outbox.ts'

const STREAM = 'offpath:{0}'
const encoder = entryEncoder({ load, maxSpanBytes: 1e9 })
const entryOf = (spans: number): Buffer =>
  encoder.encode(Array.from({ length: spans }, () => makeSpan()))
const settled = (chunk: number, over: Partial<Settlement> = {}): Settlement => ({
  chunk,
  complete: true,
  states: null,
  delivered: 0,
  dead: 0,
  dropped: {},
  resent: 0,
  notResent: 0,
  deadLetters: [],
  ...over,
})

it('has the room of an entry again when it is acknowledged, not before', () => {
  const left: Departure[] = []
  const outbox = new RedisOutbox('langfuse', 10_000, (departure) => left.push(departure))
  outbox.add(STREAM, { id: '1-0', bytes: entryOf(2) })
  outbox.add(STREAM, { id: '2-0', bytes: Buffer.from('no entry') })
  expect(outbox.room).toBeLessThan(10_000 - 2000)
  const { room } = outbox
  outbox.acknowledge('langfuse', [settled(1, { delivered: 2 })])
  expect(outbox.backlog()).toMatchObject({ chunks: 0, spans: 0 })
  expect(left.map(({ entry }) => entry)).toEqual(['2-0', '1-0'])
  expect(outbox.room).toBe(room)
  outbox.left(STREAM, '1-0')
  outbox.left(STREAM, '2-0')
  expect(outbox.room).toBe(10_000)
})
