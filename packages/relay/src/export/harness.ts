// A real store and a real server around one delivery, for the tests of this folder.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startLangfuseServer } from '../../../../test/langfuse-server/server.ts'
import type {
  LangfuseServer,
  LangfuseServerOptions,
} from '../../../../test/langfuse-server/types.ts'
import { createLog } from '../log.ts'
import type { StoredSpan } from '../store/span.ts'
import { AGAIN, SETTLED } from '../store/states.ts'
import { Store } from '../store/store.ts'
import { systemClock } from './clock.ts'
import { type DeliveryOptions, type SpanDelivery, startDelivery } from './delivery.ts'
import type { Exporter } from './exporters.ts'
import { resource } from './fixtures.ts'
import type { Attempt } from './http.ts'

export interface Harness {
  readonly server: LangfuseServer
  readonly store: Store
  /** Where the store is. */
  readonly directory: string
  readonly exporter: Exporter
  readonly attempts: Attempt[]
  /** Of what was delivered, in seconds. */
  readonly lags: number[]
  /** Everything that was logged. */
  readonly lines: string[]
  delivery: SpanDelivery
  /** Commits spans in one chunk (of at most 512). */
  commit(spans: readonly StoredSpan[]): void
  /** Has spans of a chunk sent again; returns how many newly are. */
  again(chunk: number, ...indexes: number[]): number
  /** Starts another delivery on the same store, as after a restart. */
  restart(options?: Partial<DeliveryOptions>): void
  /** Resolves when the outbox holds that many spans. */
  held(spans: number): Promise<void>
  /** accepted = delivered + dead + dropped + held, in observations; and the figures. */
  law(): Record<
    'accepted' | 'delivered' | 'dead' | 'dropped' | 'held' | 'resent' | 'notResent',
    number
  >
  close(): Promise<void>
}

export interface HarnessOptions {
  readonly exporterOf: (server: LangfuseServer) => Exporter
  readonly server?: LangfuseServerOptions
  readonly delivery?: Partial<DeliveryOptions>
}

export async function startHarness(options: HarnessOptions): Promise<Harness> {
  const server = await startLangfuseServer(options.server)
  const directory = mkdtempSync(join(tmpdir(), 'offpath-export-'))
  const store = new Store(directory)
  const exporter = options.exporterOf(server)
  const { name } = exporter
  store.exporters([name])
  const attempts: Attempt[] = []
  const lags: number[] = []
  const lines: string[] = []
  let accepted = 0

  const start = (over: Partial<DeliveryOptions> = {}): SpanDelivery =>
    startDelivery({
      exporter,
      outbox: store,
      clock: systemClock,
      random: () => 0.01,
      gzip: 'auto',
      concurrency: 4,
      requestBytes: 1024 * 1024,
      spanBytes: 16 * 1024 * 1024,
      lingerMs: 0,
      timeoutMs: 500,
      backlogBytes: 1e9,
      onAttempt: (attempt) => attempts.push(attempt),
      onDelivered: (lagSeconds) => lags.push(lagSeconds),
      log: createLog((line) => lines.push(line), 'debug'),
      ...options.delivery,
      ...over,
    })

  const outstanding = (): { span: StoredSpan; state: number }[] =>
    store.nextChunks(name, 0, Number.POSITIVE_INFINITY).flatMap((chunk) =>
      store
        .readSpans(chunk)
        .map((span, index) => ({ span, state: chunk.states?.[index] ?? 0 }))
        .filter(({ state }) => state !== SETTLED),
    )
  const isFirst = ({ span, state }: { span: StoredSpan; state: number }): boolean =>
    span.revision === 0 && state !== AGAIN

  const harness: Harness = {
    server,
    store,
    directory,
    exporter,
    attempts,
    lags,
    lines,
    delivery: start(),
    commit(spans) {
      accepted += spans.filter(({ revision }) => revision === 0).length
      const writer = { id: 'a', resource, finished: spans, state: '{}', vitals: [] }
      store.commit({ writers: [writer], cursors: [], counters: {} })
      harness.delivery.wake()
    },
    again(chunk, ...indexes) {
      const chosen = new Map([[chunk, indexes]])
      return harness.delivery.again(() => store.sendAgain(name, chosen)).spans
    },
    restart(over) {
      harness.delivery = start(over)
    },
    async held(spans) {
      const deadline = Date.now() + 8_000
      while (outstanding().length !== spans) {
        if (Date.now() > deadline) throw new Error(`${outstanding().length} held, not ${spans}`)
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    },
    law() {
      const counters = store.counters()
      const count = (key: string): number => counters[`${name}.${key}`] ?? 0
      const reasons = Object.keys(counters).filter((key) => key.startsWith(`${name}.dropped.`))
      const figures = {
        accepted,
        delivered: count('delivered'),
        dead: count('dead'),
        dropped: reasons.reduce((sum, key) => sum + (counters[key] ?? 0), 0),
        held: outstanding().filter(isFirst).length,
        resent: count('resent'),
        notResent: count('notResent'),
      }
      const { delivered, dead, dropped, held } = figures
      if (accepted !== delivered + dead + dropped + held) {
        throw new Error(`counting law broken: ${JSON.stringify(figures)}`)
      }
      return figures
    },
    async close() {
      await harness.delivery.stop(0)
      store.close()
      await server.close()
      rmSync(directory, { recursive: true })
    },
  }
  return harness
}
