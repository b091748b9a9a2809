// The options of `startRelay`: those of offpath.yaml by section, and a few of its own. What is wrong in code is thrown at
// the call, all of it at once; what is wrong in the environment or in offpath.yaml the relay itself tells.
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { inspect } from 'node:util'
import { ConfigError } from '../config/config-error.ts'
import { KINDS, parseDuration, withoutUser } from '../config/kinds.ts'
import {
  isOptionName,
  type KindOfOption,
  OPTION_NAMES,
  type OptionName,
  optionOf,
  variableOf,
} from '../config/options.ts'
import { didYouMean } from '../config/suggest.ts'
import type { LogLevel } from '../log.ts'
import { STOP_MS } from './supervisor.ts'

/** A relay of a pool reads no spool, and `drainMs` says how long the end may take. */
type Excluded = 'redis.receive' | 'export.drain'
type Given = Exclude<OptionName, Excluded>
const EXCLUDED: readonly string[] = ['redis.receive', 'export.drain'] satisfies Excluded[]

type Camel<S extends string> = S extends `${infer A}-${infer B}` ? `${A}${Capitalize<Camel<B>>}` : S
type SectionOf<N extends OptionName> = N extends `${infer S}.${string}` ? S : never

/** How an option of each kind is written in code. Sizes are bytes or `64MB`, durations `30s`. */
interface Inputs {
  text: string
  path: string
  url: string | URL
  size: number | string
  duration: string
  count: number
  amount: number
  port: number
  hosts: readonly string[]
  headers: Readonly<Record<string, string>>
  projects: Readonly<
    Record<string, { readonly publicKey: string; readonly secretKey: string } | undefined>
  >
  switch: boolean
  redis: string
  stream: string
  list: string
  gzip: 'auto' | 'always' | 'never'
  level: LogLevel
}

/** The options of docs/configuration.md: `langfuse.base-url` is `langfuse: { baseUrl }`. */
type ConfiguredOptions = {
  readonly [S in SectionOf<Given>]?:
    | {
        readonly [N in Given as N extends `${S}.${infer K}` ? Camel<K> : never]?:
          | Inputs[KindOfOption<N>]
          | undefined
      }
    | undefined
}

interface OwnOptions {
  /** `child` (default): a process beside the application, which outlives it to deliver; `thread`: a worker thread. */
  readonly in?: 'child' | 'thread' | undefined
  /** Another offpath.yaml than that of the working directory. */
  readonly config?: string | undefined
  /** How long `stop` and the application's end wait for what is left to be delivered, in milliseconds; 5000. */
  readonly drainMs?: number | undefined
  /**
   * Whether `process.exit` and a natural end wait for the relay; by default where it would die with the application: as
   * process 1 or its child on Linux, and with `in: 'thread'`.
   */
  readonly waitAtExit?: boolean | undefined
  /** The Node that runs the child; by default the application's own. */
  readonly node?: string | undefined
  /** False: nothing is started. By default what OFFPATH_ENABLED and its like say, as in the SDK. */
  readonly enabled?: boolean | undefined
  /** Takes what the relay logs, a line each; otherwise warnings and errors go to stderr. */
  readonly onLog?: ((level: LogLevel, line: string) => void) | undefined
}

export type StartRelayOptions = ConfiguredOptions & OwnOptions

/** Checked, with what the relay gets by its environment. */
export interface ReadOptions {
  readonly in: 'child' | 'thread'
  readonly drainMs: number
  readonly waitAtExit: boolean | undefined
  readonly node: string | undefined
  readonly enabled: boolean | undefined
  readonly onLog: StartRelayOptions['onLog']
  readonly variables: Readonly<Record<string, string>>
}

const DRAIN_MS = 5000
/** What a timer can wait for, with what an end may take on top. */
const LONGEST_MS = 2 ** 31 - 1 - STOP_MS
const OWN = ['in', 'config', 'drainMs', 'waitAtExit', 'node', 'enabled', 'onLog'] as const
const SECTIONS = [
  ...new Set(OPTION_NAMES.filter(isGiven).map((name) => name.slice(0, name.indexOf('.')))),
]

/** @throws ConfigError with all that is wrong, a line each */
export function readOptions(given: StartRelayOptions, env: NodeJS.ProcessEnv): ReadOptions {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    const what = `${typeOf(given)} is not an object of options`
    throw new ConfigError([`startRelay: ${what}, such as { store: { dir: '/data' } }`])
  }
  const problems: string[] = []
  const variables: Record<string, string> = {}
  const wrong = (name: string, value: unknown, expects: string): void => {
    problems.push(`${name}: ${show(value)} is not ${expects}`)
  }
  const own = <T>(name: string, value: T, isRight: boolean, expects: string): T | undefined => {
    if (value === undefined || isRight) return value
    wrong(name, value, expects)
    return undefined
  }

  for (const [name, value] of Object.entries(given)) {
    if ((OWN as readonly string[]).includes(name)) continue
    if (SECTIONS.includes(name)) readSection(name, value, env, variables, problems)
    else problems.push(`unknown option ${name}${didYouMean(name, [...OWN, ...SECTIONS])}`)
  }
  const place = own('in', given.in, ['child', 'thread'].includes(given.in!), "'child' or 'thread'")
  const drainMs = own(
    'drainMs',
    given.drainMs,
    isMilliseconds(given.drainMs),
    `a number of milliseconds from 0 to ${LONGEST_MS}`,
  )
  for (const name of ['waitAtExit', 'enabled'] as const) {
    own(name, given[name], typeof given[name] === 'boolean', 'true or false')
  }
  own('onLog', given.onLog, typeof given.onLog === 'function', 'a function')
  for (const name of ['config', 'node'] as const) {
    const path = given[name]
    own(name, path, typeof path === 'string' && existsSync(path), 'a file that is there')
  }
  if (place === 'thread' && given.node !== undefined) {
    problems.push(
      "node: a thread runs in the application's own Node; leave it out, or in: 'thread'",
    )
  }
  if (problems.length > 0) throw new ConfigError(problems.map((line) => `startRelay: ${line}`))
  if (given.config !== undefined) variables.OFFPATH_CONFIG = resolve(given.config)
  return {
    in: place ?? 'child',
    drainMs: drainMs ?? DRAIN_MS,
    waitAtExit: given.waitAtExit,
    node: given.node,
    enabled: given.enabled,
    onLog: given.onLog,
    variables,
  }
}

