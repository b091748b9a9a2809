import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startLangfuseServer } from '../langfuse-server/server.ts'
import type { CapturedSpan, LangfuseServer } from '../langfuse-server/types.ts'
import type { Answer, Program } from './program.ts'

/** What a program left behind. */
export interface Run {
  program: string
  spans: CapturedSpan[]
  reports: Answer['reports']
  /** Nanoseconds since 1970 between which clock times lie. */
  from: bigint
  to: bigint
}

/** Runs by program; a promise each, so that one that fails is one test's failure. */
export type Runs = ReadonlyMap<string, Promise<Run>>

/** A relay over a spool of its own, delivering to a capturing server of its own. */
export interface Offpath {
  server: LangfuseServer
  env: Record<string, string>
  /** Rejects when the relay ends. */
  ended: Promise<never>
  close(): Promise<void>
}

/** A process that runs programs, one after the other, and delivers what each has ended. */
interface Runner {
  readonly pid: number | undefined
  /** Rejects when the process ends before it has answered. */
  run(program: string): Promise<Answer>
  /** Lets it end; rejects when it fails. */
  end(): Promise<void>
  /** What it has printed. */
  output(): string
}

/** Starts a process that has a library loaded, in an environment. */
export type StartRunner = (library: 'langfuse' | 'offpath', env: NodeJS.ProcessEnv) => Runner

/** What is to be known of a program to run it. */
type Runnable = Omit<Program, 'run'>

/** Where the spans of a process arrive. */
interface Destination {
  library: 'langfuse' | 'offpath'
  server: LangfuseServer
  env: Record<string, string>
  start: StartRunner
  ended?: Promise<never>
}

/** A busy machine may be late; the tests' own timeout, a little later, would not say what is missing. */
const PATIENCE_MS = 50_000

const keys = { LANGFUSE_PUBLIC_KEY: 'pk-lf-test', LANGFUSE_SECRET_KEY: 'sk-lf-test' }
const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))

/** Runs programs with Langfuse's SDK, in so many processes at a time. */
export function runWithLangfuse(
  programs: readonly Runnable[],
  processes: number,
  start: StartRunner = startNode,
): Runs {
  return runAll(programs, processes, async (batch, settle) => {
    const server = await startLangfuseServer()
    const env = { ...keys, LANGFUSE_BASE_URL: server.url }
    try {
      await runBatch(batch, { library: 'langfuse', server, env, start }, settle)
    } finally {
      await server.close()
    }
  })
}

/** Runs programs with Offpath, in so many processes at a time: mostly they wait for delivery. */
export function runWithOffpath(
  programs: readonly Runnable[],
  processes: number,
  offpath: Offpath,
  start: StartRunner = startNode,
): Runs {
  return runAll(programs, processes, (batch, settle) =>
    runBatch(batch, { library: 'offpath', ...offpath, start }, settle),
  )
}

