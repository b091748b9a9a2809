// Traffic, faults at random, an end at which all is let through, and the account.
import { setTimeout as delay } from 'node:timers/promises'
import { seededRandom } from '../../../examples/vllm-simulator/text.ts'
import type { Stats } from '../../../packages/relay/src/http/stats.ts'
import { StoreReader } from '../../../packages/relay/src/store/read.ts'
import { named } from '../../command-line.ts'
import { type Account, accountOf, missingOf, type Seen } from './account.ts'
import type { Fleet } from './applications.ts'
import { type Fault, faultsOf, restartRefused } from './faults.ts'
import { isLarge, isPoison, placeOf } from './names.ts'
import { hasRoom, type Planned, schedule } from './schedule.ts'
import { type LostCount, miscounted, type Trim } from './trims.ts'
import { startWorld, type World } from './world.ts'

export interface SoakOptions {
  readonly seconds: number
  readonly seed: number
  /** Only faults of these names; undefined: all. */
  readonly faults?: readonly string[] | undefined
  /** Redis is away for 65 s, and who was refused waits his time. */
  readonly long: boolean
  /** Aborted: faults end, and the account is made of what was. */
  readonly signal: AbortSignal
  /** What is going on, for who watches. */
  onProgress(line: string): void
}

export interface SoakResult extends Account {
  /** How often each fault was there, by name. */
  readonly faults: Readonly<Record<string, number>>
  readonly seed: number
  readonly seconds: number
  readonly poolSize: number
  /** Of Redis, that a relay of the pool counts as lost at the end; the counts of those that ended went with them. */
  readonly lostEntries: number
  /** Of Redis, that were trimmed: before a relay had read them, and while one had them; where it is known. */
  readonly trimmedEntries: { readonly unread: number; readonly held: number }
  /** Requests and answers of Redis that were taken or sent and never heard of. */
  readonly lostAnswers: number
  /** Faults that cannot be had here or in so short a run, and why. */
  readonly missing: Readonly<Record<string, string>>
  /** What is not as it should be, beside `lost`; empty: nothing. */
  readonly wrong: readonly string[]
  /** With logs; null: it is removed, for all was well. */
  readonly directory: string | null
}

const OBSERVATIONS_PER_SECOND = 80
const LOOK_MS = 250
/** Without any progress. */
const PATIENCE_MS = 60_000
const LONG_PATIENCE_MS = 400_000
/** Relays look every half minute at what was trimmed. */
const COUNTED_MS = 35_000
/** Between two starts of who is refused. */
const RESTART_MS = 3000

/** Runs a soak. @throws UsageError for a fault that there is not; rejects when it cannot begin, or not start a relay at its end; what else goes wrong in it is in the result. */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const random = seededRandom(options.seed)
  const poolSize = 2 + Math.floor(random() * 2)
  const world = await startWorld({ poolSize, observationsPerSecond: OBSERVATIONS_PER_SECOND })
  const wrong: string[] = []
  const trims: Trim[] = []
  let keeps = true
  let closed = false
  try {
    const faults = faultsOf(world, {
      random,
      long: options.long,
      onTrimmed: (trim) => trims.push(trim),
    })
    const totalMs = options.seconds * 1000
    const whyMissing = (fault: Fault): string | null => {
      if (fault.missing !== null || hasRoom(fault, totalMs)) return fault.missing
      return `a run of ${options.seconds} s has no room for ${fault.longestMs / 1000} s of it`
    }
    const chosen = options.faults
    for (const name of chosen ?? [])
      named('faults', name, [...new Set(faults.map(({ name }) => name))])
    const possible = faults.filter(
      (fault) => whyMissing(fault) === null && (chosen?.includes(fault.name) ?? true),
    )
    const first = await world.redis.reign()
    const counts = await run(schedule(possible, options.seed, totalMs), options, wrong)
    options.onProgress('drains')
    const last = await drain(world, options, (lost, reign) =>
      miscounted(lost, trims, { first, last: reign }),
    )
    const redisDead = await world.redis.deadLetters()
    const inStreams = last.drained ? [] : await world.redis.names()
    const lostAnswers = world.target.lostAnswers + world.redis.way.lostAnswers
    const ends = [world.relay, world.forwarder, ...world.pool].filter(({ ends }) => ends > 0)
    for (const { name, ends: times } of ends) wrong.push(`${name} ended by itself, ${times} times`)
    await world.close()
    closed = true

    const direct = sideOf(world, world.direct, {
      deadLetters: storedDeadLetters(world.stores[0] as string),
      relay: last.relay,
    })
    const forwarded = sideOf(world, world.forwarded, {
      deadLetters: redisDead,
      trimmed: trims.flatMap(({ names }) => names),
      inStreams,
      relay: last.forwarder,
    })
    wrong.push(...direct.wrong, ...forwarded.wrong)
    const account = sum(direct.account, forwarded.account)
    const { target } = world
    if (target.changed > 0) wrong.push(`${target.changed} arrived again with other content`)
    // Answers were lost in any case: `drain` sees to it.
    if (account.duplicates === 0) {
      wrong.push(`${target.lostAnswers} answers were lost, and nothing arrived twice`)
    }
    wrong.push(...last.miscounted)
    if (!last.drained) wrong.push('it did not drain')
    keeps = account.lost !== 0 || wrong.length > 0
    return {
      ...account,
      faults: counts,
      ...{ seed: options.seed, seconds: options.seconds, poolSize },
      lostEntries: last.lostEntries,
      trimmedEntries: {
        unread: trims.reduce((sum, { unread }) => sum + unread, 0),
        held: trims.reduce((sum, { held }) => sum + held, 0),
      },
      lostAnswers,
      missing: Object.fromEntries(
        faults.flatMap((fault) => {
          const why = whyMissing(fault)
          return why === null ? [] : [[fault.name, why]]
        }),
      ),
      wrong,
      directory: keeps ? world.directory : null,
    }
  } finally {
    if (!closed) await world.close().catch(() => {})
    world.remove(keeps)
  }
}

