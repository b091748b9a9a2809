import { once } from 'node:events'
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startLangfuseServer } from '../../../../test/langfuse-server/server.ts'
import type { LangfuseServer } from '../../../../test/langfuse-server/types.ts'
import type { Observation, Trace, TraceList } from '../http/shapes.ts'
import type { Stats } from '../http/stats.ts'
import { deliveringTo, type Running, type Sandbox, sandbox } from './cli.fixture.ts'

const FIRST = 'abcd0000000000000000000000000001'
const SECOND = 'abcd0000000000000000000000000002'

describe('usage', () => {
  let box: Sandbox
  beforeAll(() => {
    box = sandbox()
  })
  afterAll(() => box.remove())

  test('--help names every command; each has help of its own', async () => {
    const { code, stdout } = await box.offpath('--help')
    expect(code).toBe(0)
    for (const name of ['up', 'ls', 'show', 'tail', 'status', 'spool ls', 'spool verify']) {
      expect(stdout).toContain(`\n  ${name} `)
    }
    const verify = await box.offpath('spool', 'verify', '--help')
    expect([verify.code, verify.stderr]).toEqual([0, ''])
    expect(verify.stdout).toMatch(/^offpath spool verify <file> \[flags\]: /)
    expect((await box.offpath('up', '--help')).stdout).toContain('--langfuse-secret-key')
  })

  test('--version', async () => {
    expect((await box.offpath('--version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  test.each<[string[], string]>([
    [['lss'], 'unknown command "lss" (did you mean ls?)\nRun `offpath --help`.'],
    [
      ['ls', '--limt', '3'],
      'unknown flag --limt of ls (did you mean --limit?)\nRun `offpath ls --help`.',
    ],
    [['ls', '--limit', '0'], '--limit: "0" is not a whole number from 1 to 500'],
    [['ls', '--before', 'x'], '--before: "x" is not "next" of the page before'],
    [['ls', '--since', '5'], '--since: "5" is not a duration such as 10m or an ISO time'],
    [['show', 'xyz'], '"xyz" is no trace id: 32 hexadecimal digits, or their beginning'],
    [['up', '--http-port', 'x'], '--http-port: "x" is not valid; expected a port from 0 to 65535'],
  ])('%j is refused with exit code 2', async (args, message) => {
    const { code, stdout, stderr } = await box.offpath(...args)
    expect([code, stdout, stderr]).toEqual([2, '', `offpath: ${message}\n`])
  })

  test('problems of offpath.yaml are told with their places', async () => {
    const yaml = join(box.dir, 'bad.yaml')
    writeFileSync(yaml, 'store:\n  dri: x\nhttp.port: many\n', { mode: 0o600 })
    const { code, stderr } = await box.offpath('ls', '--config', 'bad.yaml')
    expect(code).toBe(2)
    expect(stderr).toBe(
      'offpath: bad.yaml:2:3: store.dri is not an option (did you mean store.dir?)\n' +
        'offpath: bad.yaml:3:12: http.port: "many" is not valid; expected a port from 0 to 65535\n',
    )
  })

  test('without a store, reading commands say how to get one', async () => {
    for (const command of ['ls', 'status']) {
      const { code, stderr } = await box.offpath(command)
      expect(code).toBe(1)
      expect(stderr).toBe(
        `offpath: there is no store in ${box.env.OFFPATH_STORE_DIR} yet: start the relay with \`offpath up\`, or name another one with --store-dir\n`,
      )
    }
  })
})

describe('with traces', () => {
  let box: Sandbox
  let langfuse: LangfuseServer
  let relay: Running
  let app: Running
  let ready: { ready: true; url: string; spool: string; store: string; exporters: string[] }

  beforeAll(async () => {
    langfuse = await startLangfuseServer()
    box = sandbox(deliveringTo(langfuse))
    relay = box.start('up', '--json')
    ready = JSON.parse(await relay.line())
    app = box.app()
    await app.line()
    await langfuse.waitForSpans(4)
  })

  afterAll(async () => {
    await app.end()
    await relay.end('SIGTERM')
    await langfuse.close()
    box.remove()
  })

  async function json<T>(...args: string[]): Promise<T> {
    const { code, stdout, stderr } = await box.offpath(...args, '--json')
    expect([code, stderr]).toEqual([0, ''])
    return JSON.parse(stdout) as T
  }

  test('up --json says in one line where everything is', () => {
    expect(ready).toMatchObject({
      ready: true,
      spool: box.env.OFFPATH_SPOOL_DIR,
      store: box.env.OFFPATH_STORE_DIR,
      exporters: ['langfuse'],
    })
    expect(ready.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
  })

  test('ls lists traces, as /api/traces does', async () => {
    const list = await json<TraceList>('ls')
    expect(list.next).toBeNull()
    expect(list.traces.map(({ id }) => id).sort()).toEqual([FIRST, SECOND])
    expect(list.traces.find(({ id }) => id === FIRST)).toMatchObject({
      service: 'chat-api',
      userId: 'người dùng',
      sessionId: '会话',
      observations: 3,
      errors: 1,
      warnings: 0,
      interrupted: 0,
      tokens: { input: 412, output: 128, total: 540 },
    })
    const answer = await fetch(`${ready.url}/api/traces`)
    expect(await answer.json()).toEqual(list)
  })

  test('ls pages, and filters by service and time', async () => {
    const first = await json<TraceList>('ls', '--limit', '1')
    const rest = await json<TraceList>('ls', '-n', '1', '--before', first.next!)
    expect([...first.traces, ...rest.traces].map(({ id }) => id).sort()).toEqual([FIRST, SECOND])
    expect((await json<TraceList>('ls', '--service', 'other')).traces).toEqual([])
    expect((await json<TraceList>('ls', '--since', '1h')).traces).toHaveLength(2)
    expect((await json<TraceList>('ls', '--since', '0')).traces).toEqual([])
  })

  test('ls prints a table that no trace can deface', async () => {
    const { stdout } = await box.offpath('ls')
    const [titles, ...rows] = stdout.trimEnd().split('\n')
    const columns = 'TRACE TIME NAME SERVICE DURATION SPANS TOKENS TROUBLE USER SESSION'
    expect(titles?.replace(/ +/g, ' ')).toBe(columns)
    expect(stdout).toContain('412 → 128')
    expect(rows).toHaveLength(2)
    expect(stdout).toContain('người dùng  会话')
    expect(stdout).not.toMatch(/(?!\n)\p{Cc}/u)
  })

  test('show takes the beginning of an id, if it is the only one', async () => {
    const { code, stdout } = await box.offpath('show', FIRST)
    expect(code).toBe(0)
    expect(stdout).toContain(`trace ${FIRST}\n`)
    expect(stdout).toMatch(/├─ vllm +generation .* qwen3 · first token .* · 412 → 128 tokens\n/)
    expect(stdout).toMatch(/└─ lookup +span .* ERROR\n +! +upstream died\n/)
    expect(stdout).not.toMatch(/(?!\n)\p{Cc}/u)
    const ambiguous = await box.offpath('show', 'ABCD')
    expect(ambiguous.code).toBe(1)
    expect(ambiguous.stderr.trimEnd().split('\n').slice(1).sort()).toEqual([FIRST, SECOND])
    const none = await box.offpath('show', 'ffff')
    expect([none.code, none.stderr]).toEqual([
      1,
      'offpath: no trace begins with ffff; `offpath ls` lists them\n',
    ])
  })

  test('show --json answers as /api/traces/:id does', async () => {
    const shown = await json<Trace>('show', FIRST)
    expect(shown.observations.map(({ name, type }) => [name, type])).toEqual([
      ['chat \u001b]0;owned\u0007 世界', 'span'],
      ['vllm', 'generation'],
      ['lookup', 'span'],
    ])
    expect(shown.observations[0]).toMatchObject({
      traceId: FIRST,
      parentId: '00000000000000aa',
      input: { question: 'Xin chào \u001b[31m' },
      metadata: { a: 1 },
      cut: {},
    })
    expect(shown.observations[1]).toMatchObject({
      model: 'qwen3',
      input: 'x'.repeat(10_000),
      output: 'Chào bạn',
      usage: { input: 412, output: 128 },
      level: 'DEFAULT',
    })
    const answer = await fetch(`${ready.url}/api/traces/${FIRST.slice(0, 31)}1`)
    expect(await answer.json()).toEqual(shown)
  })

  test('the API tells unknown and ambiguous traces apart', async () => {
    const unknown = await fetch(`${ready.url}/api/traces/ffff`)
    expect([unknown.status, await unknown.json()]).toMatchObject([
      404,
      { error: { code: 'not_found' } },
    ])
    const ambiguous = await fetch(`${ready.url}/api/traces/abcd`)
    const { error } = (await ambiguous.json()) as { error: { code: string; ids: string[] } }
    expect([ambiguous.status, error.code, error.ids.sort()]).toEqual([
      409,
      'ambiguous',
      [FIRST, SECOND],
    ])
  })

  test('status counts what was accepted and what became of it', async () => {
    const stats = await json<Stats>('status')
    expect(stats.relay).toMatchObject({ pid: relay.child.pid, url: ready.url })
    expect(stats).toMatchObject({ accepted: 4, open: 0, lost: {}, deadLetters: [] })
    expect(stats.exporters).toMatchObject([
      { name: 'langfuse', accepted: 4, deadLettered: 0, dropped: {}, delivery: { state: 'ok' } },
    ])
    const { accepted, delivered, deadLettered, held } = stats.exporters[0]!
    expect(accepted).toBe(delivered + deadLettered + held)
    expect(stats.writers).toMatchObject([{ service: 'chat-api', pid: app.child.pid, alive: true }])
    const { stdout } = await box.offpath('status')
    expect(stdout).toMatch(/^relay +running, pid \d+, http/)
    expect(stdout).toMatch(/\nlangfuse +ok +4 +/)
    expect(stdout).toMatch(/ chat-api +\d+ .* alive /)
  })

  test('/metrics counts the same', async () => {
    const text = await (await fetch(`${ready.url}/metrics`)).text()
    expect(text).toContain('\noffpath_observations_accepted_total 4\n')
    expect(text).toContain('\noffpath_exporter_accepted_total{exporter="langfuse"} 4\n')
    expect(text).toContain('\noffpath_exporter_state{exporter="langfuse",state="ok"} 1\n')
    expect(text).toMatch(/\noffpath_exporter_requests_total\{exporter="langfuse",status="200"\} \d/)
    expect(text).toMatch(/\noffpath_writers\{life="alive"\} 1\n/)
    expect(text).not.toMatch(/^(?:process|nodejs)_/m)
  })

  test('spool ls shows the segment of the application', async () => {
    const { segments } = await json<{ segments: Record<string, unknown>[] }>('spool', 'ls')
    expect(segments).toMatchObject([
      {
        tier: 'memory',
        number: 1,
        pid: app.child.pid,
        alive: true,
        service: 'chat-api',
        fault: null,
      },
    ])
    const { stdout } = await box.offpath('spool', 'ls')
    expect(stdout).toMatch(/\.seg +memory +chat-api +\d+ +alive /)
  })

  test('spool verify finds what is wrong, with its place', async () => {
    const spool = box.env.OFFPATH_SPOOL_DIR!
    const name = readdirSync(spool).find((file) => file.endsWith('.seg'))!
    const good = await box.offpath('spool', 'verify', join(spool, name))
    expect([good.code, good.stdout]).toEqual([0, expect.stringContaining('\n  clean\n')])

    const copy = join(box.dir, 'copy.seg')
    copyFileSync(join(spool, name), copy)
    const bytes = readFileSync(copy)
    const first = bytes.readUInt32LE(12)
    // The length of the first frame, and half a frame at the end.
    bytes.writeUInt32LE(bytes.readUInt32LE(first + 12) ^ 0x100, first + 12)
    writeFileSync(copy, Buffer.concat([bytes, bytes.subarray(first, first + 60)]))
    const bad = await box.offpath('spool', 'verify', copy, '--json')
    const verdict = JSON.parse(bad.stdout)
    expect([bad.code, verdict.clean]).toEqual([1, false])
    expect(verdict.faults[0]).toMatchObject({
      offset: first,
      fault: expect.stringContaining('length'),
    })
    expect(verdict.faults.at(-1).offset).toBeGreaterThanOrEqual(bytes.length)

    writeFileSync(copy, 'no segment at all'.repeat(20))
    const none = await box.offpath('spool', 'verify', copy)
    expect([none.code, none.stdout]).toEqual([
      1,
      expect.stringContaining('at 0, 340 bytes: is no segment'),
    ])
    const missing = await box.offpath('spool', 'verify', '/nowhere.seg')
    expect([missing.code, missing.stdout]).toEqual([
      1,
      expect.stringContaining('there is no such file'),
    ])
  })

  test('tail follows observations as they finish, until Ctrl-C', async () => {
    const tail = box.start('tail', '--json', '--limit', '1')
    const before = JSON.parse(await tail.line()) as Observation
    expect(before.traceId).toMatch(/^abcd/)
    const second = box.app()
    const names: string[] = []
    for (let i = 0; i < 4; i++) names.push((JSON.parse(await tail.line()) as Observation).name)
    expect(names.toSorted()).toEqual(['chat \u001b]0;owned\u0007 世界', 'lookup', 'second', 'vllm'])
    expect(await tail.end('SIGINT')).toBe(0)
    await second.end()
  })

  test('a second relay on the spool, the store or the port is refused in one line', async () => {
    const spool = await box.offpath('up', '--store-dir', join(box.dir, 'other'))
    expect([spool.code, spool.stdout, spool.stderr]).toEqual([
      3,
      '',
      `offpath: another relay reads the spool ${box.env.OFFPATH_SPOOL_DIR}; one reads a spool\n`,
    ])
    const store = await box.offpath('up', '--spool-dir', join(box.dir, 's'))
    expect([store.code, store.stderr]).toEqual([
      1,
      `offpath: another relay writes to the store ${box.env.OFFPATH_STORE_DIR}; stop it, or name another store.dir\n`,
    ])
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as { port: number }
    const other = ['--spool-dir', 'a', '--spool-disk-dir', 'b', '--store-dir', 'c']
    const http = await box.offpath('up', ...other, '--http-port', String(port))
    taken.close()
    expect([http.code, http.stderr]).toEqual([
      1,
      `offpath: port ${port} of 127.0.0.1 is taken; choose another one with --http-port (0: any free one)\n`,
    ])
  })
})

describe('without a relay', () => {
  test('SIGTERM leaves what is not delivered on disk; the store is read; the next start delivers', async () => {
    const langfuse = await startLangfuseServer({ faults: () => ({ type: 'status', status: 503 }) })
    const box = sandbox(deliveringTo(langfuse))
    const relay = box.start('up', '--json')
    await relay.line()
    const app = box.app('--open')
    await app.line()
    await langfuse.waitFor(() => langfuse.requests.length > 0)
    app.child.kill('SIGKILL')
    await app.end()
    expect(await relay.end('SIGTERM')).toBe(0)
    expect(await relay.stderr).toMatch(/info {2}stopped\n$/)

    const stats = JSON.parse((await box.offpath('status', '--json')).stdout) as Stats
    expect(stats.relay).toBeNull()
    expect(stats.exporters).toMatchObject([{ accepted: 5, delivered: 0, held: 5, delivery: null }])
    expect((await box.offpath('status')).stdout).toMatch(/^relay +not running\n/)
    const { traces } = JSON.parse((await box.offpath('ls', '--json')).stdout) as TraceList
    expect(traces).toHaveLength(2)

    langfuse.faults = undefined
    const again = box.start('up')
    await langfuse.waitForSpans(5)
    const open = JSON.parse((await box.offpath('ls', '--json')).stdout) as TraceList
    expect(open.traces).toHaveLength(3)
    expect(open.traces.filter(({ interrupted }) => interrupted === 1)).toHaveLength(1)
    expect(await again.line()).toMatch(/^offpath \d+\.\d+\.\d+ is up$/)
    expect(await again.end('SIGINT')).toBe(0)
    await langfuse.close()
    box.remove()
  })

  test('wrong keys are told, and what they hold up is kept', async () => {
    const langfuse = await startLangfuseServer()
    const box = sandbox({
      LANGFUSE_BASE_URL: langfuse.url,
      LANGFUSE_PUBLIC_KEY: 'pk-lf-test',
      LANGFUSE_SECRET_KEY: 'sk-lf-wrong',
    })
    const relay = box.start('up')
    await relay.line()
    const app = box.app()
    await app.line()
    await langfuse.waitFor(() => langfuse.requests.length > 0)
    const { stdout } = await box.offpath('status')
    expect(stdout).toMatch(/\nlangfuse +unauthorized +4 +0 +0 +0 +4 +/)
    expect(stdout).toMatch(/\nlangfuse: unauthorized since \d\d:\d\d:\d\d: answered 401/)
    expect(await relay.end('SIGTERM')).toBe(0)
    const log = await relay.stderr
    expect(log).toMatch(/ warn {2}answered 401.* exporter=langfuse /)
    expect(log + stdout).not.toContain('sk-lf-wrong')
    await app.end()
    await langfuse.close()
    box.remove()
  })
})
