import { statSync } from 'node:fs'
import { join } from 'node:path'
import { flush, init, shutdown, startObservation } from '@offpath/sdk'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startLangfuseServer } from '../../../test/langfuse-server/server.ts'
import { type Sandbox, sandbox } from './cli/cli.fixture.ts'
import { loadConfig } from './config/config.ts'
import type { OptionName } from './config/options.ts'
import { createLog } from './log.ts'
import { openRelay, type Relay } from './relay.ts'

let box: Sandbox
let relay: Relay | undefined

beforeEach(() => {
  box = sandbox()
})

afterEach(async () => {
  await relay?.close()
  relay = undefined
  box.remove()
})

async function start(flags: Partial<Record<OptionName, string>> = {}): Promise<Relay> {
  const entries = Object.entries(flags) as [OptionName, string][]
  const { config } = loadConfig({ flags: new Map(entries), env: box.env, cwd: box.dir })
  relay = await openRelay(
    config,
    createLog(() => {}, 'error'),
  )
  return relay
}

/** Runs the application once: four observations. */
async function record(): Promise<void> {
  const app = box.app()
  await app.line()
  await app.end()
}

async function accepted(count: number): Promise<void> {
  while ((await relay!.stats()).accepted < count) await new Promise(setImmediate)
}

test('an exporter that comes later is only held to what ends from then on', async () => {
  await start()
  await record()
  await accepted(4)
  await relay!.close()

  const server = await startLangfuseServer()
  await start({ 'otlp.url': server.otlpUrl })
  await record()
  await server.waitForSpans(4)
  const settled = async (): Promise<number> => (await relay!.stats()).exporters[0]!.delivered
  while ((await settled()) < 4) await new Promise(setImmediate)
  expect((await relay!.stats()).exporters).toMatchObject([
    { name: 'otlp', accepted: 4, delivered: 4, held: 0, deadLettered: 0, dropped: {} },
  ])
  expect((await relay!.stats()).accepted).toBe(8)
  await server.close()
})

test('who waits for delivery does not wait for a fuller request', async () => {
  const server = await startLangfuseServer()
  await start({ 'otlp.url': server.otlpUrl })
  init({ spoolDir: box.env.OFFPATH_SPOOL_DIR, spoolDiskDir: box.env.OFFPATH_SPOOL_DISK_DIR })
  // The first one connects.
  startObservation('first').end()
  expect(await flush({ until: 'delivered' })).toBe(true)
  startObservation('second').end()
  const before = performance.now()
  expect(await flush({ until: 'delivered', timeoutMs: 5000 })).toBe(true)
  // A request lingers for a second.
  expect(performance.now() - before).toBeLessThan(800)
  expect(server.spans().map(({ name }) => name)).toEqual(['first', 'second'])
  await shutdown()
  await server.close()
})

test('what cannot be started leaves nothing behind', async () => {
  await start()
  const { port } = new URL(relay!.url)
  const first = relay
  const other = { 'spool.dir': 'a', 'spool.disk-dir': 'b', 'store.dir': 'c' } as const
  await expect(start({ ...other, 'http.port': port })).rejects.toMatchObject({
    code: 'OFFPATH_PORT_TAKEN',
  })
  relay = undefined
  // The leases are free again.
  await start(other)
  await relay!.close()
  relay = first
})

test('the store is its owner’s alone', async () => {
  await start()
  await record()
  await accepted(4)
  for (const name of ['', 'offpath.db', 'data-00000001.dat', 'relay.json']) {
    expect([name, statSync(join(box.env.OFFPATH_STORE_DIR!, name)).mode & 0o077]).toEqual([name, 0])
  }
})

test('a store of a later version is refused in one line', async () => {
  await start()
  await relay!.close()
  const { DatabaseSync } = await import('node:sqlite')
  const database = new DatabaseSync(join(box.env.OFFPATH_STORE_DIR!, 'offpath.db'))
  database.exec('PRAGMA user_version = 99')
  database.close()
  await expect(start()).rejects.toMatchObject({
    code: 'OFFPATH_STORE_VERSION',
    message: expect.stringMatching(/^the store .* has version 99, [^\n]*$/),
  })
  relay = undefined
})
