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

/** A stream on a connection that answers by the name of the command, or refuses; its log leaves nothing out. */
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
  let time = 0
  const later = (): number => {
    time += 60_000
    return time
  }
  const log = createLog((line) => lines.push(line), 'warn', later)
  return { dead: startDeadStream({ connection, stream: 'offpath:dead', log }), lines }
}

it('counts what it trimmed, and says so once', async () => {
  const { dead, lines } = start({ XADD: '1-0', XTRIM: 7, XLEN: 10_003 })
  const written = await dead.write([letter, letter])
  expect(written.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled'])
  await dead.write([letter])
  expect(dead.trimmed).toBe(14)
  expect(lines).toEqual([expect.stringMatching(/error dead letters are dropped: .* letters=7\n$/)])
  await vi.waitFor(() => expect(dead.length).toBe(10_003))
  await dead.stop()
})

it('holds up no letter because it may not trim, and says that their stream grows', async () => {
  const { dead, lines } = start({ XADD: '1-0', XLEN: 1 })
  expect((await dead.write([letter]))[0]!.status).toBe('fulfilled')
  expect(lines).toEqual([expect.stringMatching(/cannot trim dead letters, .* NOPERM XTRIM/)])
  await dead.stop()
})

it('says again that letters are dropped when there was room, and that they cannot be when it could', async () => {
  const answers: Record<string, Reply> = { XADD: '1-0', XTRIM: 7, XLEN: 10_003 }
  const { dead, lines } = start(answers)
  await dead.write([letter])
  Object.assign(answers, { XTRIM: null, XLEN: 5 })
  for (let i = 0; i < 3; i++) await dead.write([letter])
  await vi.waitFor(() => expect(dead.length).toBe(5), 5000)
  answers.XTRIM = 7
  await dead.write([letter])
  answers.XTRIM = null
  await dead.write([letter])
  const told = lines.map((line) => / (dropped|cannot trim)/.exec(line)?.[1])
  expect(told).toEqual(['dropped', 'cannot trim', 'dropped', 'cannot trim'])
  await dead.stop()
})

it('counts what it trimmed also where no letter could be written', async () => {
  const { dead } = start({ XTRIM: 7 })
  expect((await dead.write([letter]))[0]!.status).toBe('rejected')
  expect(dead.trimmed).toBe(7)
  await dead.stop()
})

it('says nothing of trimming while no letter can be written', async () => {
  const { dead, lines } = start({})
  expect((await dead.write([letter]))[0]!.status).toBe('rejected')
  expect([dead.length, dead.trimmed, lines]).toEqual([null, 0, []])
  await dead.stop()
})
