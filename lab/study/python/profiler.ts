import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import type { Profiler } from '../run.ts'
import { attribute, type GilHolders, type TraceEvent } from './py-spy.ts'

/** Each sample stops the service for a moment. */
const PER_SECOND = 200
const PATIENCE_MS = 20_000

/** Looks with py-spy and gil_watch.py, both of the service's own Python, into a service under load. */
export function profiler(python: string): Profiler {
  const directory = mkdtempSync(join(tmpdir(), 'offpath-lab-'))
  const file = join(directory, 'trace.json')
  let spy: Looking | undefined
  let watch: Looking | undefined
  let reason: string | undefined
  return {
    tool: `py-spy record --gil, ${PER_SECOND} a second, and the holder of the GIL, 500 a second`,
    watch: {
      request: { profile: file },
      async begun(pid) {
        spy = look(join(dirname(python), 'py-spy'), [
          ...['record', '--gil', '--threads', '--full-filenames', '--format', 'chrometrace'],
          ...['--rate', String(PER_SECOND), '--output', file, '--pid', String(pid)],
        ])
        watch = look(python, ['-B', join(import.meta.dirname, 'gil_watch.py'), String(pid)])
        try {
          await Promise.all([spy.said(/Sampling process/), watch.said(/ready/)])
        } catch (error) {
          reason = (error as Error).message
        }
      },
      async loaded() {
        spy?.child.kill('SIGINT')
        watch?.child.stdin.end()
        await Promise.all([spy?.ended, watch?.ended])
      },
    },
    async attribute(cell) {
      try {
        if (reason !== undefined) return { reason }
        const trace = JSON.parse(readFileSync(file, 'utf8')) as TraceEvent[]
        const holders = JSON.parse(watch?.output().split('\n')[1] ?? '') as GilHolders
        return attribute(trace, holders, cell.service.stalls)
      } catch (error) {
        return { reason: (error as Error).message }
      } finally {
        rmSync(directory, { recursive: true, force: true })
      }
    },
  }
}

interface Looking {
  readonly child: ChildProcessByStdio<Writable, Readable, Readable>
  output(): string
  /** Resolves when its output has this; rejects with what it said when it ends before, such as without the permission. */
  said(text: RegExp): Promise<void>
  readonly ended: Promise<unknown>
}

function look(command: string, args: readonly string[]): Looking {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  const stop = (): void => void child.kill('SIGKILL')
  process.once('exit', stop)
  let output = ''
  let problems = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  child.stderr.on('data', (chunk) => {
    problems += chunk
  })
  child.stdin.on('error', () => {})
  const ended = once(child, 'close')
    .catch((error) => {
      problems = String(error)
    })
    .finally(() => process.off('exit', stop))
  return {
    child,
    output: () => output,
    ended,
    said: (text) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          if (text.test(output + problems)) resolve()
        }
        child.stdout.on('data', check)
        child.stderr.on('data', check)
        const fail = (): void => reject(new Error(problems.trim() || `${command} does not start`))
        setTimeout(fail, PATIENCE_MS).unref()
        void ended.then(fail)
      }),
  }
}
