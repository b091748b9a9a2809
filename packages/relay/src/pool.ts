import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import type { Config } from './config/options.ts'
import {
  configuredDelivery,
  configuredExporters,
  LINGER_MS,
  redisConnection,
} from './configured-exporters.ts'
import { type Clock, systemClock } from './export/clock.ts'
import { startDelivery } from './export/delivery.ts'
import type { Exporter, ScoreTarget } from './export/exporters.ts'
import { startScoreDelivery } from './export/score-delivery.ts'
import { createApp } from './http/app.ts'
import { createMetrics, type Metrics } from './http/metrics.ts'
import { type Member, type Part, poolStats } from './http/pool-stats.ts'
import { errorBody, jsonAnswer } from './http/query.ts'
import { type HttpServer, listen } from './http/server.ts'
import type { Log } from './log.ts'
import { startClaims } from './receivers/redis/claims.ts'
import { type DeadStream, startDeadStream } from './receivers/redis/dead-stream.ts'
import type { Group } from './receivers/redis/group.ts'
import type { Departure, HeldEntries } from './receivers/redis/held-entries.ts'
import { type Leaving, startLeaving } from './receivers/redis/leaving.ts'
import { RedisOutbox } from './receivers/redis/outbox.ts'
import { startReader } from './receivers/redis/reader.ts'
import { type Recalls, startRecalls } from './receivers/redis/recalls.ts'
import { RedisScoreOutbox, UnwantedScores } from './receivers/redis/score-outbox.ts'
import { startTrimming } from './receivers/redis/trim.ts'
import { connectRedis } from './redis/connection.ts'
import { deadStreamOf, scoreStreamOf, streamsOf } from './redis/streams.ts'
import { type Relay, VERSION } from './relay.ts'

// A relay of a pool: from Redis to the exporters, each a consumer group of its own. It has no spool, no store and nothing
// on the disk: Redis keeps an entry until it is acknowledged.
//
//   stream {0} … {n} ──reader──▶ outbox (memory) ──delivery──▶ exporter
//                                   └──leaving──▶ dead letters, XACK
// The same once more, from the stream of scores, for those that take scores.
//
//   recalls: what waited for keys is read again
//   claims: renews what is held, takes over what was a dead relay's        trimming: what all groups have acknowledged goes

/** Requests in flight at the end may take so long; then others take them over. */
const STOP_MS = 3000
/** What follows at the end, a step. */
const FAREWELL_MS = 2000
const DRAIN_LOOK_MS = 50
/** Entries in memory: for the requests in flight, and as many that are being filled. */
const READ_AHEAD = 2

/** Likewise of scores: a request has at most so many bytes. */
const SCORES_AHEAD_BYTES = 2_000_000

interface PoolGroup extends Group {
  readonly dead: DeadStream
  readonly isPiledUp: (stream: string) => boolean
}

/** What runs for a group on some streams. */
interface Running<Outbox extends HeldEntries = HeldEntries> extends Part<Outbox> {
  readonly leaving: Leaving
  readonly recalls: Recalls
}

/**
 * Starts a relay of a pool, and serves the API.
 *
 * @param clock of the deliveries
 * @throws an Error with a code `OFFPATH_…` and a message of one line: the port is taken
 */
