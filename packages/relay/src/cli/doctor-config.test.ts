// `offpath doctor config`: real servers, directories and relays, and secrets in none of what it prints.
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { createServer as createNetServer, type Server as NetServer } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { startLangfuseServer } from '../../../../test/langfuse-server/server.ts'
import type { LangfuseServer } from '../../../../test/langfuse-server/types.ts'
import { deliveringTo, type Sandbox, sandbox } from './cli.fixture.ts'
import type { Check } from './doctor/check.ts'

const SECRETS = ['sk-lf-test', 'sk-lf-hidden', 'token-hidden', 'http-hidden'] as const

let langfuse: LangfuseServer
let box: Sandbox

beforeEach(async () => {
  langfuse = await startLangfuseServer()
  box = sandbox(deliveringTo(langfuse))
})

afterEach(async () => {
  await langfuse.close()
  box.remove()
})

/** Its exit code, the checks of a name, and all of them. Secrets are looked for in what is printed. */
async function doctor(
  ...args: string[]
): Promise<{ code: number | null; checks: Check[]; of(name: string): Check[] }> {
  const { code, stdout, stderr } = await box.offpath('doctor', 'config', '--json', ...args)
  expect(stderr).toBe('')
  expectNoSecrets(stdout)
  const { checks } = JSON.parse(stdout) as { checks: Check[] }
  for (const { state, fix } of checks) if (state === 'ok') expect(fix).toBeNull()
  expect(code).toBe(checks.some(({ state }) => state === 'wrong') ? 1 : 0)
  return { code, checks, of: (name) => checks.filter((check) => check.name === name) }
}

function expectNoSecrets(text: string): void {
  for (const secret of SECRETS) {
    expect(text).not.toContain(secret)
    expect(text).not.toContain(Buffer.from(`pk-lf-test:${secret}`).toString('base64'))
  }
}

async function listening(server: NetServer): Promise<number> {
  onTestFinished(() => void server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as { port: number }).port
}

async function serve(answer: RequestListener): Promise<string> {
  const server: Server = createServer(answer)
  onTestFinished(() => server.closeAllConnections())
  return `http://127.0.0.1:${await listening(server)}`
}

const states = (checks: readonly Check[]): string[] => checks.map(({ state }) => state)

