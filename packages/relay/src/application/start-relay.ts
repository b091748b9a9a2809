// `startRelay`: a relay of the application's own, where none can be set up beside it.
import { resolve } from 'node:path'
import { isMainThread } from 'node:worker_threads'
import { KINDS } from '../config/kinds.ts'
import { memoryDirectory } from '../config/memory-directory.ts'
import { optionOf } from '../config/options.ts'
import type { LogLevel } from '../log.ts'
import { type Carried, hasEntry, startChild, startThread } from './carriers.ts'
import { isEnabled, relayEnvironment } from './environment.ts'
import { isOldNode, tooOld } from './node-version.ts'
import { isMilliseconds, type ReadOptions, readOptions, type StartRelayOptions } from './options.ts'
import { sdkState } from './sdk.ts'
import { type RelayState, Supervisor } from './supervisor.ts'
import { turnIn } from './turn.ts'

export interface RelayStatus {
  readonly state: RelayState
  readonly in: 'child' | 'thread'
  /** Of the child that runs; null: none does, or it is a thread. */
  readonly pid: number | null
  readonly threadId: number | null
  /** Of its HTTP API; null: it is another process's, or not up. */
  readonly url: string | null
  /** How often it ended by itself and was started again. */
  readonly restarts: number
  /** Log lines that `onLog` did not take in time. */
  readonly leftOut: number
  /** Why it is as it is, for people. */
  readonly message: string | null
}

/** A relay that ends with this application, or the wait for taking over from another process. Nothing of it throws. */
export interface StartedRelay {
  readonly pid: number | null
  readonly threadId: number | null
  readonly url: string | null
  status(): RelayStatus
  /**
   * Resolves to true once a relay reads the spool, this application's or another; to false when it is refused, off or
   * stopped, or after `timeoutMs` (10 000).
   */
  ready(options?: { readonly timeoutMs?: number | undefined }): Promise<boolean>
  /**
   * Resolves to true once all that this application has recorded is delivered, or given up and counted; to false after
   * `timeoutMs` (10 000), or at once where no relay will come.
   */
  flush(options?: { readonly timeoutMs?: number | undefined }): Promise<boolean>
  /**
   * Ends the relay, if it is this application's, after it has delivered what is left, for `drainMs` at most (by default
   * that of `startRelay`). Resolves to true when nothing was left, or the relay is another's.
   */
  stop(options?: { readonly drainMs?: number | undefined }): Promise<boolean>
}

const WAIT_MS = 10_000

let started: { readonly relay: StartedRelay; readonly given: string } | undefined

/**
 * Runs the relay (`offpath up`) as a child process or a worker thread of this application, where it cannot be run beside it.
 *
 * One relay reads a spool: call it in every process that records, and one of them has the relay; when that ends, another
 * takes over. A relay that dies is started again, after 1 s and then up to 30 s. A child outlives the application until it
 * has delivered what is left. It keeps no process running, and takes no signals.
 *
 * The options are those of docs/configuration.md by section (`langfuse: { baseUrl }`); unset ones come from the environment
 * and from `offpath.yaml`. The spool is the one that this process records into: call the SDK's `init` before, where it is
 * called at all. A second call returns what the first did.
 *
 * @throws ConfigError (`OFFPATH_CONFIG`) naming each option that is unknown or has a value that can't be used. Whatever else
 * is wrong is logged, and told by `status()`.
 */
export function startRelay(options: StartRelayOptions = {}): StartedRelay {
  const { env } = process
  const read = readOptions(options, env)
  const given = JSON.stringify(options)
  const state = started?.relay.status().state
  if (started !== undefined && state !== 'stopped') {
    if (state === 'stopping')
      warn('a startRelay is ignored while the relay stops: await stop() first')
    else if (given !== started.given) warn('a second startRelay with other options is ignored')
    return started.relay
  }
  const relay = launch(read, env)
  started = { relay, given }
  return relay
}

