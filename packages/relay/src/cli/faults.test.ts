// Directories that cannot be used, and a Node that is too old: one line each, by the real command.
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { mount } from '../../../sdk/src/testing/mount.ts'
import { type Sandbox, sandbox } from './cli.fixture.ts'

const run = promisify(execFile)
const BIN = join(import.meta.dirname, '../../bin/offpath.js')

let box: Sandbox
beforeAll(() => {
  box = sandbox()
})
afterAll(() => box.remove())

/** What `offpath up` says with these flags, which must be one line, and an exit code of 1. */
async function refusal(...flags: string[]): Promise<string> {
  const { code, stdout, stderr } = await box.offpath('up', ...flags)
  expect([code, stdout]).toEqual([1, ''])
  expect(stderr).toMatch(/^offpath: [^\n]+\n$/)
  return stderr.slice('offpath: '.length, -1)
}

test.each(['spool', 'store'])(
  'a %s directory that is a link or a file is refused',
  async (what) => {
    const target = join(box.dir, `${what}-target`)
    const link = join(box.dir, `${what}-link`)
    const file = join(box.dir, `${what}-file`)
    mkdirSync(target)
    symlinkSync(target, link)
    writeFileSync(file, '')
    expect(await refusal(`--${what}-dir`, link)).toBe(`${link} is not a directory (a link?)`)
    expect(await refusal(`--${what}-dir`, file)).toContain(file)
  },
)

test.each(['spool', 'store'])('a %s directory that is read-only is refused', async (what) => {
  const directory = await new Promise<string | null>((resolve) => {
    const skip = (): never => {
      resolve(null)
      throw new Error('skipped')
    }
    try {
      resolve(mount({ skip } as never, 'size=1m,ro'))
    } catch {
      resolve(null)
    }
  })
  if (directory === null) return
  expect(await refusal(`--${what}-dir`, directory)).toContain(directory)
})

test('a store that another program has locked is refused, after a while', async () => {
  const dir = join(box.dir, 'locked')
  mkdirSync(dir)
  const database = new DatabaseSync(join(dir, 'offpath.db'))
  database.exec('BEGIN EXCLUSIVE')
  expect(await box.offpath('up', '--store-dir', dir)).toEqual({
    code: 1,
    stdout: '',
    stderr: `offpath: the store ${dir} is locked by another process (database is locked)\n`,
  })
  database.close()
}, 20_000)

const OLD = '/usr/bin/node'

test.skipIf(!existsSync(OLD))('a system Node before 22.18 gets one line', async (context) => {
  const version = (await run(OLD, ['--version'])).stdout.trim()
  const [major = 0, minor = 0] = version.slice(1).split('.').map(Number)
  if (major > 22 || (major === 22 && minor >= 18)) context.skip(`${OLD} is ${version}`)
  const error = await run(OLD, [BIN, 'ls']).catch((error: unknown) => error)
  const told = `offpath: needs Node 22.18 or newer, and this is ${version}\n`
  expect(error).toMatchObject({ code: 1, stdout: '', stderr: told })
})

test.each(['v22.17.9', 'v20.19.0', 'v8.0.0'])('%s is too old', async (version) => {
  const fake = join(box.dir, 'version.cjs')
  writeFileSync(fake, `Object.defineProperty(process, 'version', { value: '${version}' })`)
  const error = await run(process.execPath, ['--require', fake, BIN]).catch((e: unknown) => e)
  const told = `offpath: needs Node 22.18 or newer, and this is ${version}\n`
  expect(error).toMatchObject({ code: 1, stdout: '', stderr: told })
})
