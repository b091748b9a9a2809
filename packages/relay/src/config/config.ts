import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import { inspect } from 'node:util'
import { REDIS_UNUSED, redisProblems } from './check-redis.ts'
import { ConfigError } from './config-error.ts'
import { KINDS } from './kinds.ts'
import { memoryDirectory } from './memory-directory.ts'
import {
  type Config,
  flagOf,
  OPTION_NAMES,
  type OptionName,
  optionOf,
  variableOf,
} from './options.ts'
import { suggest } from './suggest.ts'
import { readYaml, rejected } from './yaml.ts'

export interface ConfigSources {
  /** Flags by option name, as given. */
  readonly flags: ReadonlyMap<OptionName, string>
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  /** The file to read; undefined: OFFPATH_CONFIG, else offpath.yaml in `cwd` if there is one. */
  readonly file?: string | undefined
}

export interface LoadedConfig {
  readonly config: Config
  /** The file that was read; null: there is none. */
  readonly file: string | null
  /** Where each value that is not the default came from. */
  readonly origins: ReadonlyMap<OptionName, string>
  /** Complete lines for people. */
  readonly warnings: readonly string[]
}

const PREFIX = 'OFFPATH_'
const CONFIG_VARIABLE = 'OFFPATH_CONFIG'
/** Those of packages/sdk/src/config.ts that are not ours too. */
const SDK_VARIABLES: readonly string[] = [
  'ENABLED',
  'SAMPLE_RATE',
  'DURABLE',
  'SERVICE',
  'ENVIRONMENT',
  'RELEASE',
  'PROJECT',
  'RESOURCE',
  'MAX_VALUE_BYTES',
  'MAX_DEPTH',
  'MAX_NODES',
  'DEBUG',
].map((name) => PREFIX + name)

/**
 * The configuration: flags before environment before offpath.yaml before defaults.
 *
 * @throws ConfigError with all that is wrong, each with its place and what is allowed there
 */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const values = new Map<OptionName, unknown>()
  const origins = new Map<OptionName, string>()
  const problems: string[] = []
  const warnings: string[] = []
  const { env, cwd } = sources

  const set = (name: OptionName, value: unknown, origin: string): void => {
    values.set(name, value)
    origins.set(name, origin)
  }
  const setText = (name: OptionName, text: string, origin: string): void => {
    const { kind, secret } = optionOf(name)
    const value = KINDS[kind].parse(text, { env, base: cwd })
    if (value === undefined) {
      problems.push(`${origin}: ${rejected(text, KINDS[kind].expects, secret)}`)
    } else set(name, value, origin)
  }

  for (const name of OPTION_NAMES) {
    const text = defaultOf(name)
    if (text === undefined) values.set(name, undefined)
    else values.set(name, KINDS[optionOf(name).kind].parse(text, { env, base: cwd }))
  }
  const file = fileOf(sources)
  for (const { name, value, at } of fileOptions(sources, file, problems, warnings)) {
    set(name, value, at)
  }
  for (const name of OPTION_NAMES) {
    const variables = [variableOf(name), ...(optionOf(name).env ?? [])]
    // Compose files and shells hand over empty variables where nothing is meant.
    const found = variables.find((variable) => env[variable])
    if (found !== undefined) setText(name, env[found]!, found)
  }
  for (const [name, text] of sources.flags) setText(name, text, flagOf(name))

  if (problems.length === 0) problems.push(...contradictions(values, origins))
  if (problems.length > 0) throw new ConfigError(problems)
  const uses = ['redis.forward', 'redis.receive', 'redis.list'] as const
  if (origins.has('redis.url') && !uses.some((name) => values.get(name))) {
    const why = 'neither redis.forward nor redis.receive is true, and redis.list is not set'
    warnings.push(`${origins.get('redis.url')}: ${REDIS_UNUSED}: ${why}`)
  }
  warnings.push(...misspelt(env))
  const read = existsSync(file.path) ? file.shown : null
  return { config: freeze(values), file: read, origins, warnings }
}

/** The configuration of this process, from its environment and working directory. */
export function loadProcessConfig(
  flags: ReadonlyMap<OptionName, string>,
  file?: string,
): LoadedConfig {
  return loadConfig({ flags, env: process.env, cwd: process.cwd(), file })
}

/** Option values as text for people and logs, secrets as [redacted], unset ones left out. */
export function shownConfig(config: Config): Record<string, unknown> {
  const shown: Record<string, unknown> = {}
  for (const name of OPTION_NAMES) {
    const value = config[name]
    const empty =
      value === undefined || (typeof value === 'object' && Object.keys(value).length === 0)
    if (value instanceof URL) shown[name] = value.href
    else if (!empty) shown[name] = optionOf(name).secret ? '[redacted]' : value
  }
  return shown
}

