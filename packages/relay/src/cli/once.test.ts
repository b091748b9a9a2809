// `offpath up --once`: real applications, spools and servers.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { startLangfuseServer } from '../../../../test/langfuse-server/server.ts'
import type { LangfuseServer } from '../../../../test/langfuse-server/types.ts'
import type { Replayed } from '../operations/replay.ts'
import { writeSegment } from '../testing/plain-writer.ts'
import { deliveringTo, type Sandbox, sandbox } from './cli.fixture.ts'
import type { Outcome } from './once.ts'

const SDK = join(import.meta.dirname, '../../../sdk/src/index.ts')
const NOTHING = { delivered: 0, deadLettered: 0, dropped: {}, waiting: 0 }

let langfuse: LangfuseServer
let box: Sandbox

beforeEach(async () => {
  langfuse = await startLangfuseServer()
  box = sandbox(deliveringTo(langfuse))
})

afterEach(async () => {
  await langfuse.close()
  box.remove()
})

async function deliverOnce(
  ...args: string[]
): Promise<{ code: number | null; outcome: Outcome; stderr: string }> {
  const { code, stdout, stderr } = await box.offpath('up', '--once', '--json', ...args)
  return { code, outcome: JSON.parse(stdout) as Outcome, stderr }
}

/** A process that runs these lines with the SDK at hand. Its first line has come. */
async function program(lines: string): Promise<{ end(): Promise<void> }> {
  const file = join(box.dir, 'app.mjs')
  writeFileSync(
    file,
    `import { flush, startObservation, withProject } from ${JSON.stringify(SDK)}\n${lines}`,
  )
  const child = spawn(process.execPath, [file], { cwd: box.dir, env: box.env })
  const exit = once(child, 'exit')
  const end = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exit
  }
  onTestFinished(end)
  await once(child.stdout, 'data')
  return { end }
}

test('what a killed application left is delivered, what it left open as interrupted, and counted for this run', async () => {
  await box.killedApp()
  const first = await deliverOnce()
  expect(first).toEqual({
    code: 0,
    stderr: '',
    outcome: {
      done: true,
      open: 0,
      unreadBytes: 0,
      redisList: null,
      storeFull: false,
      exporters: [
        {
          name: 'langfuse',
          ...NOTHING,
          delivered: 5,
          resent: 0,
          notResent: 0,
          waitingBytes: 0,
          scores: NOTHING,
          media: NOTHING,
          state: 'ok',
          message: null,
        },
      ],
    },
  })
  const interrupted = langfuse
    .spans()
    .filter(({ attributes }) => attributes['offpath.interrupted'] === true)
  expect(interrupted.map(({ name }) => name)).toEqual(['left open'])

  const second = await deliverOnce()
  expect([second.code, second.outcome.exporters]).toMatchObject([0, [NOTHING]])
  const { stdout } = await box.offpath('up', '--once')
  expect(stdout).toBe('langfuse: nothing to deliver\nnothing is left\n')
})

test('what a live application has ended is delivered, and what it has open stays so', async () => {
  const app = box.app('--open')
  await app.line()
  const live = await deliverOnce()
  expect([live.code, live.outcome]).toMatchObject([
    0,
    { done: true, open: 1, exporters: [{ delivered: 4, waiting: 0 }] },
  ])
  expect(langfuse.spans().map(({ name }) => name)).not.toContain('left open')
  const { stdout } = await box.offpath('up', '--once')
  expect(stdout).toContain('\n1 observation open in applications that run\nnothing is left\n')
  await app.end('SIGKILL')
  const dead = await deliverOnce()
  expect(dead.outcome).toMatchObject({ open: 0, exporters: [{ delivered: 1 }] })
})

test('an application that records without end holds it up no longer than what was there', async () => {
  await program(`
    setInterval(() => startObservation('again').end(), 1)
    setTimeout(() => console.log('records'), 100)`)
  const { code, outcome } = await deliverOnce('--timeout', '15s')
  expect([code, outcome]).toMatchObject([0, { done: true, exporters: [{ waiting: 0 }] }])
  expect(outcome.exporters[0]!.delivered).toBeGreaterThan(0)
})

