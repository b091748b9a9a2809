import { statSync } from 'node:fs'
import { flagOf, type OptionName, variableOf } from './options.ts'
import type { RedisTarget } from './redis-url.ts'

/** Of a warning about a relay: commands that ask Redis themselves use it. */
export const REDIS_UNUSED = 'redis.url is not used'

/** What does not go together, or is not there, of the options for Redis; complete lines for people. */
export function redisProblems(
  values: ReadonlyMap<OptionName, unknown>,
  origins: ReadonlyMap<OptionName, string>,
): string[] {
  const problems: string[] = []
  const target = values.get('redis.url') as RedisTarget | undefined
  for (const role of ['redis.forward', 'redis.receive'] as const) {
    if (values.get(role) !== true || target !== undefined) continue
    const fix = `${variableOf('redis.url')}, ${flagOf('redis.url')}`
    problems.push(`${origins.get(role)}: ${role} needs redis.url too (${fix})`)
  }
  const receives = values.get('redis.receive') === true
  if (receives && values.get('redis.forward') === true) {
    problems.push(
      'redis.forward and redis.receive cannot both be true: a relay hands over to the pool, or is one of it',
    )
  }
  if (receives && values.get('otlp.receive') === true) {
    problems.push(
      'redis.receive and otlp.receive cannot both be true: a relay of a pool has no store; receive beside the application, and forward',
    )
  }
  if (origins.has('redis.list')) {
    const at = origins.get('redis.list')
    if (target === undefined) {
      const fix = `${variableOf('redis.url')}, ${flagOf('redis.url')}`
      problems.push(`${at}: redis.list needs redis.url too (${fix})`)
    }
    if (receives) {
      problems.push(
        `${at}: redis.list needs a store, and a relay of a pool (redis.receive) has none: run another relay for the list, with redis.forward if the pool is to deliver`,
      )
    }
  }
  const targets = ['langfuse.public-key', 'langfuse.projects', 'otlp.url'] as const
  if (receives && !targets.some((name) => origins.has(name))) {
    problems.push(
      `${origins.get('redis.receive')}: redis.receive needs where to deliver to: langfuse.public-key and langfuse.secret-key, langfuse.projects, or otlp.url`,
    )
  }
  if (target !== undefined && !target.tls && origins.has('redis.tls-ca')) {
    problems.push(
      `${origins.get('redis.tls-ca')}: redis.tls-ca is for TLS, and redis.url does not begin with rediss`,
    )
  }
  problems.push(...fileProblems('redis.tls-ca', values, 0))
  problems.push(...fileProblems('redis.password-file', values, 0o077))
  return problems
}

/** @param forbidden bits of the mode */
function fileProblems(
  name: OptionName,
  values: ReadonlyMap<OptionName, unknown>,
  forbidden: number,
): string[] {
  const path = values.get(name) as string | undefined
  if (path === undefined) return []
  const found = statSync(path, { throwIfNoEntry: false })
  if (found === undefined) return [`${name}: there is no file ${path}`]
  const mode = found.mode & 0o777
  if (process.platform === 'win32' || (mode & forbidden) === 0) return []
  return [
    `${name}: ${path} can be read by other users (mode ${mode.toString(8)}): chmod 600 ${path}`,
  ]
}