/** Starts the relay that `runWithOffpath` needs; one serves any number of programs. */
export async function startOffpath(): Promise<Offpath> {
  const folder = await mkdtemp(join(tmpdir(), 'offpath-differential-'))
  const server = await startLangfuseServer()
  const env = {
    OFFPATH_SPOOL_DIR: join(folder, 'spool'),
    OFFPATH_SPOOL_DISK_DIR: join(folder, 'disk'),
  }
  const relay = spawn(
    process.execPath,
    ['--conditions=offpath-source', path('../../packages/relay/src/cli/main.ts'), 'up', '--json'],
    {
      env: cleanEnvironment({
        ...env,
        ...keys,
        OFFPATH_STORE_DIR: join(folder, 'store'),
        OFFPATH_HTTP_PORT: '0',
        LANGFUSE_BASE_URL: server.url,
      }),
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  const log = collect(relay)
  const exit = once(relay, 'exit')
  const ended = exit.then(([code, signal]): never => {
    throw new Error(`the relay ended with ${code ?? signal}: ${log()}`)
  })
  ended.catch(() => {})
  const close = async (): Promise<void> => {
    relay.kill('SIGKILL')
    await exit
    await server.close()
    await rm(folder, { recursive: true })
  }
  // It prints one line when it reads the spool.
  try {
    await Promise.race([once(relay.stdout, 'data'), ended])
  } catch (error) {
    await close()
    throw error
  }
  return { server, env, ended, close }
}

type Settle = (program: Runnable, result: Promise<Run>) => void

function runAll(
  programs: readonly Runnable[],
  processes: number,
  run: (batch: readonly Runnable[], settle: Settle) => Promise<void>,
): Runs {
  const waiting = new Map(programs.map((program) => [program, Promise.withResolvers<Run>()]))
  // Tests look at them in turn: until then a failure is not unhandled.
  for (const { promise } of waiting.values()) promise.catch(() => {})
  const settle: Settle = (program, result) => waiting.get(program)!.resolve(result)
  const batches = batchesOf(programs, processes)
  const work = async (): Promise<void> => {
    for (let batch = batches.shift(); batch !== undefined; batch = batches.shift()) {
      await run(batch, settle).catch((error: Error) => {
        for (const program of batch!) settle(program, Promise.reject(error))
      })
    }
  }
  for (let i = 0; i < processes; i++) void work()
  return new Map(programs.map((program) => [program.name, waiting.get(program)!.promise]))
}

/** Programs of one environment together, those that need none spread over the processes. */
function batchesOf(programs: readonly Runnable[], processes: number): Runnable[][] {
  const batches = new Map<string, Runnable[]>()
  let spread = 0
  for (const program of programs) {
    const own = program.leavesOpen ? program.name : ''
    const key = program.env || own ? JSON.stringify([own, program.env]) : spread++ % processes
    const batch = batches.get(String(key))
    if (batch) batch.push(program)
    else batches.set(String(key), [program])
  }
  return [...batches.values()].sort((a, b) => b.length - a.length)
}

/** Runs programs one after the other in one process; what arrives until the next begins is the program's. */
async function runBatch(
  batch: readonly Runnable[],
  destination: Destination,
  settle: Settle,
): Promise<void> {
  const { library, server, env, start } = destination
  const from = nanoseconds()
  const runner = start(library, cleanEnvironment({ ...env, ...batch[0]?.env }))
  const taken = new Set<CapturedSpan>()
  const isOwn = (span: CapturedSpan): boolean =>
    library === 'langfuse' || span.resource.attributes['process.pid'] === BigInt(runner.pid!)
  const newSpans = (): CapturedSpan[] =>
    server.spans().filter((span) => !taken.has(span) && isOwn(span))

  const one = async (program: Runnable): Promise<Run> => {
    const { reports, error } = await runner.run(program.name)
    if (program === batch.at(-1)) await runner.end()
    if (error !== undefined) throw new Error(error)
    if (program.leavesOpen && library === 'offpath') {
      const open = program.leavesOpen
      const closed = server.waitFor(
        () => open.every((name) => newSpans().some((span) => span.name === name)),
        PATIENCE_MS,
      )
      await Promise.race([closed, destination.ended])
    }
    const spans = newSpans()
    for (const span of spans) taken.add(span)
    return { program: program.name, spans, reports, from, to: nanoseconds() }
  }

  for (const program of batch) {
    const run = one(program).catch((error: Error) => {
      throw new Error(`${program.name} with ${library}: ${error.message}\n${runner.output()}`)
    })
    settle(program, run)
    await run.catch(() => {})
  }
}

/** The programs of this folder. */
function startNode(library: 'langfuse' | 'offpath', env: NodeJS.ProcessEnv): Runner {
  const conditions = library === 'offpath' ? ['offpath-source', 'offpath-tracing'] : []
  const child = fork(path('program.child.ts'), [library], {
    execArgv: conditions.map((condition) => `--conditions=${condition}`),
    env,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  const exit = once(child, 'exit')
  const died = exit.then(([code, signal]): never => {
    throw new Error(`ended with ${code ?? signal}`)
  })
  died.catch(() => {})
  return {
    pid: child.pid,
    run: async (program) => {
      if (!child.connected) await died
      const answered = once(child, 'message') as Promise<[Answer]>
      child.send(program)
      const [answer] = await Promise.race([answered, died])
      return answer
    },
    end: async () => {
      child.disconnect()
      const [code, signal] = await exit
      if (code !== 0) throw new Error(`ended with ${code ?? signal}`)
    },
    output: collect(child),
  }
}

/** All that a process prints, so far. */
export function collect(child: ChildProcess): () => string {
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
    })
  }
  return () => text
}

/** The environment without what configures either library. */
function cleanEnvironment(own: Record<string, string>): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(LANGFUSE|OTEL|OFFPATH|NODE|VITEST)_/.test(name),
  )
  return { ...Object.fromEntries(inherited), ...own }
}

function nanoseconds(): bigint {
  return BigInt(Date.now()) * 1_000_000n
}
