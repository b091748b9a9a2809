import { homedir } from 'node:os'
import { resolve } from 'node:path'
import { parseRedisUrl, type RedisTarget } from './redis-url.ts'

/** Keys of one Langfuse project. */
interface ProjectKeys {
  readonly publicKey: string
  readonly secretKey: string
}

/** What an option of each kind is worth once it is read. Sizes are bytes, durations milliseconds. */
export interface Values {
  text: string
  path: string
  url: URL
  size: number
  duration: number
  count: number
  amount: number
  port: number
  hosts: readonly string[]
  headers: Readonly<Record<string, string>>
  projects: Readonly<Record<string, ProjectKeys>>
  switch: boolean
  redis: RedisTarget
  stream: string
  list: string
  gzip: 'auto' | 'always' | 'never'
  level: 'debug' | 'info' | 'warn' | 'error'
}

export type Kind = keyof Values

/** What a value is read against: relative paths and `${NAME}` in them. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Folder that relative paths start from. */
  readonly base: string
}

export interface KindOf<T> {
  /** For error messages and the documentation: "a size such as 64MB". */
  readonly expects: string
  /** Undefined: the text is no value of this kind. */
  parse(text: string, around: Surroundings): T | undefined
  /** For values that are sequences or mappings in YAML; undefined: not of this kind. */
  fromYaml?(value: unknown): T | undefined
}

export const KINDS: { readonly [K in Kind]: KindOf<Values[K]> } = {
  text: { expects: 'text', parse: (text) => text || undefined },
  path: { expects: 'a path', parse: parsePath },
  url: { expects: 'a URL such as https://example.com', parse: parseUrl },
  size: {
    expects: 'a size such as 64MB (B, KB, MB, GB, TB)',
    parse: (text) => parseSize(text) || undefined,
  },
  duration: {
    expects: 'a duration such as 250ms (ms, s, m, h, d)',
    parse: (text) => parseDuration(text) || undefined,
  },
  count: { expects: 'a whole number from 1 to 1000', parse: (text) => integer(text, 1, 1000) },
  amount: {
    expects: 'a whole number from 1 to 100000000',
    parse: (text) => integer(text, 1, 100_000_000),
  },
  port: { expects: 'a port from 0 to 65535', parse: (text) => integer(text, 0, 65_535) },
  hosts: {
    expects: 'host names such as a.example,b.example',
    parse: (text) => hosts(text.split(',').map((host) => host.trim())),
    fromYaml: (value) => (isTexts(value) ? hosts(value) : undefined),
  },
  headers: {
    expects: 'headers such as name=value,other=value',
    parse: parseHeaders,
    fromYaml: (value) => (isRecord(value) ? headers(Object.entries(value)) : undefined),
  },
  projects: {
    expects: 'keys by project such as name=pk-lf-…:sk-lf-…,other=…',
    parse: parseProjects,
    fromYaml: projectsFromYaml,
  },
  switch: {
    expects: 'true or false',
    parse: (text) => SWITCH.get(text.trim().toLowerCase()),
  },
  redis: {
    expects:
      'a URL such as redis://user:password@redis.example.com:6379/0 (special characters of user and password percent-encoded)',
    parse: parseRedisUrl,
  },
  stream: {
    expects: 'a name such as offpath (letters, digits, . _ : -)',
    parse: (text) => (/^[\w.:-]{1,200}$/.test(text) ? text : undefined),
  },
  list: {
    expects: 'a key such as offpath:list (letters, digits, . _ : / -, one part in braces)',
    parse: (text) => {
      return /^[\w.:/-]*(\{[\w.:/-]+\})?[\w.:/-]*$/.test(text) && text.length <= 200
        ? text || undefined
        : undefined
    },
  },
  gzip: oneOf(['auto', 'always', 'never']),
  level: oneOf(['debug', 'info', 'warn', 'error']),
}

const SWITCH: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['1', true],
  ['false', false],
  ['0', false],
])
const SIZES = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3, tb: 1024 ** 4 }
const DURATIONS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `64MB`, `1.5 GiB`, `1048576` in bytes. KB, MB, GB are powers of 1024. */
function parseSize(text: string): number | undefined {
  return withUnit(text.replace(/i?b$/i, 'b'), {
    '': 1,
    k: 1024,
    m: 1024 ** 2,
    g: 1024 ** 3,
    ...SIZES,
  })
}