/** Lets faults begin and end by the clock; returns how often each was there. */
async function run(
  planned: readonly Planned<Fault>[],
  { seconds, signal, onProgress }: SoakOptions,
  wrong: string[],
): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  const now = new Set<string>()
  const began = performance.now()
  const until = async (ms: number): Promise<void> => {
    const left = ms - (performance.now() - began)
    if (left > 0) await delay(left, undefined, { signal }).catch(() => {})
  }
  const one = async ({ fault, atMs, forMs }: Planned<Fault>): Promise<void> => {
    await until(atMs)
    // The one before it took longer than it was to.
    const isLate = performance.now() - began > seconds * 1000
    if (signal.aborted || isLate) return
    const shown = `${fault.name} (${fault.place})`
    try {
      now.add(shown)
      const end = await fault.begin()
      if (end === null) return
      counts[fault.name] = (counts[fault.name] ?? 0) + 1
      // The one before it in its place may have taken longer: what has a least length has it from when it began.
      const leastEndMs = performance.now() - began + (fault.leastMs ?? 0)
      await until(Math.max(atMs + forMs, leastEndMs))
      await end()
    } catch (error) {
      wrong.push(`${shown}: ${(error as Error).message}`)
    } finally {
      now.delete(shown)
    }
  }
  const timer = setInterval(() => {
    const at = Math.round((performance.now() - began) / 1000)
    onProgress(`${at} of ${seconds} s  ${[...now].join(', ')}`)
  }, LOOK_MS)
  // Of one place one after the other, also when a fault takes longer than it was planned to.
  const places = Map.groupBy(planned, ({ fault }) => fault.place)
  await Promise.all(
    [...places.values()].map(async (ofPlace) => {
      for (const each of ofPlace) await one(each)
    }),
  )
  await until(seconds * 1000)
  clearInterval(timer)
  return counts
}

interface Last {
  readonly drained: boolean
  readonly relay: Stats | null
  readonly forwarder: Stats | null
  readonly lostEntries: number
  readonly miscounted: readonly string[]
}

/**
 * Applications end, relays are up, one last answer is lost; waits until nothing waits anywhere and what was trimmed is counted, or
 * nothing gets on any more.
 */