describe('exporters', () => {
  test('are reached with each pair of keys, and no trace is sent', async () => {
    langfuse.projects.set('pk-search', 'sk-lf-hidden')
    box.env.OFFPATH_LANGFUSE_PROJECTS = 'search=pk-search:sk-lf-hidden'
    box.env.OFFPATH_OTLP_URL = langfuse.otlpUrl
    const { code, of } = await doctor()
    expect(code).toBe(0)
    expect(of('langfuse')).toEqual([
      {
        name: 'langfuse',
        state: 'ok',
        message: `${langfuse.url} takes traces for the project Project of pk-lf-test`,
        fix: null,
      },
    ])
    expect(of('langfuse, project search')).toMatchObject([
      { state: 'ok', message: expect.stringContaining('Project of pk-search') },
    ])
    expect(of('otlp')).toMatchObject([{ state: 'ok', message: `${langfuse.otlpUrl} takes traces` }])
    expect(
      langfuse.requests.map(({ answer, spanCount, encodedBytes }) => {
        return [answer, spanCount, encodedBytes]
      }),
    ).toEqual(Array(3).fill([200, 0, 0]))
  })

  test('whose keys are wrong are told, each', async () => {
    box.env.LANGFUSE_SECRET_KEY = 'sk-lf-hidden'
    box.env.OFFPATH_LANGFUSE_PROJECTS = 'search=pk-lf-test:sk-lf-test,other=pk-lf-test:token-hidden'
    const { code, of } = await doctor()
    expect(code).toBe(1)
    expect(of('langfuse')).toMatchObject([
      {
        state: 'wrong',
        message: expect.stringMatching(
          /^http:\S+ does not take traces: answered 401: .*Invalid cred/,
        ),
        fix: 'are langfuse.public-key and langfuse.secret-key right, and of this server?',
      },
    ])
    expect(states(of('langfuse, project search'))).toEqual(['ok'])
    expect(of('langfuse, project other')).toMatchObject([
      { state: 'wrong', fix: 'are langfuse.projects right, and of this server?' },
    ])
  })

  test('that repeat what they were asked with show no secret', async () => {
    const url = await serve(({ headers }, response) => {
      response.statusCode = 403
      response.end(`no: ${headers.authorization} \u001b[31m`)
    })
    box.env.LANGFUSE_BASE_URL = url
    box.env.OFFPATH_OTLP_URL = `${url}/v1/traces?key=http-hidden`
    box.env.OFFPATH_OTLP_HEADERS = 'authorization=Bearer token-hidden'
    const { of } = await doctor()
    expect(of('langfuse')[0]?.message).toContain('answered 403: no: Basic ***')
    expect(of('otlp')).toMatchObject([
      {
        state: 'wrong',
        message: `${url}/v1/traces: answered 403: no: *** [31m`,
        fix: 'are otlp.headers right, and of this server?',
      },
    ])
    const { code, stdout, stderr } = await box.offpath('doctor', 'config')
    expectNoSecrets(stdout + stderr)
    expect(code).toBe(1)
    expect(stdout).toMatch(/\nwrong +otlp +http.*: answered 403: .* → are otlp\.headers right/)
    expect(stdout).toMatch(/\n\d+ ok, \d+ warning, 2 wrong\n$/)
    expect(stdout).not.toMatch(/(?!\n)\p{Cc}/u)
  })

  test('none: a warning that traces stay here', async () => {
    for (const name of ['LANGFUSE_PUBLIC_KEY', 'LANGFUSE_SECRET_KEY']) delete box.env[name]
    const { code, of } = await doctor()
    expect(code).toBe(0)
    expect(of('exporters')).toMatchObject([
      { state: 'warning', message: 'none is configured: traces stay in the store' },
    ])
    expect(langfuse.requests).toEqual([])
  })

  test('that take traces and know no projects are a warning', async () => {
    box.env.LANGFUSE_BASE_URL = await serve(({ method }, response) => {
      response.statusCode = method === 'GET' ? 404 : 200
      response.end()
    })
    const { of } = await doctor()
    expect(of('langfuse')).toMatchObject([
      {
        state: 'warning',
        message: expect.stringMatching(/does not say for which .*: answered 404$/),
      },
    ])
  })

  test('that want at least one span are a warning', async () => {
    box.env.OFFPATH_OTLP_URL = await serve((_, response) => {
      response.statusCode = 400
      response.end('no spans')
    })
    const { of } = await doctor()
    expect(of('otlp')).toMatchObject([
      {
        state: 'warning',
        message: expect.stringMatching(/without spans: answered 400: no spans$/),
      },
    ])
  })

  test.each<[string, RequestListener, string, string]>([
    [
      'a login page',
      (_, response) => response.setHeader('content-type', 'text/html').end('<html>Sign in'),
      'answered 200 with an HTML page: is the URL right?',
      'is langfuse.base-url right?',
    ],
    [
      'another site',
      (_, response) => response.writeHead(404).end('<!DOCTYPE html><title>nothing here'),
      'answered 404 with an HTML page',
      'is langfuse.base-url right?',
    ],
    [
      'a redirect',
      (_, response) =>
        response.writeHead(301, { location: 'https://x.example/?a=token-hidden' }).end(),
      'answered 301 (to https://x.example/)',
      'langfuse.base-url must name where it leads',
    ],
    [
      'a server that is down',
      (_, response) => response.writeHead(503).end('upstream'),
      'answered 503: upstream',
      'the relay tries again by itself; is the server well?',
    ],
    [
      'a server that hangs up',
      (_, response) => response.socket?.resetAndDestroy(),
      'ECONNRESET',
      'is it https:// instead of http://? A proxy in between?',
    ],
  ])('%s is told from Langfuse', async (_, answer, message, fix) => {
    box.env.LANGFUSE_BASE_URL = await serve(answer)
    const { of } = await doctor()
    const [check] = of('langfuse')
    expect(check).toMatchObject({ state: 'wrong', fix })
    expect(check?.message).toContain(message)
  })

  test('that nobody listens for, and whose host is unknown', async () => {
    const server = createNetServer()
    const port = await listening(server)
    server.close()
    box.env.LANGFUSE_BASE_URL = `http://127.0.0.1:${port}`
    box.env.OFFPATH_OTLP_URL = 'http://nowhere.invalid'
    const { of } = await doctor()
    const [refused] = of('langfuse')
    expect(refused).toMatchObject({
      state: 'wrong',
      fix: 'nothing listens there: are host and port right, is the server up?',
    })
    expect(refused?.message).toContain('ECONNREFUSED')
    const [unknown] = of('otlp')
    expect(unknown?.state).toBe('wrong')
    // Without a network there is no answer of DNS either.
    expect(unknown?.message).toMatch(/ENOTFOUND|EAI_AGAIN|no answer within/)
  })

  test('that do not answer are waited for no longer than 5 s, all at once', async () => {
    const url = await serve(() => {})
    box.env.LANGFUSE_BASE_URL = url
    box.env.OFFPATH_LANGFUSE_PROJECTS = 'search=pk-search:sk-lf-hidden'
    box.env.OFFPATH_OTLP_URL = url
    const before = performance.now()
    const { of } = await doctor()
    expect(performance.now() - before).toBeLessThan(9000)
    for (const name of ['langfuse', 'langfuse, project search', 'otlp']) {
      expect(of(name)[0]?.message).toContain('no answer within 5000 ms')
    }
  })

  test('whose certificate is of an unknown authority, until it is known', async () => {
    const key = join(box.dir, 'key.pem')
    const cert = join(box.dir, 'cert.pem')
    execFileSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
        ...['-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=127.0.0.1'],
        ...['-addext', 'subjectAltName=IP:127.0.0.1'],
      ],
      { stdio: 'pipe' },
    )
    const server = createTlsServer(
      { key: readFileSync(key), cert: readFileSync(cert) },
      (_, response) => response.end('{"data":[{"name":"over TLS"}]}'),
    )
    box.env.LANGFUSE_BASE_URL = `https://127.0.0.1:${await listening(server)}`
    const unknown = (await doctor()).of('langfuse')[0]
    expect(unknown?.state).toBe('wrong')
    expect(unknown?.message).toMatch(/SELF_SIGNED/)
    expect(unknown?.fix).toContain('NODE_EXTRA_CA_CERTS')
    box.env.NODE_EXTRA_CA_CERTS = cert
    expect((await doctor()).of('langfuse')).toMatchObject([
      { state: 'ok', message: expect.stringMatching(/for the project over TLS$/) },
    ])
  })

  test('that speak no TLS', async () => {
    box.env.LANGFUSE_BASE_URL = langfuse.url.replace('http:', 'https:')
    expect((await doctor()).of('langfuse')).toMatchObject([
      {
        state: 'wrong',
        fix: 'that server speaks no TLS at this port: http:// instead of https://?',
      },
    ])
  })
})

