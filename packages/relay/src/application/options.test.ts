import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { loadConfig } from '../config/config.ts'
import { ConfigError } from '../config/config-error.ts'
import { isEnabled, relayEnvironment } from './environment.ts'
import { isOldNode, OLDEST_NODE } from './node-version.ts'
import { readOptions, type StartRelayOptions } from './options.ts'
import { startRelay } from './start-relay.ts'

const variables = (options: StartRelayOptions): Readonly<Record<string, string>> =>
  readOptions(options, {}).variables

function problems(options: unknown): readonly string[] {
  try {
    readOptions(options as StartRelayOptions, {})
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    return (error as ConfigError).problems
  }
  return []
}

test('options of all kinds become variables as docs/configuration.md writes them', () => {
  expect(
    variables({
      store: { dir: '/data/offpath' },
      retention: { age: '1d', size: 1024 },
      http: { port: 0, allowedHosts: ['a.example', 'b.example'] },
      langfuse: {
        baseUrl: new URL('https://langfuse.example'),
        projects: { search: { publicKey: 'pk', secretKey: 'sk' } },
        mediaUpload: false,
      },
      otlp: { url: 'http://127.0.0.1:4318/v1/traces', headers: { a: '1', b: 'x=y' } },
      redis: { url: 'redis://127.0.0.1', forward: true, maxLength: 20_000 },
      export: { requestBytes: '1MB', gzip: 'never', timeout: '10s', concurrency: undefined },
      log: { level: 'debug' },
      spool: undefined,
    }),
  ).toEqual({
    OFFPATH_STORE_DIR: '/data/offpath',
    OFFPATH_RETENTION_AGE: '1d',
    OFFPATH_RETENTION_SIZE: '1024',
    OFFPATH_HTTP_PORT: '0',
    OFFPATH_HTTP_ALLOWED_HOSTS: 'a.example,b.example',
    OFFPATH_LANGFUSE_BASE_URL: 'https://langfuse.example/',
    OFFPATH_LANGFUSE_PROJECTS: 'search=pk:sk',
    OFFPATH_LANGFUSE_MEDIA_UPLOAD: 'false',
    OFFPATH_OTLP_URL: 'http://127.0.0.1:4318/v1/traces',
    OFFPATH_OTLP_HEADERS: 'a=1,b=x=y',
    OFFPATH_REDIS_URL: 'redis://127.0.0.1',
    OFFPATH_REDIS_FORWARD: 'true',
    OFFPATH_REDIS_MAX_LENGTH: '20000',
    OFFPATH_EXPORT_REQUEST_BYTES: '1MB',
    OFFPATH_EXPORT_GZIP: 'never',
    OFFPATH_EXPORT_TIMEOUT: '10s',
    OFFPATH_LOG_LEVEL: 'debug',
  })
})

