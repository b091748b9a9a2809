import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const READY_MS = 20_000
const STOP_MS = 5_000

/** A program of ours that runs beside us and has said that it is ready. */
export interface Running {
  readonly name: string
  /** What it said: a JSON object with `ready` and, for servers, `url`. */
  readonly ready: Readonly<Record<string, unknown>>
  readonly url: string
  /** SIGTERM, and SIGKILL after five seconds. Resolves with the exit code. */
  stop(): Promise<number | null>
}

/**
 * Starts `node ...args` and waits for its line `{"ready":true,"url":…}` on stdout. What it writes to stderr
 * is shown; when it ends before it is ready, the error holds its last lines.
 */
export function startProcess(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Running> {
  const child = spawn(process.execPath, [...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: Ctrl-C reaches us alone, and we stop the children in order.
    detached: process.platform !== 'win32',
  })
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const complaints: string[] = []
  createInterface({ input: child.stderr }).on('line', (line) => {
    complaints.push(line)
    if (complaints.length > 20) complaints.shift()
    console.error(`${name}: ${line}`)
  })
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`${name} was not ready after ${READY_MS / 1000} s`))
    }, READY_MS)
    child.once('error', reject)
    void exited.then((code) => {
      clearTimeout(late)
      reject(new Error(`${name} ended with exit code ${code}\n${complaints.join('\n')}`))
    })
    createInterface({ input: child.stdout }).on('line', (line) => {
      const ready = readyLine(line)
      if (ready === undefined) return
      clearTimeout(late)
      resolve({ name, ready, url: String(ready.url ?? ''), stop: () => stop(child, exited) })
    })
  })
}

function readyLine(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    const said = JSON.parse(line) as Record<string, unknown>
    return said.ready === true ? said : undefined
  } catch {
    return undefined
  }
}

async function stop(child: ChildProcess, exited: Promise<number | null>): Promise<number | null> {
  child.kill('SIGTERM')
  const hurry = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  const code = await exited
  clearTimeout(hurry)
  return code
}
