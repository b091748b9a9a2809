// Whose turn it is to start the relay, among the processes that record into one spool. The relay's lease decides who reads;
// this spares starting a Node only to find it taken:
//
//   relay.lease     touched by the relay every 10 s, and set to 1970 when it ends in order: read by all, once a second
//   relay.starting  made by who starts a relay, and removed once it is up: cluster workers that start together wait for it
import { closeSync, openSync, rmSync, statSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { makePrivateDirectory } from '../private-directory.ts'

/** After so long others start one: who made the file may be gone. */
const STARTING_MS = 5000
/** Without a touch for so long the relay is dead, or stopped. Being wrong costs a start that finds the lease taken. */
const SILENCE_MS = 12_000

export interface Turn {
  /** Takes the right to start a relay; false: another process has it. */
  take(): boolean
  /** Once the relay is up or has ended. */
  done(): void
  /** Whether the relay that another process has seems to have gone. To be asked every second; never rejects. */
  isFree(): Promise<boolean>
  /** Whether the lease was touched of late, by the wall clock. */
  looksTaken(): boolean
  /** Another relay was found just now. */
  wasTaken(): void
}

export function turnIn(directory: string, now: () => number = () => performance.now()): Turn {
  const lease = join(directory, 'relay.lease')
  const starting = join(directory, 'relay.starting')
  let isMine = false
  let touched: number | undefined
  let changedAt = now()
  return {
    take: () => {
      try {
        makePrivateDirectory(directory)
        closeSync(openSync(starting, 'wx', 0o600))
        isMine = true
        return true
      } catch (error) {
        // Where it cannot be made the relay says why.
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return true
      }
      const age = Date.now() - (modifiedAt(starting) ?? 0)
      // One of those that see it so old is the next to make it.
      if (Math.abs(age) > STARTING_MS) remove(starting)
      return false
    },
    done: () => {
      if (isMine) remove(starting)
      isMine = false
    },
    isFree: async () => {
      const found = await stat(lease).then(
        ({ mtimeMs }) => mtimeMs,
        () => 0,
      )
      const before = touched
      if (found !== before) changedAt = now()
      touched = found
      return (found === 0 && before !== 0 && before !== undefined) || now() - changedAt > SILENCE_MS
    },
    looksTaken: () => Math.abs(Date.now() - (modifiedAt(lease) ?? 0)) < SILENCE_MS,
    wasTaken: () => {
      changedAt = now()
      touched = modifiedAt(lease) ?? 0
    },
  }
}

function modifiedAt(path: string): number | undefined {
  try {
    return statSync(path).mtimeMs
  } catch {
    return undefined
  }
}

function remove(path: string): void {
  try {
    rmSync(path, { force: true })
  } catch {
    // It is old after a while.
  }
}
