import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { createClient } from 'redis'
import { stop, tracked } from './processes.ts'

/** A Redis of a measurement's own. */
export interface Redis {
  readonly url: string
  /** What INFO says, as numbers; what is none is left out. */
  info(): Promise<ReadonlyMap<string, number>>
  stop(): Promise<void>
}

/** Whether there is a redis-server to start. */
export function hasRedis(): boolean {
  return spawnSync('redis-server', ['--version']).error === undefined
}

/** Starts one on a free port. `settings`: further arguments; without any it keeps nothing on the disk. */
export async function startRedis(settings: readonly string[] = []): Promise<Redis> {
  const port = await freePort()
  const address = ['--port', String(port), '--bind', '127.0.0.1', '--save', '']
  const server = tracked(
    spawn('redis-server', [...address, '--appendonly', 'no', ...settings], {
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  )
  await ready(server)
  const url = `redis://127.0.0.1:${port}`
  const client = createClient({ url })
  // Told by who asks it.
  client.on('error', () => {})
  await client.connect()
  return {
    url,
    async info() {
      const lines = (await client.info()).matchAll(/^(\w+):([\d.]+)\r?$/gm)
      return new Map([...lines].map(([, name, value]) => [name as string, Number(value)]))
    },
    async stop() {
      client.destroy()
      await stop(server)
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