test('a backlog of more than one commit takes in is delivered to its end', async () => {
  const recorded = await program(`
    for (let i = 10; i < 22; i++) startObservation('large', { input: String(i).repeat(500_000) }).end()
    await flush({ until: 'spooled', timeoutMs: 10_000 })
    console.log('recorded')
    setInterval(() => {}, 1000)`)
  await recorded.end()
  const { code, outcome } = await deliverOnce()
  expect([code, outcome]).toMatchObject([0, { done: true, exporters: [{ delivered: 12 }] }])
})

test('scores are delivered too', async () => {
  const trace_id = '0af7651916cd43dd8448eb211c80319c'
  const timestamp = '1790000000123456789'
  const score = { record: 'score', id: 'score-1', trace_id, name: 'quality', value: 1, timestamp }
  writeSegment(box.env.OFFPATH_SPOOL_DIR!, { frames: [{ json: [score] }, { end: true }] })
  const { code, outcome } = await deliverOnce()
  expect([code, outcome.exporters]).toMatchObject([0, [{ scores: { delivered: 1, waiting: 0 } }]])
  expect(langfuse.scores.all().map(({ id }) => id)).toEqual(['score-1'])
})

test('without an exporter traces are read into the store, and that is said', async () => {
  await box.killedApp()
  for (const name of ['LANGFUSE_PUBLIC_KEY', 'LANGFUSE_SECRET_KEY']) delete box.env[name]
  expect(await box.offpath('up', '--once')).toEqual({
    code: 0,
    stdout: 'no exporter is configured: traces are kept in the store\nnothing is left\n',
    stderr: '',
  })
  const { traces } = JSON.parse((await box.offpath('ls', '--json')).stdout)
  expect(traces).toHaveLength(3)
})

test('a server that is not there: the time is kept to, what waits is told, and the next run delivers it', async () => {
  await box.killedApp()
  const { LANGFUSE_BASE_URL } = box.env
  const nobody = createServer().listen(0, '127.0.0.1')
  await once(nobody, 'listening')
  const { port } = nobody.address() as { port: number }
  nobody.close()
  box.env.LANGFUSE_BASE_URL = `http://127.0.0.1:${port}`
  const { code, outcome } = await deliverOnce('--timeout', '500ms')
  expect([code, outcome]).toMatchObject([
    1,
    { done: false, exporters: [{ delivered: 0, waiting: 5, state: 'retrying' }] },
  ])
  expect(outcome.exporters[0]!.message).toContain('ECONNREFUSED')
  const { stdout } = await box.offpath('up', '--once', '--timeout', '500ms')
  expect(stdout).toMatch(
    /^langfuse: 5 wait\nlangfuse: retrying since .*ECONNREFUSED.*\nnot all is delivered: /,
  )

  box.env.LANGFUSE_BASE_URL = LANGFUSE_BASE_URL!
  expect((await deliverOnce()).outcome).toMatchObject({ done: true, exporters: [{ delivered: 5 }] })
})

test('what is sent again is told, and that it waits', async () => {
  await box.killedApp()
  await deliverOnce()
  const replay = async (): Promise<number> => {
    const { stdout } = await box.offpath('replay', '--from', '1h', '--json')
    return (JSON.parse(stdout) as Replayed).exporters[0]!.observations
  }
  expect(await replay()).toBe(5)
  langfuse.faults = () => ({ type: 'status', status: 503 })
  const away = await deliverOnce('--timeout', '500ms')
  expect([away.code, away.outcome]).toMatchObject([1, { done: false, exporters: [NOTHING] }])
  expect(away.outcome.exporters[0]!.waitingBytes).toBeGreaterThan(0)
  const waits = await box.offpath('up', '--once', '--timeout', '500ms')
  expect(waits.stdout).toMatch(/^langfuse: some wait to be sent again\nlangfuse: retrying since /)

  langfuse.faults = undefined
  const { outcome } = await deliverOnce()
  expect(outcome).toMatchObject({
    done: true,
    exporters: [{ ...NOTHING, resent: 5, notResent: 0, waitingBytes: 0 }],
  })
  expect(await replay()).toBe(5)
  const sent = await box.offpath('up', '--once')
  expect(sent.stdout).toBe('langfuse: 5 sent again\nnothing is left\n')
})

