import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Config } from '../config/options.ts'
import { writeRelayFile } from '../relay-file.ts'
import { lockStore } from '../store/lock.ts'
import { askRelay } from './status.ts'

/** What a killed relay has left: its pid is another process's by now, and its port another program's, which answers so. */
async function leftBehind(
  answer: number | null,
  onRequest: (request: IncomingMessage) => void = () => {},
): Promise<Config> {
  const dir = mkdtempSync(join(tmpdir(), 'offpath-status-'))
  const server = createServer((request, response) => {
    onRequest(request)
    response.writeHead(answer ?? 0).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  writeRelayFile(dir, { pid: process.pid, url, startedAt: new Date().toISOString() })
  if (answer === null) server.close()
  onTestFinished(() => {
    server.close()
    rmSync(dir, { recursive: true })
  })
  return { 'store.dir': dir } as Config
}

test.each([
  ['nobody', null, ' does not answer: '],
  ['a program that wants a token', 401, ' asks for a token (http.token)'],
] as const)(
  'a relay whose port %s has runs only while its store is locked',
  async (_, answer, why) => {
    const config = await leftBehind(answer)
    expect(await askRelay(config)).toBe('none')
    const lock = lockStore(config['store.dir'])
    expect(await askRelay(config)).toContain(why)
    lock.release()
    expect(await askRelay(config)).toBe('none')
  },
)

test('the token is not given to a program that has the port of a killed relay', async () => {
  const requests: IncomingMessage[] = []
  const config = await leftBehind(401, (request) => requests.push(request))
  expect(await askRelay({ ...config, 'http.token': 'secret' })).toBe('none')
  expect(requests).toEqual([])
})
