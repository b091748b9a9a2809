// A Redis of a test's own, on a free port and in a directory of its own.
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
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
  /** It speaks TLS, and nothing else. */
  readonly tls?: Certificate
}

/** Files in PEM. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

/** Of 127.0.0.1, signed by itself. */
export function makeCertificate(directory: string): Certificate {
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  const files = ['-keyout', key, '-out', cert, '-days', '2']
  execFileSync('openssl', ['req', '-x509', ...ec, ...files, ...subject], { stdio: 'pipe' })
  return { cert, key }
}

/** Settings by name. */
function listening(port: number, tls: Certificate | undefined): [name: string, value: string][] {
  if (tls === undefined) return [['port', String(port)]]
  return [
    ['port', '0'],
    ['tls-port', String(port)],
    ['tls-cert-file', tls.cert],
    ['tls-key-file', tls.key],
    ['tls-ca-cert-file', tls.cert],
    ['tls-auth-clients', 'no'],
  ]
}

const accountOf = (password: string | undefined): string =>
  password === undefined ? '' : `:${encodeURIComponent(password)}@`

export async function startRedisServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  const { args = [], password, tls } = options
  const port = await freePort()
  const directory = mkdtempSync(join(tmpdir(), 'offpath-redis-'))
  const scheme = tls === undefined ? 'redis' : 'rediss'
  const url = `${scheme}://${accountOf(password)}127.0.0.1:${port}`
  const target = targetOf(url)
  const listens = listening(port, tls).flatMap(([name, value]) => [`--${name}`, value])
  let child: ChildProcess

  const start = async (): Promise<void> => {
    const all = [...listens, '--bind', '127.0.0.1', '--dir', directory, '--save', '', ...args]
    if (password !== undefined) all.push('--requirepass', password)
    child = startServer(all)
    await ready(child)
  }
  await start()
  const admin = connectRedis({ target, tlsCa: tls?.cert })

  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
  const ask = (...args: Argument[]): Promise<Reply> => admin.call(String(args[1] ?? ''), args)
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
      await admin.close()
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

/** Three nodes that share the slots, and a password. */
export async function startRedisCluster(
  options: { readonly password?: string } = {},
): Promise<RedisCluster> {
  const { password } = options
  const args = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000']
  // A node that is down leaves the others their slots.
  args.push('--cluster-require-full-coverage', 'no')
  const nodes = await Promise.all([1, 2, 3].map(() => startRedisServer({ args, ...options })))
  const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`)
  const as = password === undefined ? [] : ['-a', password, '--no-auth-warning']
  await run('redis-cli', [...as, '--cluster', 'create', ...addresses, '--cluster-yes'])
  for (const node of nodes) {
    while (!String(await node.ask('CLUSTER', 'INFO')).includes('cluster_state:ok')) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  const url = `redis+cluster://${accountOf(password)}${addresses.join(',')}`
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
    /** Of the server too. */
    readonly tls?: Certificate
  } = {},
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const port = await freePort()
  const directory = mkdtempSync(join(tmpdir(), 'offpath-sentinel-'))
  const file = join(directory, 'sentinel.conf')
  const watches = `sentinel monitor mymaster 127.0.0.1 ${watched.port} 1`
  const { password, asks = false, downAfterMs, tls } = options
  const lines = listening(port, tls).map(([name, value]) => `${name} ${value}`)
  lines.push('bind 127.0.0.1', `dir ${directory}`, watches)
  // By which it also speaks to the server that it watches.
  if (tls !== undefined) lines.push('tls-replication yes')
  if (downAfterMs !== undefined) {
    lines.push(`sentinel down-after-milliseconds mymaster ${downAfterMs}`)
  }
  if (password !== undefined) lines.push(`sentinel auth-pass mymaster ${password}`)
  if (password !== undefined && asks) lines.push(`requirepass ${password}`)
  writeFileSync(file, lines.map((line) => `${line}\n`).join(''))
  const child = startServer([file, '--sentinel'])
  await ready(child, '+monitor')
  return {
    url: `${tls === undefined ? 'redis' : 'rediss'}+sentinel://127.0.0.1:${port}/mymaster`,
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
