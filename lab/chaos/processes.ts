import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const root = join(import.meta.dirname, '..', '..')

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Starts a file of the workspace; `log`: a file that its stderr is added to. It does not outlive us. */
export function node(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  log?: string,
): ChildProcess {
  const stderr = log === undefined ? 'inherit' : openSync(log, 'a')
  const child = spawn(
    process.execPath,
    ['--conditions=offpath-source', join(root, file), ...args],
    { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', stderr] },
  )
  if (typeof stderr === 'number') closeSync(stderr)
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/** Directories and variables of one chaos run; `remove` deletes what it wrote. */
export interface Place {
  readonly env: NodeJS.ProcessEnv
  remove(): void
}

/** A spool and a store of our own, and the address that the relay exports to. */
export function makePlace(otlpUrl: string): Place {
  const directory = mkdtempSync(join(tmpdir(), 'offpath-chaos-'))
  return {
    env: {
      OFFPATH_SPOOL_DIR: join(directory, 'spool'),
      OFFPATH_SPOOL_DISK_DIR: join(directory, 'spool-disk'),
      OFFPATH_STORE_DIR: join(directory, 'store'),
      OFFPATH_HTTP_PORT: '0',
      // A long run stores more than the default keeps, and what is expired is not lost.
      OFFPATH_RETENTION_SIZE: '100GB',
      OFFPATH_OTLP_URL: otlpUrl,
      // Nobody's keys: a chaos run delivers to its own server alone.
      LANGFUSE_PUBLIC_KEY: '',
      LANGFUSE_SECRET_KEY: '',
    },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  }
}

interface Killable {
  /** SIGKILL; resolves when it is gone and its output read. */
  kill(): Promise<void>
}

export interface Relay extends Killable {
  readonly url: string
  readonly child: ChildProcess
  readonly ended: Promise<void>
  stop(): Promise<void>
}

/** Starts the relay and waits until it is ready; rejects when it ends before. With `log` it tells more, there. */
export async function startRelay(env: NodeJS.ProcessEnv, log?: string): Promise<Relay> {
  const level = log === undefined ? 'error' : 'info'
  const args = ['up', '--json', '--log-level', level]
  const child = node('packages/relay/src/cli/main.ts', args, env, log)
  const closed = closing(child)
  const line = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).once('line', resolve)
    child.once('exit', (code, signal) => reject(new Error(`relay ended: ${code ?? signal}`)))
  })
  return {
    url: (JSON.parse(line) as { url: string }).url,
    child,
    ended: closed,
    kill: () => {
      child.kill('SIGKILL')
      return closed
    },
    stop: () => {
      child.kill('SIGTERM')
      return closed
    },
  }
}

export interface Writer extends Killable {
  /** Observations whose flush has returned. */
  acknowledged(): number
  /** Resolves at the first acknowledgement. */
  readonly started: Promise<void>
  readonly closed: Promise<void>
}

/** Starts an application that records observations `<run>-1`, `<run>-2` … up to `total`. */
export function startWriter(
  run: string,
  pauseMs: number,
  env: NodeJS.ProcessEnv,
  total: number = Number.POSITIVE_INFINITY,
): Writer {
  return writerOf(node('lab/chaos/writer.child.ts', [run, String(pauseMs), String(total)], env))
}

/** The same in Python, without an end. */
export function startPythonWriter(
  python: string,
  run: string,
  pauseMs: number,
  env: NodeJS.ProcessEnv,
): Writer {
  const child = spawn(python, ['-B', join(root, 'lab/chaos/writer.py'), run, String(pauseMs)], {
    env: { ...process.env, ...env, PYTHONPATH: join(root, 'clients/python/src') },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return writerOf(child)
}

function writerOf(child: ChildProcess): Writer {
  let acknowledged = 0
  const started = new Promise<void>((resolve) => {
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      const count = /^acknowledged (\d+)$/.exec(line)?.[1]
      if (count === undefined) return
      acknowledged = Number(count)
      resolve()
    })
  })
  const closed = closing(child)
  return {
    acknowledged: () => acknowledged,
    started,
    closed,
    kill: () => {
      child.kill('SIGKILL')
      return closed
    },
  }
}

function closing(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => child.once('close', () => resolve()))
}