export async function startPool(
  config: Config,
  log: Log,
  clock: Clock = systemClock,
): Promise<Relay> {
  const metrics = createMetrics()
  const exporters = configuredExporters(config)
  const connection = connectRedis(redisConnection(config))
  const streams = streamsOf(config['redis.stream'], config['redis.partitions'])
  const scoreStream = scoreStreamOf(config['redis.stream'])
  const deadStream = deadStreamOf(config['redis.stream'])
  const maxLength = config['redis.max-length']
  const consumer = `${hostname()}:${process.pid}:${randomBytes(4).toString('hex')}`
  const startedAt = new Date().toISOString()
  const members: Member[] = []
  const parts: Running[] = []

  const stats = async () => {
    const relay = {
      version: VERSION,
      pid: process.pid,
      url: server.url,
      startedAt,
      storeFull: false,
    }
    const url = config['redis.url']?.shown ?? ''
    return poolStats({ relay, url, consumer, maxLength, members, trimming, dead })
  }
  const nothing = `a relay of a pool keeps no traces; its dead letters are in the stream ${deadStream}: \`offpath dead ls\` lists them`
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

  const all = [...streams, scoreStream]
  const trimming = startTrimming({ connection, streams: all, maxLength, log })
  const dead = startDeadStream({ connection, stream: deadStream, log })
  await within(FAREWELL_MS, [trimming.looked])
  const started = <P extends Running>(part: P): P => {
    parts.push(part)
    return part
  }
  const takesScores = exporters.some(({ scores }) => scores !== null)
  for (const exporter of exporters) {
    const { name } = exporter
    const isPiledUp = trimming.isPiledUp
    const group = { connection, streams, dead, name, consumer, isPiledUp }
    const ofScores = { ...group, streams: [scoreStream] }
    const spans = started(startSpans(exporter, group, config, metrics, log, clock))
    const scores =
      exporter.scores &&
      started(startScores(exporter, exporter.scores, ofScores, config, metrics, log, clock))
    const isFirst = exporter === exporters[0]
    const unwanted = takesScores || !isFirst ? null : started(startUnwanted(ofScores, config, log))
    members.push({ name, spans, scores, unwanted })
  }
  const deliveries = members.flatMap(({ spans, scores }) => [
    spans.delivery,
    ...(scores === null ? [] : [scores.delivery]),
  ])
  const heldBy = ({ spans, scores }: Member): number =>
    spans.outbox.backlog().chunks + (scores?.outbox.backlog().chunks ?? 0)
  const isEmpty = (member: Member): boolean => heldBy(member) === 0
  const isIdle = (member: Member): boolean =>
    heldBy(member) === member.spans.outbox.shelved + (member.scores?.outbox.shelved ?? 0)

  /** What is held is renewed as before. */
  const stopReading = async (): Promise<void> => {
    for (const { outbox } of parts) outbox.close()
    await within(
      FAREWELL_MS,
      parts.flatMap(({ reader, recalls }) => [reader.stop(), recalls.stop()]),
    )
  }
  const drain = async (timeoutMs: number): Promise<boolean> => {
    const until = performance.now() + timeoutMs
    await stopReading()
    while (performance.now() < until) {
      // What waits for keys is not waited for.
      if (members.every(isIdle)) return members.every(isEmpty)
      for (const delivery of deliveries) delivery.hurry()
      await delay(DRAIN_LOOK_MS)
    }
    return false
  }
  const close = async (): Promise<void> => {
    await stopReading()
    await Promise.all(deliveries.map((delivery) => delivery.stop(STOP_MS)))
    await Promise.all(parts.map(({ leaving }) => leaving.flush(FAREWELL_MS)))
    await within(
      FAREWELL_MS,
      parts.map(({ claims }) => claims.stop()),
    )
    // Without it others would wait for redis.claim-idle.
    await within(
      FAREWELL_MS,
      parts.map(({ claims }) => claims.handBack()),
    )
    await within(FAREWELL_MS, [trimming.stop(), dead.stop()])
    await connection.close()
    await server.close()
    metrics.close()
  }
  const targets = exporters.map(({ name, target }) => ({ name, url: target }))
  return { url: server.url, exporters: targets, stats, drain, close }
}

function startSpans(
  exporter: Exporter,
  group: PoolGroup,
  config: Config,
  metrics: Metrics,
  log: Log,
  clock: Clock,
): Running<RedisOutbox> & Member['spans'] {
  const options = configuredDelivery(config, exporter, metrics, log)
  const readAhead = READ_AHEAD * options.concurrency * options.requestBytes
  return startReading(
    (leave) => new RedisOutbox(group.name, readAhead, leave),
    (outbox) =>
      startDelivery({
        ...options,
        clock,
        outbox,
        backlogBytes: Number.POSITIVE_INFINITY,
        rejectsWithoutKeys: true,
      }),
    group,
    config,
    log,
  )
}

function startScores(
  exporter: Exporter,
  target: ScoreTarget,
  group: PoolGroup,
  config: Config,
  metrics: Metrics,
  log: Log,
  clock: Clock,
): Running<RedisScoreOutbox> & NonNullable<Member['scores']> {
  return startReading(
    (leave) => new RedisScoreOutbox(group.name, SCORES_AHEAD_BYTES, leave),
    (outbox) =>
      startScoreDelivery({
        exporter,
        target,
        outbox,
        clock,
        random: Math.random,
        concurrency: config['export.concurrency'],
        lingerMs: LINGER_MS,
        timeoutMs: config['export.timeout'],
        backlogBytes: Number.POSITIVE_INFINITY,
        rejectsWithoutKeys: true,
        onAttempt: (attempt) => metrics.onScoreAttempt(group.name, attempt),
        log,
      }),
    group,
    config,
    log,
  )
}

/** Somebody has to acknowledge what no exporter takes, or the stream becomes full and those who forward wait. */
function startUnwanted(group: PoolGroup, config: Config, log: Log): Running<UnwantedScores> {
  return startReading(
    (leave) => new UnwantedScores(group.name, SCORES_AHEAD_BYTES, leave),
    () => ({ wake: () => {} }),
    group,
    config,
    log,
  )
}

function startReading<Outbox extends HeldEntries, Delivery extends { wake(): void }>(
  createOutbox: (leave: (departure: Departure) => void) => Outbox,
  deliver: (outbox: Outbox) => Delivery,
  group: PoolGroup,
  config: Config,
  log: Log,
): Running<Outbox> & { readonly delivery: Delivery } {
  const outbox = createOutbox((entry) => leaving.add(entry))
  const leaving = startLeaving(
    group,
    group.dead,
    (stream, entry) => outbox.left(stream, entry),
    group.isPiledUp,
    log,
  )
  const delivery = deliver(outbox)
  const wake = (): void => delivery.wake()
  const reader = startReader({ group, outbox, log, wake })
  const recalls = startRecalls({ group, outbox, log, wake })
  const claimIdleMs = config['redis.claim-idle']
  const claims = startClaims({ group, outbox, claimIdleMs, log, wake })
  return { outbox, leaving, delivery, reader, recalls, claims }
}

/** Waits for all of it, at most so long; what fails has been told. */
async function within(ms: number, work: readonly Promise<void>[]): Promise<void> {
  await Promise.race([Promise.allSettled(work), delay(ms, undefined, { ref: false })])
}
