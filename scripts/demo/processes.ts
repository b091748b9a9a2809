import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const READY_MS = 20_000
const STOP_MS = 5_000
const isWindows = process.platform === 'win32'

export interface Stoppable {
  /** SIGTERM, and SIGKILL after five seconds. Resolves when it has ended. */
  stop(): Promise<void>
}

/** A program of ours that runs beside us. */
interface Running extends Stoppable {
  /** Its URL, once it has printed `{"ready":true,"url":…}`. When it ends before, the error holds its last lines. */
  readonly ready: Promise<string>
}

/** Builds what is published, in a group of processes of its own. */
export function runBuild(root: string): Stoppable & { readonly done: Promise<void> } {
  const child = spawn('npm', ['run', '--silent', 'build'], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
    detached: !isWindows,
    shell: isWindows,
  })
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('close', resolve)
    child.once('error', reject)
  })
  return {
    done: ended.then((code) => {
      if (code !== 0) throw new Error('`npm run build` failed')
    }),
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
      if (isWindows) child.kill()
      else process.kill(-child.pid, 'SIGTERM')
      await ended
    },
  }
}

/** Starts `node ...args`; what it writes to stderr is shown. */
export function startProcess(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Running {
  const child = spawn(process.execPath, [...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: Ctrl-C reaches us alone, and we stop the children in order.
    detached: !isWindows,
  })
  // 'close' comes when what it said last has been read, too.
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const complaints: string[] = []
  createInterface({ input: child.stderr }).on('line', (line) => {
    complaints.push(line)
    if (complaints.length > 20) complaints.shift()
    console.error(`${name}: ${line}`)
  })
  const ready = new Promise<string>((resolve, reject) => {
    const late = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`${name} was not ready after ${READY_MS / 1000} s`))
    }, READY_MS)
    child.once('error', reject)
    void ended.then((code) => {
      clearTimeout(late)
      reject(new Error(`${name} ended with exit code ${code}\n${complaints.join('\n')}`))
    })
    createInterface({ input: child.stdout }).on('line', (line) => {
      const url = urlOf(line)
      if (url === undefined) return
      clearTimeout(late)
      resolve(url)
    })
  })
  return {
    ready,
    stop: async () => {
      child.kill('SIGTERM')
      const hurry = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
      await ended
      clearTimeout(hurry)
    },
  }
}

function urlOf(line: string): string | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    const said = JSON.parse(line) as Record<string, unknown>
    return said.ready === true ? String(said.url) : undefined
  } catch {
    return undefined
  }
}
