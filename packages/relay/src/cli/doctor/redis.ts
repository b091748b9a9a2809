// Redis is asked as the relay will ask it, and nothing is written: a command that may be given is refused for its argument,
// one that may not for its name.
import type { Config } from '../../config/options.ts'
import type { RedisTarget } from '../../config/redis-url.ts'
import { redisConnection } from '../../configured-exporters.ts'
import { SendError } from '../../export/http.ts'
import { connectRedis, type RedisConnection } from '../../redis/connection.ts'
import { deadStreamOf, scoreStreamOf, streamsOf } from '../../redis/streams.ts'
import { count } from '../format.ts'
import { adviceFor } from './advice.ts'
import { type Check, ok, warning, wrong } from './check.ts'

const NAME = 'redis'
const TIMEOUT_MS = 5000
/** XGROUP with ENTRIESREAD. */
const VERSION = 7
const NEARLY_FULL = 0.8
const OPTIONS = {
  url: 'redis.url',
  keys: 'user and password (redis.url, redis.password-file)',
  schemes: { plain: 'redis://', secure: 'rediss://' },
  authority: 'redis.tls-ca=<its file>',
}

/** Whether this relay could hand over to Redis, or deliver from there; nothing when it does neither. */
export async function checkRedis(config: Config): Promise<Check[]> {
  if (!config['redis.forward'] && !config['redis.receive']) return []
  const { shown } = config['redis.url'] as RedisTarget
  const connection = connectRedis({ ...redisConnection(config), stallMs: TIMEOUT_MS })
  try {
    const streams = streamsOf(config['redis.stream'], config['redis.partitions'])
    const [first = ''] = streams
    await connection.call(first, ['PING'])
    const [server, commands, lengths] = await Promise.all([
      checkServer(connection, first),
      checkCommands(connection, first, config),
      checkLengths(connection, [...streams, scoreStreamOf(config['redis.stream'])], config),
    ])
    const answers = ok(NAME, `${shown} answers${server.version}`)
    return [answers, ...server.checks, ...commands, ...lengths]
  } catch (error) {
    if (!(error instanceof SendError)) throw error
    return [wrong(NAME, `${shown}: ${error.message}`, adviceFor(error, OPTIONS))]
  } finally {
    await connection.close()
  }
}

/** Its version, what it does when its memory is full, and whether it keeps what it has. */
async function checkServer(
  connection: RedisConnection,
  stream: string,
): Promise<{ version: string; checks: Check[] }> {
  const info = await outcome(connection, stream, ['INFO'])
  if (info instanceof SendError) {
    const message = `its version and settings cannot be told: ${info.message}`
    return {
      version: '',
      checks: [
        warning(NAME, message, `Redis ${VERSION} or newer, appendonly, maxmemory, noeviction`),
      ],
    }
  }
  const values = new Map(
    info.split(/\r?\n/).map((line): [string, string] => {
      const at = line.indexOf(':')
      return [line.slice(0, at), line.slice(at + 1)]
    }),
  )
  const version = values.get('redis_version') ?? ''
  const checks: Check[] = []
  if (Number.parseInt(version, 10) < VERSION) {
    checks.push(wrong(NAME, `it is Redis ${version}`, `Redis ${VERSION} or newer is needed`))
  }
  const policy = values.get('maxmemory_policy')
  if (policy !== undefined && policy !== 'noeviction') {
    const message = `maxmemory-policy is ${policy}: when its memory is full, it throws streams away`
    checks.push(warning(NAME, message, 'CONFIG SET maxmemory-policy noeviction'))
  }
  if (values.get('aof_enabled') === '0') {
    const message = 'appendonly is off: what is in its streams is lost when it ends'
    checks.push(warning(NAME, message, 'CONFIG SET appendonly yes, and in its configuration'))
  }
  if (values.get('maxmemory') === '0') {
    const message = 'maxmemory is not set: streams may take all the memory there is, which ends it'
    checks.push(warning(NAME, message, 'CONFIG SET maxmemory: docs/redis-streams.md says how much'))
  }
  return { version: version === '' ? '' : `, version ${version}`, checks }
}

