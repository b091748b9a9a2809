// XACKDEL is Redis 8.2's, and the one of these tests may be older: here a connection plays it.
import { expect, it, vi } from 'vitest'
import { SendError } from '../../export/http.ts'
import { createLog } from '../../log.ts'
import type { Argument, RedisConnection } from '../../redis/connection.ts'
import { type RedisDeadLetter, writeDeadLetter } from '../../redis/dead-letters.ts'
import { type Leaving, startLeaving } from './leaving.ts'

const STREAM = 'offpath:{0}'

function start(knows: (name: string) => boolean, isPiledUp = false) {
  const calls: string[][] = []
  const left: string[] = []
  const connection: RedisConnection = {
    async call(_key: string, args: readonly Argument[]) {
      calls.push(args.map(String))
      if (!knows(String(args[0]))) throw new SendError('refused', 'ERR unknown command', 400)
      return []
    },
    async close() {},
  }
  const group = { connection, streams: [STREAM], name: 'langfuse', consumer: 'c' }
  const write = (letters: readonly RedisDeadLetter[]) =>
    Promise.allSettled(letters.map((letter) => writeDeadLetter(connection, 'dead', letter)))
  const leaving = startLeaving(
    group,
    { write },
    (_stream, entry) => left.push(entry),
    () => isPiledUp,
    createLog(() => {}, 'error'),
  )
  return { calls, left, leaving }
}

async function leave(leaving: Leaving, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, (_, i) => `${i + 1}-0`)
  for (const entry of ids) leaving.add({ stream: STREAM, entry, letters: null })
  await leaving.flush(2000)
  return ids
}

it('deletes what is acknowledged, no more than eight at a time', async () => {
  const { calls, left, leaving } = start(() => true)
  const ids = await leave(leaving, 30)
  expect(left).toEqual(ids)
  expect(calls.flatMap((args) => args.slice(6))).toEqual(ids)
  for (const [name, stream, group, how, word, count, ...some] of calls) {
    expect([name, stream, group, how, word]).toEqual([
      'XACKDEL',
      STREAM,
      'langfuse',
      'ACKED',
      'IDS',
    ])
    expect(some.length).toBeLessThanOrEqual(8)
    expect(Number(count)).toBe(some.length)
  }
})

it('acknowledges where Redis does not know how to delete, and asks it once', async () => {
  const { calls, left, leaving } = start((name) => name === 'XACK')
  const ids = await leave(leaving, 30)
  expect(left).toEqual(ids)
  expect(calls.filter(([name]) => name === 'XACKDEL')).toHaveLength(1)
  expect(calls.some(([name]) => name === 'XDEL')).toBe(false)
})

it('acknowledges nothing whose dead letter could not be made, and makes it again', async () => {
  const { calls, left, leaving } = start(() => true)
  const letter: RedisDeadLetter = {
    ...{ exporter: 'langfuse', stream: STREAM, entry: '1-0', reason: 'no', content: 'spans' },
    ...{ traceId: null, spanId: null, name: null, bytes: Buffer.from('x') },
  }
  let tries = 0
  const at = (index: number): RedisDeadLetter | undefined => {
    if (index === 1 && tries++ === 0) throw new RangeError('Array buffer allocation failed')
    return index < 2 ? letter : undefined
  }
  leaving.add({ stream: STREAM, entry: '1-0', letters: { length: 2, at } })
  expect(calls).toEqual([])
  await vi.waitFor(() => expect(left).toEqual(['1-0']), 5000)
  expect(calls.map(([name]) => name)).toEqual(['XADD', 'XADD', 'XACKDEL'])
})

it('deletes it there where it has piled up, if it may', async () => {
  for (const may of [true, false]) {
    const { calls, left, leaving } = start(
      (name) => name === 'XACK' || (may && name === 'XDEL'),
      true,
    )
    const ids = await leave(leaving, 3)
    expect(left).toEqual(ids)
    expect(calls.filter(([name]) => name === 'XDEL').flatMap((args) => args.slice(2))).toEqual(ids)
  }
})
