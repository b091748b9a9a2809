// An application that starts its relay itself, as real processes: how it ends, and what becomes of what it recorded.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { gone, relaysOf, usePlace } from './app.fixture.ts'

const place = usePlace()

test('one call delivers what is recorded, and keeps neither the application nor itself running', async () => {
  const app = place.start()
  expect(await app.call('ready')).toBe(true)
  const { pid, url, ...status } = await app.status()
  expect(status).toEqual({
    state: 'running',
    in: 'child',
    threadId: null,
    restarts: 0,
    leftOut: 0,
    message: null,
  })
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
  await app.call('record', 'a')
  expect(await app.call('flush', 30_000)).toBe(true)
  expect(place.names()).toEqual(['a'])
  await app.call('record', 'b')
  expect(await app.leaves()).toBe(0)
  await place.langfuse.waitForSpans(2, 30_000)
  await gone(pid)
  expect(await app.stderr).toBe('')
})

test('flush waits for what was recorded before the SDK was shut down', async () => {
  place.langfuse.faults = () => ({ type: 'status', status: 503 })
  const app = place.start()
  await app.call('ready')
  await app.call('record', 'a')
  await app.call('shutdown')
  expect(await app.call('flush', 300)).toBe(false)
  place.langfuse.faults = () => undefined
  expect(await app.call('flush', 30_000)).toBe(true)
  expect(place.names()).toEqual(['a'])
})

test('a call while the relay stops is told that it starts nothing', async () => {
  const app = place.start()
  await app.call('ready')
  expect(await app.call('startsWhileStopping')).toBe(true)
  await app.leaves()
  expect(await app.stderr).toContain('a startRelay is ignored while the relay stops')
})

test('an application that is killed leaves a relay that delivers what it had, and goes', async () => {
  const app = place.start()
  await app.call('ready')
  const { pid } = await app.status()
  await app.call('record', 'done')
  await app.call('open', 'begun')
  // A turn of its event loop later it is written.
  await app.status()
  expect(await app.ended('SIGKILL')).toBe('SIGKILL')
  await place.langfuse.waitForSpans(2, 30_000)
  expect(place.names()).toEqual(['begun', 'done'])
  await gone(pid)
})

test('a Ctrl-C is for the application: its relay has a session of its own', async () => {
  const app = place.start()
  await app.call('ready')
  const { pid } = await app.status()
  const session = (of: number): string | undefined =>
    readFileSync(`/proc/${of}/stat`, 'latin1').split(') ')[1]?.split(' ')[3]
  expect(session(pid as number)).toBe(String(pid))
})

test('process.exit keeps its code, and what was recorded just before is delivered', async () => {
  const app = place.start()
  await app.call('ready')
  app.call('recordAndExit', 'last').catch(() => {})
  expect(await app.ended()).toBe(7)
  await place.langfuse.waitForSpans(1, 30_000)
})

test('waitAtExit: the application is gone only when all is delivered', async () => {
  const app = place.start({ waitAtExit: true })
  await app.call('ready')
  app.call('recordAndExit', 'last').catch(() => {})
  expect(await app.ended()).toBe(7)
  expect(place.names()).toEqual(['last'])
  expect(relaysOf(place.box)).toEqual([])
})

test.each([['child'], ['thread']])(
  'what the relay says while an exit waits for it goes to stderr, for onLog is not called any more (%s)',
  async (where) => {
    place.langfuse.faults = () => ({ type: 'status', status: 503 })
    const app = place.start({ in: where, waitAtExit: true, drainMs: 300, onLog: true })
    await app.call('ready')
    app.call('recordAndExit', 'last').catch(() => {})
    expect(await app.ended()).toBe(7)
    expect(await app.stderr).toContain(' warn  not all is delivered: the rest goes out at the next')
  },
)

test('a relay that is started again has the configuration of the first, wherever the application has gone', async () => {
  mkdirSync(join(place.box.dir, 'later'))
  const yaml = join(place.box.dir, 'offpath.yaml')
  writeFileSync(yaml, 'retention: { age: 3d }')
  const app = place.start({ config: 'offpath.yaml' }, { OFFPATH_STORE_DIR: './relative' })
  await app.call('ready')
  const { pid } = await app.status()
  await app.call('chdir', join(place.box.dir, 'later'))
  process.kill(pid as number, 'SIGKILL')
  await expect.poll(async () => (await app.status()).restarts, { timeout: 30_000 }).toBe(1)
  expect(await app.call('record', 'a')).toBe(null)
  expect(await app.call('flush', 30_000)).toBe(true)
  expect(existsSync(join(place.box.dir, 'later/relative'))).toBe(false)
})

test('a configuration that is wrong is told once, and the application goes on', async () => {
  const app = place.start({}, { OFFPATH_EXPORT_TIMEOUT: 'soon', OFFPATH_HTTP_TOKEN: 'hidden' })
  expect(await app.call('ready')).toBe(false)
  const words =
    'OFFPATH_EXPORT_TIMEOUT: "soon" is not valid; expected a duration such as 250ms (ms, s, m, h, d)'
  expect(await app.status()).toMatchObject({ state: 'refused', message: words, pid: null })
  await app.call('record', 'a')
  expect(await app.call('flush', 30_000)).toBe(false)
  expect(await app.call('stop')).toBe(false)
  await app.leaves()
  expect(await app.stderr).toBe(`[offpath] error the relay is given up: ${words}\n`)
})

test('options come before the environment; secrets are on no command line, and what is not ours stays away', async () => {
  const preload = join(place.box.dir, 'preload.mjs')
  writeFileSync(
    preload,
    "import { writeFileSync } from 'node:fs'; writeFileSync(process.pid + '.ran', '')",
  )
  const app = place.start(
    { langfuse: { secretKey: 'sk-lf-given' }, http: { token: 'hidden' } },
    { NODE_OPTIONS: `--import=${preload}`, DATABASE_PASSWORD: 'x', OFFPATH_HTTP_TOKEN: 'other' },
  )
  expect(await app.call('ready')).toBe(true)
  const { pid, url } = await app.status()
  const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
  expect(environment).toContain('OFFPATH_LANGFUSE_SECRET_KEY=sk-lf-given')
  expect(environment.filter((line) => /^(DATABASE|NODE_OPTIONS)/.test(line))).toEqual([])
  expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).not.toMatch(/sk-lf|hidden/)
  expect(readdirSync(place.box.dir).filter((name) => name.endsWith('.ran'))).toEqual([
    `${app.child.pid}.ran`,
  ])
  const authorization = 'Bearer hidden'
  expect((await fetch(`${url}/api/stats`, { headers: { authorization } })).status).toBe(200)
})

test('stop delivers what is left for so long at most; log lines go to onLog', async () => {
  place.langfuse.faults = () => ({ type: 'status', status: 503 })
  const app = place.start({ onLog: true, drainMs: 20_000 })
  await app.call('ready')
  await app.call('record', 'a')
  const before = performance.now()
  expect(await app.call('stop', 300)).toBe(false)
  expect(performance.now() - before).toBeLessThan(6000)
  expect(await app.status()).toMatchObject({ state: 'stopped', pid: null, url: null })
  const lines = (await app.call('lines')) as string[]
  expect(lines.some((line) => line.startsWith('info ready url=http'))).toBe(true)
  expect(lines).toContain('warn not all is delivered: the rest goes out at the next start')
  await app.leaves()
  expect(await app.stderr).toBe('')

  place.langfuse.faults = () => undefined
  const next = place.start()
  await next.call('ready')
  expect(await next.call('stop', 30_000)).toBe(true)
  expect(place.names()).toEqual(['a'])
})