/** Whether the user may give the commands that are needed. */
async function checkCommands(
  connection: RedisConnection,
  stream: string,
  config: Config,
): Promise<Check[]> {
  const scoreStream = scoreStreamOf(config['redis.stream'])
  const probes = config['redis.receive']
    ? [
        ...probesOfPool(stream, deadStreamOf(config['redis.stream'])),
        // By its key: a user may be held to those of the other streams.
        readProbe(scoreStream),
      ]
    : [...probesOfForwarder(stream), ...probesOfForwarder(scoreStream)]
  const answers = await Promise.all(
    probes.map(async ([key, args]) => {
      return { name: args[0], error: await outcome(connection, key, args) }
    }),
  )
  const failing = (status: number): { name: string; error: SendError }[] =>
    answers.flatMap(({ name, error }) => {
      return error instanceof SendError && error.status === status ? [{ name, error }] : []
    })
  const refused = failing(401)
  const busy = failing(503)
  if (refused.length > 0) {
    const names = [...new Set(refused.map(({ name }) => name))].join(', ')
    const message = `the user may not give ${names}: ${refused[0]!.error.message}`
    return [wrong(NAME, message, 'ACL SETUSER: docs/redis-streams.md names the commands')]
  }
  if (busy.length > 0) {
    const { name, error } = busy[0]!
    return [
      wrong(NAME, `it does not take ${name} now: ${error.message}`, adviceFor(error, OPTIONS)),
    ]
  }
  const what = config['redis.receive'] ? 'deliver from its streams' : 'add to its streams'
  return [ok(NAME, `the user may ${what}`)]
}

/** Commands, each with the key that it is about. */
type Probe = readonly [key: string, args: readonly [name: string, ...rest: string[]]]

/** No entry may have this id. */
const NO_ID = '0-0'
/** Nor this; there is no such group. */
const NO = 'offpath-doctor'

function probesOfForwarder(stream: string): Probe[] {
  return [
    [stream, ['XLEN', stream]],
    [stream, ['XADD', stream, 'NOMKSTREAM', NO_ID, 'v', '0']],
  ]
}

function readProbe(stream: string): Probe {
  return [stream, ['XREADGROUP', 'GROUP', NO, NO, 'COUNT', '1', 'STREAMS', stream, NO]]
}

function probesOfPool(stream: string, deadStream: string): Probe[] {
  return [
    [stream, ['XLEN', stream]],
    readProbe(stream),
    [stream, ['XGROUP', 'CREATE', stream, NO, NO]],
    [stream, ['XINFO', 'STREAM', stream]],
    [stream, ['XACK', stream, NO, NO]],
    [stream, ['XCLAIM', stream, NO, NO, '0', NO]],
    [stream, ['XAUTOCLAIM', stream, NO, NO, '0', NO]],
    [stream, ['XPENDING', stream, NO]],
    [stream, ['XRANGE', stream, NO_ID, NO_ID]],
    [stream, ['XTRIM', stream, 'MINID', NO]],
    [deadStream, ['XADD', deadStream, 'NOMKSTREAM', NO_ID, 'v', '0']],
  ]
}

async function checkLengths(
  connection: RedisConnection,
  streams: readonly string[],
  config: Config,
): Promise<Check[]> {
  const most = config['redis.max-length']
  const lengths = await Promise.all(
    streams.map(async (stream): Promise<[string, number]> => {
      const length = await outcome(connection, stream, ['XLEN', stream])
      return [stream, length instanceof SendError ? 0 : Number(length)]
    }),
  )
  const full = lengths.filter(([, length]) => length >= NEARLY_FULL * most)
  if (full.length === 0) {
    const entries = lengths.reduce((sum, [, length]) => sum + length, 0)
    const each = `at most ${count(most)} in each of ${streams.length}`
    return [ok(NAME, `streams hold ${count(entries)} entries, ${each}`)]
  }
  return full.map(([stream, length]) => {
    const fix =
      'is a relay of the pool up, has it the same redis.partitions, does its exporter get on?'
    const of = `${count(length)} of ${count(most)} entries (redis.max-length)`
    return length >= most
      ? wrong(NAME, `${stream} is full, nothing is added: ${of}`, fix)
      : warning(NAME, `${stream} is nearly full: ${of}`, fix)
  })
}

/** What it answers, as text, or why not. */
async function outcome(
  connection: RedisConnection,
  key: string,
  args: readonly string[],
): Promise<string | SendError> {
  try {
    return String(await connection.call(key, args))
  } catch (error) {
    // Without an answer there is nothing to be told of a command.
    if (error instanceof SendError && error.status !== 0) return error
    throw error
  }
}
