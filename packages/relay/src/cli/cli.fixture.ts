import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { RUN_FLAGS } from '../testing/run-flags.ts'

/** What a command line printed and how it ended. */
interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A process that prints lines. */
export interface Running {
  readonly child: ChildProcess
  readonly stderr: Promise<string>
  /** The next line of its stdout. */
  line(): Promise<string>
  /** Sends the signal, if any, and waits for the end. */
  end(signal?: NodeJS.Signals): Promise<number | null>
}

/** Directories of its own, and the real bin and an application that use them. */
export interface Sandbox {
  readonly dir: string
  readonly env: Record<string, string>
  offpath(...args: string[]): Promise<Ended>
  start(...args: string[]): Running
  app(...args: string[]): Running
  /** An application that is killed, with one of its five observations open. */
  killedApp(): Promise<void>
  remove(): void
}

const BIN = join(import.meta.dirname, '../../bin/offpath.js')
const APP = join(import.meta.dirname, 'app.child.ts')

export function sandbox(variables: Record<string, string> = {}): Sandbox {
  const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
  const dir = mkdtempSync(join(memory, 'offpath-cli-'))
  const env = {
    PATH: process.env.PATH ?? '',
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? '',
    HOME: dir,
    OFFPATH_SPOOL_DIR: join(dir, 'spool'),
    OFFPATH_SPOOL_DISK_DIR: join(dir, 'disk'),
    OFFPATH_STORE_DIR: join(dir, 'store'),
    OFFPATH_HTTP_PORT: '0',
    OFFPATH_SERVICE: 'chat-api',
    ...variables,
  }
  const node = (file: string, args: readonly string[]): ChildProcessWithoutNullStreams =>
    spawn(process.execPath, [...RUN_FLAGS, file, ...args], { cwd: dir, env, stdio: 'pipe' })
  const run = (file: string, args: readonly string[]): Running => {
    const child = node(file, args)
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
    const exit = once(child, 'exit')
    return {
      child,
      stderr: text(child.stderr),
      line: async () => {
        const { value, done } = await lines.next()
        if (done) throw new Error(`${file} ${args.join(' ')} ended without the line`)
        return value
      },
      end: async (signal) => {
        if (signal !== undefined) child.kill(signal)
        child.stdin.end()
        const [code] = await exit
        return code
      },
    }
  }
  return {
    dir,
    env,
    offpath: async (...args) => {
      const child = node(BIN, args)
      child.stdin.end()
      const [stdout, stderr, [code]] = await Promise.all([
        text(child.stdout),
        text(child.stderr),
        once(child, 'exit'),
      ])
      return { code, stdout, stderr }
    },
    start: (...args) => run(BIN, args),
    app: (...args) => run(APP, args),
    killedApp: async () => {
      const app = run(APP, ['--open'])
      await app.line()
      await app.end('SIGKILL')
    },
    remove: () => rmSync(dir, { recursive: true, force: true }),
  }
}

/** Variables of a relay that delivers to the server. */
export function deliveringTo({ url }: { readonly url: string }): Record<string, string> {
  return {
    LANGFUSE_BASE_URL: url,
    LANGFUSE_PUBLIC_KEY: 'pk-lf-test',
    LANGFUSE_SECRET_KEY: 'sk-lf-test',
  }
}
