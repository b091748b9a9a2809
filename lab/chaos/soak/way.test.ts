import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { openWay, type Trouble, type Way } from './way.ts'

const PAGE = 'x'.repeat(10_000)
let asked = 0
let way: Way
const server = createServer((_, response) => {
  asked++
  response.end(PAGE)
})
beforeAll(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterAll(() => server.close())
beforeEach(async () => {
  asked = 0
  way = await openWay((server.address() as AddressInfo).port)
})
afterEach(() => way.close())

/** What comes of asking: the length of the answer, or the code of the error. */
async function ask(timeoutMs = 2000, path = '/'): Promise<number | string> {
  const asking = request({
    path,
    host: '127.0.0.1',
    port: way.port,
    agent: false,
    signal: AbortSignal.timeout(timeoutMs),
  })
  asking.end()
  try {
    const [response] = await once(asking, 'response')
    return (await text(response)).length
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'failed'
  }
}

test('bytes go on as they come', async () => {
  expect(await ask()).toBe(PAGE.length)
  expect(way.lostAnswers).toBe(0)
})

test.each<[Trouble, string | RegExp, number]>([
  ['cut', 'ECONNRESET', 0],
  ['reset', 'ECONNRESET', 1],
  ['half', 'ECONNRESET', 1],
])(
  'when it is %s the asker gets an error, and all is well afterwards',
  async (trouble, code, reached) => {
    way.trouble(trouble)
    expect(await ask()).toBe(code)
    expect(asked).toBe(reached)
    expect(way.lostAnswers).toBe(reached)
    way.trouble(null)
    expect(await ask()).toBe(PAGE.length)
  },
)

test('what hangs goes on when the trouble is over', async () => {
  way.trouble('hang')
  expect(await ask(100)).toBe('ABORT_ERR')
  const waiting = ask()
  way.trouble(null)
  expect(await waiting).toBe(PAGE.length)
})

test('slow, all comes through', async () => {
  way.trouble('slow')
  expect(await ask()).toBe(PAGE.length)
})

test('a trouble may wait for what is asked', async () => {
  way.trouble('reset', '/late')
  expect(await ask()).toBe(PAGE.length)
  expect(await ask(2000, '/late')).toBe('ECONNRESET')
  expect([asked, way.lostAnswers]).toEqual([2, 1])
})