describe('directories', () => {
  test('that are not there can be made, and are not', async () => {
    const { of } = await doctor()
    for (const name of ['spool.dir', 'spool.disk-dir', 'store.dir']) {
      expect(of(name)[0]).toMatchObject({
        state: 'ok',
        message: expect.stringContaining('is not there yet and can be made'),
      })
    }
    expect(of('relay')).toMatchObject([{ state: 'ok', message: 'none runs' }])
    for (const name of ['spool', 'disk', 'store'])
      expect(existsSync(join(box.dir, name))).toBe(false)
  })

  test.each<[number, string, RegExp, RegExp | null]>([
    [0o700, 'ok', /is private \(mode 700\)/, null],
    [0o755, 'warning', /^other users may look into .* \(mode 755\)$/, /^chmod o-rwx \//],
    [
      0o777,
      'wrong',
      /can be written to by every user: `chmod o-w /,
      /name another one with spool.dir/,
    ],
  ])('a spool of mode %o is %s', async (mode, state, message, fix) => {
    mkdirSync(box.env.OFFPATH_SPOOL_DIR!)
    chmodSync(box.env.OFFPATH_SPOOL_DIR!, mode)
    const [check] = (await doctor()).of('spool.dir')
    expect(check?.state).toBe(state)
    expect(check?.message).toMatch(message)
    if (fix === null) expect(check?.fix).toBeNull()
    else expect(check?.fix).toMatch(fix)
  })

  test('links, files, and what lies in a file cannot be used', async () => {
    symlinkSync(box.dir, box.env.OFFPATH_SPOOL_DIR!)
    writeFileSync(box.env.OFFPATH_SPOOL_DISK_DIR!, '')
    box.env.OFFPATH_STORE_DIR = join(box.env.OFFPATH_SPOOL_DISK_DIR!, 'store')
    const { code, of } = await doctor()
    expect(code).toBe(1)
    expect(of('spool.dir')).toMatchObject([
      { state: 'wrong', message: expect.stringMatching(/is not a directory/) },
    ])
    expect(of('spool.disk-dir')).toMatchObject([
      { state: 'wrong', message: expect.stringMatching(/is not a directory/) },
    ])
    expect(of('store.dir')).toMatchObject([
      { state: 'wrong', message: expect.stringMatching(/cannot be used: /) },
    ])
  })

  test.runIf(process.platform === 'linux' && existsSync('/dev/shm'))(
    'in memory are right for the spool and wrong for what is to stay; caps that do not fit are told',
    async () => {
      const { of } = await doctor('--spool-cap', '500TB', '--retention-size', '1MB')
      expect(states(of('spool.dir'))).toEqual(['ok'])
      expect(of('store.dir').slice(1)).toMatchObject([
        { state: 'warning', message: expect.stringMatching(/in memory/) },
      ])
      expect(of('spool.disk-dir').slice(1)).toMatchObject([{ state: 'warning' }])
      expect(of('spool.cap')).toMatchObject([
        {
          state: 'warning',
          message: expect.stringMatching(/^500 TB may be used, /),
          fix: 'lower spool.cap, or make room',
        },
      ])
      expect(states(of('retention.size'))).toEqual(['ok'])
    },
  )

  test('a store of a later version is told', async () => {
    mkdirSync(box.env.OFFPATH_STORE_DIR!, { mode: 0o700 })
    const database = new DatabaseSync(join(box.env.OFFPATH_STORE_DIR!, 'offpath.db'))
    database.exec('PRAGMA user_version = 99')
    database.close()
    expect((await doctor()).of('store')).toMatchObject([
      { state: 'wrong', message: expect.stringMatching(/ has version 99, .*: update offpath/) },
    ])
  })
})

describe('relay and port', () => {
  test('a port that is free, or any', async () => {
    const server = createNetServer()
    const port = await listening(server)
    server.close()
    expect((await doctor('--http-port', String(port))).of('http.port')).toMatchObject([
      { state: 'ok', message: `port ${port} of 127.0.0.1 is free` },
    ])
    expect((await doctor()).of('http.port')).toMatchObject([
      { state: 'ok', message: 'any free port of 127.0.0.1' },
    ])
  })

  test('a port that is taken, a host that is not ours, an API that is open to all', async () => {
    const port = await listening(createNetServer())
    const taken = await doctor('--http-port', String(port))
    expect(taken.of('http.port')).toMatchObject([
      { state: 'wrong', message: `port ${port} of 127.0.0.1 is taken by another program` },
    ])
    const host = await doctor('--http-host', '192.0.2.1', '--http-port', String(port))
    expect(host.of('http.port')).toMatchObject([
      { state: 'wrong', fix: 'http.host must be an address of this machine' },
    ])
    expect(host.of('http.token')).toMatchObject([
      { state: 'warning', message: expect.stringContaining('drops dead letters') },
    ])
    expect(
      (await doctor('--http-host', '0.0.0.0', '--http-token', 'http-hidden')).of('http.token'),
    ).toEqual([])
  })

  test('the relay that runs is known by its directories, and what it does otherwise is told', async () => {
    const relay = box.start('up', '--json')
    const { url } = JSON.parse(await relay.line()) as { url: string }
    const { port } = new URL(url)
    const same = await doctor('--http-port', port)
    expect(same.code).toBe(0)
    expect(same.of('relay')).toEqual([
      { name: 'relay', state: 'ok', message: `runs: pid ${relay.child.pid}, ${url}`, fix: null },
    ])
    expect(same.of('http.port')).toMatchObject([
      { state: 'ok', message: `port ${port} of 127.0.0.1 is the running relay's` },
    ])
    expect(same.of('store')).toMatchObject([
      { state: 'ok', message: expect.stringMatching(/^can be read: /) },
    ])

    const elsewhere = await doctor('--otlp-url', langfuse.otlpUrl)
    expect(elsewhere.of('relay')).toMatchObject([
      { state: 'ok' },
      { state: 'warning', message: expect.stringContaining(`, otlp ${langfuse.otlpUrl}`) },
    ])
    const other = await doctor('--store-dir', join(box.dir, 'other'))
    expect(other.of('relay')).toMatchObject([
      { state: 'wrong', message: expect.stringContaining(box.env.OFFPATH_SPOOL_DIR!) },
    ])
    expect(await relay.end('SIGTERM')).toBe(0)
    expect((await doctor()).of('relay')).toMatchObject([{ state: 'ok', message: 'none runs' }])
  })
})

