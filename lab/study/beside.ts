import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import {
  makePlace,
  type Place,
  type Relay,
  type Server,
  startChild,
  startRelay,
  startServer,
} from '../apparatus/processes.ts'
import { hasRedis, startRedis } from '../apparatus/redis.ts'
import type { Arm } from './arms.ts'
import type { CaseName } from './cases.ts'
import type { ServiceRequest } from './service.ts'

/** What stands beside a service while it is measured. */
export interface Beside {
  /** Plays Langfuse, and counts. */
  readonly server: Server
  readonly env: NodeJS.ProcessEnv
  /** For the service. */
  readonly request: Partial<ServiceRequest>
  /** CPU of what delivers in the place of the service, so far, µs. */
  cpuUs(): Promise<number>
  /** After the service has ended: has what it left delivered, where nobody did before. False: it left nothing. */
  afterwards(): Promise<boolean>
  /** Cleans up. */
  leave(): Promise<void>
}

export interface Besides {
  of(arm: Arm, inCase: CaseName): Promise<Beside>
  stop(): Promise<void>
}

interface RedisWorker {
  readonly url: string
  cpuUs(): Promise<number>
  stop(): Promise<void>
}

/** Why an arm can't run on this machine; undefined: it can. */
export function whyNot(arm: Arm): string | undefined {
  if (arm.beside !== 'redis-worker') return undefined
  return hasRedis() ? undefined : 'redis-server is not installed'
}

/** Starts things when an arm first needs them; they live through the run, as they do in production. */
export function createBesides(): Besides {
  const stops: (() => Promise<void>)[] = []
  const servers = new Map<boolean, Promise<Server>>()
  const relays = new Map<Server, Promise<{ relay: Relay; place: Place }>>()
  let redis: Promise<RedisWorker> | undefined

  const kept = <T extends { stop(): Promise<void> }>(started: Promise<T>): Promise<T> => {
    stops.unshift(async () => (await started).stop())
    return started
  }
  const serverOf = (decode: boolean): Promise<Server> => {
    const server = servers.get(decode) ?? kept(startServer({ decode }))
    servers.set(decode, server)
    return server
  }
  const relayOf = (server: Server): Promise<{ relay: Relay; place: Place }> => {
    const started = relays.get(server) ?? startStanding(server)
    relays.set(server, started)
    return started
  }
  async function startStanding(server: Server): Promise<{ relay: Relay; place: Place }> {
    const place = makePlace()
    const relay = await startRelay(place, server.url)
    stops.unshift(async () => {
      await relay.stop()
      place.remove()
    })
    return { relay, place }
  }

  return {
    async of(arm, inCase) {
      const server = await serverOf(inCase === 'jobs')
      const plain = {
        server,
        request: {},
        cpuUs: async () => 0,
        afterwards: async () => false,
        leave: async () => {},
      }
      if (arm.beside === 'relay') {
        const { relay, place } = await relayOf(server)
        return { ...plain, env: place.env, cpuUs: async () => (await relay.usage()).cpu }
      }
      if (arm.beside === 'redis-worker') {
        redis ??= kept(startRedisWorker(server.url))
        const { url, cpuUs } = await redis
        return { ...plain, env: {}, request: { redis: url }, cpuUs }
      }
      return { ...plain, ...alone(server) }
    },
    async stop() {
      for (const stop of stops) await stop()
    },
  }
}

/** A place where nobody reads. What is there at the end is delivered then, to count it. */
function alone(server: Server): Pick<Beside, 'env' | 'afterwards' | 'leave'> {
  const place = makePlace()
  let relay: Relay | undefined
  return {
    env: place.env,
    async afterwards() {
      if (isEmpty(place.spool) && isEmpty(join(place.store, 'spool'))) return false
      await server.setLatency(0)
      relay = await startRelay(place, server.url)
      return true
    },
    async leave() {
      await relay?.stop()
      place.remove()
    },
  }
}

function isEmpty(directory: string): boolean {
  try {
    return readdirSync(directory).length === 0
  } catch {
    return true
  }
}

/** A Redis of our own, and a worker that takes from its list and delivers. */
async function startRedisWorker(sink: string): Promise<RedisWorker> {
  const redis = await startRedis()
  const { url } = redis
  const worker = startChild(join(import.meta.dirname, 'redis-worker.child.ts'), { url, sink }, {})
  await worker.receive<'ready'>()
  return {
    url,
    async cpuUs() {
      worker.send('usage')
      return worker.receive<number>()
    },
    async stop() {
      await worker.stop()
      await redis.stop()
    },
  }
}
