import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

/** Keys of a segment's header by which a reader finds this process, for tests. */
export function processIdentity(): Record<string, unknown> {
  const stat = readFileSync('/proc/self/stat', 'latin1')
  return {
    pid: process.pid,
    pidStartTime: stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19],
    pidNamespace: readlinkSync('/proc/self/ns/pid'),
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim(),
    host: hostname(),
  }
}
