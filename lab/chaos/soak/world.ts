// What a soak runs: real processes, and the two ways spans take.
//
//   applications ─▶ spool ─▶ relay ──────────────────────────────▶ way ─▶ server
//   applications ─▶ spool ─▶ forwarder ─▶ way ─▶ Redis ─▶ pool ──▶ way ─▶ server
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Fleet, startFleet } from './applications.ts'
import { type Clock, makeClock } from './clock.ts'
import { type Disk, mountDisk } from './disk.ts'
import { type Keeper, keepRelay } from './keeper.ts'
import { PARTITIONS, type RedisPair, STREAM, startRedisPair } from './redis-pair.ts'
import { startTarget, type Target } from './target.ts'
import { openWay, type Way } from './way.ts'

export interface World {
  readonly target: Target
  /** To the server, of all relays. */
  readonly way: Way
  readonly redis: RedisPair
  /** Applications whose relay delivers by itself, and those whose relay forwards. */
  readonly direct: Fleet
  readonly forwarded: Fleet
  readonly relay: Keeper
  readonly forwarder: Keeper
  /** Four; the first ones are up, two or more. */
  readonly pool: readonly Keeper[]
  readonly poolSize: number
  /** Of the applications that `relay` reads, and where it stores. */
  readonly spoolDisk: Disk
  readonly storeDisk: Disk
  readonly clocks: Readonly<Record<'applications' | 'relays' | 'pool', Clock>>
  /** Where `relay` and `forwarder` store. */
  readonly stores: readonly string[]
  readonly directory: string
  close(): Promise<void>
  /** After `close`; with `keepsLogs` all but the small disks stays. */
  remove(keepsLogs: boolean): void
}

/** After so long a relay of the pool that gives no sign has lost what it holds. */
export const CLAIM_IDLE_MS = 2000
const KEYS = { 'pk-lf-soak': 'sk-lf-soak' }
const APPLICATIONS = 2
const POOL = 4

export interface WorldOptions {
  /** Relays of the pool, 2 to 4. */
  readonly poolSize: number
  /** Of each of the two sides. */
  readonly observationsPerSecond: number
}

/** What it writes into its directory stays when it cannot be started. */
export async function startWorld(options: WorldOptions): Promise<World> {
  const undo: (() => Promise<void> | void)[] = []
  try {
    return await start(options, undo)
  } catch (error) {
    for (const step of undo.reverse()) await step()
    throw error
  }
}

async function start(options: WorldOptions, undo: (() => Promise<void> | void)[]): Promise<World> {
  const directory = mkdtempSync(join(tmpdir(), 'offpath-soak-'))
  const target = await startTarget(KEYS)
  undo.push(() => target.close())
  const way = await openWay(target.server.port)
  undo.push(() => way.close())
  const redis = await startRedisPair()
  undo.push(() => redis.close())
  const spoolDisk = mountDisk(join(directory, 'spool-disk'), 24)
  undo.push(() => spoolDisk.remove())
  const storeDisk = mountDisk(join(directory, 'store-disk'), 160)
  undo.push(() => storeDisk.remove())
  const clockOf = (name: string): Clock => makeClock(join(directory, `clock-${name}`))
  const clocks = {
    applications: clockOf('applications'),
    relays: clockOf('relays'),
    pool: clockOf('pool'),
  }
  const [publicKey, secretKey] = Object.entries(KEYS)[0] as [string, string]
  const common = {
    OFFPATH_HTTP_PORT: '0',
    // A server that hangs is given up within a fault.
    OFFPATH_EXPORT_TIMEOUT: '2s',
    // Nobody's settings: a soak delivers to its own server alone.
    OFFPATH_CONFIG: '',
    OFFPATH_OTLP_URL: '',
    LANGFUSE_PUBLIC_KEY: '',
    LANGFUSE_SECRET_KEY: '',
  }
  const langfuse = {
    LANGFUSE_BASE_URL: `http://127.0.0.1:${way.port}`,
    LANGFUSE_PUBLIC_KEY: publicKey,
    LANGFUSE_SECRET_KEY: secretKey,
  }
  const throughRedis = {
    OFFPATH_REDIS_URL: `redis://127.0.0.1:${redis.way.port}`,
    OFFPATH_REDIS_STREAM: STREAM,
    OFFPATH_REDIS_PARTITIONS: String(PARTITIONS),
    // Full after seconds without the pool.
    OFFPATH_REDIS_MAX_LENGTH: '12',
    OFFPATH_REDIS_CLAIM_IDLE: `${CLAIM_IDLE_MS}ms`,
  }
  const stores = [join(storeDisk.directory, 'store'), join(directory, 'forwarder-store')]
  const spools = [
    {
      OFFPATH_SPOOL_DIR: join(spoolDisk.directory, 'spool'),
      OFFPATH_SPOOL_DISK_DIR: join(spoolDisk.directory, 'disk'),
      OFFPATH_SPOOL_CAP: '1GB',
    },
    {
      OFFPATH_SPOOL_DIR: join(directory, 'spool'),
      OFFPATH_SPOOL_DISK_DIR: join(directory, 'spool-on-disk'),
    },
  ]
  const relayEnv = (side: 0 | 1): NodeJS.ProcessEnv => ({
    ...common,
    ...clocks.relays.env,
    ...spools[side],
    OFFPATH_STORE_DIR: stores[side],
    OFFPATH_RETENTION_SIZE: '48MB',
  })
  const keep = (name: string, env: NodeJS.ProcessEnv, mayEnd?: () => boolean): Keeper =>
    keepRelay(name, env, join(directory, `${name}.log`), mayEnd)
  // Who is refused is started again, also while the disk is full.
  const relay = keep('relay', { ...relayEnv(0), ...langfuse }, () => storeDisk.isFull)
  const forwarder = keep('forwarder', {
    ...relayEnv(1),
    ...throughRedis,
    OFFPATH_REDIS_FORWARD: 'true',
  })
  const poolEnv = {
    ...common,
    ...clocks.pool.env,
    ...langfuse,
    ...throughRedis,
    OFFPATH_REDIS_RECEIVE: 'true',
  }
  const pool = Array.from({ length: POOL }, (_, i) => keep(`pool-${i + 1}`, poolEnv))

  const fleet = (name: string, spool: NodeJS.ProcessEnv): Fleet => {
    const each = options.observationsPerSecond / APPLICATIONS
    return startFleet(name, APPLICATIONS, each, { ...clocks.applications.env, ...spool })
  }
  const first = pool.slice(0, options.poolSize)
  undo.push(
    async () =>
      void (await Promise.all([relay, forwarder, ...first].map((keeper) => keeper.stop()))),
  )
  await Promise.all([relay, forwarder, ...first].map((keeper) => keeper.up()))
  const direct = fleet('direct', spools[0] as NodeJS.ProcessEnv)
  const forwarded = fleet('forwarded', spools[1] as NodeJS.ProcessEnv)

  return {
    ...{ target, way, redis, direct, forwarded, relay, forwarder, pool },
    ...{ spoolDisk, storeDisk, clocks, stores, directory },
    poolSize: options.poolSize,
    async close() {
      await Promise.all([direct.stop(), forwarded.stop()])
      await Promise.all([relay, forwarder, ...pool].map((keeper) => keeper.stop()))
      await target.close()
      await way.close()
      await redis.close()
    },
    remove(keepsLogs) {
      for (const disk of [spoolDisk, storeDisk]) disk.remove()
      if (!keepsLogs) rmSync(directory, { recursive: true, force: true })
    },
  }
}
