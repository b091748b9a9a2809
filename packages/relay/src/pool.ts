import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import type { Config } from './config/options.ts'
import { configuredDelivery, configuredExporters, redisConnection } from './configured-exporters.ts'
import { startDelivery } from './export/delivery.ts'
import type { Exporter } from './export/exporters.ts'
import { createApp } from './http/app.ts'
import { createMetrics, type Metrics } from './http/metrics.ts'
import { type Member, poolStats } from './http/pool-stats.ts'
import { errorBody, jsonAnswer } from './http/query.ts'
import { type HttpServer, listen } from './http/server.ts'
import type { Log } from './log.ts'
import { startClaims } from './receivers/redis/claims.ts'
import type { Group } from './receivers/redis/group.ts'
import { type Leaving, startLeaving } from './receivers/redis/leaving.ts'
import { RedisOutbox } from './receivers/redis/outbox.ts'
import { startReader } from './receivers/redis/reader.ts'
import { startTrimming } from './receivers/redis/trim.ts'
import { connectRedis } from './redis/connection.ts'
import { deadStreamOf, streamsOf } from './redis/streams.ts'
import { type Relay, VERSION } from './relay.ts'

// A relay of a pool: from Redis to the exporters, each a consumer group of its own. It has no spool, no store and nothing
// on the disk: Redis keeps an entry until it is acknowledged.
//
//   stream {0} … {n} ──reader──▶ outbox (memory) ──delivery──▶ exporter
//                                   └──leaving──▶ dead letters, XACK
//   claims: renews what is held, takes over what was a dead relay's        trimming: what all groups have acknowledged goes

/** Requests in flight at the end may take so long; then others take them over. */
const STOP_MS = 3000
/** What follows at the end, a step. */
const FAREWELL_MS = 2000
const DRAIN_LOOK_MS = 50
/** Entries in memory: for the requests in flight, and as many that are being filled. */
const READ_AHEAD = 2

/** What runs for one exporter. */
interface Running extends Member {
  readonly leaving: Leaving
}

/**
 * Starts a relay of a pool, and serves the API.
 *
 * @throws an Error with a code `OFFPATH_…` and a message of one line: the port is taken
 */
export async function startPool(config: Config, log: Log): Promise<Relay> {
  const metrics = createMetrics()
  const exporters = configuredExporters(config)
  const connection = connectRedis(redisConnection(config))
  const streams = streamsOf(config['redis.stream'], config['redis.partitions'])
  const deadStream = deadStreamOf(config['redis.stream'])
  const maxLength = config['redis.max-length']
  const consumer = `${hostname()}:${process.pid}:${randomBytes(4).toString('hex')}`
  const startedAt = new Date().toISOString()
  const members: Running[] = []

  const stats = async () => {
    const relay = {
      version: VERSION,
      pid: process.pid,
      url: server.url,
      startedAt,
      storeFull: false,
    }
    const url = config['redis.url']?.shown ?? ''
    return poolStats({ relay, url, consumer, maxLength, members, trimming })
  }
  const nothing = `a relay of a pool keeps no traces; its dead letters are in the stream ${deadStream}`
  const notFound = jsonAnswer(404, errorBody('not_found', nothing))
  const app = createApp({
    ask: async () => notFound,
    operations: notFound,
    otlp: 'a relay of a pool receives nothing by OTLP: send to the one beside the application',
    imports: notFound,
    stats,
    health: () => ({ ok: true, version: VERSION, pid: process.pid, storeFull: false }),
    metrics: async () => metrics.render(await stats()),
    token: config['http.token'],
    onError: (error) => log.error('the API failed', { error: error.message }),
  })
  let server: HttpServer
  try {
    server = await listen(app, {
      host: config['http.host'],
      port: config['http.port'],
      allowedHosts: config['http.allowed-hosts'],
      onError: (error) => log.error('the HTTP server failed', { error: error.message }),
    })
  } catch (error) {
    metrics.close()
    await connection.close()
    throw error
  }

  const trimming = startTrimming({ connection, streams, maxLength, log })
  await within(FAREWELL_MS, [trimming.looked])
  for (const exporter of exporters) {
    const group = { connection, streams, deadStream, name: exporter.name, consumer }
    members.push(startMember(exporter, group, config, metrics, log))
  }

  /** What is held is renewed as before. */
  const stopReading = async (): Promise<void> => {
    for (const { outbox } of members) outbox.close()
    await within(
      FAREWELL_MS,
      members.map(({ reader }) => reader.stop()),
    )
  }
  const drain = async (timeoutMs: number): Promise<boolean> => {
    const until = performance.now() + timeoutMs
    await stopReading()
    while (performance.now() < until) {
      if (members.every(({ outbox }) => outbox.backlog().chunks === 0)) return true
      for (const { delivery } of members) delivery.hurry()
      await delay(DRAIN_LOOK_MS)
    }
    return false
  }
  const close = async (): Promise<void> => {
    await stopReading()
    await Promise.all(members.map(({ delivery }) => delivery.stop(STOP_MS)))
    await Promise.all(members.map(({ leaving }) => leaving.flush(FAREWELL_MS)))
    await within(
      FAREWELL_MS,
      members.map(({ claims }) => claims.stop()),
    )
    // Without it others would wait for redis.claim-idle.
    await within(
      FAREWELL_MS,
      members.map(({ claims }) => claims.handBack()),
    )
    await within(FAREWELL_MS, [trimming.stop()])
    await connection.close()
    await server.close()
    metrics.close()
  }
  const targets = exporters.map(({ name, target }) => ({ name, url: target }))
  return { url: server.url, exporters: targets, stats, drain, close }
}

function startMember(
  exporter: Exporter,
  group: Group,
  config: Config,
  metrics: Metrics,
  log: Log,
): Running {
  const { name } = exporter
  const options = configuredDelivery(config, exporter, metrics, log)
  const readAhead = READ_AHEAD * options.concurrency * options.requestBytes
  const outbox: RedisOutbox = new RedisOutbox(name, readAhead, (entry) => leaving.add(entry))
  const leaving = startLeaving(group, (stream, entry) => outbox.left(stream, entry), log)
  const delivery = startDelivery({
    ...options,
    outbox,
    backlogBytes: Number.POSITIVE_INFINITY,
    rejectsWithoutKeys: true,
  })
  const wake = (): void => delivery.wake()
  const reader = startReader({ group, outbox, log, wake })
  const claimIdleMs = config['redis.claim-idle']
  const claims = startClaims({ group, outbox, claimIdleMs, log, wake })
  return { name, outbox, leaving, delivery, reader, claims }
}

/** Waits for all of it, at most so long; what fails has been told. */
async function within(ms: number, work: readonly Promise<void>[]): Promise<void> {
  await Promise.race([Promise.allSettled(work), delay(ms, undefined, { ref: false })])
}
