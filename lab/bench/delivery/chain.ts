// From the spool to the server: straight, or through Redis and a pool of relays.
//
//   spool ──▶ relay ──▶ server                                      direct
//   spool ──▶ relay (redis.forward) ──▶ Redis ──▶ pool ──▶ server   through Redis
//
// All processes are warm before anything counts: the relays have delivered some spans each. Through Redis the pool is then
// halted (SIGSTOP) until all spans are in Redis, so that each half has the machine, and its figures, to itself.
import { setTimeout as delay } from 'node:timers/promises'
import {
  fitsInMemory,
  makePlace,
  type Place,
  type Relay,
  startRelay,
} from '../../apparatus/processes.ts'
import { type Redis, startRedis } from '../../apparatus/redis.ts'
import type { SpanKind } from '../relay/spans.ts'
import {
  arrival,
  peakRssMb,
  release,
  SPAN_BYTES,
  type Standing,
  stage,
  UNBOUNDED,
} from './standing.ts'

export interface ChainPlan {
  readonly kind: SpanKind
  readonly spans: number
  /** Before anything counts, for each relay that delivers. */
  readonly warmUp: number
  /** Relays of the pool; 0: straight to the server. */
  readonly pool: number
}

export interface ChainSample {
  readonly spans: number
  readonly delivered: number
  readonly again: number
  /** CPU of the relay beside the application. */
  readonly firstUs: number
  /** Of each relay of the pool. */
  readonly poolUs: readonly number[]
  /** Of one relay that delivers with nothing to do, of a second. */
  readonly idleUs: number
  readonly rssMb: number | null
  readonly redis: RedisFigures | null
}

export interface RedisFigures {
  readonly forwardUs: number
  readonly deliverUs: number
  /** Of all spans, when they were all there. */
  readonly memoryBytes: number
  /** Over its connections, both halves. */
  readonly inBytes: number
  readonly outBytes: number
  readonly commands: number
}

/** With what is written kept as documented for production; without rewriting, of which a short run would have one or none. */
const REDIS = ['--appendonly', 'yes', '--appendfsync', 'everysec']
const NO_REWRITE = ['--auto-aof-rewrite-percentage', '0']
const IDLE_MS = 1000
const LOOK_MS = 250
const QUIET_MS = 1500
/** Memory that comes and goes without spans. */
const NOISE_BYTES = 50_000

interface Chain {
  /** Beside the application. */
  readonly first: Relay
  readonly pool: readonly Relay[]
  readonly redis: Redis | null
  stop(): Promise<void>
}

export async function runChain(standing: Standing, plan: ChainPlan): Promise<ChainSample> {
  const place = makePlace(fitsInMemory(2 * plan.spans * SPAN_BYTES[plan.kind]), standing.disk)
  try {
    const chain = await startChain(standing, place, plan.pool)
    try {
      const idleUs = await idleCost(chain.pool[0] ?? chain.first)
      await warmUp(standing, place, plan)
      return await measure(standing, place, plan, chain, idleUs)
    } finally {
      await chain.stop()
    }
  } finally {
    place.remove()
  }
}