function launch(options: ReadOptions, env: NodeJS.ProcessEnv): StartedRelay {
  const { drainMs, in: place } = options
  const isOn = options.enabled ?? sdkState().options?.enabled ?? isEnabled(env)
  const log = sinkOf(options)
  const spool = spoolOf(options.variables, env)
  const start = place === 'thread' ? startThread : startChild
  const carried = {
    node: options.node ?? process.execPath,
    env: relayEnvironment(env, { ...options.variables, ...spool.variables }),
    start: { drainMs, logs: options.onLog !== undefined, cwd: process.cwd() },
  }
  const waiting = new Set<() => void>()
  const supervisor = new Supervisor({
    drainMs,
    turn: turnIn(spool.directory),
    launch: (events) => start({ ...carried, ...events } satisfies Carried),
    log,
    refusal: isOn ? refusalOf(options) : undefined,
    isOn,
    onChange: () => {
      for (const look of [...waiting]) look()
    },
  })
  const until = (isOver: () => boolean, timeoutMs: number): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (!isOver()) return
        done()
      }
      const done = (): void => {
        clearTimeout(timer)
        waiting.delete(look)
        resolve()
      }
      const timer = setTimeout(done, timeoutMs)
      waiting.add(look)
      look()
    })
  const reads = (): boolean => supervisor.state === 'running' || supervisor.state === 'elsewhere'
  const isOver = (): boolean => ['off', 'refused', 'stopped'].includes(supervisor.state)

  const mustWait = options.waitAtExit ?? (place === 'thread' || diesWithUs())
  const atExit = (): void => {
    if (!mustWait) return
    sdkState().recorder?.handOver()
    supervisor.stopNow()
  }
  if (isOn) process.once('exit', atExit)

  let differs = false
  const checkSpool = (): void => {
    const here = sdkState().options?.spoolDir
    const there = supervisor.spool
    if (differs || here === undefined || there === null || resolve(here) === there) return
    differs = true
    log(
      'error',
      `this process records into ${here}, and the relay reads ${there}: call init() before startRelay(), or set OFFPATH_SPOOL_DIR`,
    )
  }

  return {
    get pid() {
      return supervisor.carrier?.pid ?? null
    },
    get threadId() {
      return supervisor.carrier?.threadId ?? null
    },
    get url() {
      return supervisor.url
    },
    status: () => {
      const { state, carrier, url, restarts, leftOut, message } = supervisor
      return {
        state,
        in: place,
        pid: carrier?.pid ?? null,
        threadId: carrier?.threadId ?? null,
        url,
        restarts,
        leftOut,
        message,
      }
    },
    ready: async (ready) => {
      await until(() => reads() || isOver(), milliseconds('ready', 'timeoutMs', ready, WAIT_MS))
      checkSpool()
      return reads()
    },
    flush: async (flush) => {
      const timeoutMs = milliseconds('flush', 'timeoutMs', flush, WAIT_MS)
      const { recorder, delivered } = sdkState()
      const spooled = recorder?.handOver() ?? true
      checkSpool()
      // Nothing was ever recorded; after a shutdown of the SDK there is no recorder, and what it wrote is still waited for.
      if (recorder === undefined && delivered === undefined) return true
      if (isOver() || delivered === undefined) return false
      const isDelivered = delivered(timeoutMs)
      supervisor.hurry()
      return (await isDelivered) && spooled
    },
    stop: async (stop) => {
      sdkState().recorder?.handOver()
      process.removeListener('exit', atExit)
      return supervisor.stop(milliseconds('stop', 'drainMs', stop, drainMs))
    },
  }
}

/** What makes it pointless to start; undefined: nothing. */
function refusalOf({ node, in: place }: ReadOptions): string | undefined {
  if (node === undefined && isOldNode(process.versions.node)) {
    const fix = place === 'child' ? "; node: '/path/to/node' names another one" : ''
    return tooOld(process.versions.node) + fix
  }
  if (hasEntry()) return undefined
  return 'the relay is not found beside this module: leave the package offpath out of the bundle (external)'
}

/** The directory that this process records into, and what tells the relay of it. */
function spoolOf(
  variables: ReadOptions['variables'],
  env: NodeJS.ProcessEnv,
): { readonly directory: string; readonly variables: Readonly<Record<string, string>> } {
  const { options } = sdkState()
  const around = { env, base: process.cwd() }
  const path = (text: string): string => KINDS.path.parse(text, around) ?? text
  const directory =
    variables.OFFPATH_SPOOL_DIR ??
    options?.spoolDir ??
    path(env.OFFPATH_SPOOL_DIR || memoryDirectory())
  const disk =
    variables.OFFPATH_SPOOL_DISK_DIR ??
    options?.diskDir ??
    path(env.OFFPATH_SPOOL_DISK_DIR || (optionOf('spool.disk-dir').default ?? ''))
  return {
    directory,
    // That of the application counts, whatever offpath.yaml says.
    variables: { OFFPATH_SPOOL_DIR: directory, OFFPATH_SPOOL_DISK_DIR: disk },
  }
}

/** As process 1 of a container, or the only child of its init, a process takes all others along. */
function diesWithUs(): boolean {
  return process.platform === 'linux' && isMainThread && (process.pid === 1 || process.ppid === 1)
}

function sinkOf({ onLog }: ReadOptions): (level: LogLevel, line: string) => void {
  if (onLog === undefined) {
    return (level, line) => {
      if (level === 'warn' || level === 'error')
        process.stderr.write(`[offpath] ${level} ${line}\n`)
    }
  }
  return (level, line) => {
    try {
      onLog(level, line)
    } catch (error) {
      warn(`onLog failed: ${(error as Error)?.message}`)
    }
  }
}

/** Of a call's options; what can't be used is told and ignored. */
function milliseconds(
  call: string,
  name: string,
  options: Readonly<Record<string, unknown>> | undefined,
  otherwise: number,
): number {
  const value = options?.[name]
  if (value === undefined) return otherwise
  if (isMilliseconds(value)) return value
  warn(`${call}: ${name} is not a number of milliseconds from 0; ${otherwise} is used`)
  return otherwise
}

const told = new Set<string>()

function warn(message: string): void {
  if (told.has(message) || told.size >= 100) return
  told.add(message)
  process.emitWarning(message, { type: 'OffpathWarning', code: 'OFFPATH_CONFIG' })
}
