import { join } from 'node:path'
import { expect } from 'vitest'
import { loadConfig } from '../config/config.ts'
import type { OptionName } from '../config/options.ts'
import { createLog } from '../log.ts'
import { startPool } from '../pool.ts'
import { openRelay, type Relay } from '../relay.ts'
import { encodeSegment, type PlainFrame, writeSegment } from '../testing/plain-writer.ts'
import { type RedisServer, startRedisServer } from '../testing/redis-server.ts'
import { conformsAsReceiver, type Given, recordOf, type Source } from './conformance.ts'

/** An application's spool: a writer for each service, and a segment for each time that it is given something. */
function spoolIn(directory: string): Pick<Source, 'send' | 'sendDamaged'> {
  const segments = new Map<string, { number: number; started: number; length: number }>()
  const write = (service: string, frames: readonly PlainFrame[], started: number): void => {
    const before = segments.get(service)
    const number = (before?.number ?? 0) + 1
    const segment = {
      writer: writerOf(service),
      number,
      startedBefore: before?.started ?? 0,
      previous: before === undefined ? null : { segment: before.number, length: before.length },
      // It runs until the test ends.
      header: { service, pidNamespace: 'pid:[of nobody here]' },
      crc: true,
      frames,
    }
    writeSegment(directory, segment)
    const { length } = encodeSegment(segment)
    segments.set(service, { number, started: (before?.started ?? 0) + started, length })
  }
  return {
    async send(observations) {
      for (const [service, ofService] of Map.groupBy(observations, serviceOf)) {
        write(service, [{ json: ofService.map(recordOf) }], ofService.length)
      }
    },
    async sendDamaged() {
      const bad = { record: 'observation', span_id: 'no id' }
      write('app', [{ json: [bad], started: segments.get('app')?.started ?? 0 }], 0)
    },
  }
}

const serviceOf = ({ service = 'app' }: Given): string => service
const writerOf = (service: string): string =>
  Buffer.from(service.padEnd(8)).subarray(-8).toString('hex')

/** One for all of them. */
let redis: RedisServer
async function prepare(): Promise<RedisServer> {
  redis = await startRedisServer()
  return redis
}
/** Each test has keys of its own. */
let tests = 0

conformsAsReceiver({
  name: 'spool',
  async source(directory) {
    return {
      flags: {},
      start: openRelay,
      ...spoolIn(join(directory, 'memory')),
      damagedIn: ({ counters }) => counters.malformedRecords ?? 0,
      async close() {},
    }
  },
})

conformsAsReceiver({
  name: 'redis-list',
  prepare,
  async source() {
    const list = `app:traces:${++tests}`
    const push = (...elements: string[]) => redis.ask('LPUSH', list, ...elements)
    return {
      flags: { 'redis.url': redis.url, 'redis.list': list },
      start: openRelay,
      async send(observations) {
        await push(
          ...observations.map((one) =>
            JSON.stringify({ ...recordOf(one), service: serviceOf(one) }),
          ),
        )
      },
      async sendDamaged() {
        await push('{"name":"half')
      },
      damagedIn: ({ redisList }) => redisList?.malformed ?? 0,
      async close() {},
    }
  },
})