async function startChain({ sink }: Standing, place: Place, pool: number): Promise<Chain> {
  const stops: (() => Promise<void>)[] = []
  const stop = async (): Promise<void> => {
    for (const each of stops) await each()
  }
  const started = async (target: string | undefined, redis: NodeJS.ProcessEnv): Promise<Relay> => {
    const relay = await startRelay(place, target, { ...UNBOUNDED, ...redis })
    stops.unshift(() => {
      // One that is halted would not hear of its end.
      relay.signal('SIGCONT')
      return relay.stop()
    })
    return relay
  }
  try {
    if (pool === 0) return { first: await started(sink.url, {}), pool: [], redis: null, stop }
    const redis = await startRedis([...REDIS, ...NO_REWRITE, '--dir', place.store])
    stops.unshift(redis.stop)
    const at = { OFFPATH_REDIS_URL: redis.url }
    const first = await started(undefined, { ...at, OFFPATH_REDIS_FORWARD: 'true' })
    const member = () => started(sink.url, { ...at, OFFPATH_REDIS_RECEIVE: 'true' })
    const members = await Promise.all(Array.from({ length: pool }, member))
    return { first, pool: members, redis, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function idleCost(relay: Relay): Promise<number> {
  await delay(IDLE_MS / 2)
  const from = (await relay.usage()).cpu
  await delay(IDLE_MS)
  return ((await relay.usage()).cpu - from) / (IDLE_MS / 1000)
}

async function warmUp({ sink, seed }: Standing, place: Place, plan: ChainPlan): Promise<void> {
  const spans = warmUpOf(plan)
  await sink.say('clear')
  await stage(place, { kind: plan.kind, spans, seed })
  release(place)
  const arrived = await arrival(sink, spans)
  if (arrived < spans) throw new Error(`${arrived} of ${spans} spans are delivered`)
}

function warmUpOf({ warmUp, pool }: ChainPlan): number {
  return warmUp * Math.max(1, pool)
}

async function measure(
  { sink, seed }: Standing,
  place: Place,
  plan: ChainPlan,
  { first, pool, redis }: Chain,
  idleUs: number,
): Promise<ChainSample> {
  const { kind, spans } = plan
  const cpus = async () =>
    Promise.all([first, ...pool].map(async (each) => (await each.usage()).cpu))
  await stage(place, { kind, spans, seed: seed + 1 })
  // What is acknowledged and deleted of the last ones.
  await delay(IDLE_MS / 2)
  const before = await cpus()
  for (const relay of pool) relay.signal('SIGSTOP')
  await sink.say('clear')
  const empty = await redis?.info()
  release(place)
  if (redis !== null) await forwarded(redis)
  const full = await redis?.info()
  for (const relay of pool) relay.signal('SIGCONT')
  const delivered = await arrival(sink, spans)
  const { spans: came } = await sink.say('stats')
  const done = await redis?.info()
  const used = (await cpus()).map((cpu, i) => cpu - (before[i] as number))
  const [firstUs = 0, ...poolUs] = used
  const rssMb = peakRssMb((pool[0] ?? first).pid)
  const figures = empty && full && done ? redisFigures(empty, full, done) : null
  return {
    spans,
    delivered,
    again: came - delivered,
    firstUs,
    poolUs,
    idleUs,
    rssMb,
    redis: figures,
  }
}

/**
 * Waits until nothing comes into Redis any more, for longer than a request waits to become full. To ask the relay itself would
 * have it walk through all that it has not read.
 */
async function forwarded(redis: Redis): Promise<void> {
  let bytes = 0
  let quietFrom = performance.now()
  while (performance.now() - quietFrom < QUIET_MS) {
    await delay(LOOK_MS)
    const now = (await redis.info()).get('used_memory') ?? 0
    if (now > bytes + NOISE_BYTES) quietFrom = performance.now()
    bytes = Math.max(bytes, now)
  }
}

type Info = ReadonlyMap<string, number>

function redisFigures(empty: Info, full: Info, done: Info): RedisFigures {
  const of = (info: Info, name: string): number => info.get(name) ?? 0
  const cpuUs = (info: Info): number => (of(info, 'used_cpu_user') + of(info, 'used_cpu_sys')) * 1e6
  const grown = (name: string): number => of(done, name) - of(empty, name)
  return {
    forwardUs: cpuUs(full) - cpuUs(empty),
    deliverUs: cpuUs(done) - cpuUs(full),
    memoryBytes: of(full, 'used_memory') - of(empty, 'used_memory'),
    inBytes: grown('total_net_input_bytes'),
    outBytes: grown('total_net_output_bytes'),
    commands: grown('total_commands_processed'),
  }
}