test('what waits for other keys is not waited for; all else is delivered before', async () => {
  const recorded = await program(`
    startObservation('of main').end()
    withProject('search', () => startObservation('of search').end())
    withProject('nobody', () => startObservation('of nobody').end())
    await flush({ until: 'spooled' })
    console.log('recorded')
    setInterval(() => {}, 1000)`)
  await recorded.end()
  langfuse.latencyMs = 300
  box.env.OFFPATH_LANGFUSE_PROJECTS = 'search=pk-search:sk-secret'
  const { code, outcome, stderr } = await deliverOnce()
  expect([code, outcome]).toMatchObject([
    1,
    { done: false, exporters: [{ delivered: 1, waiting: 2, state: 'unauthorized' }] },
  ])
  expect(langfuse.spans().map(({ name }) => name)).toEqual(['of main'])
  const { stdout } = await box.offpath('up', '--once')
  expect(stdout).toMatch(/\nlangfuse, project search: unauthorized since .*: answered 401/)
  expect(stdout).toMatch(/\nlangfuse, project nobody: no-keys since .*: no keys for the project/)
  expect(stderr + stdout + JSON.stringify(outcome)).not.toContain('sk-secret')
})

test('while one is at work, another one is refused with exit code 3', async () => {
  await box.killedApp()
  langfuse.latencyMs = 2000
  const first = box.start('up', '--once', '--json')
  await langfuse.waitFor(() => langfuse.requests.length > 0)
  const second = await box.offpath('up', '--once')
  expect([second.code, second.stdout]).toEqual([3, ''])
  expect(second.stderr).toMatch(/^offpath: another relay (?:writes to|reads) [^\n]+\n$/)
  expect(JSON.parse(await first.line())).toMatchObject({ done: true })
  expect(await first.end()).toBe(0)
})

test('exit code 3 is for who is served by the other relay: with a store that another service has, it is 1', async () => {
  const relay = box.start('up', '--json')
  await relay.line()
  const other = await box.offpath('up', '--once', '--spool-dir', join(box.dir, 'other-spool'))
  expect([other.code, other.stdout]).toEqual([1, ''])
  expect(other.stderr).toMatch(
    /^offpath: another relay writes to .*; stop it, or name another store\.dir\n$/,
  )
  expect(await relay.end('SIGTERM')).toBe(0)
})

test('SIGTERM ends it before its time', async () => {
  langfuse.faults = () => ({ type: 'status', status: 503 })
  await box.killedApp()
  const relay = box.start('up', '--once', '--json')
  await langfuse.waitFor(() => langfuse.requests.length > 0)
  relay.child.kill('SIGTERM')
  expect(JSON.parse(await relay.line())).toMatchObject({
    done: false,
    exporters: [{ waiting: 5, state: 'retrying', message: expect.stringContaining('503') }],
  })
  expect(await relay.end()).toBe(1)
})

test('a port that nobody asked for is in nobody’s way; one that was asked for is', async () => {
  const taken = createServer()
  onTestFinished(() => void taken.close())
  // Taken by us or by somebody else.
  await new Promise<void>((resolve) => {
    taken.once('listening', resolve).once('error', () => resolve())
    taken.listen(7411, '127.0.0.1')
  })
  delete box.env.OFFPATH_HTTP_PORT
  expect((await deliverOnce()).code).toBe(0)
  const asked = await box.offpath('up', '--once', '--http-port', '7411')
  expect([asked.code, asked.stdout]).toEqual([1, ''])
  expect(asked.stderr).toContain('port 7411 of 127.0.0.1 is taken')
})

test.each<[string[], string]>([
  [
    ['--once', '--timeout', 'soon'],
    '--timeout: "soon" is not a duration such as 250ms (ms, s, m, h, d)',
  ],
  [['--once', '--timeout', '0'], '--timeout: "0" is not a duration such as 250ms (ms, s, m, h, d)'],
  [['--timeout', '5m'], '--timeout is a flag for --once'],
])('up %j is refused', async (args, message) => {
  expect(await box.offpath('up', ...args)).toEqual({
    code: 2,
    stdout: '',
    stderr: `offpath: ${message}\n`,
  })
})
