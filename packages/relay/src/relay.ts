import { createRequire } from 'node:module'
import type { Config } from './config/options.ts'
import {
  configuredDelivery,
  exportersOf,
  LINGER_MS,
  redisConnection,
} from './configured-exporters.ts'
import { type DrainOptions, drain } from './drain.ts'
import { systemClock } from './export/clock.ts'
import { type SpanDelivery, startDelivery } from './export/delivery.ts'
import type { Exporter } from './export/exporters.ts'
import { cutMedia } from './export/media.ts'
import { startMediaDelivery } from './export/media-delivery.ts'
import type { Delivery } from './export/progress.ts'
import { startScoreDelivery } from './export/score-delivery.ts'
import { createApp } from './http/app.ts'
import { createBodies } from './http/body.ts'
import { createMetrics } from './http/metrics.ts'
import { queryWorker } from './http/query-worker.ts'
import { redisListStats } from './http/redis-stats.ts'
import { listen } from './http/server.ts'
import { fullStats, type RelayStats, type Stats, type StoreStats } from './http/stats.ts'
import type { Log, LogFields } from './log.ts'
import { createOperations } from './operations/operations.ts'
import { Intake } from './receivers/otlp/intake.ts'
import { type ListReceiver, startListReceiver } from './receivers/redis-list/receiver.ts'
import { lastReadOf, listDirectoryOf, listSpoolOf } from './receivers/redis-list/spool.ts'
import { SpoolReceiver } from './receivers/spool/receiver.ts'
import { removeRelayFile, writeRelayFile } from './relay-file.ts'
import { lockStore } from './store/lock.ts'
import { startRetention } from './store/retention.ts'
import type { StoredSpan } from './store/span.ts'
import { type SentAgain, Store } from './store/store.ts'

/** A running relay. */
export interface Relay {
  /** Of its HTTP API, with the actual port. */
  readonly url: string
  readonly exporters: readonly { readonly name: string; readonly url: string }[]
  /** As /api/stats answers. */
  stats(): Promise<Stats>
  /**
   * Delivers what has been recorded, for at most so long. Resolves to true when nothing was left; to false also before
   * that time when what is left waits for somebody's hand, such as for keys.
   */
  drain(timeoutMs: number, options?: DrainOptions): Promise<boolean>
  /** Ends it; what is not delivered stays on disk. */
  close(): Promise<void>
}

/** One that reads a spool. */
export interface SpoolRelay extends Relay {
  /** Reads at once and for a moment often: an application waits until all is delivered. */
  hurry(): void
}

/** Of what may wait for an exporter, scores may take a tenth besides. */
const SCORES_SHARE = 10
/** Of all requests with spans that have come and are not stored yet, as they were sent. */
const MAX_BODIES_BYTES = 192 * 1024 * 1024
/** Requests in flight at the end may take so long; then they are sent again at the next start. */
const STOP_MS = 3000
/** For who waits in `flush`: half a second, in which a poll with nothing to read takes some 0.2 ms. */
const HURRY_EVERY_MS = 10
const HURRY_LOOKS = 50

export const VERSION: string = createRequire(import.meta.url)('offpath/package.json').version

/**
 * Starts a relay: reads the spool into the store, delivers from there, and serves the API, on another port than the
 * configuration's if one is given.
 *
 * @throws an Error with a code `OFFPATH_…` and a message of one line: another relay has the spool or the store, the
 * store is of a later version, the port is taken
 */
export async function openRelay(
  config: Config,
  log: Log,
  port: number = config['http.port'],
): Promise<SpoolRelay> {
  const undo: (() => void | Promise<void>)[] = []
  const close = async (): Promise<void> => {
    // Each but once, even if one of them fails.
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) {
      try {
        await step()
      } catch (error) {
        log.error('stopping failed', { error: (error as Error).message })
      }
    }
  }
  try {
    return await start(config, log, port, undo, close)
  } catch (error) {
    await close()
    throw error
  }
}

