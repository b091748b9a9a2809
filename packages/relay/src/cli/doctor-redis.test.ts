// `offpath doctor config` and Redis: real servers, to which nothing is written, and passwords in none of what it prints.
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { startLangfuseServer } from '../../../../test/langfuse-server/server.ts'
import type { LangfuseServer } from '../../../../test/langfuse-server/types.ts'
import {
  makeCertificate,
  type RedisServer,
  type RedisServerOptions,
  startRedisServer,
} from '../testing/redis-server.ts'
import { deliveringTo, type Sandbox, sandbox } from './cli.fixture.ts'
import type { Check } from './doctor/check.ts'

const SECRETS = ['word-hidden', 'wrong-hidden'] as const

let langfuse: LangfuseServer
let box: Sandbox

beforeEach(async () => {
  langfuse = await startLangfuseServer()
  box = sandbox({ OFFPATH_HTTP_PORT: '0' })
})

afterEach(async () => {
  await langfuse.close()
  box.remove()
})

/** As a Redis should be that nothing is said about. */
const KEEPS = ['--appendonly', 'yes', '--maxmemory', '1gb']

async function redis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const args = [...KEEPS, ...(options.args ?? [])]
  const server = await startRedisServer({ password: 'word-hidden', ...options, args })
  onTestFinished(() => server.close())
  return server
}

/** What it says of Redis. */
async function doctor(url: string, ...args: string[]): Promise<Check[]> {
  box.env.OFFPATH_REDIS_URL = url
  const { code, stdout, stderr } = await box.offpath('doctor', 'config', '--json', ...args)
  expect(stderr).toBe('')
  for (const secret of SECRETS) expect(stdout).not.toContain(secret)
  const { checks } = JSON.parse(stdout) as { checks: Check[] }
  expect(code).toBe(checks.some(({ state }) => state === 'wrong') ? 1 : 0)
  return checks.filter(({ name }) => name === 'redis')
}

const FORWARDS = ['--redis-forward', 'true']

function receiving(): string[] {
  Object.assign(box.env, deliveringTo(langfuse))
  return ['--redis-receive', 'true']
}

describe('one that forwards', () => {
  test('may add to its streams, to which nothing is added', async () => {
    const { url, port, ask } = await redis()
    const shown = `redis://127.0.0.1:${port}`
    const checks = await doctor(url, ...FORWARDS)
    expect(checks).toMatchObject([
      { state: 'ok', message: expect.stringMatching(`^${shown} answers, version [78]\\.`) },
      { state: 'ok', message: 'the user may add to its streams' },
      { state: 'ok', message: expect.stringMatching(/^streams hold 0 entries, at most /) },
    ])
    expect(await ask('DBSIZE')).toBe(0)
    await ask('XADD', 'offpath:{0}', '*', 'v', '1')
    await doctor(url, ...FORWARDS)
    expect(await ask('XLEN', 'offpath:{0}')).toBe(1)
  })

  test('with a wrong password', async () => {
    const { url, port } = await redis()
    expect(await doctor(url.replace('word-hidden', 'wrong-hidden'), ...FORWARDS)).toMatchObject([
      {
        state: 'wrong',
        message: expect.stringMatching(`^redis://127.0.0.1:${port}: WRONGPASS`),
        fix: expect.stringMatching(/^are user and password .* right/),
      },
    ])
  })

  test('with no server, and with one that does not answer', async () => {
    const server = await redis()
    await server.kill()
    expect(await doctor(server.url, ...FORWARDS)).toMatchObject([
      {
        state: 'wrong',
        message: expect.stringContaining('ECONNREFUSED'),
        fix: expect.stringContaining('nothing listens there'),
      },
    ])
    await server.start()
    server.pause()
    const began = performance.now()
    expect(await doctor(server.url, ...FORWARDS)).toMatchObject([{ state: 'wrong' }])
    expect(performance.now() - began).toBeLessThan(15_000)
    server.resume()
  })

  test('over TLS, to an authority that is not known until it is told, and without it', async () => {
    const tls = makeCertificate(box.dir)
    const { url } = await redis({ tls })
    expect(await doctor(url, ...FORWARDS)).toMatchObject([
      {
        state: 'wrong',
        message: expect.stringContaining('SELF_SIGNED'),
        fix: expect.stringMatching(/no authority that Node knows: redis\.tls-ca=/),
      },
    ])
    const known = await doctor(url, ...FORWARDS, '--redis-tls-ca', tls.cert)
    expect(known[0]).toMatchObject({ state: 'ok' })
    expect(await doctor(url.replace('rediss:', 'redis:'), ...FORWARDS)).toMatchObject([
      { state: 'wrong', fix: expect.stringContaining('rediss:// instead of redis://?') },
    ])
  })

  test('whose user may not', async () => {
    const { url, ask } = await redis()
    await ask('ACL', 'SETUSER', 'reader', 'on', '>word-hidden', '~offpath:*', '+@read', '+ping')
    expect(await doctor(url.replace('//:', '//reader:'), ...FORWARDS)).toMatchObject([
      { state: 'ok' },
      {
        state: 'warning',
        message: expect.stringMatching(/^its version .* cannot be told: NOPERM/),
      },
      { state: 'wrong', message: expect.stringMatching(/^the user may not give XADD: NOPERM/) },
      { state: 'ok' },
    ])
  })

  test('to one that throws streams away, and to streams that are nearly full, or full', async () => {
    const { url, ask } = await redis({ args: ['--maxmemory-policy', 'allkeys-lru'] })
    for (let i = 0; i < 9; i++) await ask('XADD', 'offpath:{0}', '*', 'v', '1')
    for (let i = 0; i < 10; i++) await ask('XADD', 'offpath:{1}', '*', 'v', '1')
    const checks = await doctor(url, ...FORWARDS, '--redis-max-length', '10')
    expect(checks).toMatchObject([
      { state: 'ok' },
      { state: 'warning', message: expect.stringContaining('maxmemory-policy is allkeys-lru') },
      { state: 'ok' },
      {
        state: 'warning',
        message: expect.stringMatching(/^offpath:\{0\} is nearly full: 9 of 10/),
      },
      { state: 'wrong', message: expect.stringMatching(/^offpath:\{1\} is full.*: 10 of 10/) },
    ])
  })

  test('to one that keeps nothing, and may take all memory', async () => {
    const { url } = await redis({ args: ['--appendonly', 'no', '--maxmemory', '0'] })
    expect(await doctor(url, ...FORWARDS)).toMatchObject([
      { state: 'ok' },
      { state: 'warning', message: expect.stringContaining('appendonly is off') },
      { state: 'warning', message: expect.stringContaining('maxmemory is not set') },
      { state: 'ok' },
      { state: 'ok' },
    ])
  })

  test('whose memory is full', async () => {
    const { url } = await redis({ args: ['--maxmemory', '1'] })
    expect(await doctor(url, ...FORWARDS)).toMatchObject([
      { state: 'ok' },
      { state: 'wrong', message: expect.stringMatching(/^it does not take XADD now: OOM/) },
      { state: 'ok' },
    ])
  })
})

