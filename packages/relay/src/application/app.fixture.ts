import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, vi } from 'vitest'
import { startLangfuseServer } from '../../../../test/langfuse-server/server.ts'
import type { LangfuseServer } from '../../../../test/langfuse-server/types.ts'
import { deliveringTo, type Sandbox, sandbox } from '../cli/cli.fixture.ts'
import { RUN_FLAGS } from '../testing/run-flags.ts'
import type { RelayStatus } from './start-relay.ts'

/** A process of app.child.ts. */
export interface App {
  readonly child: ChildProcess
  readonly stderr: Promise<string>
  call(name: string, argument?: unknown): Promise<unknown>
  /** Of a worker of a cluster; resolves to its number and its answer. */
  ask(worker: number, ...call: unknown[]): Promise<unknown>
  status(): Promise<RelayStatus>
  /** Has nothing more to do; resolves to its exit code. */
  leaves(): Promise<number | string>
  /** Sends the signal, if any, and resolves to how it ended. */
  ended(signal?: NodeJS.Signals): Promise<number | string>
}

const APP = join(import.meta.dirname, 'app.child.ts')

/** What each test of a file has anew: a server, directories, applications that go with it. */
class Place {
  langfuse!: LangfuseServer
  box!: Sandbox
  readonly #apps: App[] = []

  /** @param before a command that runs it, such as `unshare` */
  start(
    options: Record<string, unknown> = {},
    env: Record<string, string> = {},
    before: readonly string[] = [],
  ): App {
    const app = startApp(this.box, options, env, before)
    this.#apps.push(app)
    return app
  }

  /** Of what was delivered. */
  names(): string[] {
    return this.langfuse
      .spans()
      .map(({ name }) => name)
      .sort()
  }

  async open(): Promise<void> {
    this.langfuse = await startLangfuseServer()
    this.box = sandbox(deliveringTo(this.langfuse))
  }

  async close(): Promise<void> {
    for (const { child } of this.#apps.splice(0)) child.kill('SIGKILL')
    for (const pid of relaysOf(this.box)) process.kill(pid, 'SIGKILL')
    await this.langfuse.close()
    this.box.remove()
  }
}

export function usePlace(): Place {
  // Each starts several processes, on machines that may be busy.
  vi.setConfig({ testTimeout: 60_000 })
  const place = new Place()
  beforeEach(() => place.open())
  afterEach(() => place.close())
  return place
}

export async function gone(pid: number | null): Promise<void> {
  await expect.poll(() => isAlive(pid as number), { timeout: 30_000 }).toBe(false)
}

function startApp(
  box: Sandbox,
  options: Record<string, unknown>,
  env: Record<string, string>,
  before: readonly string[],
): App {
  const command = [...before, process.execPath, ...RUN_FLAGS, APP, JSON.stringify(options)]
  const child = spawn(command[0] as string, command.slice(1), {
    cwd: box.dir,
    env: { ...box.env, ...env },
    stdio: 'pipe',
  })
  child.stdin.on('error', () => {})
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const exit = once(child, 'exit')
  const say = async (...call: readonly unknown[]): Promise<unknown> => {
    child.stdin.write(`${JSON.stringify(call)}\n`)
    const { value, done } = await lines.next()
    if (done) throw new Error(`the application ended at ${call}`)
    return JSON.parse(value)
  }
  const ended = async (signal?: NodeJS.Signals): Promise<number | string> => {
    if (signal !== undefined) child.kill(signal)
    const [code, by] = await exit
    return code ?? by
  }
  return {
    child,
    stderr: text(child.stderr),
    call: (name, argument) => say(name, ...(argument === undefined ? [] : [argument])),
    ask: say,
    status: async () => (await say('status')) as RelayStatus,
    leaves: () => {
      child.stdin.end()
      return ended()
    },
    ended,
  }
}

/** Processes that have the sandbox's spool in their environment and run a relay. */
export function relaysOf(box: Sandbox): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return (
          readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('offpath relay') &&
          readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`${box.dir}/spool`)
        )
      } catch {
        return false
      }
    })
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