async function start(
  config: Config,
  log: Log,
  port: number,
  undo: (() => void | Promise<void>)[],
  close: () => Promise<void>,
): Promise<SpoolRelay> {
  const storeDir = config['store.dir']
  const lock = lockStore(storeDir)
  undo.push(() => lock.release())
  const store = new Store(storeDir)
  undo.push(() => store.close())
  const exporters = exportersOf(config)
  store.exporters(
    exporters.map(({ name }) => name),
    exporters.filter(({ scores }) => scores !== null).map(({ name }) => name),
    exporters.filter(({ media }) => media !== null).map(({ name }) => name),
  )

  const metrics = createMetrics()
  undo.push(() => metrics.close())
  let full = (): boolean => false
  let reads = true
  let receiving = false
  let list: ListReceiver | null = null
  /** In the order of exporters. */
  const deliveries: SpanDelivery[] = []
  const scoreDeliveries: Delivery[] = []
  const mediaDeliveries: Delivery[] = []
  const allDeliveries = (): Delivery[] => [...deliveries, ...scoreDeliveries, ...mediaDeliveries]
  const receiver = new SpoolReceiver({
    directories: [config['spool.dir'], config['spool.disk-dir'], ...listSpoolOf(config)],
    store,
    paused: () => !reads || full(),
    log: (message, about) => log.warn(message, about as LogFields),
    onFlushRequest: () => {
      for (const delivery of [...deliveries, ...scoreDeliveries]) delivery.hurry()
    },
    onCommit: metrics.onCommit,
  })
  undo.push(() => {
    try {
      // What has come since the last poll, so that nothing waits for the next start but its delivery.
      if (receiving) receiver.poll()
    } finally {
      // Also when the disk is full: a receiver that goes on keeps the process, and its lease.
      receiver.stop()
    }
  })
  const retention = startRetention({
    store,
    ageMs: config['retention.age'],
    bytes: config['retention.size'],
    oldestOpenFile: () => receiver.oldestFile(),
    onNotResent: (exporter, spans) => {
      log.warn('expired before it was sent again', { exporter, spans })
    },
  })
  full = retention.full
  undo.push(() => retention.stop())

  const worker = queryWorker({
    storeDir,
    onError: (error) => log.error('a query failed', { error: error.message }),
  })
  undo.push(() => worker.close())
  const startedAt = new Date().toISOString()
  const stats = async (): Promise<Stats> => {
    const { status, body } = await worker.ask({ type: 'stats' })
    const text = new TextDecoder().decode(body)
    if (status !== 200) throw new Error(`the store did not answer: ${text}`)
    const relay: RelayStats = {
      version: VERSION,
      pid: process.pid,
      url: server.url,
      startedAt,
      storeFull: full(),
    }
    const live = {
      relay,
      deliveries: deliveries.map((delivery) => delivery.status()),
      scoreDeliveries: scoreDeliveries.map((delivery) => delivery.status()),
      mediaDeliveries: mediaDeliveries.map((delivery) => delivery.status()),
      redisList: list && redisListStats(config, list.status()),
    }
    return fullStats(JSON.parse(text) as StoreStats, config, live)
  }
  const operations = createOperations({
    store,
    storeDir,
    backlogBytes: config['export.backlog-cap'],
    sendAgain: (exporter, chosen) => {
      const change = (): SentAgain => store.sendAgain(exporter, chosen)
      const delivery = deliveries[exporters.findIndex(({ name }) => name === exporter)]
      return delivery === undefined ? change() : delivery.again(change)
    },
    wake: () => {
      for (const delivery of [...scoreDeliveries, ...mediaDeliveries]) delivery.wake()
    },
  })
  const intake = new Intake({
    store,
    storeDir,
    full: () => !reads || full(),
    backlogBytes: config['export.backlog-cap'],
    onCommit: metrics.onCommit,
  })
  undo.push(() => intake.close())
  const bodies = createBodies(MAX_BODIES_BYTES)
  const app = createApp({
    ask: worker.ask,
    stats,
    health: () => ({ ok: true, version: VERSION, pid: process.pid, storeFull: full() }),
    metrics: async () => metrics.render(await stats()),
    operations,
    otlp: config['otlp.receive']
      ? { intake, bodies, projectOf: projectsByKey(config), onRefused: metrics.onRefused }
      : 'spans are not received here: otlp.receive is false',
    imports: { intake, bodies },
    token: config['http.token'],
    onError: (error) => log.error('the API failed', { error: error.message }),
  })
  const server = await listen(app, {
    host: config['http.host'],
    port,
    allowedHosts: config['http.allowed-hosts'],
    onError: (error) => log.error('the HTTP server failed', { error: error.message }),
  })
  undo.push(() => server.close())
  // Before connections are cut, so that those who wait are told; before the store is closed, for they write to it.
  undo.push(() => bodies.close())

  for (const exporter of exporters) {
    if (exporter.media !== null) {
      mediaDeliveries.push(
        startMediaDelivery({
          exporter,
          target: exporter.media,
          outbox: store.media,
          clock: systemClock,
          random: Math.random,
          concurrency: config['export.concurrency'],
          timeoutMs: config['export.timeout'],
          backlogBytes: config['export.backlog-cap'],
          onAttempt: (attempt) => metrics.onMediaAttempt(exporter.name, attempt),
          log,
        }),
      )
    }
    const media = mediaDeliveries.at(-1)
    const delivery = startDelivery({
      ...configuredDelivery(config, exporter, metrics, log),
      outbox: store,
      backlogBytes: config['export.backlog-cap'],
      cutMedia:
        exporter.media === null
          ? undefined
          : mediaCutter(exporter, store, () => media?.wake(), log),
    })
    deliveries.push(delivery)
    store.onCommit(() => delivery.wake())
    if (exporter.scores === null) continue
    const scores = startScoreDelivery({
      exporter,
      target: exporter.scores,
      outbox: store.scores,
      clock: systemClock,
      random: Math.random,
      concurrency: config['export.concurrency'],
      lingerMs: LINGER_MS,
      timeoutMs: config['export.timeout'],
      backlogBytes: config['export.backlog-cap'] / SCORES_SHARE,
      onAttempt: (attempt) => metrics.onScoreAttempt(exporter.name, attempt),
      log,
    })
    scoreDeliveries.push(scores)
    store.onCommit(() => scores.wake())
  }
  undo.push(async () => {
    await Promise.all(allDeliveries().map((delivery) => delivery.stop(STOP_MS)))
  })
  receiver.start()
  receiving = true
  const key = config['redis.list']
  if (key !== undefined) {
    const started = startListReceiver({
      connection: redisConnection(config),
      list: key,
      directory: listDirectoryOf(config),
      claimIdleMs: config['redis.claim-idle'],
      log,
      paused: () => (full() ? 'the store is full' : null),
      lastRead: (writer) => lastReadOf(store, writer),
      offsets: () => receiver.offsets(),
    })
    list = started
    undo.push(() => started.stop())
  }
  writeRelayFile(storeDir, { pid: process.pid, url: server.url, startedAt })
  undo.push(() => removeRelayFile(storeDir))
  const targets = exporters.map(({ name, target }) => ({ name, url: target }))
  let hurrying: NodeJS.Timeout | undefined
  undo.push(() => clearInterval(hurrying))
  const hurry = (): void => {
    clearInterval(hurrying)
    let looks = HURRY_LOOKS
    hurrying = setInterval(() => {
      if (--looks === 0) clearInterval(hurrying)
      try {
        receiver.poll()
      } catch {
        // The receiver's own next round tells.
      }
    }, HURRY_EVERY_MS)
  }
  return {
    hurry,
    url: server.url,
    exporters: targets,
    stats,
    drain: async (timeoutMs, drainOptions) => {
      const until = performance.now() + timeoutMs
      // What others push has no end: of a list only what is there by now, and only if it is to be read at all.
      if (drainOptions?.soFar) await list?.catchUp(timeoutMs, drainOptions.signal)
      await list?.stop()
      const drained = {
        receiver,
        endReading: () => {
          reads = false
        },
        full,
        waits: () =>
          exporters.some(({ name }) => store.backlog(name).chunks > 0) ||
          store.scores.held() > 0 ||
          // Media of a span are in their outbox before it has left its own.
          store.media.held() > 0,
        deliveries: allDeliveries(),
        log,
      }
      const isDone = await drain(drained, until - performance.now(), drainOptions)
      return isDone && (list === null || list.status().trouble === null)
    },
    close,
  }
}

/** Names of projects by their public keys. */
function projectsByKey(config: Config): (publicKey: string) => string | null {
  const names = Object.entries(config['langfuse.projects']).map(
    ([name, { publicKey }]) => [publicKey, name] as const,
  )
  const byKey = new Map(names)
  return (publicKey) => byKey.get(publicKey) ?? null
}

/** What an encoder does with media: they go to the exporter's outbox of media, before the span is sent. */
function mediaCutter(
  exporter: Exporter,
  store: Store,
  added: () => void,
  log: Log,
): (span: StoredSpan) => StoredSpan {
  const { name } = exporter
  return (span) => {
    try {
      const cut = cutMedia(span, (parts, into, at) => store.loadParts(parts, into, at))
      if (cut.media.length === 0) return span
      const place = {
        exporter: name,
        project: exporter.laneOf(span),
        writer: store.writerOf(span.resource),
        traceId: span.traceId.toString('hex'),
        observationId: span.spanId.toString('hex'),
      }
      if (store.media.add(place, cut.media) > 0) added()
      return cut.span
    } catch (error) {
      // No space: they stay in the span, where nothing of them is lost.
      log.warn('media not taken out', { exporter: name, error: (error as Error).message })
      return span
    }
  }
}
