import { existsSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { inspect } from 'node:util'
import packageJson from '../package.json' with { type: 'json' }
import { OptionsError } from './options-error.ts'
import type { Durability, RecorderOptions, ResourceAttributes } from './recorder/options.ts'

// The only place where process.env is read. An explicit option of init() comes before OFFPATH_* variables,
// these before LANGFUSE_*, these before OTEL_*.

/** Options of `init`. Each can be set by an environment variable instead, OFFPATH_SPOOL_DIR for spoolDir. */
export interface InitOptions {
  /** False: the functions work, nothing is recorded. OFFPATH_ENABLED, LANGFUSE_TRACING_ENABLED, OTEL_SDK_DISABLED. */
  enabled?: boolean | undefined
  /** Share of new traces to record, 0 to 1. OFFPATH_SAMPLE_RATE, LANGFUSE_SAMPLE_RATE, OTEL_TRACES_SAMPLER(_ARG). */
  sampleRate?: number | undefined
  /** `turn`: one write an event-loop turn (default); `record`: one a record. OFFPATH_DURABLE. */
  durable?: Durability | undefined
  /** Name of the service. OFFPATH_SERVICE, OTEL_SERVICE_NAME. */
  service?: string | undefined
  /** OFFPATH_ENVIRONMENT, LANGFUSE_TRACING_ENVIRONMENT. */
  environment?: string | undefined
  /** OFFPATH_RELEASE, LANGFUSE_RELEASE. */
  release?: string | undefined
  /** Project of observations that name none; the relay maps it to keys. OFFPATH_PROJECT. */
  project?: string | undefined
  /** Further resource attributes. OFFPATH_RESOURCE (`key=value,key=value`); OTEL_RESOURCE_ATTRIBUTES adds to them. */
  resource?: ResourceAttributes | undefined
  /** Memory-backed directory to record into. OFFPATH_SPOOL_DIR. */
  spoolDir?: string | undefined
  /** Most it may hold: bytes, or text such as `64MB`. OFFPATH_SPOOL_CAP. */
  spoolCap?: number | string | undefined
  /** Directory for what spoolDir can't take. OFFPATH_SPOOL_DISK_DIR. */
  spoolDiskDir?: string | undefined
  /** Most it may hold. OFFPATH_SPOOL_DISK_CAP. */
  spoolDiskCap?: number | string | undefined
  /** Most that is kept of one value. OFFPATH_MAX_VALUE_BYTES. */
  maxValueBytes?: number | string | undefined
  /** Levels kept of one value. OFFPATH_MAX_DEPTH. */
  maxDepth?: number | undefined
  /** Items and fields kept of one value. OFFPATH_MAX_NODES. */
  maxNodes?: number | undefined
  /** Tell on stderr what is recorded where. OFFPATH_DEBUG, LANGFUSE_DEBUG, LANGFUSE_LOG_LEVEL=DEBUG. */
  debug?: boolean | undefined
}

export type Environment = Readonly<Record<string, string | undefined>>

interface Kind<T> {
  readonly expects: string
  /** The value of an option or of a variable's text; undefined when it can't be used. */
  read(value: unknown): T | undefined
}

interface Option<T> {
  readonly kind: Kind<T>
  /** Variables after OFFPATH_…; one with `!` in front means the opposite. */
  readonly env: readonly string[]
}

const SIZE_UNITS: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1024,
  mb: 1024 ** 2,
  gb: 1024 ** 3,
  tb: 1024 ** 4,
}

