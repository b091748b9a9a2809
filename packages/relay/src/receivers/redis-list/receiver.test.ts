// A relay that takes from a list of a real Redis, and a server that plays Langfuse.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startLangfuseServer } from '../../../../../test/langfuse-server/server.ts'
import type { LangfuseServer } from '../../../../../test/langfuse-server/types.ts'
import { deliveringTo, type Running, type Sandbox, sandbox } from '../../cli/cli.fixture.ts'
import { loadConfig } from '../../config/config.ts'
import type { OptionName } from '../../config/options.ts'
import type { RedisListStats } from '../../http/redis-stats.ts'
import { createLog } from '../../log.ts'
import { listKeysOf } from '../../redis/lists.ts'
import { type Relay, startRelay } from '../../relay.ts'
import { crashAt } from '../../testing/crash-at.ts'
import {
  type RedisCluster,
  type RedisServer,
  startRedisCluster,
  startRedisServer,
} from '../../testing/redis-server.ts'
import { itemsOf, mapOf, textOf } from '../redis/group.ts'
import { startListReceiver } from './receiver.ts'

const LIST = 'app:traces'
const keys = listKeysOf(LIST)

let redis: RedisServer
let langfuse: LangfuseServer
let directory: string
let relays: Relay[]
let lines: string[]
let box: Sandbox | undefined
let children: Running[]

