import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished, type TestContext } from 'vitest'
import { temporaryDirectory } from './spool-files.ts'

/**
 * A small tmpfs of its own, with the given mount options. Where that is not allowed (it takes root, and more than a
 * container's root often has), the test is skipped and says so.
 */
export function mount(context: TestContext, options: string): string {
  const directory = join(temporaryDirectory(), 'tmpfs')
  mkdirSync(directory)
  try {
    execFileSync('/bin/mount', ['-t', 'tmpfs', '-o', `mode=0700,${options}`, 'none', directory], {
      stdio: 'pipe',
    })
  } catch (error) {
    context.skip(`a tmpfs can't be mounted here: ${String(error).split('\n')[1] ?? error}`)
  }
  // Before the directory goes: these run last in, first out.
  onTestFinished(() => {
    execFileSync('/bin/umount', ['--lazy', directory])
  })
  return directory
}
