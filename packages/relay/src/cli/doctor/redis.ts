// Redis is asked as the relay will ask it, and nothing is written: a command that may be given is refused for its argument,
// one that may not for its name.
import type { Config } from '../../config/options.ts'
import type { RedisTarget } from '../../config/redis-url.ts'
import { redisConnection } from '../../configured-exporters.ts'
import { SendError } from '../../export/http.ts'
import { connectRedis, type RedisConnection } from '../../redis/connection.ts'
import { type ListKeys, listKeysOf } from '../../redis/lists.ts'
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

/** Whether this relay could hand over to Redis, deliver from there or take from a list; nothing when it does none of it. */
export async function checkRedis(config: Config): Promise<Check[]> {
  const roles = rolesOf(config)
  const [role] = roles
  if (role === undefined) return []
  const { shown } = config['redis.url'] as RedisTarget
  const connection = connectRedis({ ...redisConnection(config), stallMs: TIMEOUT_MS })
  try {
    const [[first]] = role.probes
    await connection.call(first, ['PING'])
    const [server, ...checks] = await Promise.all([
      checkServer(connection, first),
      ...roles.map((one) => checkCommands(connection, one)),
      ...roles.map((one) => one.look(connection)),
    ])
    const answers = ok(NAME, `${shown} answers${server.version}`)
    return [answers, ...server.checks, ...checks.flat()]
  } catch (error) {
    if (!(error instanceof SendError)) throw error
    return [wrong(NAME, `${shown}: ${error.message}`, adviceFor(error, OPTIONS))]
  } finally {
    await connection.close()
  }
}

/** What the relay is to Redis. */
interface Role {
  /** What its user may do if all is well. */
  readonly what: string
  readonly probes: readonly [Probe, ...Probe[]]
  /** Where its commands are named. */
  readonly docs: string
  /** What there is in Redis. */
  look(connection: RedisConnection): Promise<Check[]>
}

function rolesOf(config: Config): Role[] {
  const roles: Role[] = []
  const receives = config['redis.receive']
  if (receives || config['redis.forward']) {
    const streams = streamsOf(config['redis.stream'], config['redis.partitions'])
    const [first = ''] = streams
    const scores = scoreStreamOf(config['redis.stream'])
    const dead = deadStreamOf(config['redis.stream'])
    roles.push({
      what: receives ? 'deliver from its streams' : 'add to its streams',
      // That of scores by its key: a user may be held to those of the other streams.
      probes: receives
        ? [...probesOfPool(first, dead), readProbe(scores)]
        : [...probesOfForwarder(first), ...probesOfForwarder(scores)],
      docs: 'docs/redis-streams.md',
      look: (connection) => checkLengths(connection, [...streams, scores], config),
    })
  }
  const list = config['redis.list']
  if (list !== undefined) {
    const keys = listKeysOf(list)
    roles.push({
      what: `take from the list ${list}`,
      probes: probesOfList(keys),
      docs: 'docs/redis-list.md',
      look: (connection) => checkKeys(connection, keys),
    })
  }
  return roles
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
  { what, probes, docs }: Role,
): Promise<Check[]> {
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
    return [wrong(NAME, message, `ACL SETUSER: ${docs} names the commands`)]
  }
  if (busy.length > 0) {
    const { name, error } = busy[0]!
    return [
      wrong(NAME, `it does not take ${name} now: ${error.message}`, adviceFor(error, OPTIONS)),
    ]
  }
  return [ok(NAME, `the user may ${what}`)]
}

/** Commands, each with the key that it is about. */
type Probe = readonly [key: string, args: readonly [name: string, ...rest: string[]]]

/** No entry may have this id. */
const NO_ID = '0-0'
/** Nor this; there is no such group. */
const NO = 'offpath-doctor'

function probesOfForwarder(stream: string): [Probe, ...Probe[]] {
  return [
    [stream, ['XLEN', stream]],
    [stream, ['XADD', stream, 'NOMKSTREAM', NO_ID, 'v', '0']],
  ]
}

function readProbe(stream: string): Probe {
  return [stream, ['XREADGROUP', 'GROUP', NO, NO, 'COUNT', '1', 'STREAMS', stream, NO]]
}

function probesOfPool(stream: string, deadStream: string): [Probe, ...Probe[]] {
  return [
    [stream, ['XLEN', stream]],
    readProbe(stream),
    [stream, ['XGROUP', 'CREATE', stream, NO, NO]],
    [stream, ['XINFO', 'STREAM', stream]],
    [stream, ['XACK', stream, NO, NO]],
    [stream, ['XCLAIM', stream, NO, NO, '0', NO]],
    [stream, ['XPENDING', stream, NO]],
    [stream, ['XRANGE', stream, NO_ID, NO_ID]],
    [stream, ['XTRIM', stream, 'MINID', NO]],
    [deadStream, ['XADD', deadStream, 'NOMKSTREAM', NO_ID, 'v', '0']],
    [deadStream, ['XTRIM', deadStream, 'MINID', NO]],
  ]
}

/** Of lists that are not there: nothing is moved. SADD alone is not tried, for it would add. */
function probesOfList(keys: ListKeys): [Probe, ...Probe[]] {
  const { list, relays, dead } = keys
  const [from, to] = [keys.processing(NO), keys.processing(`${NO}-2`)]
  const life = keys.life(NO)
  return [
    [list, ['LLEN', list]],
    [list, ['LRANGE', from, '0', '0']],
    [list, ['LMOVE', from, to, 'RIGHT', 'LEFT']],
    [list, ['BLMOVE', from, to, 'RIGHT', 'LEFT', '0.01']],
    [list, ['LREM', from, '-1', '']],
    [list, ['PEXPIRE', life, '1']],
    [list, ['SET', life, '', 'XX']],
    [list, ['EXISTS', life]],
    [list, ['DEL', life]],
    [list, ['SMEMBERS', relays]],
    [list, ['SREM', relays, NO]],
    [list, ['XLEN', dead]],
    [list, ['XADD', dead, 'NOMKSTREAM', NO_ID, 'v', '0']],
  ]
}

/** Whether what lies there is what it should be. */
async function checkKeys(connection: RedisConnection, keys: ListKeys): Promise<Check[]> {
  const wanted = [
    [keys.list, 'list', 'redis.list names the key that applications LPUSH to'],
    [keys.dead, 'stream', 'rename or delete it: what is no record is put there'],
    [keys.relays, 'set', 'rename or delete it: relays know each other by it'],
  ] as const
  const checks: Check[] = []
  for (const [key, type, fix] of wanted) {
    const found = await outcome(connection, key, ['TYPE', key])
    if (found instanceof SendError || found === type || found === 'none') continue
    checks.push(wrong(NAME, `${key} is a ${found}, and no ${type}`, fix))
  }
  if (checks.length > 0) return checks
  const [waiting, dead] = await Promise.all([
    outcome(connection, keys.list, ['LLEN', keys.list]),
    outcome(connection, keys.list, ['XLEN', keys.dead]),
  ])
  checks.push(ok(NAME, `${count(Number(waiting) || 0)} elements wait in ${keys.list}`))
  if (Number(dead) > 0) {
    const message = `${count(Number(dead))} elements that were no record are in ${keys.dead}`
    checks.push(warning(NAME, message, `redis-cli XREVRANGE '${keys.dead}' + - COUNT 10`))
  }
  return checks
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
