import { expect, it } from 'vitest'
import { load, makeSpan } from '../../export/fixtures.ts'
import { entryEncoder } from '../../redis/entry.ts'
import { SETTLED, WAITING } from '../../store/states.ts'
import { settled } from '../../testing/settlement.ts'
import type { Departure } from './held-entries.ts'
import { RedisOutbox } from './outbox.ts'
import { RedisScoreOutbox } from './score-outbox.ts'

const STREAM = 'offpath:{0}'
const SCORES = 'offpath:scores'
const encoder = entryEncoder({ load, maxSpanBytes: 1e9 })
const bytes = encoder.encode(Array.from({ length: 3 }, () => makeSpan()))

function spans(): { outbox: RedisOutbox; left: Departure[] } {
  const left: Departure[] = []
  return { outbox: new RedisOutbox('langfuse', 10_000, (departure) => left.push(departure)), left }
}

it('has the room of an entry on the shelf, and knows what was settled of it when it is read again', () => {
  const { outbox, left } = spans()
  outbox.add(STREAM, { id: '1-0', bytes })
  const states = Uint8Array.of(SETTLED, WAITING, WAITING)
  outbox.acknowledge('langfuse', [{ ...settled(1, { delivered: 1 }), complete: false, states }])
  outbox.shelf.put(1, ['other'])
  expect(outbox.room).toBe(10_000)
  expect([outbox.shelved, outbox.isHeld(STREAM, '1-0')]).toEqual([1, true])
  expect(outbox.add(STREAM, { id: '1-0', bytes })).toBe(false)
  expect(outbox.backlog()).toMatchObject({ chunks: 1, spans: 2 })
  expect(outbox.nextChunks('langfuse', 0, 1e9)).toEqual([])

  outbox.shelf.recall('another', 1)
  expect(outbox.nextWanted()).toBeUndefined()
  outbox.shelf.recall('other', 1)
  expect(outbox.nextWanted()).toMatchObject({ stream: STREAM, entry: '1-0' })
  outbox.comeBack(STREAM, '1-0', { id: '1-0', bytes })
  expect(outbox.nextWanted()).toBeUndefined()
  expect(outbox.nextChunks('langfuse', 1, 1e9)).toMatchObject([{ id: 2, spans: 3, states }])
  outbox.acknowledge('langfuse', [settled(2, { delivered: 2 })])
  expect(outbox.counters).toMatchObject({ read: 3, delivered: 3 })
  expect(left).toMatchObject([{ stream: STREAM, entry: '1-0', letters: null }])
})

it('counts what is gone from the stream when it is to be read again, and looks at the next one', () => {
  const { outbox, left } = spans()
  for (const id of ['1-0', '2-0']) outbox.add(STREAM, { id, bytes })
  outbox.shelf.put(1, ['other'])
  outbox.shelf.put(2, ['other'])
  outbox.shelf.recall('other', 1)
  outbox.comeBack(STREAM, '1-0', null)
  expect(outbox.counters).toMatchObject({ read: 6, dropped: { trimmed: 3 } })
  expect(outbox.backlog()).toMatchObject({ chunks: 1, spans: 3 })
  expect(left.map(({ entry }) => entry)).toEqual(['1-0'])
  expect(outbox.nextWanted()).toMatchObject({ entry: '2-0' })
})

it('delivers what is in memory and gone from the stream, and counts it when it is given up', () => {
  const { outbox, left } = spans()
  for (const id of ['1-0', '2-0', '3-0']) outbox.add(STREAM, { id, bytes })
  outbox.shelf.put(1, ['other'])
  expect(outbox.miss(STREAM, '1-0')).toBe(false)
  expect(outbox.counters).toMatchObject({ lost: 1, dropped: { trimmed: 3 } })
  // Another relay's.
  expect(outbox.miss(STREAM, '9-0')).toBe(false)
  expect(outbox.counters.lost).toBe(2)

  expect([outbox.miss(STREAM, '2-0'), outbox.miss(STREAM, '3-0')]).toEqual([true, true])
  outbox.shelf.put(2, ['other'])
  expect(outbox.shelved).toBe(0)
  outbox.acknowledge('langfuse', [settled(2, { delivered: 3 })])
  expect(left.map(({ entry }) => entry)).toEqual(['1-0', '2-0'])
  expect(outbox.counters).toMatchObject({ delivered: 3, lost: 2 })
  expect([outbox.giveUp('offpath:{1}'), outbox.giveUp(STREAM)]).toEqual([0, 1])
  expect(outbox.counters.lost).toBe(3)
})