conformsAsReceiver({
  name: 'redis',
  prepare,
  async source(directory) {
    const stream = `offpath-${++tests}`
    // Beside the application runs a relay that forwards.
    const beside = join(directory, 'beside')
    const url = {
      'redis.url': redis.url,
      'redis.partitions': '1',
      'redis.stream': stream,
    }
    const flags = {
      ...url,
      'redis.forward': 'true',
      'spool.dir': join(beside, 'memory'),
      'spool.disk-dir': join(beside, 'disk'),
      'store.dir': join(beside, 'store'),
      'http.port': '0',
    }
    const { config } = loadConfig({
      flags: new Map(Object.entries(flags)) as ReadonlyMap<OptionName, string>,
      env: { HOME: directory },
      cwd: directory,
    })
    const forwarder = await openRelay(
      config,
      createLog(() => {}, 'error'),
    )
    const spool = spoolIn(join(beside, 'memory'))
    let sent = 0
    return {
      flags: { ...url, 'redis.receive': 'true' },
      start: startPool,
      async send(observations) {
        await spool.send(observations)
        sent += observations.length
        // It is handed over when it is in Redis.
        const delivered = async () => (await forwarder.stats()).exporters[0]?.delivered ?? 0
        while ((await delivered()) < sent) await new Promise((resolve) => setTimeout(resolve, 10))
      },
      async sendDamaged() {
        await redis.ask('XADD', `${stream}:{0}`, '*', 'v', '1', 's', 'no spans')
      },
      damagedIn: ({ redis: pool }) => pool?.groups[0]?.damaged ?? 0,
      close: () => forwarder.close(),
    }
  },
})

/** What Langfuse's SDKs call it. */
function otlpAttributes(one: Given): Record<string, unknown> {
  const metadata = Object.entries(one.metadata ?? {})
  return {
    'langfuse.observation.type': one.type,
    'langfuse.observation.input': textOf(one.input),
    'langfuse.observation.output': textOf(one.output),
    'langfuse.observation.level': one.level,
    'langfuse.observation.status_message': one.statusMessage,
    'langfuse.observation.model.name': one.model,
    'langfuse.observation.usage_details': textOf(one.usageDetails),
    'user.id': one.userId,
    'session.id': one.sessionId,
    'langfuse.trace.tags': one.tags,
    ...Object.fromEntries(
      metadata.map(([key, value]) => [`langfuse.observation.metadata.${key}`, value]),
    ),
  }
}

const textOf = (value: unknown): unknown =>
  value === undefined || typeof value === 'string' ? value : JSON.stringify(value)

function anyValue(value: unknown): unknown {
  if (Array.isArray(value)) return { arrayValue: { values: value.map(anyValue) } }
  return typeof value === 'number' ? { intValue: value } : { stringValue: value }
}

const keyValues = (values: Record<string, unknown>): unknown[] =>
  Object.entries(values).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, value: anyValue(value) }],
  )

conformsAsReceiver({
  name: 'otlp',
  async source() {
    let relay: Relay | undefined
    const post = async (body: string): Promise<number> => {
      const headers = { 'content-type': 'application/json' }
      const answer = await fetch(`${relay?.url}/v1/traces`, { method: 'POST', headers, body })
      await answer.arrayBuffer()
      return answer.status
    }
    return {
      flags: { 'otlp.receive': 'true' },
      async start(config, log) {
        relay = await openRelay(config, log)
        return relay
      },
      async send(observations) {
        const ofServices = Map.groupBy(observations, serviceOf)
        const resourceSpans = [...ofServices].map(([service, of]) => ({
          resource: { attributes: keyValues({ 'service.name': service }) },
          scopeSpans: [
            {
              spans: of.map((one) => ({
                traceId: one.traceId,
                spanId: one.spanId,
                parentSpanId: one.parentSpanId,
                name: one.name,
                startTimeUnixNano: String(one.startTime),
                endTimeUnixNano: String(one.endTime),
                attributes: keyValues(otlpAttributes(one)),
              })),
            },
          ],
        }))
        expect(await post(JSON.stringify({ resourceSpans }))).toBe(200)
      },
      async sendDamaged() {
        expect(await post('{"resourceSpans":[{')).toBe(400)
      },
      async damagedIn() {
        const text = await (await fetch(`${relay?.url}/metrics`)).text()
        return Number(
          /^offpath_receiver_refused_requests_total\{reason="malformed"\} (\d+)$/m.exec(text)?.[1],
        )
      },
      async close() {},
    }
  },
  skips: { takesWhileDown: 'whoever sends keeps what nobody takes' },
})
