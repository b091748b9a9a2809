import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect as connectTo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, onTestFinished } from 'vitest'
import { SendError } from '../export/http.ts'
import {
  makeCertificate,
  type RedisServer,
  startRedisServer,
  startSentinel,
  targetOf,
} from '../testing/redis-server.ts'
import { type ConnectionOptions, connectRedis, type RedisConnection } from './connection.ts'
import { failureOf } from './failure.ts'

let directory: string
let servers: RedisServer[]
let connection: RedisConnection | undefined
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'offpath-connection-'))
  servers = []
})
afterEach(async () => {
  await connection?.close()
  connection = undefined
  await Promise.all(servers.map((server) => server.close()))
  rmSync(directory, { recursive: true, force: true })
})

async function server(options: Parameters<typeof startRedisServer>[0] = {}): Promise<RedisServer> {
  const started = await startRedisServer(options)
  servers.push(started)
  return started
}

function connect(options: ConnectionOptions): RedisConnection {
  connection = connectRedis(options)
  return connection
}

async function failure(work: Promise<unknown>): Promise<SendError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(SendError)
  return error as SendError
}

/** Again until it works: the client connects by itself. */
async function answer(args: readonly string[]): Promise<unknown> {
  const deadline = Date.now() + 10_000
  for (;;) {
    try {
      return await connection?.call('a', args)
    } catch (error) {
      if (Date.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

it('sends bytes and answers with bytes', async () => {
  const { target } = await server()
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
  const { call } = connect({ target })
  expect(await call('a', ['SET', 'a', bytes])).toBe('OK')
  expect(await call('a', ['GET', 'a'])).toEqual(bytes)
  expect(await call('b', ['GET', 'b'])).toBe(null)
  expect(await call('a', ['STRLEN', 'a'])).toBe(256)
})

it('keeps to the database of its URL', async () => {
  const one = await server()
  const { call } = connect({ target: targetOf(`${one.url}/3`) })
  await call('a', ['SET', 'a', 'x'])
  expect(await one.ask('EXISTS', 'a')).toBe(0)
})

it('says why there is no connection, and connects when there is a server', async () => {
  const one = await server()
  await one.kill()
  const { call } = connect({ target: one.target })
  const error = await failure(call('a', ['PING']))
  expect(error).toMatchObject({ code: 'unreachable', status: 0 })
  expect(error.message).toContain('ECONNREFUSED')
  await one.start()
  expect(await answer(['PING'])).toBe('PONG')
})

it('gives up a server that does not answer, and connects to it again', async () => {
  const one = await server()
  const { call } = connect({ target: one.target, stallMs: 300 })
  await call('a', ['PING'])
  one.pause()
  const error = await failure(call('a', ['PING']))
  expect(error.code).toBe('unreachable')
  one.resume()
  expect(await answer(['PING'])).toBe('PONG')
})

it('leaves a server that is the master no more for the one that its address leads to now', async () => {
  const [master, promoted] = [await server(), await server()]
  let { port } = master
  const sockets = new Set<Socket>()
  const address = createServer((socket) => {
    const way = connectTo(port, '127.0.0.1')
    for (const end of [socket, way]) sockets.add(end.on('error', () => {}))
    socket.pipe(way).pipe(socket)
  }).listen(0, '127.0.0.1')
  await once(address, 'listening')
  const target = targetOf(`redis://127.0.0.1:${(address.address() as AddressInfo).port}`)
  const { call } = connect({ target })
  expect(await call('a', ['SET', 'a', 'x'])).toBe('OK')
  await master.ask('REPLICAOF', '127.0.0.1', String(promoted.port))
  port = promoted.port
  expect(await failure(call('a', ['SET', 'a', 'y']))).toMatchObject({
    code: 'busy',
    message: expect.stringContaining('READONLY'),
  })
  expect(await answer(['SET', 'a', 'y'])).toBe('OK')
  expect(await promoted.ask('GET', 'a')).toEqual(Buffer.from('y'))
  address.close()
  for (const socket of sockets) socket.destroy()
})

it('reads its password from a file, at each connection', async () => {
  const one = await server({ password: 'the first' })
  const passwordFile = join(directory, 'password')
  writeFileSync(passwordFile, 'the first\n', { mode: 0o600 })
  const target = targetOf(`redis://:wrong@127.0.0.1:${one.port}`)
  const { call } = connect({ target, passwordFile })
  expect(await call('a', ['PING'])).toBe('PONG')
  await one.ask('CONFIG', 'SET', 'requirepass', 'the second')
  writeFileSync(passwordFile, 'the second\n')
  chmodSync(passwordFile, 0o600)
  await one.ask('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  expect(await answer(['PING'])).toBe('PONG')
})

it('asks sentinels where the server is', async () => {
  const one = await server()
  const sentinel = await startSentinel(one)
  const { call } = connect({ target: targetOf(sentinel.url) })
  expect(await call('a', ['SET', 'a', 'x'])).toBe('OK')
  expect(await one.ask('GET', 'a')).toEqual(Buffer.from('x'))
  await one.kill()
  expect((await failure(call('a', ['PING']))).code).toBe('unreachable')
  await one.start()
  expect(await answer(['PING'])).toBe('PONG')
  await sentinel.close()
})

it.each([
  ['asks for the password of its server too', true],
  ['asks for none, and its server for one', false],
])('comes by a sentinel that %s', async (_, asks) => {
  const one = await server({ password: 'the-word' })
  const sentinel = await startSentinel(one, { password: 'the-word', asks })
  onTestFinished(() => sentinel.close())
  const { call } = connect({ target: targetOf(sentinel.url.replace('//', '//:the-word@')) })
  expect(await call('a', ['SET', 'a', 'x'])).toBe('OK')
  expect(await one.ask('GET', 'a')).toEqual(Buffer.from('x'))
  await connection?.close()
  const stranger = connect({ target: targetOf(sentinel.url.replace('//', '//:another@')) })
  const error = await failure(stranger.call('a', ['PING']))
  expect(error).toMatchObject({ code: 'refused', status: 401 })
  expect(error.message).toMatch(/^WRONGPASS/)
})

it('speaks TLS to a server whose certificate is vouched for', async () => {
  const tls = makeCertificate(directory)
  const { target } = await server({ tls })
  const { call } = connect({ target, tlsCa: tls.cert })
  expect(await call('a', ['PING'])).toBe('PONG')
  await connection?.close()
  const stranger = connect({ target })
  expect((await failure(stranger.call('a', ['PING']))).message).toMatch(/self.signed/)
})

it('speaks TLS to sentinels and to the server that they name', async () => {
  const tls = makeCertificate(directory)
  const one = await server({ tls, password: 'the-word' })
  const sentinel = await startSentinel(one, { tls, password: 'the-word' })
  onTestFinished(() => sentinel.close())
  const target = targetOf(sentinel.url.replace('//', '//:the-word@'))
  const { call } = connect({ target, tlsCa: tls.cert })
  expect(await call('a', ['SET', 'a', 'x'])).toBe('OK')
  expect(await one.ask('GET', 'a')).toEqual(Buffer.from('x'))
  await connection?.close()
  const stranger = connect({ target })
  expect((await failure(stranger.call('a', ['PING']))).message).toMatch(/self.signed/)
})

it.each<[string, string, string, number]>([
  ["OOM command not allowed when used memory > 'maxmemory'.", 'busy', 'OOM', 503],
  ["READONLY You can't write against a read only replica.", 'busy', 'READONLY', 503],
  ['LOADING Redis is loading the dataset in memory', 'busy', 'LOADING', 503],
  ['ERR max number of clients reached', 'busy', 'max number', 503],
  ['NOAUTH Authentication required.', 'refused', 'NOAUTH', 401],
  ["NOPERM this user has no permissions to run the 'xadd' command", 'refused', 'NOPERM', 401],
  ["ERR unknown command 'XADD', with args beginning with: 'secret' ", 'refused', "'***'", 400],
  ['MOVED 866 127.0.0.1:7001', 'refused', 'redis+cluster://', 0],
  ['Socket closed unexpectedly', 'unreachable', 'Socket', 0],
  ['Master Client (10.0.0.1:6379): NOAUTH Authentication required.', 'refused', 'NOAUTH', 401],
  ['obseve client error: SimpleError: WRONGPASS invalid', 'refused', 'WRONGPASS', 401],
])('%s', (text, code, shown, status) => {
  const failed = failureOf(new Error(text), ['secret'])
  expect(failed).toMatchObject({ code, status })
  expect(failed.message).toContain(shown)
  expect(failed.message).not.toContain('secret')
})

it('keeps the code of an error that has one', () => {
  const error = Object.assign(new Error('self-signed certificate'), { code: 'SELF_SIGNED_CERT' })
  expect(failureOf(error, []).message).toBe('self-signed certificate (SELF_SIGNED_CERT)')
})