it('needs nothing of what is delivered, though it is not acknowledged', () => {
  const { outbox } = spans()
  for (const id of ['1-0', '2-0']) outbox.add(STREAM, { id, bytes })
  outbox.acknowledge('langfuse', [settled(1, { delivered: 3 })])
  const needed = () => ['1-0', '2-0'].map((id) => outbox.needs(STREAM, id))
  expect(needed()).toEqual([false, true])
  outbox.left(STREAM, '1-0')
  expect(needed()).toEqual([false, true])
  outbox.add(STREAM, { id: '1-0', bytes })
  expect(needed()).toEqual([true, true])
})

it('brings what waited back also while new entries take all the room, but not without end', () => {
  const { outbox } = spans()
  outbox.add(STREAM, { id: '1-0', bytes })
  outbox.shelf.put(1, ['other'])
  outbox.shelf.recall('other', 1)
  outbox.add(STREAM, { id: '2-0', bytes: Buffer.alloc(9000) })
  expect(outbox.room).toBeLessThanOrEqual(0)
  expect(outbox.nextWanted()).toMatchObject({ entry: '1-0' })
  outbox.add(STREAM, { id: '3-0', bytes: Buffer.alloc(9000) })
  expect(outbox.nextWanted()).toBeUndefined()
})

it('shelves the scores behind one that is gone from its stream', () => {
  const outbox = new RedisScoreOutbox('langfuse', 10_000, () => {})
  for (const id of ['1-0', '2-0']) {
    const lines = Buffer.from(`{"id":"${id}"}`)
    outbox.add(SCORES, { id, version: '1', project: 'a', bytes: lines })
  }
  outbox.miss(SCORES, '1-0')
  outbox.shelf.put('a', new Set())
  expect(['1-0', '2-0'].map((id) => outbox.isShelved(SCORES, id))).toEqual([false, true])
})

it('shelves scores of a project, but not those that are on their way', () => {
  const left: Departure[] = []
  const outbox = new RedisScoreOutbox('langfuse', 10_000, (departure) => left.push(departure))
  const add = (id: string, project: string, ...lines: string[]): void => {
    outbox.add(SCORES, { id, version: '1', project, bytes: Buffer.from(lines.join('\n')) })
  }
  add('1-0', 'a', '{"id":"1"}', '{"id":"2"}')
  add('2-0', 'a', '{"id":"3"}')
  add('3-0', 'b', '{"id":"4"}')
  outbox.acknowledge('langfuse', [1], [])
  outbox.shelf.put('a', new Set([3]))
  expect(outbox.shelved).toBe(1)
  expect(outbox.next('langfuse', 'a', 0, new Set(), { count: 9, maxBytes: 9e9 })).toMatchObject([
    { id: 3, json: '{"id":"3"}' },
  ])
  expect(outbox.backlog()).toMatchObject({ chunks: 3, scores: 3 })
  outbox.shelf.recall('a', 1)
  const again = Buffer.from('{"id":"1"}\n{"id":"2"}')
  outbox.comeBack(SCORES, '1-0', { id: '1-0', version: '1', project: 'a', bytes: again })
  const back = outbox.next('langfuse', 'a', 3, new Set(), { count: 9, maxBytes: 9e9 })
  expect(back.map(({ json }) => json)).toEqual(['{"id":"2"}'])
  outbox.acknowledge('langfuse', [back[0]!.id, 3], [{ id: 4, reason: 'why' }])
  expect(outbox.counters).toMatchObject({ read: 4, delivered: 3, dead: 1 })
  expect(left.map(({ entry }) => entry).sort()).toEqual(['1-0', '2-0', '3-0'])
  for (const { stream, entry } of left) outbox.left(stream, entry)
  expect(outbox.room).toBe(10_000)
})