describe('one of a pool', () => {
  test('may deliver from its streams, and has no directories', async () => {
    const { url, ask } = await redis()
    await ask('XADD', 'offpath:{0}', '*', 'v', '1')
    expect(await doctor(url, ...receiving())).toMatchObject([
      { state: 'ok' },
      { state: 'ok', message: 'the user may deliver from its streams' },
      { state: 'ok' },
    ])
    expect(await ask('XINFO', 'GROUPS', 'offpath:{0}')).toEqual([])
    expect(await ask('DBSIZE')).toBe(1)
    const { stdout } = await box.offpath('doctor', 'config', '--json', ...receiving())
    const { checks } = JSON.parse(stdout) as { checks: Check[] }
    const names = checks.map(({ name }) => name)
    expect(names).toContain('langfuse')
    expect(names.filter((name) => /spool|store|relay/.test(name))).toEqual([])
  })

  test('whose user may only forward', async () => {
    const { url, ask } = await redis()
    const may = ['+ping', '+info', '+xadd', '+xlen']
    await ask('ACL', 'SETUSER', 'app', 'on', '>word-hidden', '~offpath:*', ...may)
    const user = url.replace('//:', '//app:')
    const checks = await doctor(user, ...receiving())
    expect(checks.map(({ state }) => state)).toEqual(['ok', 'wrong', 'ok'])
    expect(checks[1]?.message).toMatch(/may not give XREADGROUP, XGROUP, XINFO, XACK, XCLAIM, /)
  })
})

describe('one that takes from a list', () => {
  const TAKES = ['--redis-list', 'app:traces']

  test('may do so, and nothing is moved', async () => {
    const { url, ask } = await redis()
    await ask('LPUSH', 'app:traces', '{}', '{}')
    expect(await doctor(url, ...TAKES)).toMatchObject([
      { state: 'ok', message: expect.stringContaining('answers, version') },
      { state: 'ok', message: 'the user may take from the list app:traces' },
      { state: 'ok', message: '2 elements wait in app:traces' },
    ])
    expect(await ask('LLEN', 'app:traces')).toBe(2)
    expect(await ask('DBSIZE')).toBe(1)
  })

  test('of a key that is no list, and with dead elements', async () => {
    const { url, ask } = await redis()
    await ask('SET', 'app:traces', 'x')
    expect(await doctor(url, ...TAKES)).toContainEqual(
      expect.objectContaining({ state: 'wrong', message: 'app:traces is a string, and no list' }),
    )
    await ask('DEL', 'app:traces')
    await ask('XADD', '{app:traces}:dead', '*', 'reason', 'x')
    expect(await doctor(url, ...TAKES)).toContainEqual(
      expect.objectContaining({
        state: 'warning',
        message: '1 elements that were no record are in {app:traces}:dead',
      }),
    )
  })

  test('as a user who may not move', async () => {
    const { port, ask } = await redis()
    await ask('ACL', 'SETUSER', 'app', 'on', '>word-app', '~*', '+@all', '-lmove', '-blmove')
    const [, message] = await doctor(`redis://app:word-app@127.0.0.1:${port}`, ...TAKES)
    expect(message).toMatchObject({
      state: 'wrong',
      message: expect.stringContaining('the user may not give LMOVE, BLMOVE'),
      fix: 'ACL SETUSER: docs/redis-list.md names the commands',
    })
  })
})
