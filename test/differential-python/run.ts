import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pythonEnvironment } from '../../scripts/python-environment.ts'
import type { Answer, Program } from '../differential/program.ts'
import { collect, type StartRunner } from '../differential/run.ts'

/** Major versions of Langfuse's Python SDK that are compared with. */
export const VERSIONS = [3, 4, 5] as const
export type Version = (typeof VERSIONS)[number]

export type PythonProgram = Omit<Program, 'run'> & {
  /** Versions of Langfuse's SDK that have what it uses. */
  readonly versions: readonly Version[]
}

const MAIN = join(import.meta.dirname, 'main.py')
const CLIENT = join(import.meta.dirname, '..', '..', 'clients', 'python', 'src')

/** The Python with a version of Langfuse's SDK, its environment made when it is not there. */
export function pythonOf(command: string, version: Version): string {
  return pythonEnvironment(
    command,
    join(import.meta.dirname, 'requirements', `langfuse-${version}.txt`),
  )
}

/** All programs. `python` has what they import beside the libraries that are compared. */
export function listPrograms(python: string): readonly PythonProgram[] {
  return JSON.parse(
    execFileSync(python, ['-B', MAIN, '--list'], { encoding: 'utf8' }),
  ) as PythonProgram[]
}

/** Starts processes of a Python that has the library. */
export function startPython(python: string): StartRunner {
  return (library, env) => {
    const child = spawn(python, ['-B', MAIN, library], {
      env: { ...env, PYTHONPATH: CLIENT, TZ: 'Asia/Ho_Chi_Minh' },
      stdio: 'pipe',
    })
    const answers = createInterface(child.stdout)[Symbol.asyncIterator]()
    const exit = once(child, 'exit')
    const died = async (): Promise<never> => {
      const [code, signal] = await exit
      throw new Error(`ended with ${code ?? signal}`)
    }
    return {
      pid: child.pid,
      run: async (program) => {
        child.stdin.write(`${program}\n`)
        const { value, done } = await answers.next()
        return done ? died() : (JSON.parse(value) as Answer)
      },
      end: async () => {
        child.stdin.end()
        const [code] = await exit
        if (code !== 0) await died()
      },
      output: collect(child),
    }
  }
}
