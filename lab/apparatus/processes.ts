import { type ChildProcess, fork, type Serializable, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { KEYS } from './keys.ts'

const root = join(import.meta.dirname, '..', '..')

const running = new Set<ChildProcess>()
const places = new Set<Place>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  for (const place of places) place.remove()
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(signal, () => process.exit(130))

/** Our environment without settings of a tracing SDK, which would make figures depend on who measures. */
function environment(extra: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(OFFPATH|LANGFUSE|OTEL)_/.test(name),
  )
  return { ...Object.fromEntries(kept), ...extra }
}

/** Ends with us, however we end. */
export function tracked(child: ChildProcess): ChildProcess {
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/** A measuring process that talks to us in turns. */
export interface Child {
  /** The next message; rejects when the process ends before. */
  receive<T>(): Promise<T>
  send(message: Serializable): void
  /** Resolves when it has ended. */
  ended(): Promise<void>
  /** Ends it. */
  stop(): Promise<void>
}

/** Starts a file with `argument` as JSON. */
export function startChild(file: string, argument: unknown, env: NodeJS.ProcessEnv): Child {
  const child = tracked(
    fork(file, [JSON.stringify(argument)], {
      env: environment(env),
      execArgv: [...process.execArgv, '--expose-gc'],
      stdio: ['ignore', 2, 2, 'ipc'],
    }),
  )
  const exited = once(child, 'exit')
  const messages: unknown[] = []
  let wake = () => {}
  child.on('message', (message) => {
    messages.push(message)
    wake()
  })
  return {
    receive: async <T>() => {
      while (messages.length === 0) {
        const message = new Promise<void>((resolve) => {
          wake = resolve
        })
        await Promise.race([message, exited])
        if (messages.length === 0 && !running.has(child)) {
          throw new Error(`${file} ${JSON.stringify(argument)} ended with ${child.exitCode}`)
        }
      }
      return messages.shift() as T
    },
    send: (message) => child.send(message),
    ended: async () => void (await exited),
    stop: () => stop(child),
  }
}

/** A measuring process that talks by lines: a line of JSON is a message of it, and a line of text one to it. */
export interface LineChild {
  /** The next message; rejects when the process ends before. */
  receive<T>(): Promise<T>
  send(line: string): void
  /** Resolves when it has ended. */
  ended(): Promise<void>
  /** Ends it. */
  stop(): Promise<void>
}

/** Starts a Python file with `argument` as JSON. */
export function startPython(
  python: string,
  file: string,
  argument: unknown,
  env: NodeJS.ProcessEnv,
): LineChild {
  return startLines(python, ['-B', file, JSON.stringify(argument)], {
    ...env,
    PYTHONPATH: join(root, 'clients/python/src'),
  })
}

/** Starts a file of TypeScript with `argument` as JSON, to talk with it by lines. */
export function startNode(file: string, argument: unknown, env: NodeJS.ProcessEnv): LineChild {
  return startLines(
    process.execPath,
    [...process.execArgv, '--expose-gc', file, JSON.stringify(argument)],
    env,
  )
}

function startLines(command: string, args: readonly string[], env: NodeJS.ProcessEnv): LineChild {
  const child = spawn(command, args, {
    env: environment(env),
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  tracked(child)
  // What is written to one that has ended is not to end us: `receive` tells.
  child.stdin.on('error', () => {})
  const exited = once(child, 'exit')
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    receive: async <T>() => {
      const { value, done } = await lines.next()
      if (!done) return JSON.parse(value) as T
      await exited
      throw new Error(`${command} ${args.join(' ')} ended with ${child.exitCode}`)
    },
    send: (line) => void child.stdin.write(`${line}\n`),
    ended: async () => void (await exited),
    stop: () => stop(child),
  }
}

/** Directories of one run: spools in memory where the system has such, the store on disk. */
export interface Place {
  readonly spool: string
  readonly staging: string
  readonly store: string
  readonly env: NodeJS.ProcessEnv
  remove(): void
}

/** Whether so many bytes can be put where spools in memory are. */
export function fitsInMemory(bytes: number): boolean {
  if (!existsSync('/dev/shm')) return false
  const { bsize, bavail } = statfsSync('/dev/shm')
  return bsize * bavail > bytes
}

/** @param disk where the store goes */
export function makePlace(inMemory = true, disk: string = tmpdir()): Place {
  const memory = inMemory && existsSync('/dev/shm') ? '/dev/shm' : disk
  const fast = mkdtempSync(join(memory, 'offpath-bench-'))
  const slow = mkdtempSync(join(disk, 'offpath-bench-'))
  const spool = join(fast, 'spool')
  const staging = join(fast, 'staging')
  for (const directory of [spool, staging]) mkdirSync(directory, { mode: 0o700 })
  const place: Place = {
    spool,
    staging,
    store: slow,
    env: { OFFPATH_SPOOL_DIR: spool, OFFPATH_SPOOL_DISK_DIR: join(slow, 'spool') },
    remove: () => {
      // A process that was killed just now may have a last write on its way.
      const all = { recursive: true, force: true, maxRetries: 5 }
      for (const directory of [fast, slow]) rmSync(directory, all)
      places.delete(place)
    },
  }
  places.add(place)
  return place
}

/** The server that takes the spans of all subjects and counts them. */
export interface Server {
  readonly url: string
  /** Spans received since `clear`. */
  received(): Promise<number>
  /** Different traces among them. */
  traces(): Promise<number>
  /** Its requests since `clear`: when they were there (ms since 1970), bytes on the wire and decompressed, spans. */
  requests(): Promise<[number, number, number, number][]>
  /** From now on it waits so long before it answers; at first not at all. */
  setLatency(ms: number): Promise<void>
  clear(): Promise<void>
  stop(): Promise<void>
}

/** `decode`: it reads spans whole and keeps them, which `traces` needs and costs it some CPU. */
export async function startServer(
  { decode }: { decode: boolean } = { decode: false },
): Promise<Server> {
  const { publicKey, secretKey } = KEYS
  const server = await startProgram('test/langfuse-server/main.ts', [
    ...(decode ? [] : ['--count-only']),
    ...['--quiet', '--project', `${publicKey}:${secretKey}`],
  ])
  const { at } = server
  const stats = async () =>
    (await (await fetch(`${at}/__stats`)).json()) as { received: number; traces: number }
  return {
    url: at,
    received: async () => (await stats()).received,
    traces: async () => (await stats()).traces,
    requests: async () =>
      (await (await fetch(`${at}/__requests`)).json()) as [number, number, number, number][],
    setLatency: async (ms) => void (await fetch(`${at}/__latency?ms=${ms}`, { method: 'POST' })),
    clear: async () => void (await fetch(`${at}/__clear`, { method: 'POST' })),
    stop: server.stop,
  }
}

/** A model's server whose answers come after 30 ms, whole. */
export async function startModel(): Promise<{ url: string; stop(): Promise<void> }> {
  const { at, stop } = await startProgram('examples/vllm-simulator/main.ts', [
    ...['--port', '0', '--ttft-ms', '30', '--tokens-per-second', '0', '--tokens', '300'],
  ])
  return { url: at, stop }
}

/** One of the workspace's programs that say their URL in their first line. */
async function startProgram(
  file: string,
  args: readonly string[],
): Promise<{ at: string; stop(): Promise<void> }> {
  const child = tracked(
    spawn(process.execPath, [...process.execArgv, join(root, file), ...args], {
      env: environment({}),
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  )
  const { url } = JSON.parse(await firstLine(child)) as { url: string }
  return { at: url, stop: () => stop(child) }
}

interface Usage {
  /** CPU of the process, all threads, in µs. */
  readonly cpu: number
  readonly rssBytes: number
}

export interface Relay {
  readonly pid: number
  /** Of its API. */
  readonly url: string
  usage(): Promise<Usage>
  /** What it says of its observations, JSON: tells what is late from what is lost. */
  account(): Promise<string>
  signal(name: NodeJS.Signals): void
  stop(): Promise<void>
  /** Ends it as a crash would. */
  kill(): Promise<void>
}

/**
 * Starts the relay on the place, as it is published: built. With `target` it delivers there as to Langfuse, uncompressed as
 * Langfuse's SDK does. `settings` are options of it, as variables.
 */
export async function startRelay(
  place: Place,
  target: string | undefined,
  settings: NodeJS.ProcessEnv = {},
): Promise<Relay> {
  const keys = {
    LANGFUSE_BASE_URL: target,
    LANGFUSE_PUBLIC_KEY: KEYS.publicKey,
    LANGFUSE_SECRET_KEY: KEYS.secretKey,
  }
  const child = tracked(
    spawn(
      process.execPath,
      [
        ...['--import', join(import.meta.dirname, 'relay-probe.js')],
        join(root, 'packages/relay/bin/offpath.js'),
        ...['up', '--json', '--log-level', 'error'],
      ],
      {
        env: environment({
          ...place.env,
          OFFPATH_STORE_DIR: place.store,
          OFFPATH_HTTP_PORT: '0',
          OFFPATH_EXPORT_GZIP: 'never',
          // A run that records faster than it delivers is to measure, not to drop.
          OFFPATH_EXPORT_BACKLOG_CAP: '8GB',
          ...(target === undefined ? {} : keys),
          ...settings,
        }),
        // No offpath.yaml is found there.
        cwd: place.store,
        stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
      },
    ),
  )
  const { url } = JSON.parse(await firstLine(child)) as { url: string }
  return {
    pid: child.pid as number,
    url,
    usage: async () => {
      child.send('usage')
      return ((await once(child, 'message')) as [Usage])[0]
    },
    account: async () => {
      const stats = (await (await fetch(`${url}/api/stats`)).json()) as Record<string, unknown>
      const { accepted, open, lost, counters, exporters, spool } = stats
      return JSON.stringify({ accepted, open, lost, counters, exporters, spool })
    },
    signal: (name) => void child.kill(name),
    stop: () => stop(child),
    kill: async () => {
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    },
  }
}

async function firstLine(child: ChildProcess): Promise<string> {
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
  return new Promise((resolve, reject) => {
    lines.once('line', resolve)
    child.once('exit', (code, signal) =>
      reject(new Error(`${child.spawnargs.slice(1).join(' ')} ended: ${code ?? signal}`)),
    )
  })
}

export async function stop(child: ChildProcess): Promise<void> {
  if (!running.has(child)) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await exited
  clearTimeout(timer)
}

/**
 * Waits until `count()` has reached `enough`. Gives up when it has not grown for `patienceMs`. Returns the last count.
 */
export async function waitForCount(
  count: () => number | Promise<number>,
  enough: number,
  patienceMs: number,
): Promise<number> {
  let last = await count()
  let grewAt = performance.now()
  while (last < enough && performance.now() - grewAt < patienceMs) {
    await delay(25)
    const now = await count()
    if (now > last) grewAt = performance.now()
    last = now
  }
  return last
}