const bool: Kind<boolean> = {
  expects: 'true or false',
  read(value) {
    if (typeof value === 'boolean') return value
    if (/^(true|1|yes|on)$/i.test(String(value))) return true
    return /^(false|0|no|off)$/i.test(String(value)) ? false : undefined
  },
}
const rate: Kind<number> = {
  expects: 'a number from 0 to 1',
  read: (value) => numberBetween(value, 0, 1),
}
const count: Kind<number> = {
  expects: 'a whole number from 1',
  read(value) {
    const number = numberBetween(value, 1, Number.MAX_SAFE_INTEGER)
    return Number.isInteger(number) ? number : undefined
  },
}
const size: Kind<number> = {
  expects: 'bytes or a size such as 64MB (B, KB, MB, GB, TB)',
  read(value) {
    if (typeof value === 'number')
      return Number.isFinite(value) && value >= 1 ? Math.floor(value) : undefined
    const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?b)?$/i.exec(String(value).trim())
    if (match === null) return undefined
    const bytes = Math.floor(Number(match[1]) * SIZE_UNITS[match[2]?.toLowerCase() ?? 'b']!)
    return bytes >= 1 ? bytes : undefined
  },
}
const text: Kind<string> = {
  expects: 'a non-empty string',
  read: (value) => (typeof value === 'string' && value !== '' ? value : undefined),
}
const durability: Kind<Durability> = {
  expects: "'turn' or 'record'",
  read: (value) => (value === 'turn' || value === 'record' ? value : undefined),
}
const attributes: Kind<ResourceAttributes> = {
  expects: 'an object of strings, numbers and booleans',
  read(value) {
    if (typeof value === 'string') return parseResourceAttributes(value)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    const usable = Object.values(value).every((item) =>
      ['string', 'number', 'boolean'].includes(typeof item),
    )
    return usable ? (value as ResourceAttributes) : undefined
  },
}

const OPTIONS = {
  enabled: { kind: bool, env: ['LANGFUSE_TRACING_ENABLED', '!OTEL_SDK_DISABLED'] },
  sampleRate: { kind: rate, env: ['LANGFUSE_SAMPLE_RATE'] },
  durable: { kind: durability, env: [] },
  service: { kind: text, env: ['OTEL_SERVICE_NAME'] },
  environment: { kind: text, env: ['LANGFUSE_TRACING_ENVIRONMENT'] },
  release: { kind: text, env: ['LANGFUSE_RELEASE'] },
  project: { kind: text, env: [] },
  resource: { kind: attributes, env: [] },
  spoolDir: { kind: text, env: [] },
  spoolCap: { kind: size, env: [] },
  spoolDiskDir: { kind: text, env: [] },
  spoolDiskCap: { kind: size, env: [] },
  maxValueBytes: { kind: size, env: [] },
  maxDepth: { kind: count, env: [] },
  maxNodes: { kind: count, env: [] },
  debug: { kind: bool, env: ['LANGFUSE_DEBUG'] },
} as const satisfies { readonly [N in keyof InitOptions]-?: Option<unknown> }

/** What the relay reads: set for both in one container, they are no mistakes. A test compares them with its own table. */
const RELAY_VARIABLES = [
  'CONFIG',
  'STORE_DIR',
  'RETENTION_AGE',
  'RETENTION_SIZE',
  'HTTP_HOST',
  'HTTP_PORT',
  'HTTP_ALLOWED_HOSTS',
  'HTTP_TOKEN',
  'LANGFUSE_BASE_URL',
  'LANGFUSE_PUBLIC_KEY',
  'LANGFUSE_SECRET_KEY',
  'LANGFUSE_PROJECTS',
  'OTLP_URL',
  'OTLP_HEADERS',
  'OTLP_RECEIVE',
  'REDIS_URL',
  'REDIS_PASSWORD_FILE',
  'REDIS_TLS_CA',
  'REDIS_FORWARD',
  'REDIS_RECEIVE',
  'REDIS_STREAM',
  'REDIS_PARTITIONS',
  'REDIS_MAX_LENGTH',
  'REDIS_ENTRY_BYTES',
  'REDIS_CLAIM_IDLE',
  'REDIS_LIST',
  'EXPORT_GZIP',
  'EXPORT_REQUEST_BYTES',
  'EXPORT_SPAN_BYTES',
  'EXPORT_CONCURRENCY',
  'EXPORT_TIMEOUT',
  'EXPORT_BACKLOG_CAP',
  'EXPORT_DRAIN',
  'LANGFUSE_MEDIA_UPLOAD',
  'LOG_LEVEL',
]

/** Kubernetes sets OFFPATH_SERVICE_HOST, OFFPATH_PORT_7411_TCP … in each container beside a service called offpath. */
const SERVICE_LINK = /_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$/

type OptionName = keyof typeof OPTIONS
type Value<N extends OptionName> = Exclude<
  ReturnType<(typeof OPTIONS)[N]['kind']['read']>,
  undefined
>

