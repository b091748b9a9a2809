// Everything that goes wrong in a soak. Each begins and ends; in one place there is one at a time.
import { crashAt } from '../../../packages/relay/src/testing/crash-at.ts'
import type { Fault as ServerFault } from '../../../test/langfuse-server/types.ts'
import type { Fleet } from './applications.ts'
import type { Keeper } from './keeper.ts'
import type { Schedulable } from './schedule.ts'
import type { Trim } from './trims.ts'
import type { Trouble, Way } from './way.ts'
import { CLAIM_IDLE_MS, type World } from './world.ts'

type End = () => Promise<void> | void
const nothing: End = () => {}

export interface Fault extends Schedulable {
  /** Why it cannot be had here; null: it can. */
  readonly missing: string | null
  /** Returns what ends it; null: it did not come to it, and nothing is to be ended. */
  begin(): Promise<End | null> | End
}

export interface FaultOptions {
  readonly random: () => number
  /** Redis is away for 65 s, and who was refused waits his time instead of being started again. */
  readonly long: boolean
  onTrimmed(trim: Trim): void
}

const SHORT_MS = 4000
const LONG_MS = 8000
const MINUTE_MS = 65_000
const HOUR_S = 3600

export function faultsOf(world: World, options: FaultOptions): readonly Fault[] {
  const { target, redis, pool, poolSize } = world
  const { server } = target
  const pick = <T>(items: readonly T[]): T =>
    items[Math.floor(options.random() * items.length)] as T
  const one = (): Keeper => pick(pool.slice(0, poolSize))

  const fault = (
    place: string,
    name: string,
    longestMs: number,
    begin: Fault['begin'],
    missing: string | null = null,
  ): Fault => ({ place, name, longestMs, begin, missing })

  const killed = (of: () => Keeper) => async (): Promise<End> => {
    const keeper = of()
    await keeper.kill()
    return keeper.up
  }
  const fleets = (place: string, fleet: Fleet): Fault[] => [
    fault(place, 'application-killed', 0, async () => {
      await fleet.kill()
      return nothing
    }),
    fault(place, 'application-stopped', SHORT_MS, () => fleet.pause()),
  ]
  const troubled = (place: string, name: string, way: Way, trouble: Trouble): Fault =>
    fault(place, name, LONG_MS, () => {
      way.trouble(trouble)
      return () => way.trouble(null)
    })
  const answering = (name: string, kinds: readonly ServerFault[], after?: End): Fault =>
    fault('server', name, LONG_MS, () => {
      server.faults = () => pick(kinds)
      return () => {
        server.faults = undefined
        return after?.()
      }
    })
  /** With other keys or another URL a relay is started again, or it asks after half a minute at the earliest. */
  const refusedNoMore = async (): Promise<void> => {
    if (!options.long) await restartRefused(world)
  }
  const full = (place: string, name: string, disk: World['spoolDisk']): Fault => {
    const missing = disk.isSmall ? null : 'no file system can be mounted here'
    return fault(place, name, SHORT_MS, () => disk.fill(), missing)
  }

  return [
    ...fleets('direct applications', world.direct),
    ...fleets('forwarded applications', world.forwarded),
    full('direct applications', 'spool-full', world.spoolDisk),
    fault(
      'relay',
      'relay-killed',
      SHORT_MS,
      killed(() => world.relay),
    ),
    fault('relay', 'relay-stopped', SHORT_MS, () => world.relay.pause()),
    full('relay', 'store-full', world.storeDisk),
    fault(
      'forwarder',
      'relay-killed',
      SHORT_MS,
      killed(() => world.forwarder),
    ),
    fault('forwarder', 'relay-stopped', SHORT_MS, () => world.forwarder.pause()),
    fault('pool', 'pool-killed', SHORT_MS, killed(one)),
    fault('pool', 'pool-stopped', CLAIM_IDLE_MS * 3, () => one().pause()),
    fault('pool', 'pool-killed-before-acknowledging', 0, async () => {
      const keeper = one()
      await keeper.stop()
      const isKilled = await keeper.upUntilKilled(crashAt('acknowledge'), SHORT_MS)
      if (isKilled) return keeper.up
      await keeper.up()
      return null
    }),
    fault('pool', 'pool-of-four', LONG_MS, async () => {
      const more = pool.slice(poolSize)
      await Promise.all(more.map((keeper) => keeper.up()))
      return async () => void (await Promise.all(more.map((keeper) => keeper.stop())))
    }),
    fault('pool', 'pool-away', LONG_MS, async () => {
      const all = pool.slice(0, poolSize)
      await Promise.all(all.map((keeper) => keeper.stop()))
      return async () => void (await Promise.all(all.map((keeper) => keeper.up())))
    }),
    fault('pool', 'redis-trimmed', 0, async () => {
      // Whoever waits for a Redis that is away need not have stopped them.
      if ((await redis.length().catch(() => null)) === null) return null
      const all = pool.slice(0, poolSize)
      // Unread by all of them.
      const goOn = all.map((keeper) => keeper.pause())
      try {
        const taken = await redis.trim()
        if (taken === null) return null
        options.onTrimmed({ ...taken, pids: all.map(({ pid }) => pid) })
      } finally {
        for (const each of goOn) each()
      }
      return nothing
    }),
    fault('redis', 'redis-killed', SHORT_MS, async () => {
      const { master } = redis
      await master.kill()
      return () => master.start()
    }),
    {
      ...fault('redis', 'redis-stopped', options.long ? MINUTE_MS : SHORT_MS, () => {
        const { master } = redis
        master.pause()
        return () => master.resume()
      }),
      ...(options.long && { leastMs: MINUTE_MS }),
    },
    fault('redis', 'redis-out-of-memory', SHORT_MS, async () => {
      const { master } = redis
      await master.ask('CONFIG', 'SET', 'maxmemory', '1')
      return async () => void (await master.ask('CONFIG', 'SET', 'maxmemory', '0'))
    }),
    fault('redis', 'redis-failed-over', 0, async () => {
      await redis.handOver()
      return nothing
    }),
    troubled('redis network', 'redis-network-cut', redis.way, 'cut'),
    troubled('redis network', 'redis-network-hangs', redis.way, 'hang'),
    troubled('redis network', 'redis-network-slow', redis.way, 'slow'),
    troubled('redis network', 'redis-answers-lost', redis.way, 'reset'),
    troubled('network', 'network-cut', world.way, 'cut'),
    troubled('network', 'network-hangs', world.way, 'hang'),
    troubled('network', 'network-slow', world.way, 'slow'),
    troubled('network', 'network-half-bodies', world.way, 'half'),
    answering(
      'server-5xx',
      [500, 502, 503, 504, 429, 408].map((status) => ({ type: 'status', status })),
    ),
    answering('server-hangs', [{ type: 'hang' }, { type: 'hang', accept: true }]),
    answering('server-half-bodies', [{ type: 'half-body' }, { type: 'half-body', accept: true }]),
    answering('server-resets', [
      { type: 'reset' },
      { type: 'reset', when: 'headers' },
      { type: 'reset', accept: true },
    ]),
    answering('server-slow', [{ type: 'slow', ms: 1000 }]),
    answering('server-wrong-content-type', [{ type: 'html' }], refusedNoMore),
    fault('server', 'server-413', LONG_MS, () => {
      const { maxBodyBytes } = server
      server.maxBodyBytes = 40_000
      return () => {
        server.maxBodyBytes = maxBodyBytes
      }
    }),
    fault('server', 'server-keys-revoked', LONG_MS, () => {
      const projects = [...server.projects]
      server.projects.clear()
      return async () => {
        for (const [publicKey, secretKey] of projects) server.projects.set(publicKey, secretKey)
        await refusedNoMore()
      }
    }),
    ...(['applications', 'relays', 'pool'] as const).map((whose) => {
      const clock = world.clocks[whose]
      const missing = clock.canStep ? null : 'there is no libfaketime'
      const begin = (): End => {
        clock.step(pick([-24, -1, 1, 24]) * HOUR_S)
        return () => clock.step(0)
      }
      return fault(`clock of ${whose}`, 'clock-stepped', LONG_MS, begin, missing)
    }),
  ]
}

/** Starts again what waits for other keys or another URL, as whoever has put them right would. */
export async function restartRefused(world: World): Promise<void> {
  const restart = async (keeper: Keeper): Promise<void> => {
    const stats = await keeper.stats()
    const states = stats?.exporters.map(({ delivery }) => delivery?.state) ?? []
    if (!states.includes('unauthorized') && !states.includes('misconfigured')) return
    await keeper.stop()
    await keeper.up()
  }
  await Promise.all([world.relay, ...world.pool].map(restart))
}
