import { existsSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { describe, expect, it } from 'vitest'
import { OPTION_NAMES, variableOf } from '../../relay/src/config/options.ts'
import packageJson from '../package.json' with { type: 'json' }
import { type Environment, type InitOptions, resolveOptions } from './config.ts'
import { OptionsError } from './options-error.ts'
import type { RecorderOptions } from './recorder/options.ts'

/** Options from an environment that warns of nothing. */
function resolved(given: InitOptions = {}, env: Environment = {}): RecorderOptions {
  return resolveOptions(given, env, (message) => expect.unreachable(message))
}

function warningsOf(env: Environment): { options: RecorderOptions; warnings: string[] } {
  const warnings: string[] = []
  return { options: resolveOptions({}, env, (message) => warnings.push(message)), warnings }
}

describe('defaults', () => {
  it('are complete and frozen', () => {
    const options = resolved()
    expect(options).toEqual({
      enabled: true,
      sampleRate: 1,
      durable: 'turn',
      spoolDir: expect.any(String),
      spoolCapBytes: undefined,
      diskDir: `${homedir()}/.local/state/offpath/spool`,
      diskCapBytes: 1024 ** 3,
      service: undefined,
      environment: undefined,
      release: undefined,
      project: undefined,
      resource: {},
      maxValueBytes: 32 * 1024 ** 2,
      maxDepth: 64,
      maxNodes: 20_000,
      sdk: { name: '@offpath/sdk', version: packageJson.version },
      debug: false,
    })
    expect(Object.isFrozen(options)).toBe(true)
    expect(Object.isFrozen(options.resource)).toBe(true)
  })

  it.runIf(process.platform === 'linux' && existsSync('/dev/shm'))('spool in /dev/shm', () => {
    expect(resolved().spoolDir).toBe(`/dev/shm/offpath-${process.getuid?.()}`)
  })

  it.runIf(process.platform !== 'linux')('spool in the folder for temporary files', () => {
    expect(resolved().spoolDir.startsWith(tmpdir())).toBe(true)
  })

  it('keep state where XDG_STATE_HOME says', () => {
    expect(resolved({}, { XDG_STATE_HOME: '/state' }).diskDir).toBe('/state/offpath/spool')
  })
})

describe('precedence', () => {
  const env = {
    OFFPATH_ENVIRONMENT: 'offpath',
    LANGFUSE_TRACING_ENVIRONMENT: 'other',
    LANGFUSE_RELEASE: 'r1',
    OTEL_SERVICE_NAME: 'by-name',
    OTEL_RESOURCE_ATTRIBUTES: 'service.name=by-attribute,team=a%20b',
  }

  it('is init, OFFPATH_*, LANGFUSE_*, OTEL_*', () => {
    expect(resolved({ environment: 'given' }, env).environment).toBe('given')
    expect(resolved({}, env).environment).toBe('offpath')
    expect(resolved({}, { ...env, OFFPATH_ENVIRONMENT: '' }).environment).toBe('other')
    expect(resolved({}, env)).toMatchObject({ release: 'r1', service: 'by-name' })
    expect(resolved({}, { ...env, OTEL_SERVICE_NAME: '' }).service).toBe('by-attribute')
    expect(resolved({}, { ...env, OFFPATH_SERVICE: 's' }).service).toBe('s')
  })

  it('adds resource attributes, those of init first', () => {
    expect(resolved({ resource: { team: 'mine', shard: 3 } }, env).resource).toEqual({
      team: 'mine',
      shard: 3,
    })
    expect(resolved({}, env).resource).toEqual({ team: 'a b' })
  })

  it('takes an undefined option as not given', () => {
    expect(resolved({ release: undefined }, env).release).toBe('r1')
  })
})

describe('variables', () => {
  it.each<[Environment, Partial<RecorderOptions>]>([
    [{ OFFPATH_ENABLED: 'false' }, { enabled: false }],
    [{ LANGFUSE_TRACING_ENABLED: '0' }, { enabled: false }],
    [{ OTEL_SDK_DISABLED: 'true' }, { enabled: false }],
    [{ OTEL_SDK_DISABLED: 'true', OFFPATH_ENABLED: 'true' }, { enabled: true }],
    [{ OFFPATH_SAMPLE_RATE: '0.25', LANGFUSE_SAMPLE_RATE: '0.5' }, { sampleRate: 0.25 }],
    [{ LANGFUSE_SAMPLE_RATE: '0.5' }, { sampleRate: 0.5 }],
    [
      { OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.1' },
      { sampleRate: 0.1 },
    ],
    [{ OTEL_TRACES_SAMPLER: 'always_off' }, { sampleRate: 0 }],
    [{ OTEL_TRACES_SAMPLER: 'always_off', OFFPATH_SAMPLE_RATE: '1' }, { sampleRate: 1 }],
    [
      { OFFPATH_SPOOL_DIR: '/s', OFFPATH_SPOOL_CAP: '16MB' },
      { spoolDir: '/s', spoolCapBytes: 16 * 1024 ** 2 },
    ],
    [
      { OFFPATH_SPOOL_DISK_DIR: '/d', OFFPATH_SPOOL_DISK_CAP: '1.5gb' },
      { diskDir: '/d', diskCapBytes: 1.5 * 1024 ** 3 },
    ],
    [
      { OFFPATH_MAX_VALUE_BYTES: '1000', OFFPATH_MAX_DEPTH: '5', OFFPATH_MAX_NODES: '7' },
      { maxValueBytes: 1000, maxDepth: 5, maxNodes: 7 },
    ],
    [
      { OFFPATH_DURABLE: 'record', OFFPATH_PROJECT: 'p', OFFPATH_RELEASE: 'r' },
      { durable: 'record', project: 'p', release: 'r' },
    ],
    [{ OFFPATH_RESOURCE: 'team=a' }, { resource: { team: 'a' } }],
    [{ LANGFUSE_DEBUG: 'true' }, { debug: true }],
    [{ LANGFUSE_LOG_LEVEL: 'debug' }, { debug: true }],
  ])('%o', (env, expected) => {
    expect(resolved({}, env)).toMatchObject(expected)
  })

  it.each<[Environment, string]>([
    [
      { OFFPATH_SAMPLE_RATE: '2' },
      "OFFPATH_SAMPLE_RATE: '2' is not a number from 0 to 1; it is ignored",
    ],
    [
      { OFFPATH_DURABLE: 'always' },
      "OFFPATH_DURABLE: 'always' is not 'turn' or 'record'; it is ignored",
    ],
    [{ OFFPATH_ENABLED: 'maybe' }, "OFFPATH_ENABLED: 'maybe' is not true or false; it is ignored"],
    [
      { OFFPATH_SPOOL_CAP: 'lots' },
      "OFFPATH_SPOOL_CAP: 'lots' is not bytes or a size such as 64MB (B, KB, MB, GB, TB); it is ignored",
    ],
    [
      { OTEL_RESOURCE_ATTRIBUTES: 'x' },
      "OTEL_RESOURCE_ATTRIBUTES: 'x' is not of the form key=value,key=value; it is ignored",
    ],
    [
      { OTEL_TRACES_SAMPLER: 'lucky' },
      "OTEL_TRACES_SAMPLER: 'lucky' is not known; it is ignored, all traces are recorded",
    ],
  ])('%o is warned of and not used', (env, message) => {
    const { options, warnings } = warningsOf(env)
    expect(warnings).toEqual([message])
    expect(options).toEqual(resolved())
  })

  it.each([
    ['OFFPATH_SPOOLDIR', 'did you mean OFFPATH_SPOOL_DIR?'],
    ['OFFPATH_SERVICE_NAME', 'did you mean OFFPATH_SERVICE?'],
    ['OFFPATH_STORE_DIRS', 'did you mean OFFPATH_STORE_DIR?'],
    ['OFFPATH_BUFFERING', 'see docs/configuration.md'],
  ])('%s is none', (name, hint) => {
    const { options, warnings } = warningsOf({ [name]: 'x' })
    expect(warnings).toEqual([`${name} is no variable of Offpath (${hint}); it is ignored`])
    expect(options).toEqual(resolved())
  })

  it('of the relay, and those that Kubernetes sets for a service called offpath, are no mistakes', () => {
    const names = [...OPTION_NAMES.map(variableOf), 'OFFPATH_CONFIG']
    const links = [
      'SERVICE_HOST',
      'SERVICE_PORT',
      'SERVICE_PORT_HTTP',
      'PORT',
      'PORT_7411_TCP_ADDR',
    ]
    const env = [...names, ...links.map((rest) => `OFFPATH_${rest}`)].map((name) => [name, ''])
    expect(warningsOf(Object.fromEntries(env)).warnings).toEqual([])
  })

  it('falls back to the next variable when one is bad', () => {
    const { options } = warningsOf({ OFFPATH_SAMPLE_RATE: 'half', LANGFUSE_SAMPLE_RATE: '0.5' })
    expect(options.sampleRate).toBe(0.5)
  })

  it('keeps an environment that Langfuse will refuse, and says so', () => {
    const { options, warnings } = warningsOf({ LANGFUSE_TRACING_ENVIRONMENT: 'Staging!' })
    expect(options.environment).toBe('Staging!')
    expect(warnings).toEqual([expect.stringContaining("environment 'Staging!'")])
  })
})

describe('options of init', () => {
  it.each<[object, string]>([
    [{ samplerate: 1 }, 'unknown option samplerate (did you mean sampleRate?)'],
    [{ spoolDri: '/x' }, 'unknown option spoolDri (did you mean spoolDir?)'],
    [{ flushInterval: 5 }, 'unknown option flushInterval (known: enabled, '],
    [{ sampleRate: 1.5 }, 'sampleRate: 1.5 is not a number from 0 to 1'],
    [{ enabled: 'perhaps' }, "enabled: 'perhaps' is not true or false"],
    [{ service: '' }, "service: '' is not a non-empty string"],
    [{ maxDepth: 2.5 }, 'maxDepth: 2.5 is not a whole number from 1'],
    [{ spoolCap: -1 }, 'spoolCap: -1 is not bytes or a size'],
    [
      { resource: { a: {} } },
      'resource: { a: {} } is not an object of strings, numbers and booleans',
    ],
    [{ resource: [1] }, 'resource: [ 1 ] is not an object of strings, numbers and booleans'],
    [null as never, "init: null is not an object of options, such as { service: 'chat' }"],
    ['x' as never, "init: 'x' is not an object of options"],
    [[{ service: 'x' }], "init: [ { service: 'x' } ] is not an object of options"],
  ])('%o is refused', (given, message) => {
    const attempt = () => resolveOptions(given, {})
    expect(attempt).toThrow(OptionsError)
    expect(attempt).toThrow(message)
  })

  it('names all that is wrong at once', () => {
    expect(() => resolveOptions({ sampleRate: -1, durable: 'never' } as never, {})).toThrow(
      /sampleRate.*durable/,
    )
  })

  it('takes sizes as bytes or text', () => {
    expect(resolved({ spoolCap: 1_000_000 }).spoolCapBytes).toBe(1_000_000)
    expect(resolved({ spoolCap: '512 KB' }).spoolCapBytes).toBe(512 * 1024)
  })
})
