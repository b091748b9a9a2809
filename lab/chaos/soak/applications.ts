import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { node } from '../processes.ts'

/** What an application says of itself, after a flush. */
export interface Said {
  /** Observations that it has recorded so far. */
  readonly recorded: number
  /** Of these, what it could not write, by reason. */
  readonly lost: Readonly<Record<string, number>>
}

/** Applications that record into one spool; one that is killed is followed by another. */
export interface Fleet {
  /** What each application said last, by its run. */
  readonly said: ReadonlyMap<string, Said>
  /** SIGKILL for one of them, and starts another. */
  kill(): Promise<void>
  /** SIGSTOP for one of them; the function that is returned ends it. */
  pause(): () => void
  /** Ends all in order. */
  stop(): Promise<void>
}

interface Application {
  readonly child: ChildProcess
  /** Resolves when it has ended and all it said is read. */
  readonly closed: Promise<void>
}

/** Starts `count` applications that record about `perSecond` observations each. */
export function startFleet(
  name: string,
  count: number,
  perSecond: number,
  env: NodeJS.ProcessEnv,
): Fleet {
  const said = new Map<string, Said>()
  const applications: Application[] = []
  let started = 0
  let turn = 0

  const start = (): Application => {
    const run = `${name}${++started}`
    // A burst has about six observations.
    const child = node('lab/chaos/soak/application.child.ts', [run, String(6000 / perSecond)], env)
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      said.set(run, JSON.parse(line) as Said)
    })
    return { child, closed: new Promise((resolve) => child.once('close', () => resolve())) }
  }
  for (let i = 0; i < count; i++) applications.push(start())
  const one = (): number => turn++ % applications.length

  return {
    said,
    async kill() {
      const at = one()
      const { child, closed } = applications[at] as Application
      child.kill('SIGKILL')
      await closed
      applications[at] = start()
    },
    pause() {
      const { child } = applications[one()] as Application
      child.kill('SIGSTOP')
      return () => child.kill('SIGCONT')
    },
    async stop() {
      for (const { child } of applications) child.kill('SIGTERM')
      await Promise.all(applications.map(({ closed }) => closed))
    },
  }
}
