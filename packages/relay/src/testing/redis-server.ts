// A Redis of a test's own, on a free port and in a directory of its own.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { parseRedisUrl, type RedisTarget } from '../config/redis-url.ts'
import { type Argument, connectRedis, type Reply } from '../redis/connection.ts'

const run = promisify(execFile)

/** Another one: of another version, or of Valkey. */
const { OFFPATH_TEST_REDIS_SERVER: PROGRAM = 'redis-server' } = process.env

/** None outlives a test, or a run, that ends in the middle. */
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

function startServer(args: readonly string[]): ChildProcess {
  const child = spawn(PROGRAM, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

export interface RedisServer {
  readonly port: number
  readonly url: string
  readonly target: RedisTarget
  /** Sends a command; strings come as bytes. */
  ask(...args: Argument[]): Promise<Reply>
  /** SIGSTOP and SIGCONT. */
  pause(): void
  resume(): void
  /** Ends it as a crash would. */
  kill(): Promise<void>
  /** Starts it again where it was. */
  start(): Promise<void>
  close(): Promise<void>
}

export interface RedisServerOptions {
  readonly args?: readonly string[]
  readonly password?: string
  /** Of the URL. */
  readonly scheme?: string
}

export async function startRedisServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  const { args = [], password, scheme = 'redis' } = options
  const port = await freePort()
  const directory = mkdtempSync(join(tmpdir(), 'offpath-redis-'))
  const account = password === undefined ? '' : `:${encodeURIComponent(password)}@`
  const url = `${scheme}://${account}127.0.0.1:${port}`
  const target = targetOf(url)
  const listening =
    scheme === 'redis' ? ['--port', String(port)] : ['--port', '0', '--tls-port', String(port)]
  let child: ChildProcess

  const start = async (): Promise<void> => {
    const all = [...listening, '--bind', '127.0.0.1', '--dir', directory, '--save', '', ...args]
    if (password !== undefined) all.push('--requirepass', password)
    child = startServer(all)
    await ready(child)
  }
  await start()
  const admin = scheme === 'redis' ? connectRedis({ target }) : null

  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
  const ask = async (...args: Argument[]): Promise<Reply> =>
    admin === null ? null : admin.call(String(args[1] ?? ''), args)
  /** The connection waits between its attempts, up to two seconds, and refuses commands meanwhile. */
  const connected = async (): Promise<void> => {
    for (let tries = 0; ; tries++) {
      try {
        await ask('PING')
        return
      } catch (error) {
        if (tries === 500) throw error
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    }
  }
  return {
    port,
    url,
    target,
    ask,
    pause: () => child.kill('SIGSTOP'),
    resume: () => child.kill('SIGCONT'),
    kill,
    async start() {
      await start()
      await connected()
    },
    async close() {
      await admin?.close()
      await kill()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

export interface RedisCluster {
  readonly nodes: readonly RedisServer[]
  readonly target: RedisTarget
  readonly url: string
  close(): Promise<void>
}

/** Three nodes that share the slots. */
export async function startRedisCluster(): Promise<RedisCluster> {
  const args = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000']
  // A node that is down leaves the others their slots.
  args.push('--cluster-require-full-coverage', 'no')
  const nodes = await Promise.all([1, 2, 3].map(() => startRedisServer({ args })))
  const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`)
  await run('redis-cli', ['--cluster', 'create', ...addresses, '--cluster-yes'])
  for (const node of nodes) {
    while (!String(await node.ask('CLUSTER', 'INFO')).includes('cluster_state:ok')) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  const url = `redis+cluster://${addresses.join(',')}`
  return {
    nodes,
    url,
    target: targetOf(url),
    async close() {
      await Promise.all(nodes.map((node) => node.close()))
    },
  }
}

/**
 * A sentinel that watches a server under the name `mymaster`; its URL. With a password, that of the server too. After
 * `downAfterMs` without an answer it lets a replica take over; by default half a minute, which no test waits for.
 */
export async function startSentinel(
  watched: RedisServer,
  options: {
    readonly password?: string
    readonly asks?: boolean
    readonly downAfterMs?: number
  } = {},
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const port = await freePort()
  const directory = mkdtempSync(join(tmpdir(), 'offpath-sentinel-'))
  const file = join(directory, 'sentinel.conf')
  const watches = `sentinel monitor mymaster 127.0.0.1 ${watched.port} 1`
  const { password, asks = false, downAfterMs } = options
  const lines = [`port ${port}`, 'bind 127.0.0.1', `dir ${directory}`, watches]
  if (downAfterMs !== undefined) {
    lines.push(`sentinel down-after-milliseconds mymaster ${downAfterMs}`)
  }
  if (password !== undefined) lines.push(`sentinel auth-pass mymaster ${password}`)
  if (password !== undefined && asks) lines.push(`requirepass ${password}`)
  writeFileSync(file, lines.map((line) => `${line}\n`).join(''))
  const child = startServer([file, '--sentinel'])
  await ready(child, '+monitor')
  return {
    url: `redis+sentinel://127.0.0.1:${port}/mymaster`,
    async close() {
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

export function targetOf(url: string): RedisTarget {
  const target = parseRedisUrl(url)
  if (target === undefined) throw new Error(`no URL of Redis: ${url}`)
  return target
}

async function ready(child: ChildProcess, sign = 'Ready to accept connections'): Promise<void> {
  const missing = once(child, 'error').then(() => {
    throw new Error(`${PROGRAM} is needed for this test, from 7.0 on: apt-get install redis-server`)
  })
  missing.catch(() => {})
  const said = async (): Promise<void> => {
    let text = ''
    for await (const chunk of child.stdout as NodeJS.ReadableStream) {
      text += chunk
      if (text.includes(sign)) {
        child.stdout?.resume()
        return
      }
    }
    throw new Error(`${PROGRAM} ended: ${text.slice(-500)}`)
  }
  await Promise.race([missing, said()])
}

/**
 * Below those that the system gives to outgoing connections: who tries to reach a server that is down would at last reach
 * himself there, and the server could not come back. A node of a cluster takes another one, 10 000 above.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 12_000 + Math.floor(Math.random() * 10_000)
    const server = createServer().listen(port, '127.0.0.1')
    try {
      await once(server, 'listening')
    } catch {
      continue
    }
    server.close()
    await once(server, 'close')
    return port
  }
}
