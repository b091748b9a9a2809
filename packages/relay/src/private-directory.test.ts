import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makePrivateDirectory, unsafeDirectory } from './private-directory.ts'
import { takeLease } from './receivers/spool/lease.ts'
import { Store } from './store/store.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'offpath-private-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))
const modeOf = (path: string) => statSync(path).mode & 0o7777

test('every level that is made is for us alone', () => {
  makePrivateDirectory(join(directory, 'a/b/c'))
  for (const path of ['a', 'a/b', 'a/b/c']) expect(modeOf(join(directory, path))).toBe(0o700)
  makePrivateDirectory(join(directory, 'a/b/c'))
})

test.each([0o755, 0o750, 0o2770, 0o500 | 0o200])(
  'a directory of mode %o stays as it is',
  (mode) => {
    chmodSync(directory, mode)
    takeLease(directory).release()
    new Store(directory).close()
    expect(modeOf(directory)).toBe(mode)
  },
)

test.each([
  [0o1777, /can be written to by every user: name a new directory in it/],
  [0o777, /can be written to by every user: `chmod o-w .*`, or name another one/],
])('one of mode %o is refused, and stays as it is', (mode, message) => {
  chmodSync(directory, mode)
  expect(() => takeLease(directory)).toThrow(message)
  expect(modeOf(directory)).toBe(mode)
})

test('a link is refused', () => {
  mkdirSync(join(directory, 'real'))
  symlinkSync(join(directory, 'real'), join(directory, 'link'))
  expect(unsafeDirectory(join(directory, 'link/'))).toMatch(/is not a directory/)
})

test.runIf(process.platform === 'linux')('where nothing can be made, it ends in an error', () => {
  expect(() => makePrivateDirectory('/proc/offpath/x')).toThrow(/ENOENT/)
  expect(() => takeLease('/proc/offpath')).toThrow(/^cannot make \/proc\/offpath: ENOENT/)
})