/** `250ms`, `30s`, `7d` in milliseconds. Without a unit only 0 is clear. */
export function parseDuration(text: string): number | undefined {
  return text.trim() === '0' ? 0 : withUnit(text, DURATIONS)
}

function withUnit(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text)
  const unit = match ? units[match[2]!.toLowerCase()] : undefined
  if (!match || unit === undefined) return undefined
  const value = Math.round(Number(match[1]) * unit)
  return Number.isSafeInteger(value) ? value : undefined
}

function integer(text: string, least: number, most: number): number | undefined {
  if (!/^\d{1,9}$/.test(text.trim())) return undefined
  const value = Number(text)
  return value >= least && value <= most ? value : undefined
}

/** Expands a leading `~` and `${NAME}` or `${NAME:-otherwise}`, then makes the path absolute. */
function parsePath(text: string, around: Surroundings): string | undefined {
  if (text === '' || text.includes('\0')) return undefined
  const expanded = text.replace(/\$\{(\w+)(?::-([^}]*))?\}/g, (_, name: string, otherwise = '') => {
    return around.env[name] || otherwise
  })
  const home = around.env.HOME || homedir()
  return resolve(
    around.base,
    expanded.replace(/^~(?=$|[/\\])/, () => home),
  )
}

function parseUrl(text: string): URL | undefined {
  // Not URL.parse: `startRelay` checks options in Nodes that have none, for a relay under another Node.
  if (!URL.canParse(text)) return undefined
  const url = new URL(text)
  if (!/^https?:$/.test(url.protocol)) return undefined
  // Keys have options of their own, where they are kept out of logs.
  if (url.username !== '' || url.password !== '' || url.hash !== '') return undefined
  return url
}

/** For messages: what is refused may be a URL with a password. */
export function withoutUser(text: string): string {
  return text.replace(/\/\/.*@/s, '//[redacted]@')
}

function hosts(names: readonly string[]): readonly string[] | undefined {
  const clean = names.filter((name) => name !== '').map((name) => name.toLowerCase())
  return clean.every((name) => /^([a-z0-9._-]+|\[[0-9a-f:.]+\])$/.test(name)) ? clean : undefined
}

function parseHeaders(text: string): Values['headers'] | undefined {
  const pairs = text.split(',').map((pair) => pair.trim())
  return headers(pairs.filter(Boolean).map((pair) => split(pair, '=')))
}

function headers(pairs: readonly (readonly unknown[])[]): Values['headers'] | undefined {
  const result: [string, string][] = []
  for (const [name, value] of pairs) {
    if (typeof name !== 'string' || !/^[\w!#$%&'*+.^`|~-]+$/.test(name)) return undefined
    // No line breaks or other control characters, no characters beyond Latin-1 (RFC 9110, 5.5).
    if (typeof value !== 'string' || !/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) return undefined
    result.push([name.toLowerCase(), value])
  }
  return Object.fromEntries(result)
}

function parseProjects(text: string): Values['projects'] | undefined {
  const result: [string, ProjectKeys][] = []
  for (const pair of text.split(',').filter((part) => part.trim() !== '')) {
    const [name, keys] = split(pair.trim(), '=')
    const [publicKey, secretKey] = split(keys, ':')
    if (!name || !publicKey || !secretKey) return undefined
    result.push([name, { publicKey, secretKey }])
  }
  return Object.fromEntries(result)
}

function projectsFromYaml(value: unknown): Values['projects'] | undefined {
  if (!isRecord(value)) return undefined
  const result: [string, ProjectKeys][] = []
  for (const [name, keys] of Object.entries(value)) {
    if (!isRecord(keys) || Object.keys(keys).length !== 2) return undefined
    const { 'public-key': publicKey, 'secret-key': secretKey } = keys
    if (typeof publicKey !== 'string' || typeof secretKey !== 'string') return undefined
    if (publicKey === '' || secretKey === '') return undefined
    result.push([name, { publicKey, secretKey }])
  }
  return Object.fromEntries(result)
}

function split(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return at < 0 ? ['', ''] : [text.slice(0, at).trim(), text.slice(at + 1).trim()]
}

function oneOf<T extends string>(names: readonly T[]): KindOf<T> {
  return {
    expects: `one of ${names.join(', ')}`,
    parse: (text) => names.find((name) => name === text.trim()),
  }
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