async function drain(
  world: World,
  { long, onProgress }: SoakOptions,
  miscountedOf: (lost: readonly LostCount[], reign: string | null) => readonly string[],
): Promise<Last> {
  const { relay, forwarder, redis, target } = world
  const pool = world.pool.slice(0, world.poolSize)
  // So that in each run something arrives twice, whatever the faults were.
  const { server, lostAnswers } = target
  server.faults = () => ({ type: 'reset', accept: true })
  await Promise.all([world.direct.stop(), world.forwarded.stop()])
  await Promise.all([relay, forwarder, ...pool].map((keeper) => keeper.up()))
  let seen = ''
  let restartAt = performance.now() + RESTART_MS
  for (let movedAt = performance.now(); ; ) {
    const [one, two, ...pools] = await Promise.all(
      [relay, forwarder, ...pool].map((keeper) => keeper.stats()),
    )
    const waiting = {
      relay: waitingOf(one ?? null),
      forwarder: waitingOf(two ?? null),
      entries: await redis.length().catch(() => -1),
      pool: pools.reduce((sum, stats) => sum + (stats?.exporters[0]?.held ?? 1), 0),
    }
    if (target.lostAnswers > lostAnswers) server.faults = undefined
    const drained = Object.values(waiting).every((count) => count === 0)
    const now = performance.now()
    const state = JSON.stringify([waiting, target.received.size])
    if (state !== seen) movedAt = now
    seen = state
    onProgress(`drains: ${JSON.stringify(waiting)}`)
    const counts = pool.flatMap(({ name, pid }, i): LostCount[] => {
      const groups = pools[i]?.redis?.groups ?? []
      return groups.map(({ lost }) => ({ name, pid, lost }))
    })
    const wrong = miscountedOf(counts, await redis.reign())
    const patienceMs = long ? LONG_PATIENCE_MS : PATIENCE_MS
    const isCounted = wrong.length === 0 || now - movedAt > COUNTED_MS
    if (drained ? isCounted : now - movedAt > patienceMs) {
      const lostEntries = Math.max(0, ...counts.map(({ lost }) => lost))
      const relays = { relay: one ?? null, forwarder: two ?? null }
      return { drained, ...relays, lostEntries, miscounted: wrong }
    }
    if (!long && now > restartAt) {
      await restartRefused(world)
      restartAt = performance.now() + RESTART_MS
    }
    await delay(LOOK_MS)
  }
}

/** Bytes and observations that a relay has before it; 1: it does not say. */
function waitingOf(stats: Stats | null): number {
  if (stats === null) return 1
  const unread = stats.spool.reduce((sum, { unreadBytes }) => sum + unreadBytes, 0)
  return unread + stats.open + stats.exporters.reduce((sum, { held }) => sum + held, 0)
}

interface Side {
  /** Names, with reasons. */
  readonly deadLetters: ReadonlyMap<string, string>
  readonly trimmed?: readonly string[]
  readonly inStreams?: readonly string[]
  /** Of the relay that reads the spool, at the end. */
  readonly relay: Stats | null
}

/** The account of one side, and what its relay says otherwise. */
function sideOf(
  { target }: World,
  { said }: Fleet,
  { deadLetters, trimmed = [], inStreams = [], relay }: Side,
): { account: Account; wrong: string[] } {
  const wrong: string[] = []
  const dropped: Record<string, number> = {}
  for (const exporter of relay?.exporters ?? []) {
    for (const [reason, count] of Object.entries(exporter.dropped)) {
      dropped[reason] = (dropped[reason] ?? 0) + count
    }
  }
  const seen: Seen = {
    ...{ said, trimmed, dropped, deadLetters: [...deadLetters.keys()], held: inStreams },
    received: target.received,
  }
  const { held: inRedis, ...account } = accountOf(seen)
  const held = inRedis + (relay?.exporters[0]?.held ?? 0)
  for (const [name, reason] of deadLetters) {
    const { n } = placeOf(name) ?? { n: 0 }
    if (!isPoison(n) && !isLarge(n)) wrong.push(`${name} is a dead letter: ${reason}`)
  }
  // What relays drop is of nobody knows whom. Elsewhere the sum would hide one that is lost behind one that arrived.
  if (account.lost !== 0 || Object.values(dropped).every((count) => count === 0)) {
    wrong.push(...missingOf(seen))
  }
  if (account.lost !== 0) {
    wrong.push(`its relay says ${JSON.stringify([relay?.lost, relay?.counters])}`)
  }
  const lostBefore = [...said.values()].flatMap(({ lost }) => Object.values(lost))
  const spooled = account.accepted - lostBefore.reduce((sum, count) => sum + count, 0)
  if (relay === null) wrong.push('a relay does not answer at the end')
  else if (relay.accepted !== spooled) {
    wrong.push(`a relay accepted ${relay.accepted}, and ${spooled} were in its spool`)
  }
  return { account: { ...account, held, lost: account.lost - (held - inRedis) }, wrong }
}

function storedDeadLetters(directory: string): Map<string, string> {
  const reader = StoreReader.open(directory)
  if (reader === null) throw new Error(`there is no store in ${directory}`)
  const letters = reader.dead.newest('span', {}, Number.MAX_SAFE_INTEGER)
  const byName = new Map([...letters].map(({ name, reason }) => [name, reason]))
  reader.close()
  return byName
}

function sum(one: Account, other: Account): Account {
  const dropped = { ...one.dropped }
  for (const [reason, count] of Object.entries(other.dropped)) {
    dropped[reason] = (dropped[reason] ?? 0) + count
  }
  return {
    accepted: one.accepted + other.accepted,
    delivered: one.delivered + other.delivered,
    deadLettered: one.deadLettered + other.deadLettered,
    dropped,
    held: one.held + other.held,
    lost: one.lost + other.lost,
    duplicates: one.duplicates + other.duplicates,
  }
}