/**
 * The complete options, frozen, from those of `init` and the environment. A variable that can't be used is told to
 * `warn` and ignored: a deployment's mistake must not stop the application.
 *
 * @throws OptionsError naming each option that is unknown or has a value that can't be used
 */
export function resolveOptions(
  given: InitOptions,
  env: Environment = process.env,
  warn: (message: string) => void = emitWarning,
): RecorderOptions {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new OptionsError(
      `@offpath/sdk, init: ${show(given)} is not an object of options, such as { service: 'chat' }`,
    )
  }
  const problems = Object.keys(given)
    .filter((name) => !Object.hasOwn(OPTIONS, name))
    .map(unknownOption)

  function option<N extends OptionName>(name: N): Value<N> | undefined {
    const { kind, env: others } = OPTIONS[name] as unknown as Option<Value<N>>
    const value = given[name]
    if (value !== undefined) {
      const read = kind.read(value)
      if (read === undefined) problems.push(`${name}: ${show(value)} is not ${kind.expects}`)
      return read
    }
    for (const source of [variableOf(name), ...others]) {
      const variable = source.replace('!', '')
      const raw = env[variable]
      // Compose files and shells hand over empty variables where nothing is meant.
      if (raw === undefined || raw === '') continue
      const read = kind.read(raw)
      if (read === undefined)
        warn(`${variable}: ${show(raw)} is not ${kind.expects}; it is ignored`)
      else return source.startsWith('!') ? (!read as Value<N>) : read
    }
    return undefined
  }

  const inherited = resourceFromEnvironment(env, warn)
  const { 'service.name': inheritedService, ...resource } = inherited
  const options: RecorderOptions = {
    enabled: option('enabled') ?? true,
    sampleRate: option('sampleRate') ?? samplerRate(env, warn) ?? 1,
    durable: option('durable') ?? 'turn',
    spoolDir: resolve(option('spoolDir') ?? memoryDirectory()),
    spoolCapBytes: option('spoolCap'),
    diskDir: resolve(option('spoolDiskDir') ?? diskDirectory(env)),
    diskCapBytes: option('spoolDiskCap') ?? 1024 ** 3,
    service:
      option('service') ?? (inheritedService === undefined ? undefined : String(inheritedService)),
    environment: option('environment'),
    release: option('release'),
    project: option('project'),
    resource: Object.freeze({ ...resource, ...option('resource') }),
    maxValueBytes: option('maxValueBytes') ?? 32 * 1024 ** 2,
    maxDepth: option('maxDepth') ?? 64,
    maxNodes: option('maxNodes') ?? 20_000,
    sdk: Object.freeze({ name: packageJson.name, version: packageJson.version }),
    debug: option('debug') ?? env.LANGFUSE_LOG_LEVEL?.toUpperCase() === 'DEBUG',
  }
  for (const name of Object.keys(env)) {
    if (name.startsWith('OFFPATH_')) unknownVariable(name, warn)
  }
  if (problems.length > 0) throw new OptionsError(`@offpath/sdk, init: ${problems.join('; ')}`)
  if (
    options.environment !== undefined &&
    !/^(?!langfuse)[a-z0-9_-]{1,40}$/.test(options.environment)
  ) {
    warn(
      `environment ${show(options.environment)}: Langfuse takes 1 to 40 of a-z, 0-9, - and _ only, ` +
        "and none that starts with 'langfuse'",
    )
  }
  return Object.freeze(options)
}

/** OFFPATH_SPOOL_DIR for spoolDir. */
function variableOf(name: string): string {
  return `OFFPATH_${name.replace(/[A-Z]/g, '_$&').toUpperCase()}`
}

function unknownOption(name: string): string {
  const known = Object.keys(OPTIONS)
  const near = nearest(name, known)
  const hint = near === undefined ? `known: ${known.join(', ')}` : `did you mean ${near}?`
  return `unknown option ${name} (${hint})`
}

function unknownVariable(name: string, warn: (message: string) => void): void {
  const known = [
    ...Object.keys(OPTIONS).map(variableOf),
    ...RELAY_VARIABLES.map((rest) => `OFFPATH_${rest}`),
  ]
  if (known.includes(name) || SERVICE_LINK.test(name)) return
  const near = nearest(
    name.slice('OFFPATH_'.length),
    known.map((variable) => variable.slice('OFFPATH_'.length)),
  )
  const hint = near === undefined ? 'see docs/configuration.md' : `did you mean OFFPATH_${near}?`
  warn(`${name} is no variable of Offpath (${hint}); it is ignored`)
}

