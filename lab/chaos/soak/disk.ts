// A small file system of its own, to be full.
import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'

export interface Disk {
  readonly directory: string
  /** False: it is a directory like others, for mounting is not allowed here. */
  readonly isSmall: boolean
  /** `fill` has taken all, and it is not given back yet. */
  readonly isFull: boolean
  /** Takes all that is free; the function that is returned gives it back. */
  fill(): () => void
  remove(): void
}

const PIECES = [1024 * 1024, 4096]

/** Mounts a tmpfs of so many MB, which takes root, and more than a container's root often has. */
export function mountDisk(directory: string, megabytes: number): Disk {
  mkdirSync(directory, { mode: 0o700 })
  let isSmall = process.platform === 'linux'
  try {
    const options = `mode=0700,size=${megabytes}m`
    const mount = ['-t', 'tmpfs', '-o', options, 'offpath-soak', directory]
    if (isSmall) execFileSync('/bin/mount', mount, { stdio: 'pipe' })
  } catch {
    isSmall = false
  }
  const remove = (): void => {
    if (isSmall) execFileSync('/bin/umount', ['--lazy', directory], { stdio: 'pipe' })
    isSmall = false
  }
  process.once('exit', remove)
  let isFull = false
  return {
    directory,
    isSmall,
    get isFull() {
      return isFull
    },
    fill() {
      const filler = join(directory, 'filler')
      const file = openSync(filler, 'w')
      for (const bytes of PIECES) {
        try {
          while (isSmall) writeSync(file, Buffer.alloc(bytes))
        } catch {
          // That is what it is for.
        }
      }
      closeSync(file)
      isFull = true
      return () => {
        rmSync(filler, { force: true })
        isFull = false
      }
    },
    remove() {
      process.off('exit', remove)
      remove()
    },
  }
}