test('a list of none comes before that of offpath.yaml, too', () => {
  const env = variables({ http: { allowedHosts: [] }, otlp: { headers: {} } })
  const dir = mkdtempSync(join(tmpdir(), 'offpath-options-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  const yaml = 'http: { allowed-hosts: [a.example] }\notlp: { headers: { a: b }, url: "http://o" }'
  writeFileSync(join(dir, 'offpath.yaml'), yaml)
  const { config } = loadConfig({ flags: new Map(), env, cwd: dir })
  expect([config['http.allowed-hosts'], config['otlp.headers']]).toEqual([[], {}])
})

test.each<[string, unknown, string]>([
  [
    'no object',
    'child',
    "a string is not an object of options, such as { store: { dir: '/data' } }",
  ],
  ['a misspelt section', { langfus: {} }, 'unknown option langfus (did you mean langfuse?)'],
  [
    'a misspelt option',
    { langfuse: { publickey: 'pk' } },
    'unknown option langfuse.publickey (did you mean langfuse.publicKey?)',
  ],
  [
    'the name of offpath.yaml',
    { langfuse: { 'public-key': 'pk' } },
    'unknown option langfuse.public-key (did you mean langfuse.publicKey?)',
  ],
  [
    'no section',
    { http: 7411 },
    'http: a number is not an object of host, port, allowedHosts, token',
  ],
  ['a port', { http: { port: 99_999 } }, 'http.port: 99999 is not a port from 0 to 65535'],
  [
    'milliseconds',
    { export: { timeout: 30_000 } },
    "export.timeout: 30000 is not a duration: write '30000ms'",
  ],
  [
    'a URL in the place of a section',
    { redis: 'redis://user:hidden@host' },
    'redis: a string is not an object of url, passwordFile, tlsCa, forward, stream, partitions, maxLength, entryBytes, claimIdle, list',
  ],
  [
    'a URL with a password',
    { langfuse: { baseUrl: new URL('https://user:hidden@host') } },
    "langfuse.baseUrl: 'https://[redacted]@host/' is not a URL such as https://example.com",
  ],
  ['a secret', { http: { token: 17 } }, 'http.token: [redacted] is not text'],
  [
    'a comma in a header',
    { otlp: { headers: { a: 'secret,' } } },
    'otlp.headers: [redacted] is not an object of headers by name; values with a comma can be set in offpath.yaml',
  ],
  [
    'what is not for an application',
    { redis: { receive: true } },
    'unknown option redis.receive (a relay of a pool runs by itself: `offpath up`)',
  ],
  ['the drain', { export: { drain: '5s' } }, 'unknown option export.drain (it is drainMs here)'],
  ['drainMs', { drainMs: -1 }, 'drainMs: -1 is not a number of milliseconds from 0 to 2147478647'],
  [
    'more than a timer can wait',
    { drainMs: 2 ** 31 - 1 },
    'drainMs: 2147483647 is not a number of milliseconds from 0 to 2147478647',
  ],
  ['in', { in: 'sidecar' }, "in: 'sidecar' is not 'child' or 'thread'"],
  ['config', { config: '/nowhere.yaml' }, "config: '/nowhere.yaml' is not a file that is there"],
  [
    'a Node for a thread',
    { in: 'thread', node: process.execPath },
    "node: a thread runs in the application's own Node; leave it out, or in: 'thread'",
  ],
])('%s is refused with its name and what is allowed', (_, options, problem) => {
  expect(problems(options)).toEqual([`startRelay: ${problem}`])
})

test('all that is wrong is told at once', () => {
  expect(problems({ drainMs: 'x', http: { port: -1, hosts: 1 } })).toHaveLength(3)
})

test('the relay gets its own variables, what Node needs, and what these name', () => {
  const env = {
    HOME: '/root',
    HTTPS_PROXY: 'http://proxy',
    NODE_EXTRA_CA_CERTS: '/ca.pem',
    OFFPATH_STORE_DIR: `\${DATA}/offpath`,
    DATA: '/data',
    LANGFUSE_SECRET_KEY: 'sk',
    NODE_OPTIONS: '--import ./preload.js',
    NODE_CHANNEL_FD: '3',
    NODE_UNIQUE_ID: '1',
    DATABASE_URL: 'postgres://u:p@host',
    npm_command: 'start',
  }
  expect(relayEnvironment(env, { OFFPATH_SPOOL_DIR: '/s', OFFPATH_STORE_DIR: '/t' })).toEqual({
    HOME: '/root',
    HTTPS_PROXY: 'http://proxy',
    NODE_EXTRA_CA_CERTS: '/ca.pem',
    DATA: '/data',
    LANGFUSE_SECRET_KEY: 'sk',
    OFFPATH_SPOOL_DIR: '/s',
    OFFPATH_STORE_DIR: '/t',
  })
})

test('what switches recording off in the environment switches the relay off', () => {
  expect([
    isEnabled({}),
    isEnabled({ OFFPATH_ENABLED: 'false' }),
    isEnabled({ LANGFUSE_TRACING_ENABLED: '0' }),
    isEnabled({ OTEL_SDK_DISABLED: 'true' }),
    isEnabled({ OFFPATH_ENABLED: 'true', OTEL_SDK_DISABLED: 'true' }),
  ]).toEqual([true, false, false, false, true])
})

test('the oldest Node is that of the package', () => {
  const { engines } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  ) as { engines: { node: string } }
  expect(engines.node).toBe(`>=${OLDEST_NODE}`)
  expect(['20.20.2', '22.17.1', '22.18.0', '26.0.0'].map(isOldNode)).toEqual([
    true,
    true,
    false,
    false,
  ])
})

test('a second call returns what the first did; where recording is off nothing is started', async () => {
  const relay = startRelay({ enabled: false })
  expect(startRelay({ enabled: false })).toBe(relay)
  const warned = once(process, 'warning')
  expect(startRelay({ enabled: false, drainMs: 1 })).toBe(relay)
  expect((await warned)[0]).toMatchObject({
    code: 'OFFPATH_CONFIG',
    message: 'a second startRelay with other options is ignored',
  })
  expect(relay.status()).toMatchObject({ state: 'off', pid: null, url: null })
  expect([await relay.ready(), await relay.flush(), await relay.stop()]).toEqual([
    false,
    true,
    true,
  ])
})
