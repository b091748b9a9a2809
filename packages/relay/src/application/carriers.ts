// How a relay is had: as a child process or as a worker thread. Neither keeps the application running.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { FromRelay, Shared, Start, ToRelay } from './protocol.ts'

export interface Carrier {
  /** Null: it is a thread, or could not be started. */
  readonly pid: number | null
  readonly threadId: number | null
  send(message: ToRelay): void
  /** At once; what is not delivered stays on disk. */
  kill(): void
  /** Waits without the event loop, for the application's exit. */
  waitForEnd(timeoutMs: number): void
}

export interface Carried {
  readonly node: string
  readonly env: Readonly<Record<string, string>>
  readonly start: Start
  onMessage(message: FromRelay): void
  /** Once: it has ended, or could not be started. `how` is part of a sentence: "ended with code 1". */
  onEnd(how: string): void
}

const IS_SOURCE = import.meta.url.endsWith('.ts')
const ENTRY = new URL(`./relay-process.${IS_SOURCE ? 'ts' : 'js'}`, import.meta.url)
/** Nothing of the application's own flags: what it preloads may be the very module that calls `startRelay`. */
const FLAGS = IS_SOURCE ? ['--conditions=offpath-source'] : []
/** A thread that needs more ends alone, and not with the process. */
const MAX_HEAP_MB = 512
const LOOK_MS = 10

/** False: a bundler took this module away from the file that it runs. */
export function hasEntry(): boolean {
  return existsSync(ENTRY)
}

export function startChild({ node, env, start, onMessage, onEnd }: Carried): Carrier {
  const child = spawn(node, [...FLAGS, fileURLToPath(ENTRY), JSON.stringify(start)], {
    env,
    // A session of its own: a Ctrl-C is for the application, which may record until it ends.
    detached: true,
    // Its stderr is ours: what it says after our end is read as well.
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    windowsHide: true,
  })
  child.unref()
  child.channel?.unref()
  let isOver = false
  const over = (how: string): void => {
    if (isOver) return
    isOver = true
    onEnd(how)
  }
  child.on('message', (message) => onMessage(message as FromRelay))
  child.on('error', (error) => {
    // A message that could not be sent comes this way too; then it is about to end.
    if (child.pid === undefined) over(`could not be started: ${error.message}`)
  })
  child.on('exit', (code, signal) => {
    over(signal === null ? `ended with code ${code}` : `was ended by ${signal}`)
  })
  return {
    pid: child.pid ?? null,
    threadId: null,
    send: (message) => {
      if (child.connected) child.send(message, () => {})
    },
    kill: () => child.kill('SIGKILL'),
    waitForEnd: (timeoutMs) => {
      const until = performance.now() + timeoutMs
      while (!isOver && isAlive(child.pid) && performance.now() < until) pause(LOOK_MS)
    },
  }
}

export function startThread({ env, start, onMessage, onEnd }: Carried): Carrier {
  const shared: Shared = {
    ended: new Int32Array(new SharedArrayBuffer(4)),
    waiting: new Int32Array(new SharedArrayBuffer(4)),
  }
  const worker = new Worker(ENTRY, {
    name: 'offpath-relay',
    env,
    execArgv: FLAGS,
    workerData: { ...start, shared } satisfies Start,
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
  })
  let how: string | undefined
  worker.on('message', (message: FromRelay) => {
    Atomics.sub(shared.waiting, 0, 1)
    onMessage(message)
  })
  worker.on('error', (error: Error) => {
    how = `failed: ${error.message}`
  })
  worker.on('exit', (code) => {
    Atomics.store(shared.ended, 0, 1)
    onEnd(how ?? `ended with code ${code}`)
  })
  // Behind the listeners: one for messages would keep the process running again.
  worker.unref()
  return {
    pid: null,
    threadId: worker.threadId,
    send: (message) => worker.postMessage(message),
    kill: () => void worker.terminate(),
    waitForEnd: (timeoutMs) => void Atomics.wait(shared.ended, 0, 0, timeoutMs),
  }
}

/** Without an event loop nobody is told of a child's end: it stays a zombie. Where there is no /proc: false. */
function isAlive(pid: number | undefined): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return !/^ [ZX]/.test(stat.slice(stat.lastIndexOf(')') + 1))
  } catch {
    return false
  }
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