describe('configuration', () => {
  test('where values come from is told, and that others can read keys', async () => {
    const yaml = 'http:\n  token: http-hidden\nspool.cap: 10MB\n'
    writeFileSync(join(box.dir, 'offpath.yaml'), yaml)
    chmodSync(join(box.dir, 'offpath.yaml'), 0o644)
    const { code, of } = await doctor('--export-timeout', '20s')
    expect(code).toBe(0)
    const messages = of('configuration').map(({ state, message }) => `${state} ${message}`)
    expect(messages).toEqual(
      expect.arrayContaining([
        'ok offpath.yaml is read',
        'warning offpath.yaml holds http.token and can be read by other users (mode 644): chmod 600 offpath.yaml',
        'ok http.token = [redacted] (offpath.yaml:2:10)',
        'ok spool.cap = 10 MB (offpath.yaml:3:12)',
        'ok export.timeout = 20.0 s (--export-timeout)',
        'ok langfuse.public-key = pk-lf-test (LANGFUSE_PUBLIC_KEY)',
        'ok langfuse.secret-key = [redacted] (LANGFUSE_SECRET_KEY)',
        `ok langfuse.base-url = ${langfuse.url}/ (LANGFUSE_BASE_URL)`,
      ]),
    )
  })

  test('none is told as well; one that cannot be read ends it with exit code 2', async () => {
    expect((await doctor()).of('configuration')[0]?.message).toBe('there is no offpath.yaml here')
    writeFileSync(join(box.dir, 'offpath.yaml'), 'stroe.dir: x\n')
    const { code, stdout, stderr } = await box.offpath('doctor', 'config')
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(/^offpath: offpath\.yaml:1:1: stroe\.dir is not an option/)
  })
})
