import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import type { WriterHeader } from './segment.ts'

const OVERDUE_MS = 60_000
/** For writers that promise no heartbeat. */
const SILENT_MS = 3_600_000
/** An overdue writer may come back (a stopped process, a paused container); after so long its segments go. */
const GIVEN_UP_MS = 3_600_000

function attempt(read: () => string): string | null {
  try {
    return read()
  } catch {
    return null
  }
}

const ownNamespace = attempt(() => readlinkSync('/proc/self/ns/pid'))
const ownBoot = attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim())

export type Life =
  /** Certainly there. */
  | 'alive'
  /** Not to be seen from here, and not overdue. */
  | 'unknown'
  /** Its heartbeat is overdue: it may come back. */
  | 'overdue'
  /** Overdue for so long that nothing is kept for it any more. It may come back all the same. */
  | 'given-up'
  | 'dead'

/**
 * Whether a writer lives. In our own pid namespace the kernel says so; threads and other namespaces are judged by the
 * heartbeat they promised: `quietMs` is how long, by our monotonic clock, its segment has not changed.
 */
export function lifeOf(header: WriterHeader, quietMs: number): Life {
  const otherBoot = header.bootId !== null && ownBoot !== null && header.bootId !== ownBoot
  if (otherBoot) {
    // Before this machine's last boot; from another machine it would be another host.
    if (header.host === hostname()) return 'dead'
  } else if (header.pidNamespace === ownNamespace) {
    // Where there are no namespaces, processes of another host may write to a shared directory.
    const sameHost = header.pidNamespace !== null || header.host === hostname()
    const found = sameHost ? findProcess(header) : 'hidden'
    if (found === 'gone') return 'dead'
    if (found === 'there' && header.thread === 0) return 'alive'
  }
  const promised = header.heartbeatSeconds * 1000
  const patience = promised > 0 ? promised + OVERDUE_MS : SILENT_MS
  if (quietMs > patience + GIVEN_UP_MS) return 'given-up'
  return quietMs > patience ? 'overdue' : 'unknown'
}

/** `hidden`: a process with its pid may be there, and whether it is the one we can't see. */
function findProcess({ pid, pidStartTime }: WriterHeader): 'there' | 'gone' | 'hidden' {
  if (!(pid > 0)) return 'gone'
  const stat = attempt(() => readFileSync(`/proc/${pid}/stat`, 'latin1'))
  if (stat !== null) {
    // The command before it may hold spaces and parentheses: fields count from the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // A zombie writes no more.
    if (fields[0] === 'Z' || fields[0] === 'X') return 'gone'
    return pidStartTime === null || fields[19] === pidStartTime ? 'there' : 'gone'
  }
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return 'gone'
  }
  // There is no /proc, it hides what is not ours, or we have no file descriptor left.
  return pidStartTime === null ? 'there' : 'hidden'
}