beforeAll(async () => {
  redis = await startRedisServer({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
})
afterAll(() => redis.close())
beforeEach(async () => {
  await redis.ask('FLUSHALL')
  langfuse = await startLangfuseServer()
  directory = mkdtempSync(join(tmpdir(), 'offpath-list-'))
  relays = []
  lines = []
  children = []
})
afterEach(async () => {
  redis.resume()
  await Promise.all(relays.map((relay) => relay.close()))
  for (const child of children) await child.end('SIGKILL')
  await langfuse.close()
  rmSync(directory, { recursive: true, force: true })
  box?.remove()
  box = undefined
})

async function start(
  flags: Partial<Record<OptionName, string>> = {},
  home = directory,
): Promise<Relay> {
  const all = {
    'redis.url': redis.url,
    'redis.list': LIST,
    'redis.claim-idle': '3s',
    'spool.dir': join(home, 'memory'),
    'spool.disk-dir': join(home, 'disk'),
    'store.dir': join(home, 'store'),
    'langfuse.base-url': langfuse.url,
    'langfuse.public-key': 'pk-lf-test',
    'langfuse.secret-key': 'sk-lf-test',
    'http.port': '0',
    ...flags,
  }
  const given = new Map(Object.entries(all)) as ReadonlyMap<OptionName, string>
  const { config } = loadConfig({ flags: given, env: { HOME: home }, cwd: home })
  const log = createLog((line) => lines.push(line), 'debug')
  const relay = await startRelay(config, log)
  relays.push(relay)
  return relay
}

async function stop(relay: Relay): Promise<void> {
  relays.splice(relays.indexOf(relay), 1)
  await relay.close()
}

/** A relay in a process of its own. */
async function startProcess(env: NodeJS.ProcessEnv = {}): Promise<Running> {
  box ??= sandbox({
    OFFPATH_REDIS_URL: redis.url,
    OFFPATH_REDIS_LIST: LIST,
    OFFPATH_REDIS_CLAIM_IDLE: '2s',
    ...deliveringTo(langfuse),
  })
  Object.assign(box.env, env)
  const child = box.start('up')
  children.push(child)
  return child
}

let serial = 0
const START = 1_790_000_000
/** An observation as somebody writes it. */
const element = (over: Record<string, unknown> = {}) => {
  serial++
  return {
    trace_id: serial.toString(16).padStart(32, '0'),
    span_id: serial.toString(16).padStart(16, '0'),
    name: `n${serial}`,
    start_time: START,
    end_time: START + 1,
    ...over,
  }
}
const push = (...elements: (object | string | Buffer)[]) =>
  redis.ask(
    'LPUSH',
    LIST,
    ...elements.map((one) =>
      typeof one === 'string' || Buffer.isBuffer(one) ? one : JSON.stringify(one),
    ),
  )
const namesOf = () => langfuse.spans('pk-lf-test').map(({ name }) => name)
const status = async (relay: Relay): Promise<RedisListStats> => {
  return (await relay.stats()).redisList as RedisListStats
}
const length = async (key: string): Promise<number> => Number(await redis.ask('LLEN', key))

async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + 12_000
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`it never came:\n${lines.join('')}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Lists of what relays have taken. */
async function processing(): Promise<string[]> {
  return itemsOf(await redis.ask('KEYS', `${keys.processing('')}*`)).map(textOf)
}

async function deadElements(): Promise<Map<string, string>[]> {
  const reply = itemsOf(await redis.ask('XRANGE', keys.dead, '-', '+'))
  return reply.map((item) => {
    const fields = mapOf(itemsOf(item)[1] ?? [])
    return new Map([...fields].map(([key, value]) => [key, textOf(value)]))
  })
}

describe('a relay that takes from a list', () => {
  test('delivers what was pushed, in its order, and leaves nothing in Redis', async () => {
    const observations = Array.from({ length: 400 }, () => element())
    await push(...observations.slice(0, 150))
    const relay = await start()
    await push(...observations.slice(150))
    await until(() => namesOf().length === 400)
    expect(namesOf()).toEqual(observations.map(({ name }) => name))
    expect(langfuse.duplicates).toEqual({ identical: 0, changed: 0 })
    await until(async () => (await processing()).length === 0)
    expect(await status(relay)).toMatchObject({
      list: LIST,
      trouble: null,
      waiting: null,
      taken: 400,
      malformed: 0,
    })
    expect((await relay.stats()).accepted).toBe(400)
    await stop(relay)
    expect(itemsOf(await redis.ask('KEYS', '*'))).toEqual([])
  })

  test('says whose it is, and what a trace shares', async () => {
    await start()
    await push({
      service: 'shop',
      environment: 'live',
      release: '1.2',
      language: 'php',
      host: 'web-1',
      name: 'the trace',
      user_id: 'u1',
      observations: [
        { name: 'root', span_id: '00000000000000f1', start_time: START, end_time: START + 2 },
        {
          name: 'child',
          parent_span_id: '00000000000000f1',
          type: 'generation',
          model: 'm',
          start_time: START,
          end_time: START + 1,
        },
      ],
    })
    await langfuse.waitForSpans(2)
    const [root, child] = langfuse.spans('pk-lf-test')
    expect(child).toMatchObject({ traceId: root!.traceId, parentSpanId: root!.spanId })
    expect(root!.attributes).toMatchObject({
      'user.id': 'u1',
      'langfuse.trace.name': 'the trace',
    })
    expect(root!.resource.attributes).toMatchObject({
      'service.name': 'shop',
      'host.name': 'web-1',
    })
  })

  test('puts what is no record among the dead, with the reason, and goes on', async () => {
    const [before, after] = [element(), element()]
    await push(before, '{"half":', Buffer.from([1, 0xff]), { name: 'no times' }, after)
    const relay = await start()
    await until(() => namesOf().length === 2)
    expect(namesOf()).toEqual([before.name, after.name])
    await until(async () => (await deadElements()).length === 3)
    const dead = await deadElements()
    expect(dead.map((one) => one.get('reason'))).toEqual([
      'is not JSON: it ends too early',
      'is not UTF-8',
      'start_time and end_time are missing, and so is record',
    ])
    expect(dead[0]!.get('element')).toBe('{"half":')
    expect(dead[0]!.get('list')).toBe(LIST)
    expect(await status(relay)).toMatchObject({ taken: 2, malformed: 3, trouble: null })
    expect(lines.join('')).toContain('an element is no record: it is not UTF-8')
  })

  test('what cannot be put among the dead waits, and stops nobody', async () => {
    await redis.ask('SET', keys.dead, 'no stream')
    const all = [element(), element(), element()]
    await push(all[0]!, 'no json', all[1]!)
    const relay = await start()
    await until(() => namesOf().length === 2)
    await push(all[2]!)
    await until(() => namesOf().length === 3)
    expect(await status(relay)).toMatchObject({
      trouble: expect.stringContaining('WRONGTYPE'),
      malformed: 0,
    })
    const [list = ''] = await processing()
    expect(await length(list)).toBe(1)
    await redis.ask('DEL', keys.dead)
    await until(async () => (await deadElements()).length === 1)
    await until(async () => (await status(relay)).trouble === null)
    expect(namesOf()).toHaveLength(3)
  })

  test('start and end may come apart, also on both sides of a restart of the relay', async () => {
    const relay = await start()
    const { trace_id, span_id, name, start_time, end_time } = element()
    await push({ record: 'start', trace_id, span_id, name, start_time, service: 's' })
    await until(async () => (await relay.stats()).open === 1)
    await stop(relay)
    await push({ record: 'update', span_id, output: 'x', service: 's' })
    await push({ record: 'end', span_id, end_time, service: 's' })
    await start()
    await until(() => namesOf().length === 1)
    const [span] = langfuse.spans('pk-lf-test')
    expect(span).toMatchObject({ name, endTimeUnixNano: BigInt(end_time) * 10n ** 9n })
    expect(span!.attributes['langfuse.observation.output']).toBe('x')
  })

  test('waits for a Redis that is away, and goes on', async () => {
    const relay = await start()
    await push(element())
    await until(() => namesOf().length === 1)
    await redis.kill()
    await until(async () => (await status(relay)).trouble !== null)
    await redis.start()
    await push(element())
    await until(() => namesOf().length === 2)
    await until(async () => (await status(relay)).trouble === null)
    expect(lines.join('')).toContain('taking from the list again')
  })

  test('a key that is no list is told, and nothing is done to it', async () => {
    await redis.ask('SET', LIST, 'a string')
    const relay = await start()
    await until(async () => (await status(relay)).trouble?.startsWith('WRONGTYPE') === true)
    expect(textOf(await redis.ask('GET', LIST))).toBe('a string')
    await redis.ask('DEL', LIST)
    await push(element())
    await until(() => namesOf().length === 1)
  })

  test('many senders are many writers, and none of them is kept for ever', async () => {
    const relay = await start()
    await push(...Array.from({ length: 150 }, (_, n) => element({ service: `s${n}` })))
    await until(() => namesOf().length === 150)
    await until(async () => (await relay.stats()).writers.length <= 64)
    const files = readdirSync(join(directory, 'store', 'redis-list'))
    expect(files.filter((name) => name.endsWith('.seg')).length).toBeLessThanOrEqual(64)
    const { counters, lost, interrupted } = await relay.stats()
    expect({ lost, interrupted }).toEqual({ lost: {}, interrupted: 0 })
    expect(counters.corruptFrames ?? 0).toBe(0)
    // One of them comes back.
    await push(element({ service: 's0' }), element({ service: 's149' }))
    await until(() => namesOf().length === 152)
    expect((await relay.stats()).lost).toEqual({})
  })

  test('takes from a Redis that has no memory left', async () => {
    await start()
    const all = Array.from({ length: 300 }, () => element({ input: 'x'.repeat(2000) }))
    await until(async () => Number(await redis.ask('SCARD', keys.relays)) === 1)
    await push(...all)
    await redis.ask('CONFIG', 'SET', 'maxmemory', '1')
    try {
      await until(() => namesOf().length === 300)
      await until(async () => (await length(LIST)) === 0)
    } finally {
      await redis.ask('CONFIG', 'SET', 'maxmemory', '0')
    }
    const one = element()
    await push(one)
    await until(() => namesOf().includes(one.name))
  })

  test('what there is no room for stays in Redis', async () => {
    let full = false
    let read = new Map<string, number>()
    const spool = join(directory, 'spool')
    const receiver = startListReceiver({
      connection: { target: redis.target },
      list: LIST,
      directory: spool,
      claimIdleMs: 60_000,
      log: createLog((line) => lines.push(line), 'debug'),
      paused: () => (full ? 'the store is full' : null),
      lastRead: () => null,
      offsets: () => read,
      unreadBytes: 20_000,
    })
    try {
      await push(...Array.from({ length: 50 }, () => element({ input: 'x'.repeat(10_000) })))
      await until(() => receiver.status().waiting?.includes('bytes are not read yet') === true)
      expect(await length(LIST)).toBeGreaterThan(40)
      full = true
      read = new Map(readdirSync(spool).map((name) => [join(spool, name), 1e9]))
      await until(() => receiver.status().waiting === 'the store is full')
      const left = await length(LIST)
      expect(left).toBeGreaterThan(40)
      full = false
      await until(async () => (await length(LIST)) === 0)
    } finally {
      await receiver.stop()
    }
  })
})

describe('relays that die', () => {
  test.each(['moved', 'written'] as const)(
    'killed when an element was %s: nothing is lost',
    async (point) => {
      const all = Array.from({ length: 30 }, () => element())
      await push(...all)
      const dying = await startProcess(crashAt(point))
      await dying.end()
      const [list = ''] = await processing()
      expect(await length(list)).toBeGreaterThan(0)
      Object.assign(box!.env, { CRASH_AT: '', NODE_OPTIONS: '' })
      await startProcess()
      await until(() => namesOf().length === 30)
      await until(async () => (await processing()).length === 0)
      expect(new Set(namesOf())).toEqual(new Set(all.map(({ name }) => name)))
      expect(await length(LIST)).toBe(0)
    },
  )

  test('what one has taken that died for good others take, the oldest first', async () => {
    const all = Array.from({ length: 20 }, () => element())
    await push(...all.slice(0, 10))
    const dying = await startProcess(crashAt('moved'))
    await dying.end()
    await push(...all.slice(10))
    const relay = await start({ 'redis.claim-idle': '2s' })
    await until(() => namesOf().length === 20)
    expect((await status(relay)).givenBack).toBeGreaterThan(0)
    expect(await redis.ask('SMEMBERS', keys.relays)).toHaveLength(1)
    expect(langfuse.duplicates).toEqual({ identical: 0, changed: 0 })
  })

  test('one that was only stopped leaves to the others what they took over', async () => {
    const stopped = await startProcess()
    await until(async () => Number(await redis.ask('SCARD', keys.relays)) === 1)
    stopped.child.kill('SIGSTOP')
    // To one that waits for it Redis gives the first, whether or not it can take it.
    const all = Array.from({ length: 5 }, () => element())
    await push(...all)
    const relay = await start({ 'redis.claim-idle': '2s' })
    await until(() => namesOf().length === 5)
    stopped.child.kill('SIGCONT')
    const late = element()
    await push(late)
    await until(() => namesOf().length === 6)
    await until(async () => (await processing()).length === 0)
    expect(langfuse.duplicates).toEqual({ identical: 0, changed: 0 })
    expect((await status(relay)).trouble).toBe(null)
    await until(async () => Number(await redis.ask('SCARD', keys.relays)) === 2)
  })

  test('two of them share a list, and each element comes once', async () => {
    const homes = [join(directory, 'a'), join(directory, 'b')]
    const two = await Promise.all(homes.map((home) => start({}, home)))
    const all = Array.from({ length: 600 }, () => element())
    for (let at = 0; at < 600; at += 20) await push(...all.slice(at, at + 20))
    await until(() => namesOf().length === 600)
    expect(langfuse.duplicates).toEqual({ identical: 0, changed: 0 })
    const taken = await Promise.all(two.map(async (relay) => (await status(relay)).taken))
    expect(taken[0]! + taken[1]!).toBe(600)
  })
})

test('a cluster has all keys of a list in one slot', async () => {
  const cluster: RedisCluster = await startRedisCluster()
  try {
    const relay = await start({ 'redis.url': cluster.url, 'redis.list': 'app:{one}:traces' })
    const all = [element(), element(), element()]
    const values = ['no json', ...all.map((one) => JSON.stringify(one))]
    for (const node of cluster.nodes) {
      await node.ask('LPUSH', 'app:{one}:traces', ...values).catch(() => {})
    }
    await until(() => namesOf().length === 3)
    await until(async () => (await status(relay)).deadLength === 1)
    expect(await status(relay)).toMatchObject({ trouble: null, malformed: 1 })
  } finally {
    await Promise.all(relays.splice(0).map((relay) => relay.close()))
    await cluster.close()
  }
}, 20_000)
