// What is published, as a stranger meets it: both packages packed, installed in an empty project, and the README's
// lines run on them.
import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'

const run = promisify(execFile)
const root = join(import.meta.dirname, '..')
const project = mkdtempSync(join(tmpdir(), 'offpath-packages-'))
const bin = join(project, 'node_modules', '.bin', 'offpath')
const env = {
  // Nothing of the workspace's: no source condition, no variables of whoever runs the tests.
  PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
  HOME: project,
  OFFPATH_SPOOL_DIR: join(project, 'spool'),
  OFFPATH_SPOOL_DISK_DIR: join(project, 'spool-disk'),
  OFFPATH_STORE_DIR: join(project, 'store'),
  OFFPATH_HTTP_PORT: '0',
}

beforeAll(async () => {
  await run('npm', ['run', 'build'], { cwd: root })
  for (const name of ['sdk', 'relay']) {
    await run('npm', ['pack', '--pack-destination', project], { cwd: join(root, 'packages', name) })
  }
  await run('npm', ['init', '-y'], { cwd: project })
  const tarballs = ['offpath-sdk-0.1.0.tgz', 'offpath-0.1.0.tgz'].map((name) => `./${name}`)
  // The machine's own npm settings name its registry.
  await run('npm', ['install', '--no-audit', '--no-fund', ...tarballs], { cwd: project })
}, 180_000)

afterAll(() => rmSync(project, { recursive: true, force: true }))

test("the README's lines record a generation that the relay shows", async () => {
  const lines = /```js\n([\s\S]*?)```/.exec(readFileSync(join(root, 'README.md'), 'utf8'))?.[1]
  expect(lines).toContain("from '@offpath/sdk'")
  writeFileSync(join(project, 'first.mjs'), lines as string)

  const relay = spawn(bin, ['up', '--json'], { cwd: project, env })
  const said = await new Promise<{ ready: boolean; url: string }>((resolve, reject) => {
    createInterface({ input: relay.stdout }).once('line', (line) => resolve(JSON.parse(line)))
    relay.once('exit', (code) => reject(new Error(`offpath up ended with ${code}`)))
  })
  expect(said.ready).toBe(true)
  await run(process.execPath, ['first.mjs'], { cwd: project, env })

  await expect
    .poll(async () => (await run(bin, ['ls'], { cwd: project, env })).stdout, { timeout: 10_000 })
    .toContain('answer')
  const ended = new Promise((resolve) => relay.once('exit', resolve))
  relay.kill('SIGTERM')
  expect(await ended).toBe(0)

  // The store answers without the relay, too.
  const { stdout } = await run(bin, ['ls', '--json'], { cwd: project, env })
  expect(stdout).toContain('answer')
})

test('startRelay of the installed package delivers to the store, and loads nothing of the relay', async () => {
  const lines = `
    import { startObservation } from '@offpath/sdk'
    import { startRelay } from 'offpath'
    const relay = startRelay({ in: process.argv[2] })
    startObservation('started in a ' + process.argv[2]).end()
    const delivered = await relay.flush()
    console.log(delivered, process.moduleLoadList.some((name) => name.includes('sqlite')))
    console.log(await relay.stop())`
  writeFileSync(join(project, 'started.mjs'), lines)
  for (const place of ['child', 'thread']) {
    const { stdout } = await run(process.execPath, ['started.mjs', place], { cwd: project, env })
    expect(stdout).toBe('true false\ntrue\n')
    expect((await run(bin, ['ls'], { cwd: project, env })).stdout).toContain(
      `started in a ${place}`,
    )
  }
})

test('CommonJS applications can require both', async () => {
  writeFileSync(
    join(project, 'first.cjs'),
    `const { startObservation } = require('@offpath/sdk'); startObservation('a').end();
    require('offpath').startRelay({ enabled: false }); console.log('ok')`,
  )
  expect((await run(process.execPath, ['first.cjs'], { cwd: project, env })).stdout).toBe('ok\n')
})

test('the SDK has no runtime dependency', () => {
  const manifest = JSON.parse(
    readFileSync(join(project, 'node_modules/@offpath/sdk/package.json'), 'utf8'),
  )
  expect(manifest.dependencies ?? {}).toEqual({})
})
