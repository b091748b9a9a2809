import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { createServer } from 'node:net'
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

interface Redis {
  readonly url: string
  cpuUs(): Promise<number>
  stop(): Promise<void>
}

/** Why an arm can't run on this machine; undefined: it can. */
export function whyNot(arm: Arm): string | undefined {
  if (arm.beside !== 'redis-worker') return undefined
  const { error } = spawnSync('redis-server', ['--version'])
  return error === undefined ? undefined : 'redis-server is not installed'
}

/** Starts things when an arm first needs them; they live through the run, as they do in production. */
export function createBesides(): Besides {
  const stops: (() => Promise<void>)[] = []
  const servers = new Map<boolean, Promise<Server>>()
  const relays = new Map<Server, Promise<{ relay: Relay; place: Place }>>()
  let redis: Promise<Redis> | undefined

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
        redis ??= kept(startRedis(server.url))
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
async function startRedis(sink: string): Promise<Redis> {
  const port = await freePort()
  const server = spawn(
    'redis-server',
    ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  process.once('exit', () => server.kill('SIGKILL'))
  await ready(server)
  const url = `redis://127.0.0.1:${port}`
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
      server.kill()
    },
  }
}

async function ready(server: ChildProcess): Promise<void> {
  let said = ''
  for await (const chunk of server.stdout as NodeJS.ReadableStream) {
    said += chunk
    if (said.includes('Ready to accept connections')) break
  }
  if (!said.includes('Ready')) throw new Error(`redis-server ended: ${said.trim().slice(-300)}`)
  server.stdout?.resume()
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
