// The real thing, in one process and on one directory: applications, spool, relay, store, deliveries; with clocks that
// stand still but for the steps, and a relay that can be killed at any of its crash points.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { cpSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { CRASH_POINTS, type CrashPoint } from '../../packages/relay/src/crash-point.ts'
import { type SpanDelivery, startDelivery } from '../../packages/relay/src/export/delivery.ts'
import { type ManualClock, manualClock } from '../../packages/relay/src/export/fixtures.ts'
import type { Outbox } from '../../packages/relay/src/export/outbox.ts'
import { createOperations } from '../../packages/relay/src/operations/operations.ts'
import { SpoolReceiver } from '../../packages/relay/src/receivers/spool/receiver.ts'
import { type ExporterRow, StoreReader } from '../../packages/relay/src/store/read.ts'
import { Store } from '../../packages/relay/src/store/store.ts'
import type { Tier } from '../../packages/sdk/src/spool/tier.ts'
import { Destination } from './destination.ts'
import { FaultyDisk } from './faulty-disk.ts'
import type { SpoolFault, Step } from './steps.ts'
import { Application } from './writer.ts'

const MB = 1024 * 1024
const DATA_FILE_BYTES = 64 * 1024
const REQUEST_BYTES = 20_000
/** Of `b`; what waits for `a` has no bound. */
const BACKLOG_BYTES = 200_000
/** Turns in a row without a request after which nothing is under way. */
const QUIET_TURNS = 4

interface Relay {
  readonly store: Store
  readonly receiver: SpoolReceiver
  readonly deliveries: ReadonlyMap<string, SpanDelivery>
  isDead: boolean
}

