// Kills a process where it passes a point of crash-point.ts. It is loaded into that process before anything else.
import { subscribe } from 'node:diagnostics_channel'
import { CRASH_POINTS, type CrashPoint } from '../crash-point.ts'

const { CRASH_AT } = process.env

if (CRASH_AT !== undefined) {
  subscribe(CRASH_POINTS.name, (name) => {
    if (name === CRASH_AT) process.kill(process.pid, 'SIGKILL')
  })
}

/** The environment of a process that ends there as if by SIGKILL. */
export function crashAt(point: CrashPoint): NodeJS.ProcessEnv {
  const options = [process.env.NODE_OPTIONS, `--import=${import.meta.url}`]
  return { CRASH_AT: point, NODE_OPTIONS: options.filter(Boolean).join(' ') }
}
