import { FIELD } from '@offpath/sdk/spool-format'
import { expect, it } from 'vitest'
import { field, load, makeSpan, text } from '../../export/fixtures.ts'
import { entryEncoder, measureEntry, readEntry } from '../../redis/entry.ts'
import { allocateChunk } from '../../store/chunk.ts'
import { settled } from '../../testing/settlement.ts'
import type { Departure } from './held-entries.ts'
import { RedisOutbox } from './outbox.ts'

const STREAM = 'offpath:{0}'
const encoder = entryEncoder({ load, maxSpanBytes: 1e9 })
const entryOf = (spans: number): Buffer =>
  encoder.encode(Array.from({ length: spans }, () => makeSpan()))

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

it('takes a rejected entry in at once, and makes its dead letters when they are asked for', () => {
  const spans = Array.from({ length: 4000 }, () => makeSpan())
  const left: Departure[] = []
  const outbox = new RedisOutbox('langfuse', 1e9, (departure) => left.push(departure))
  outbox.add(STREAM, { id: '1-0', bytes: encoder.encode(spans) })
  const deadLetters = spans.map(({ traceId, spanId, name }, index) => {
    return { index, traceId, spanId, name, reason: `reason ${index}` }
  })
  const began = performance.now()
  outbox.acknowledge('langfuse', [settled(1, { dead: 4000, deadLetters })])
  const made = left[0]!.letters!
  const letters = Array.from({ length: made.length }, (_, index) => made.at(index)!)
  // Reading the entry for each of them took a minute.
  expect(performance.now() - began).toBeLessThan(2000)
  expect(letters.map(({ spanId }) => spanId)).toEqual(
    spans.map(({ spanId }) => spanId.toString('hex')),
  )
  expect(letters.map(({ reason }) => reason)).toEqual(deadLetters.map(({ reason }) => reason))
  const bytes = allocateChunk(letters[7]!.bytes.length)
  letters[7]!.bytes.copy(bytes)
  expect(readEntry(bytes, measureEntry(bytes))).toMatchObject([{ spanId: spans[7]!.spanId }])
  expect(outbox.deadLetters).toHaveLength(20)
})

it('keeps no more than half a megabyte in a dead letter', () => {
  const left: Departure[] = []
  const outbox = new RedisOutbox('langfuse', 1e9, (departure) => left.push(departure))
  const large = makeSpan({ fields: [field(FIELD.input, text('x'.repeat(2_000_000)))] })
  const { traceId, spanId, name } = large
  outbox.add(STREAM, { id: '1-0', bytes: encoder.encode([large]) })
  const deadLetters = [{ index: 0, traceId, spanId, name, reason: 'too large' }]
  outbox.acknowledge('langfuse', [settled(1, { dead: 1, deadLetters })])
  outbox.add(STREAM, { id: '2-0', bytes: Buffer.alloc(600_000) })
  const [cut, whole] = left.map(({ letters }) => letters?.at(0))
  expect(cut?.bytes.length).toBeGreaterThan(400_000)
  expect(cut?.bytes.length).toBeLessThan(530_000)
  expect(whole?.bytes.length).toBe(0)
  expect(whole?.reason).toMatch(/; its 600000 bytes are not kept$/)
})