export class World {
  readonly applications: Application[] = []
  readonly destinations: readonly [Destination, Destination] = [
    new Destination('a'),
    new Destination('b'),
  ]
  readonly directory: string = mkdtempSync(join(tmpdir(), 'offpath-model-'))
  readonly disk: FaultyDisk = new FaultyDisk(this.directory)
  /** Monotonic, of the receiver, ms. */
  now = 1_000_000
  isPaused = false
  kills = 0
  /** Of the spool, from relays that were killed. */
  takeovers = 0
  readonly #clock: ManualClock = manualClock(Date.now())
  readonly #memory: { -readonly [K in keyof Tier]: Tier[K] } = {
    directory: join(this.directory, 'memory'),
    capBytes: 64 * MB,
    crc: false,
  }
  readonly #onDisk: { -readonly [K in keyof Tier]: Tier[K] } = {
    directory: join(this.directory, 'disk'),
    capBytes: 64 * MB,
    crc: true,
  }
  #relay: Relay
  #armed: { readonly at: CrashPoint; nth: number } | null = null

  constructor() {
    subscribe(CRASH_POINTS.name, this.#passes)
    this.#relay = this.#startRelay()
  }

  get storeDirectory(): string {
    return join(this.directory, 'store')
  }

  // --- applications ---

  open(): Application {
    const application = new Application([this.#memory, this.#onDisk], this.applications.length + 1)
    this.applications.push(application)
    return application
  }

  breakSpool(fault: SpoolFault | null): void {
    this.#memory.capBytes = fault === 'memory-full' || fault === 'full' ? 0 : 64 * MB
    this.#onDisk.capBytes = fault === 'full' ? 0 : 64 * MB
    this.disk.spool = fault === 'failing' ? 'full' : fault === 'short' ? 'short' : null
  }

  // --- the relay ---

  #startRelay(): Relay {
    if (this.#isLeaseLeft()) this.takeovers++
    const store = new Store(this.storeDirectory, { rotateBytes: DATA_FILE_BYTES })
    store.exporters(this.destinations.map(({ name }) => name))
    const receiver = this.#receiver(store)
    const deliveries = new Map<string, SpanDelivery>()
    const relay: Relay = { store, receiver, deliveries, isDead: false }
    for (const destination of this.destinations) {
      const isFirst = destination === this.destinations[0]
      deliveries.set(
        destination.name,
        startDelivery({
          exporter: destination.exporter(() => relay.isDead),
          outbox: mortal(store, relay),
          clock: this.#clock,
          random: () => 0.5,
          gzip: 'never',
          concurrency: isFirst ? 1 : 3,
          requestBytes: REQUEST_BYTES,
          spanBytes: 16 * MB,
          lingerMs: 0,
          timeoutMs: 30_000,
          backlogBytes: isFirst ? 1e12 : BACKLOG_BYTES,
          onAttempt: () => {},
          onDelivered: () => {},
          log: { debug() {}, info() {}, warn() {}, error() {} },
        }),
      )
    }
    store.onCommit(() => {
      for (const delivery of deliveries.values()) delivery.wake()
    })
    return relay
  }

  /** Whether the last relay of the spool was killed: one that ends in order sets the time of its lease to 0. */
  #isLeaseLeft(): boolean {
    const path = join(this.#memory.directory, 'relay.lease')
    return (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) > 0
  }

  #receiver(store: Store): SpoolReceiver {
    return new SpoolReceiver({
      directories: [this.#memory.directory, this.#onDisk.directory],
      store,
      now: () => this.now,
      paused: () => this.isPaused,
      log: () => {},
    })
  }

  /** Throws what reading throws, but for a store that is full. */
  poll(ms: number): boolean {
    this.now += ms
    let more = false
    try {
      more = this.#relay.receiver.poll()
    } catch (error) {
      if (this.disk.store === null) throw error
    }
    return more
  }

  /** Polls until nothing comes any more. */
  pollAll(): void {
    for (let polls = 0; this.poll(1001); polls++) {
      if (polls > 200) throw new Error('reading has no end')
      if (this.#relay.isDead) return
    }
  }

  /** Lets deliveries get on, until they wait for time to pass or for an answer. */
  async quiet(): Promise<void> {
    let before = -1
    for (let quiet = 0; quiet < QUIET_TURNS && !this.#relay.isDead; ) {
      await turn()
      const requests = this.destinations.reduce((sum, { requests }) => sum + requests, 0)
      quiet = requests === before ? quiet + 1 : 0
      before = requests
    }
    if (this.#relay.isDead) return
    for (const destination of this.destinations) destination.noted()
  }

  async deliver(rounds: number, ms: number): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      for (const delivery of this.#relay.deliveries.values()) delivery.wake()
      await this.quiet()
      if (this.#relay.isDead) return
      this.#clock.pass(ms)
      await this.quiet()
    }
  }

  /** Kills the relay where it next passes the point for the n-th time, or if it does not within these, afterwards. */
  async crash({ at, nth }: Step & { do: 'crash' }): Promise<void> {
    if (at !== null) {
      this.#armed = { at, nth }
      for (let tries = 0; tries < 3 && !this.#relay.isDead; tries++) {
        this.poll(1001)
        if (!this.#relay.isDead) await this.deliver(1, 1000)
      }
      this.#armed = null
    }
    if (!this.#relay.isDead) this.#die()
    await this.#bury()
  }

  readonly #passes = (name: unknown): void => {
    const armed = this.#armed
    if (armed === null || armed.at !== name || this.#relay.isDead || --armed.nth > 0) return
    this.#die()
  }

  /** From here on nothing that the relay does is seen by anybody; its store is as it stands on disk. */
  #die(): void {
    this.kills++
    this.#relay.isDead = true
    this.disk.frozen = true
    for (const destination of this.destinations) destination.forgotten()
    cpSync(this.storeDirectory, this.#grave, {
      recursive: true,
      filter: (path) => !path.endsWith('-shm'),
    })
  }

  get #grave(): string {
    return `${this.storeDirectory}.at-the-crash`
  }

  async #bury(): Promise<void> {
    const { receiver, store, deliveries } = this.#relay
    // Its leases are left as by SIGKILL: free, and nobody is told. Here SQLite frees them; that the kernel does, for a process
    // that is gone, the kill loops show (test/relays.kill.test.ts).
    receiver.stop()
    this.disk.frozen = false
    await Promise.all([...deliveries.values()].map((delivery) => delivery.stop(0)))
    store.close()
    rmSync(this.storeDirectory, { recursive: true })
    renameSync(this.#grave, this.storeDirectory)
    this.#relay = this.#startRelay()
  }

  /** In order, as by SIGTERM. */
  async restart(): Promise<void> {
    const { receiver, store, deliveries } = this.#relay
    await Promise.all([...deliveries.values()].map((delivery) => delivery.stop(0)))
    this.poll(20)
    receiver.stop()
    store.close()
    for (const destination of this.destinations) destination.noted()
    this.#relay = this.#startRelay()
  }

  /** Whether a second relay is refused. */
  refusesRival(): boolean {
    try {
      this.#receiver(this.#relay.store).stop()
      return false
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'OFFPATH_SPOOL_LOCKED'
    }
  }

  expire(limit: number): void {
    const { store, receiver } = this.#relay
    store.expire(Date.now() + 1e9, 1e12, limit, receiver.oldestFile())
  }

  /** Everything again, or what was rejected; what has no room in a backlog is left. */
  async sendAgain(what: 'replay' | 'retry'): Promise<void> {
    const { store, deliveries } = this.#relay
    for (const destination of this.destinations) destination.maySendAgain()
    const operations = createOperations({
      store,
      storeDir: this.storeDirectory,
      backlogBytes: BACKLOG_BYTES,
      sendAgain: (exporter, chosen) =>
        deliveries.get(exporter)!.again(() => store.sendAgain(exporter, chosen)),
      wake: () => {},
    })
    if (what === 'retry') await operations.retryDead({ all: true })
    else {
      await operations.replay({ from: '2001-01-01T00:00:00Z' }).catch((error) => {
        if (!/backlog-cap/.test(error.message)) throw error
      })
    }
  }

  // --- what there is to see ---

  read<T>(query: (reader: StoreReader) => T): T {
    const reader = StoreReader.open(this.storeDirectory) as StoreReader
    try {
      return query(reader)
    } finally {
      reader.close()
    }
  }

  exporters(): ExporterRow[] {
    return this.read((reader) => reader.exporters())
  }

  /** Data files of the store that were full, and left for the next one. */
  fullFiles(): number {
    return this.#relay.store.data.file - 1
  }

  /** Segments that lie in the spool. */
  segments(): string[] {
    return [this.#memory, this.#onDisk]
      .flatMap(({ directory }) => readdirSync(directory))
      .filter((name) => name.endsWith('.seg'))
  }

  async close(): Promise<void> {
    unsubscribe(CRASH_POINTS.name, this.#passes)
    const { receiver, store, deliveries } = this.#relay
    this.#relay.isDead = true
    await Promise.all([...deliveries.values()].map((delivery) => delivery.stop(0)))
    receiver.stop()
    store.close()
    for (const application of this.applications) application.close()
    this.disk.close()
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/** The store as the deliveries of a relay see it, that do nothing any more once it is dead. */
function mortal(outbox: Outbox, relay: Relay): Outbox {
  const alive = <T>(act: () => T, otherwise: T): T => (relay.isDead ? otherwise : act())
  const nothing = { chunks: 0, spans: 0, bytes: 0 }
  return {
    nextChunks: (...args) => alive(() => outbox.nextChunks(...args), []),
    againChunks: (...args) => alive(() => outbox.againChunks(...args), []),
    readSpans: (chunk) => alive(() => outbox.readSpans(chunk), []),
    loadParts: (...args) => outbox.loadParts(...args),
    acknowledge: (...args) => alive(() => outbox.acknowledge(...args), undefined),
    backlog: (exporter) => alive(() => outbox.backlog(exporter), nothing),
    drop: (...args) => alive(() => outbox.drop(...args), { observations: 0, counted: 0 }),
  }
}