/** As text for offpath.yaml. That of spool.dir depends on the platform, as in the SDK. */
function defaultOf(name: OptionName): string | undefined {
  return name === 'spool.dir' ? memoryDirectory() : optionOf(name).default
}

/** The file to read, as people see it, and whether it was asked for. */
function fileOf({ env, cwd, file }: ConfigSources): {
  path: string
  shown: string
  isAsked: boolean
} {
  const asked = file ?? (env[CONFIG_VARIABLE] || undefined)
  const path = resolve(cwd, asked ?? 'offpath.yaml')
  // Short where people see it: they know where they are.
  const shown = relative(cwd, path).startsWith('..') ? path : relative(cwd, path)
  return { path, shown, isAsked: asked !== undefined }
}

function* fileOptions(
  { env }: ConfigSources,
  { path, shown, isAsked }: ReturnType<typeof fileOf>,
  problems: string[],
  warnings: string[],
): Generator<{ name: OptionName; value: unknown; at: string }> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' && !isAsked) return
    const why = code === 'ENOENT' ? 'there is no such file' : `cannot be read (${code})`
    return void problems.push(`${shown}: ${why}`)
  }
  const read = readYaml(text, shown, { env, base: dirname(path) })
  problems.push(...read.problems)
  for (const [name, { value, at }] of read.values) yield { name, value, at }

  // No reason to refuse it: what Kubernetes mounts has other modes, and where nobody else is they do no harm.
  const secret = [...read.values.keys()].find((name) => optionOf(name).secret)
  const mode = statSync(path).mode & 0o777
  if (secret !== undefined && process.platform !== 'win32' && (mode & 0o044) !== 0) {
    warnings.push(
      `${shown} holds ${secret} and can be read by other users (mode ${mode.toString(8)}): chmod 600 ${shown}`,
    )
  }
}

function contradictions(
  values: ReadonlyMap<OptionName, unknown>,
  origins: ReadonlyMap<OptionName, string>,
): string[] {
  const problems: string[] = []
  const needs = (name: OptionName, other: OptionName): void => {
    if (!origins.has(name) || origins.has(other)) return
    problems.push(
      `${origins.get(name)}: ${name} needs ${other} too (${variableOf(other)}, ${flagOf(other)})`,
    )
  }
  needs('langfuse.public-key', 'langfuse.secret-key')
  needs('langfuse.secret-key', 'langfuse.public-key')
  needs('otlp.headers', 'otlp.url')
  const directories = ['spool.dir', 'spool.disk-dir', 'store.dir'] as const
  for (const [i, one] of directories.entries()) {
    for (const other of directories.slice(i + 1)) {
      if (values.get(one) !== values.get(other)) continue
      problems.push(`${one} and ${other} must be two directories; both are ${values.get(one)}`)
    }
  }
  problems.push(...redisProblems(values, origins))
  return problems
}

/** As in the SDK: Kubernetes sets them in each container beside a service called offpath. */
const SERVICE_LINK = /_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$/

/** Variables with our prefix that are neither the relay's nor the SDK's. */
function misspelt(env: ConfigSources['env']): string[] {
  const known = [...OPTION_NAMES.map(variableOf), CONFIG_VARIABLE, ...SDK_VARIABLES]
  const tails = known.map((variable) => variable.slice(PREFIX.length))
  const warnings: string[] = []
  for (const variable of Object.keys(env)) {
    if (!variable.startsWith(PREFIX) || known.includes(variable)) continue
    if (SERVICE_LINK.test(variable)) continue
    // Without what all have in common, which would make any two of them alike.
    const meant = suggest(variable.slice(PREFIX.length), tails)
    warnings.push(`${variable} is not an option${meant ? `; did you mean ${PREFIX}${meant}?` : ''}`)
  }
  return warnings
}

function freeze(values: ReadonlyMap<OptionName, unknown>): Config {
  const config = Object.fromEntries(values) as Config
  // However it is printed, secrets stay out.
  const hidden = { value: () => shownConfig(config), enumerable: false }
  Object.defineProperties(config, { toJSON: hidden, [inspect.custom]: hidden })
  for (const value of Object.values(config)) {
    if (typeof value === 'object' && !(value instanceof URL)) Object.freeze(value)
  }
  return Object.freeze(config)
}

/** Whether a name given on the command line is an option's flag: --spool-dir → spool.dir. */
export function optionOfFlag(flag: string): OptionName | undefined {
  return OPTION_NAMES.find((name) => flagOf(name) === flag)
}
