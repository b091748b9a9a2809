// A list of a test's own in a real Redis, relays that take from it, and a server that plays Langfuse.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startLangfuseServer } from '../../../../../test/langfuse-server/server.ts'
import type { LangfuseServer } from '../../../../../test/langfuse-server/types.ts'
import { deliveringTo, type Running, type Sandbox, sandbox } from '../../cli/cli.fixture.ts'
import { loadConfig } from '../../config/config.ts'
import type { OptionName } from '../../config/options.ts'
import type { RedisListStats } from '../../http/redis-stats.ts'
import { createLog, type Log } from '../../log.ts'
import { type ListKeys, listKeysOf } from '../../redis/lists.ts'
import { openRelay, type Relay } from '../../relay.ts'
import type { RedisServer } from '../../testing/redis-server.ts'
import { itemsOf, mapOf, textOf } from '../redis/group.ts'

type Flags = Partial<Record<OptionName, string>>

export const START = 1_790_000_000
let serial = 0

interface Element extends Record<string, unknown> {
  readonly span_id: string
  readonly name: string
  /** Seconds since 1970. */
  readonly start_time: number
  readonly end_time: number
}

/** An observation as somebody writes it. */
export function element(over: Record<string, unknown> = {}): Element {
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

export function many(count: number, over: Record<string, unknown> = {}): Element[] {
  return Array.from({ length: count }, () => element(over))
}

export interface ListBench {
  readonly redis: RedisServer
  readonly langfuse: LangfuseServer
  readonly directory: string
  readonly list: string
  readonly keys: ListKeys
  readonly log: Log
  /** What was logged. */
  readonly lines: string[]
  start(flags?: Flags, home?: string): Promise<Relay>
  stop(relay: Relay): Promise<void>
  /** A relay in a process of its own. */
  startProcess(env?: NodeJS.ProcessEnv): Promise<Running>
  push(...elements: (object | string | Buffer)[]): Promise<unknown>
  /** Of what has arrived. */
  names(): string[]
  status(relay: Relay): Promise<RedisListStats>
  length(key: string): Promise<number>
  until(condition: () => Promise<boolean> | boolean): Promise<void>
  /** Lists of what relays have taken. */
  processing(): Promise<string[]>
  dead(): Promise<Map<string, string>[]>
  close(): Promise<void>
}

export async function openListBench(redis: RedisServer): Promise<ListBench> {
  const langfuse = await startLangfuseServer()
  const directory = mkdtempSync(join(tmpdir(), 'offpath-list-'))
  const list = `app:traces:${++serial}`
  const keys = listKeysOf(list)
  const relays: Relay[] = []
  const children: Running[] = []
  const lines: string[] = []
  const log = createLog((line) => lines.push(line), 'debug')
  let box: Sandbox | undefined

  const bench: ListBench = {
    redis,
    langfuse,
    directory,
    list,
    keys,
    log,
    lines,
    async start(flags = {}, home = directory) {
      const all = {
        'redis.url': redis.url,
        'redis.list': list,
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
      const relay = await openRelay(config, log)
      relays.push(relay)
      return relay
    },
    async stop(relay) {
      relays.splice(relays.indexOf(relay), 1)
      await relay.close()
    },
    async startProcess(env = {}) {
      box ??= sandbox({
        OFFPATH_REDIS_URL: redis.url,
        OFFPATH_REDIS_LIST: list,
        OFFPATH_REDIS_CLAIM_IDLE: '2s',
        ...deliveringTo(langfuse),
      })
      Object.assign(box.env, env)
      const child = box.start('up')
      children.push(child)
      return child
    },
    push: (...elements) =>
      redis.ask(
        'LPUSH',
        list,
        ...elements.map((one) =>
          typeof one === 'string' || Buffer.isBuffer(one) ? one : JSON.stringify(one),
        ),
      ),
    names: () => langfuse.spans('pk-lf-test').map(({ name }) => name),
    status: async (relay) => (await relay.stats()).redisList as RedisListStats,
    length: async (key) => Number(await redis.ask('LLEN', key)),
    async until(condition) {
      // Sooner than the test: it says what was logged.
      const deadline = Date.now() + 40_000
      while (!(await condition())) {
        if (Date.now() > deadline) throw new Error(`it never came:\n${lines.join('')}`)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    },
    async processing() {
      return itemsOf(await redis.ask('KEYS', `${keys.processing('')}*`)).map(textOf)
    },
    async dead() {
      const reply = itemsOf(await redis.ask('XRANGE', keys.dead, '-', '+'))
      return reply.map((item) => {
        const fields = mapOf(itemsOf(item)[1] ?? [])
        return new Map([...fields].map(([key, value]) => [key, textOf(value)]))
      })
    },
    async close() {
      await Promise.all(relays.map((relay) => relay.close()))
      for (const child of children) await child.end('SIGKILL')
      await langfuse.close()
      rmSync(directory, { recursive: true, force: true })
      box?.remove()
    },
  }
  return bench
}

/** The body of a test that has a list of its own; `redis` is asked when it begins. */
export function withListOf(redis: () => RedisServer) {
  return (body: (bench: ListBench) => Promise<void>) => async (): Promise<void> => {
    const bench = await openListBench(redis())
    try {
      await body(bench)
    } finally {
      await bench.close()
    }
  }
}
