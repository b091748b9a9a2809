// The wall clock of processes, stepped while they run: libfaketime reads its offset from a file.
import { existsSync, globSync, writeFileSync } from 'node:fs'

export interface Clock {
  /** Of the processes that are to go by it. */
  readonly env: NodeJS.ProcessEnv
  /** False: there is no libfaketime (`apt-get install faketime`); the clock stays what it is. */
  readonly canStep: boolean
  /** Off by so many seconds, within a second of real time. */
  step(seconds: number): void
}

const LIBRARIES = [
  '/usr/lib/*/faketime/libfaketimeMT.so.1',
  '/usr/lib64/faketime/libfaketimeMT.so.1',
]

/** @param file where the offset is kept */
export function makeClock(file: string): Clock {
  const library = LIBRARIES.flatMap((pattern) => globSync(pattern)).find((path) => existsSync(path))
  const step = (seconds: number): void => {
    writeFileSync(file, `${seconds < 0 ? '-' : '+'}${Math.abs(seconds)}\n`)
  }
  step(0)
  if (library === undefined) return { env: {}, canStep: false, step }
  return {
    env: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_CACHE_DURATION: '1',
      // As of a real machine, whose monotonic clock never steps.
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      // A process that is killed would leave it behind.
      FAKETIME_DISABLE_SHM: '1',
    },
    canStep: true,
    step,
  }
}