/** The name that is meant by a misspelt one, or that it begins with. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const word = name.toLowerCase()
  const near = known
    .map((one) => ({ one, edits: distance(word, one.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits)[0]
  if (near !== undefined && near.edits <= Math.max(1, name.length / 3)) return near.one
  return known.find((one) => word.startsWith(one.toLowerCase()))
}

/** Letters to insert, delete or replace to get from one word to the other. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, j) => j)
  for (let i = 1; i <= from.length; i++) {
    const above = row
    row = [i]
    for (let j = 1; j <= to.length; j++) {
      const replaced = above[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1)
      row.push(Math.min(replaced, above[j]! + 1, row[j - 1]! + 1))
    }
  }
  return row[to.length]!
}

/** A value as a message shows it, on one line and without running its code. */
export function show(value: unknown): string {
  return inspect(value, {
    depth: 1,
    breakLength: Number.POSITIVE_INFINITY,
    customInspect: false,
    maxArrayLength: 5,
    maxStringLength: 200,
  })
}

function numberBetween(value: unknown, least: number, most: number): number | undefined {
  if (typeof value !== 'number' && (typeof value !== 'string' || value.trim() === ''))
    return undefined
  const number = Number(value)
  return number >= least && number <= most ? number : undefined
}

/** `key=value,key2=value2`, percent-encoded, as OpenTelemetry's specification has it. */
function parseResourceAttributes(pairs: string): Record<string, string> | undefined {
  const attributes: Record<string, string> = {}
  for (const pair of pairs.split(',')) {
    if (pair.trim() === '') continue
    const at = pair.indexOf('=')
    if (at <= 0) return undefined
    try {
      attributes[decodeURIComponent(pair.slice(0, at).trim())] = decodeURIComponent(
        pair.slice(at + 1).trim(),
      )
    } catch {
      return undefined
    }
  }
  return attributes
}

function resourceFromEnvironment(
  env: Environment,
  warn: (message: string) => void,
): ResourceAttributes {
  const pairs = env.OTEL_RESOURCE_ATTRIBUTES
  if (!pairs) return {}
  const parsed = parseResourceAttributes(pairs)
  if (parsed === undefined) {
    warn(
      `OTEL_RESOURCE_ATTRIBUTES: '${pairs}' is not of the form key=value,key=value; it is ignored`,
    )
  }
  return parsed ?? {}
}

/** The rate of OTEL_TRACES_SAMPLER; a parent's flag wins with all of them. */
function samplerRate(env: Environment, warn: (message: string) => void): number | undefined {
  const sampler = env.OTEL_TRACES_SAMPLER
  switch (sampler?.replace('parentbased_', '')) {
    case undefined:
    case '':
    case 'always_on':
      return undefined
    case 'always_off':
      return 0
    case 'traceidratio': {
      const argument = env.OTEL_TRACES_SAMPLER_ARG || '1'
      const ratio = rate.read(argument)
      if (ratio === undefined) {
        warn(`OTEL_TRACES_SAMPLER_ARG: '${argument}' is not ${rate.expects}; it is ignored`)
      }
      return ratio
    }
    default:
      warn(`OTEL_TRACES_SAMPLER: '${sampler}' is not known; it is ignored, all traces are recorded`)
      return undefined
  }
}

function memoryDirectory(): string {
  const shared = process.platform === 'linux' && existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
  return join(shared, ownName())
}

function diskDirectory(env: Environment): string {
  if (env.XDG_STATE_HOME) return join(env.XDG_STATE_HOME, 'offpath', 'spool')
  try {
    return join(homedir(), '.local', 'state', 'offpath', 'spool')
  } catch {
    // A container's user without a home: not in /etc/passwd, HOME not set.
    return join(tmpdir(), `${ownName()}-spool`)
  }
}

function ownName(): string {
  const uid = process.getuid?.()
  return uid === undefined ? 'offpath' : `offpath-${uid}`
}

const told = new Set<string>()

function emitWarning(message: string): void {
  if (told.has(message)) return
  told.add(message)
  process.emitWarning(message, { type: 'OffpathWarning', code: 'OFFPATH_CONFIG' })
}