export function isMilliseconds(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= LONGEST_MS
}

function readSection(
  section: string,
  given: unknown,
  env: NodeJS.ProcessEnv,
  variables: Record<string, string>,
  problems: string[],
): void {
  const known = OPTION_NAMES.filter((name) => isGiven(name) && name.startsWith(`${section}.`))
  const camels = known.map(camelOf)
  if (given === undefined) return
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    problems.push(`${section}: ${typeOf(given)} is not an object of ${camels.join(', ')}`)
    return
  }
  for (const [key, value] of Object.entries(given)) {
    const name = `${section}.${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
    if (!isOptionName(name) || !camels.includes(key)) {
      const why = EXCLUDED.includes(name)
        ? reasonOf(name)
        : didYouMean(key, camels, `${section}.`) || ` (known: ${camels.join(', ')})`
      problems.push(`unknown option ${section}.${key}${why}`)
      continue
    }
    if (value === undefined) continue
    const { kind, secret } = optionOf(name)
    const text = textOf(name, value)
    const parsed =
      text === undefined ? undefined : KINDS[kind].parse(text, { env, base: process.cwd() })
    if (text === undefined || parsed === undefined) {
      const shown = secret ? '[redacted]' : show(value)
      problems.push(`${section}.${key}: ${shown} is not ${expectationOf(name, value)}`)
    } else variables[variableOf(name)] = kind === 'path' ? String(parsed) : text
  }
}

/** As a variable has it; undefined: it is of another type, or cannot be written there. */
function textOf(name: OptionName, value: unknown): string | undefined {
  const { kind } = optionOf(name)
  switch (kind) {
    case 'size':
      return typeof value === 'number' ? String(Math.floor(value)) : textIn(value)
    case 'count':
    case 'amount':
    case 'port':
      return typeof value === 'number' ? String(value) : undefined
    case 'switch':
      return typeof value === 'boolean' ? String(value) : undefined
    case 'url':
      return value instanceof URL ? value.href : textIn(value)
    case 'hosts':
      return Array.isArray(value) ? joined(value.map((host) => textIn(host))) : undefined
    case 'headers':
      return pairsOf(value, (header) => textIn(header))
    case 'projects':
      return pairsOf(value, (keys) => {
        const { publicKey, secretKey } = (keys ?? {}) as Record<string, unknown>
        if (typeof publicKey !== 'string' || typeof secretKey !== 'string') return undefined
        return `${publicKey}:${secretKey}`
      })
    default:
      return textIn(value)
  }
}

function textIn(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function pairsOf(value: unknown, text: (value: unknown) => string | undefined): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const pairs = Object.entries(value).filter(([, one]) => one !== undefined)
  return joined(
    pairs.map(([name, one]) => {
      const read = text(one)
      return read === undefined || /[=,]/.test(name) ? undefined : `${name}=${read}`
    }),
  )
}

/** What contains a comma would be two in a variable. An empty variable counts as none: a comma alone is a list of none. */
function joined(parts: readonly (string | undefined)[]): string | undefined {
  return parts.every((part) => part !== undefined && !part.includes(','))
    ? parts.join(',') || ','
    : undefined
}

function expectationOf(name: OptionName, value: unknown): string {
  const { kind } = optionOf(name)
  switch (kind) {
    case 'duration':
      return typeof value === 'number' && parseDuration(`${value}ms`)
        ? `a duration: write '${value}ms'`
        : KINDS.duration.expects
    case 'hosts':
      return "a list of host names such as ['a.example']"
    case 'headers':
      return 'an object of headers by name; values with a comma can be set in offpath.yaml'
    case 'projects':
      return 'an object { name: { publicKey, secretKey } }'
    default:
      return KINDS[kind].expects
  }
}

function reasonOf(name: string): string {
  return name === 'export.drain'
    ? ' (it is drainMs here)'
    : ' (a relay of a pool runs by itself: `offpath up`)'
}

function isGiven(name: OptionName): boolean {
  return !EXCLUDED.includes(name)
}

function camelOf(name: OptionName): string {
  return name
    .slice(name.indexOf('.') + 1)
    .replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

/** In the place of a value that may hold secrets. */
function typeOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`
}

/** On one line, without running its code. */
function show(value: unknown): string {
  const shown = inspect(value instanceof URL ? value.href : value, {
    depth: 1,
    breakLength: Number.POSITIVE_INFINITY,
    customInspect: false,
    maxArrayLength: 5,
    maxStringLength: 200,
  })
  return withoutUser(shown)
}
