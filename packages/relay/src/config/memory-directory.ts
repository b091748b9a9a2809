import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Where applications record that name no `spool.dir`; the SDK decides alike. */
export function memoryDirectory(): string {
  const uid = process.getuid?.()
  const memory = process.platform === 'linux' && existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
  return join(memory, uid === undefined ? 'offpath' : `offpath-${uid}`)
}
