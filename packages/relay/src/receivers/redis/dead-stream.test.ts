import { expect, it, vi } from 'vitest'
import { SendError } from '../../export/http.ts'
import { createLog } from '../../log.ts'
import type { Argument, RedisConnection, Reply } from '../../redis/connection.ts'
import type { RedisDeadLetter } from '../../redis/dead-letters.ts'
import { startDeadStream } from './dead-stream.ts'

const letter: RedisDeadLetter = {
  ...{ exporter: 'langfuse', stream: 'offpath:{0}', entry: '1-0', reason: 'no', content: 'spans' },
  ...{ traceId: null, spanId: null, name: null, bytes: Buffer.from('x') },
}

/** A stream on a connection that answers by the name of the command; null: it refuses. */
function start(answers: Record<string, Reply>) {
  const lines: string[] = []
  const connection: RedisConnection = {
    async call(_key: string, [name]: readonly Argument[]) {
      const answer = answers[String(name)] ?? null
      if (answer === null) throw new SendError('refused', `NOPERM ${name}`, 401)
      return answer
    },
    async close() {},
  }
  const log = createLog((line) => lines.push(line), 'warn')
  return { dead: startDeadStream({ connection, stream: 'offpath:dead', log }), lines }
}

it('counts what it trimmed, and says so', async () => {
  const { dead, lines } = start({ XADD: '1-0', XTRIM: 7, XLEN: 10_003 })
  const written = await dead.write([letter, letter])
  expect(written.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled'])
  await dead.write([letter])
  expect(dead.trimmed).toBe(14)
  expect(lines).toEqual([expect.stringMatching(/error dead letters were dropped: .* letters=7\n$/)])
  await vi.waitFor(() => expect(dead.length).toBe(10_003))
  await dead.stop()
})

it('holds up no letter because it may not trim, and says that their stream grows', async () => {
  const { dead, lines } = start({ XADD: '1-0', XLEN: 1 })
  expect((await dead.write([letter]))[0]!.status).toBe('fulfilled')
  expect(lines).toEqual([expect.stringMatching(/cannot trim dead letters, .* NOPERM XTRIM/)])
  await dead.stop()
})

it('says nothing of trimming while no letter can be written', async () => {
  const { dead, lines } = start({})
  expect((await dead.write([letter]))[0]!.status).toBe('rejected')
  expect([dead.length, dead.trimmed, lines]).toEqual([null, 0, []])
  await dead.stop()
})
