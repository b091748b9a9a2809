// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${NAME} in paths is what is tested.
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type ConfigSources, loadConfig, shownConfig } from './config.ts'
import { ConfigError } from './config-error.ts'
import { renderDocument } from './document.ts'
import type { OptionName } from './options.ts'

let cwd: string

beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'offpath-config-'))
})

afterEach(() => rmSync(cwd, { recursive: true }))

interface Given {
  flags?: Partial<Record<OptionName, string>>
  env?: Record<string, string>
  yaml?: string
  file?: string
}

function load({ flags = {}, env = {}, yaml, file }: Given): ReturnType<typeof loadConfig> {
  if (yaml !== undefined) writeFileSync(join(cwd, 'offpath.yaml'), yaml, { mode: 0o600 })
  const sources: ConfigSources = {
    flags: new Map(Object.entries(flags) as [OptionName, string][]),
    env: { HOME: '/home/someone', ...env },
    cwd,
    file,
  }
  return loadConfig(sources)
}

function problems(given: Given): readonly string[] {
  try {
    load(given)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

describe('defaults', () => {
  test('are complete', () => {
    const { config, origins, warnings } = load({})
    expect(config['spool.dir']).toMatch(/offpath-\d+$/)
    expect(config['spool.cap']).toBeUndefined()
    expect(config['spool.disk-dir']).toBe('/home/someone/.local/state/offpath/spool')
    expect(config['spool.disk-cap']).toBe(1024 ** 3)
    expect(config['store.dir']).toBe('/home/someone/.local/state/offpath')
    expect(config['retention.age']).toBe(7 * 86_400_000)
    expect(config['retention.size']).toBe(2 * 1024 ** 3)
    expect(config['http.host']).toBe('127.0.0.1')
    expect(config['http.port']).toBe(7411)
    expect(config['http.allowed-hosts']).toEqual([])
    expect(config['langfuse.projects']).toEqual({})
    expect(config['export.timeout']).toBe(30_000)
    expect([origins.size, warnings]).toEqual([0, []])
  })

  test('follow XDG_STATE_HOME', () => {
    expect(load({ env: { XDG_STATE_HOME: '/state' } }).config['store.dir']).toBe('/state/offpath')
  })

  test('cannot be changed afterwards', () => {
    const { config } = load({ env: { OFFPATH_OTLP_HEADERS: 'a=b', OFFPATH_OTLP_URL: 'http://c' } })
    expect(() => Object.assign(config, { 'http.port': 1 })).toThrow(TypeError)
    expect(() => Object.assign(config['otlp.headers'], { a: 'c' })).toThrow(TypeError)
  })
})

describe('spellings', () => {
  test('flags come before the environment, that before the file', () => {
    const yaml = 'http:\n  host: from.file\n  port: 1\n  token: a\n'
    const env = { OFFPATH_HTTP_PORT: '2', OFFPATH_HTTP_TOKEN: 'b' }
    const { config, origins } = load({ yaml, env, flags: { 'http.token': 'c' } })
    expect(config['http.host']).toBe('from.file')
    expect(config['http.port']).toBe(2)
    expect(config['http.token']).toBe('c')
    expect(Object.fromEntries(origins)).toEqual({
      'http.host': 'offpath.yaml:2:9',
      'http.port': 'OFFPATH_HTTP_PORT',
      'http.token': '--http-token',
    })
  })

  test('yaml nests, or writes dots', () => {
    const yaml = 'spool: {cap: 10MB, disk-dir: ./spool}\nretention.age: 36h\n'
    const { config } = load({ yaml })
    expect(config['spool.cap']).toBe(10 * 1024 ** 2)
    expect(config['spool.disk-dir']).toBe(join(cwd, 'spool'))
    expect(config['retention.age']).toBe(36 * 3_600_000)
  })

  test('an empty variable is unset, an empty file too', () => {
    const { config } = load({ env: { OFFPATH_HTTP_PORT: '' }, yaml: '# nothing\n' })
    expect(config['http.port']).toBe(7411)
  })

  test('the Langfuse SDKs’ variables work, ours come first', () => {
    const keys = { LANGFUSE_PUBLIC_KEY: 'pk', LANGFUSE_SECRET_KEY: 'sk' }
    const base = (env: Record<string, string>): string =>
      load({ env: { ...keys, ...env } }).config['langfuse.base-url'].href
    expect(base({})).toBe('https://cloud.langfuse.com/')
    expect(base({ LANGFUSE_HOST: 'http://c' })).toBe('http://c/')
    expect(base({ LANGFUSE_HOST: 'http://c', LANGFUSE_BASEURL: 'http://b' })).toBe('http://b/')
    expect(base({ LANGFUSE_BASEURL: 'http://b', LANGFUSE_BASE_URL: 'http://a' })).toBe('http://a/')
    expect(base({ LANGFUSE_HOST: 'http://c', OFFPATH_LANGFUSE_BASE_URL: 'http://o' })).toBe(
      'http://o/',
    )
  })

  test('maps and lists in each spelling', () => {
    const projects = { search: { publicKey: 'pk:1'.slice(0, 2), secretKey: 'sk' } }
    const yaml =
      'langfuse:\n  projects:\n    search: {public-key: pk, secret-key: sk}\n' +
      'http:\n  allowed-hosts: [A.example, b.example]\n' +
      'otlp:\n  url: http://c/v1/traces\n  headers:\n    X-Key: one, two\n'
    const fromYaml = load({ yaml }).config
    expect(fromYaml['langfuse.projects']).toEqual(projects)
    expect(fromYaml['http.allowed-hosts']).toEqual(['a.example', 'b.example'])
    expect(fromYaml['otlp.headers']).toEqual({ 'x-key': 'one, two' })
    const fromFlags = load({
      flags: {
        'langfuse.projects': 'search=pk:sk',
        'http.allowed-hosts': 'a.example, b.example',
        'otlp.headers': 'x-key=one,y=a=b',
        'otlp.url': 'http://c',
      },
    }).config
    expect(fromFlags['langfuse.projects']).toEqual(projects)
    expect(fromFlags['http.allowed-hosts']).toEqual(['a.example', 'b.example'])
    expect(fromFlags['otlp.headers']).toEqual({ 'x-key': 'one', y: 'a=b' })
  })

  test('paths expand ~ and ${NAME}', () => {
    const path = (text: string): string =>
      load({ flags: { 'store.dir': text }, env: { DATA: '/data' } }).config['store.dir']
    expect(path('~/x')).toBe('/home/someone/x')
    expect(path('${DATA}/x')).toBe('/data/x')
    expect(path('${NONE:-~/y}/x')).toBe('/home/someone/y/x')
    expect(path('x')).toBe(join(cwd, 'x'))
  })

  test('another file by --config or OFFPATH_CONFIG', () => {
    const file = join(cwd, 'other.yaml')
    writeFileSync(file, 'http.port: 3')
    expect(load({ file }).config['http.port']).toBe(3)
    expect(load({ env: { OFFPATH_CONFIG: 'other.yaml' } }).config['http.port']).toBe(3)
  })
})

describe('problems', () => {
  test.each<[string, Given, string[]]>([
    [
      'a wrong value in the file',
      { yaml: 'spool:\n  cap: 64 MBB\n' },
      [
        'offpath.yaml:2:8: spool.cap: "64 MBB" is not valid; expected a size such as 64MB (B, KB, MB, GB, TB)',
      ],
    ],
    [
      'a misspelt key',
      { yaml: 'spool:\n  dirr: x\nretension: {age: 1d}\n' },
      [
        'offpath.yaml:2:3: spool.dirr is not an option (did you mean spool.dir?)',
        'offpath.yaml:3:1: retension is not an option (did you mean retention?)',
      ],
    ],
    [
      'a key out of its section',
      { yaml: 'port: 1\n' },
      ['offpath.yaml:1:1: port is not an option (did you mean http.port?)'],
    ],
    [
      'no value',
      { yaml: 'store:\n  dir:\n' },
      ['offpath.yaml:2:7: store.dir: has no value; expected a path'],
    ],
    [
      'a value where options belong',
      { yaml: 'retention: 7d\n' },
      ['offpath.yaml:1:12: retention holds the options retention.age, retention.size'],
    ],
    [
      'a list where text belongs',
      { yaml: 'store.dir: [a]\n' },
      ['offpath.yaml:1:12: store.dir: expected a path'],
    ],
    [
      'wrong keys of a project, unshown',
      { yaml: 'langfuse:\n  projects:\n    a: {public-key: pk, secret: sk}\n' },
      [
        'offpath.yaml:3:5: langfuse.projects: expected keys by project such as name=pk-lf-…:sk-lf-…,other=…, or the same as a YAML collection',
      ],
    ],
    [
      'twice',
      { yaml: 'http.port: 1\nhttp: {port: 2}\n' },
      ['offpath.yaml:2:8: http.port is set twice'],
    ],
    [
      'twice in one mapping',
      { yaml: 'http.port: 1\nhttp.port: 2\n' },
      ['offpath.yaml:2:1: Map keys must be unique'],
    ],
    [
      'an alias',
      { yaml: 'http.host: &a x\nhttp.token: *a\n' },
      ['offpath.yaml:2:13: http.token: expected text'],
    ],
    [
      'no mapping',
      { yaml: '- a\n' },
      ['offpath.yaml:1:1: must hold options such as "spool: {dir: …}"'],
    ],
    [
      'a variable',
      { env: { OFFPATH_RETENTION_AGE: '7' } },
      [
        'OFFPATH_RETENTION_AGE: "7" is not valid; expected a duration such as 250ms (ms, s, m, h, d)',
      ],
    ],
    [
      'a flag',
      { flags: { 'http.port': '65536', 'log.level': 'loud' } },
      [
        '--http-port: "65536" is not valid; expected a port from 0 to 65535',
        '--log-level: "loud" is not valid; expected one of debug, info, warn, error',
      ],
    ],
    [
      'nothing at all',
      { flags: { 'export.timeout': '0', 'retention.size': '0MB' } },
      [
        '--export-timeout: "0" is not valid; expected a duration such as 250ms (ms, s, m, h, d)',
        '--retention-size: "0MB" is not valid; expected a size such as 64MB (B, KB, MB, GB, TB)',
      ],
    ],
    [
      'a URL with keys in it',
      { env: { LANGFUSE_HOST: 'https://pk:sk@x' } },
      [
        'LANGFUSE_HOST: "https://[redacted]@x" is not valid; expected a URL such as https://example.com',
      ],
    ],
    [
      'a secret is not repeated',
      { env: { OFFPATH_OTLP_HEADERS: 'hunter2' } },
      ['OFFPATH_OTLP_HEADERS: expected headers such as name=value,other=value'],
    ],
    [
      'half a pair of keys',
      { env: { LANGFUSE_PUBLIC_KEY: 'pk' } },
      [
        'LANGFUSE_PUBLIC_KEY: langfuse.public-key needs langfuse.secret-key too (OFFPATH_LANGFUSE_SECRET_KEY, --langfuse-secret-key)',
      ],
    ],
    [
      'one directory for two',
      { flags: { 'spool.dir': '/x', 'spool.disk-dir': '/x' } },
      ['spool.dir and spool.disk-dir must be two directories; both are /x'],
    ],
    [
      'a role without Redis',
      { env: { OFFPATH_REDIS_FORWARD: 'true' } },
      ['OFFPATH_REDIS_FORWARD: redis.forward needs redis.url too (OFFPATH_REDIS_URL, --redis-url)'],
    ],
    [
      'a pool that receives by HTTP too',
      {
        flags: {
          'redis.url': 'redis://r',
          'redis.receive': 'true',
          'otlp.url': 'http://o',
          'otlp.receive': 'true',
        },
      },
      [
        'redis.receive and otlp.receive cannot both be true: a relay of a pool has no store; receive beside the application, and forward',
      ],
    ],
    [
      'a pool that delivers nowhere, and forwards',
      { flags: { 'redis.url': 'redis://r', 'redis.receive': 'true', 'redis.forward': '1' } },
      [
        'redis.forward and redis.receive cannot both be true: a relay hands over to the pool, or is one of it',
        '--redis-receive: redis.receive needs where to deliver to: langfuse.public-key and langfuse.secret-key, langfuse.projects, or otlp.url',
      ],
    ],
    [
      'a list without Redis',
      { env: { OFFPATH_REDIS_LIST: 'app:traces' } },
      ['OFFPATH_REDIS_LIST: redis.list needs redis.url too (OFFPATH_REDIS_URL, --redis-url)'],
    ],
    [
      'a pool that takes from a list',
      {
        flags: {
          'redis.url': 'redis://r',
          'redis.receive': 'true',
          'redis.list': 'a',
          'otlp.url': 'http://o',
        },
      },
      [
        '--redis-list: redis.list needs a store, and a relay of a pool (redis.receive) has none: run another relay for the list, with redis.forward if the pool is to deliver',
      ],
    ],
    [
      'a list that a cluster would not find together',
      { flags: { 'redis.url': 'redis://r', 'redis.list': 'a{}b' } },
      [
        '--redis-list: "a{}b" is not valid; expected a key such as offpath:list (letters, digits, . _ : / -, one part in braces)',
      ],
    ],
    [
      'a password in a URL that is none, unshown',
      { env: { OFFPATH_REDIS_URL: 'redis://u:hunter2@r@s' } },
      [
        'OFFPATH_REDIS_URL: expected a URL such as redis://user:password@redis.example.com:6379/0 (special characters of user and password percent-encoded)',
      ],
    ],
    [
      'files of Redis that are not there, or for nothing',
      {
        flags: {
          'redis.url': 'redis://r',
          'redis.forward': 'true',
          'redis.tls-ca': '/none/ca.pem',
          'redis.password-file': '/none/password',
        },
      },
      [
        '--redis-tls-ca: redis.tls-ca is for TLS, and redis.url does not begin with rediss',
        'redis.tls-ca: there is no file /none/ca.pem',
        'redis.password-file: there is no file /none/password',
      ],
    ],
    ['no such file', { file: 'none.yaml' }, ['none.yaml: there is no such file']],
  ])('%s', (_, given, expected) => {
    expect(problems(given)).toEqual(expected)
  })

  test('of YAML itself have their place', () => {
    expect(problems({ yaml: 'spool:\n  dir: "x\n' })[0]).toMatch(
      /^offpath\.yaml:\d+:\d+: the closing " is missing$/,
    )
  })

  test('are all named at once', () => {
    expect(problems({ yaml: 'a: 1\nb: 2\n', flags: { 'http.port': 'x' } })).toHaveLength(3)
  })
})

test('a password that others can read is refused', () => {
  const file = join(cwd, 'password')
  writeFileSync(file, 'hunter2')
  const flags = { 'redis.url': 'redis://r', 'redis.forward': 'true', 'redis.password-file': file }
  chmodSync(file, 0o640)
  expect(problems({ flags })).toEqual([
    `redis.password-file: ${file} can be read by other users (mode 640): chmod 600 ${file}`,
  ])
  chmodSync(file, 0o600)
  expect(problems({ flags })).toEqual([])
})

describe('warnings', () => {
  test('a Redis that nothing is done with', () => {
    expect(load({ env: { OFFPATH_REDIS_URL: 'redis://r' } }).warnings).toEqual([
      'OFFPATH_REDIS_URL: redis.url is not used: neither redis.forward nor redis.receive is true, and redis.list is not set',
    ])
  })

  test('a file with keys that others can read', () => {
    const file = join(cwd, 'offpath.yaml')
    writeFileSync(file, 'http.token: secret')
    chmodSync(file, 0o644)
    expect(load({}).warnings).toEqual([
      'offpath.yaml holds http.token and can be read by other users (mode 644): chmod 600 offpath.yaml',
    ])
    chmodSync(file, 0o600)
    expect(load({}).warnings).toEqual([])
  })

  test('a variable that is nearly an option', () => {
    expect(load({ env: { OFFPATH_STORE_DIRS: 'x', OFFPATH_SAMPLE_RATE: '1' } }).warnings).toEqual([
      'OFFPATH_STORE_DIRS is not an option; did you mean OFFPATH_STORE_DIR?',
    ])
  })

  test('any other variable with the prefix', () => {
    const env = { OFFPATH_SERVCE: 'x', OFFPATH_STROE_DIR: 'x', OFFPATH_WHATEVER: 'x', OTHER: 'x' }
    expect(load({ env }).warnings).toEqual([
      'OFFPATH_SERVCE is not an option; did you mean OFFPATH_SERVICE?',
      'OFFPATH_STROE_DIR is not an option; did you mean OFFPATH_STORE_DIR?',
      'OFFPATH_WHATEVER is not an option',
    ])
  })

  test("none of the SDK's variables, nor those that Kubernetes sets for a service called offpath", () => {
    const source = readFileSync(join(import.meta.dirname, '../../../sdk/src/config.ts'), 'utf8')
    const names: string[] = [...(source.match(/OFFPATH_[A-Z_]*[A-Z]/g) ?? [])]
    expect(names.length).toBeGreaterThan(10)
    names.push('OFFPATH_PORT_7411_TCP_ADDR', 'OFFPATH_SERVICE_PORT_HTTP')
    const env = Object.fromEntries(names.map((name) => [name, '']))
    expect(load({ env }).warnings).toEqual([])
  })
})

test('secrets are redacted however a configuration is printed', () => {
  const { config } = load({
    env: {
      LANGFUSE_PUBLIC_KEY: 'pk-lf-1',
      LANGFUSE_SECRET_KEY: 'hunter2',
      OFFPATH_LANGFUSE_PROJECTS: 'a=pk:hunter2',
      OFFPATH_OTLP_URL: 'http://c',
      OFFPATH_OTLP_HEADERS: 'authorization=hunter2',
      OFFPATH_HTTP_TOKEN: 'hunter2',
      OFFPATH_REDIS_URL: 'redis://app:hunter2@r',
    },
  })
  expect(shownConfig(config)).toMatchObject({
    'langfuse.public-key': 'pk-lf-1',
    'langfuse.secret-key': '[redacted]',
    'langfuse.projects': '[redacted]',
    'otlp.headers': '[redacted]',
    'http.token': '[redacted]',
    'redis.url': '[redacted]',
  })
  expect(JSON.stringify(config) + inspect(config) + String(config)).not.toContain('hunter2')
})

test('docs/configuration.md says what the table says', async () => {
  const file = join(import.meta.dirname, '../../../../docs/configuration.md')
  await expect(renderDocument(readFileSync(file, 'utf8'))).toMatchFileSnapshot(file)
})
