// A store that moves: `offpath export`, `offpath import`, without a relay and through one.
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { FIELD } from '@offpath/sdk/spool-format'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { loadConfig } from '../config/config.ts'
import type { OptionName } from '../config/options.ts'
import { field, json, makeSpan, resource, text } from '../export/fixtures.ts'
import { javascript5 } from '../export/langfuse.ts'
import { createEncoder } from '../export/otlp.ts'
import { findTrace, listTraces } from '../http/answers.ts'
import { createLog } from '../log.ts'
import { openRelay } from '../relay.ts'
import { StoreReader } from '../store/read.ts'
import type { StoredSpan } from '../store/span.ts'
import { Store } from '../store/store.ts'
import type { Run } from './call.ts'
import { type Sandbox, sandbox } from './cli.fixture.ts'
import { run as exportRun } from './export.ts'
import { run as importRun } from './import.ts'
import { lineBatches } from './line-batches.ts'
import type { Terminal } from './terminal.ts'

let box: Sandbox
beforeEach(() => {
  box = sandbox()
})
afterEach(() => box.remove())

const dirOf = (name: string): string => join(box.dir, name)

function fill(store: string, spans: readonly StoredSpan[]): void {
  const into = new Store(dirOf(store))
  const writer = { id: 'w', resource, finished: spans, state: '{}', vitals: [] }
  const counters = { accepted: spans.filter(({ revision }) => revision === 0).length }
  into.commit({ writers: [writer], cursors: [], counters })
  into.close()
}

interface Ended {
  readonly code: number
  readonly out: string
  readonly told: string
}

async function cli(
  run: Run,
  store: string,
  words: readonly string[],
  flags: Record<string, string> = {},
  options: Partial<Record<OptionName, string>> = {},
): Promise<Ended> {
  let out = ''
  let told = ''
  const terminal: Terminal = {
    print: (text) => {
      out += text
      return true
    },
    complain: (text) => {
      told += `${text}\n`
    },
    columns: undefined,
    style: (_, text) => text,
  }
  const given = { 'store.dir': dirOf(store), ...options }
  const loaded = loadConfig({
    flags: new Map(Object.entries(given) as [OptionName, string][]),
    env: box.env,
    cwd: box.dir,
  })
  const all = new Map(Object.entries(flags))
  const call = { words, flags: all, json: all.has('json'), loaded, terminal }
  const code = await run(call)
  return { code, out, told }
}

const exported = (store: string, flags: Record<string, string> = {}) =>
  cli(exportRun, store, [], flags)

/** All that a store says to people and to exporters. */
function contents(store: string): { shown: unknown[]; sent: Buffer } {
  const reader = StoreReader.open(dirOf(store))!
  const encoder = createEncoder({
    dialect: javascript5,
    load: reader.loadParts,
    maxSpanBytes: 2 ** 26,
  })
  const { traces } = listTraces(reader, { limit: 500 })
  const shown = traces.map(({ id }) => {
    const { found } = findTrace(reader, id, {
      observations: 1000,
      valueBytes: 1e6,
      totalBytes: 1e7,
    })
    return found
  })
  const sent = encoder.encode(reader.spansAfter(0, 10_000).spans)
  reader.close()
  return { shown, sent }
}

const spans = () => {
  const now = Math.floor(Date.now() / 1000)
  const usage = json({ input: 7, output: 5 })
  return Array.from({ length: 700 }, (_, i) =>
    makeSpan({
      traceId: Buffer.alloc(16, 1 + (i % 7)),
      startSeconds: now - 20,
      endSeconds: now - 10,
      interrupted: i % 50 === 0,
      project: i % 3 === 0 ? 'search' : null,
      fields: [
        field(FIELD.input, i % 2 === 0 ? json([{ role: 'user' }]) : text('["no JSON"]')),
        field(FIELD.metadata, { type: 'int', value: i }, 'n'),
        field(FIELD.userId, text('ann')),
        field(FIELD.sessionId, text('s-1')),
        field(FIELD.traceName, text('checkout')),
        field(FIELD.usageDetails, usage),
        field(FIELD.output, text(`data:image/png;base64,${'A'.repeat(i)}`)),
      ],
    }),
  )
}

describe('a store that moves', () => {
  test('is the same to people and to exporters, and twice is once', async () => {
    fill('old', spans())
    const file = dirOf('spans.jsonl')
    const wrote = await exported('old', { out: file })
    expect(wrote).toMatchObject({ code: 0, out: `700 observations in ${file}\n`, told: '' })
    expect(statSync(file).mode & 0o777).toBe(0o600)

    const first = await cli(importRun, 'new', [file])
    expect([first.code, first.told]).toEqual([0, ''])
    expect(first.out).toContain('700 observations imported\n')
    expect(contents('new').sent.equals(contents('old').sent)).toBe(true)
    expect(contents('new').shown).toEqual(contents('old').shown)

    const again = await cli(importRun, 'new', [file], { json: '' })
    expect(JSON.parse(again.out)).toMatchObject({ spans: 0, revised: 0, known: 700 })
    const own = await cli(importRun, 'old', [file], { json: '' })
    expect(JSON.parse(own.out)).toMatchObject({ spans: 0, revised: 0, known: 700 })
  })

  test('is the same, too, when another relay receives its lines at /v1/traces', async () => {
    fill('old', spans())
    const { out } = await exported('old')
    const env = { ...box.env, OFFPATH_STORE_DIR: dirOf('new'), OFFPATH_OTLP_RECEIVE: 'true' }
    const { config } = loadConfig({ flags: new Map(), env, cwd: box.dir })
    const relay = await openRelay(
      config,
      createLog(() => {}, 'error'),
    )
    for (const body of out.trimEnd().split('\n')) {
      const headers = { 'content-type': 'application/json' }
      const answer = await fetch(`${relay.url}/v1/traces`, { method: 'POST', headers, body })
      expect([answer.status, await answer.json()]).toEqual([200, {}])
    }
    await relay.close()
    expect(contents('new').sent.equals(contents('old').sent)).toBe(true)
    expect(contents('new').shown).toEqual(contents('old').shown)
  })

  test('brings of an observation its newest version, and later ones as such', async () => {
    const first = makeSpan({ name: 'first', interrupted: true })
    fill('old', [first, { ...first, name: 'second', interrupted: false, revision: 1 }])
    fill('new', [first])
    const { out } = await exported('old')
    expect(out.split('\n')).toHaveLength(2)
    writeFileSync(dirOf('lines'), out)
    const { out: printed } = await cli(importRun, 'new', [dirOf('lines')], { json: '' })
    expect(JSON.parse(printed)).toMatchObject({ spans: 0, revised: 1, known: 0 })
    expect(contents('new').shown).toMatchObject([
      { trace: { observations: 1, interrupted: 0 }, observations: [{ name: 'second' }] },
    ])
  })

  test('leaves out what was not asked for, what is open, and a file that is there', async () => {
    const now = Math.floor(Date.now() / 1000)
    const old = makeSpan({ endSeconds: now - 7200 })
    const young = makeSpan({ endSeconds: now - 60 })
    fill('old', [old, young])
    const store = new Store(dirOf('old'))
    store.count({ accepted: 3 })
    store.close()
    const names = ({ out }: Ended) => [...out.matchAll(/"spanId":"(\w+)"/g)].map(([, id]) => id)
    const id = (span: StoredSpan) => span.spanId.toString('hex')
    expect(names(await exported('old', { from: '1h' }))).toEqual([id(young)])
    expect(names(await exported('old', { to: '1h' }))).toEqual([id(old)])
    expect(names(await exported('old', { service: 'shop' }))).toEqual([id(old), id(young)])
    expect(names(await exported('old', { service: 'none' }))).toEqual([])
    const trace = young.traceId.toString('hex')
    expect(names(await exported('old', { trace }))).toEqual([id(young)])
    const all = await exported('old')
    expect(all.told).toBe('offpath: 3 observations open: not in it, for they have not ended\n')
    writeFileSync(dirOf('there'), 'mine')
    await expect(exported('old', { out: dirOf('there') })).rejects.toThrow('is there already')
    expect(readFileSync(dirOf('there'), 'utf8')).toBe('mine')
    const noSpace = vi.spyOn(JSON, 'stringify').mockImplementation(() => {
      // Stopped here, it would leave no file of the name.
      expect(existsSync(dirOf('half'))).toBe(false)
      throw new Error('no space')
    })
    await expect(exported('old', { out: dirOf('half') })).rejects.toThrow('no space')
    noSpace.mockRestore()
    expect(readdirSync(box.dir).filter((name) => name.startsWith('half'))).toEqual([])
    await expect(exported('old', { trace: 'ffff' })).rejects.toThrow('no trace begins with ffff')
  })
})

describe('an import', () => {
  const good = async (): Promise<string> => {
    fill('old', [makeSpan()])
    return (await exported('old')).out
  }

  test('names lines that are none, and goes on', async () => {
    const line = await good()
    const bad = line.replace(/"traceId":"\w+"/, '"traceId":"00"')
    writeFileSync(dirOf('lines'), ['hello\n', '\n', line, '{"resourceSpans":1}\n', bad].join(''))
    const { code, out, told } = await cli(importRun, 'new', [dirOf('lines')])
    expect(code).toBe(1)
    expect(out).toContain('1 observation imported\n2 lines left out\n1 span left out: invalid_id\n')
    expect(told.split('\n').map((text) => text.slice(0, 16))).toEqual([
      'offpath: line 1:',
      'offpath: line 4:',
      'offpath: line 5:',
      '',
    ])
  })

  test('is for exporters only with --deliver, and the law holds', async () => {
    writeFileSync(dirOf('lines'), await good())
    const options = { 'otlp.url': 'http://127.0.0.1:9' }
    const store = new Store(dirOf('new'))
    store.exporters(['otlp'])
    store.close()
    await cli(importRun, 'new', [dirOf('lines')], {}, options)
    const exporters = () => {
      const reader = StoreReader.open(dirOf('new'))!
      const [row] = reader.exporters()
      reader.close()
      return row
    }
    expect(exporters()).toMatchObject({ accepted: 0, held: 0 })
    writeFileSync(dirOf('lines'), await good())
    fill('more', [makeSpan()])
    writeFileSync(dirOf('more.jsonl'), (await exported('more')).out)
    await cli(importRun, 'new', [dirOf('more.jsonl')], { deliver: '' }, options)
    expect(exporters()).toMatchObject({ accepted: 1, held: 1, waiting: 1 })
    await expect(cli(importRun, 'new', [dirOf('lines')], { deliver: '' })).rejects.toThrow(
      'no exporter is configured',
    )
  })

  test('goes through the relay that runs, also from stdin', async () => {
    const env = { ...box.env, OFFPATH_STORE_DIR: dirOf('new') }
    const { config } = loadConfig({ flags: new Map(), env, cwd: box.dir })
    const relay = await openRelay(
      config,
      createLog(() => {}, 'error'),
    )
    const lines = await good()
    writeFileSync(dirOf('lines'), lines)
    const { out } = await cli(importRun, 'new', [dirOf('lines')], { json: '' })
    expect(JSON.parse(out)).toMatchObject({ lines: 1, spans: 1 })
    const { exporters, accepted, open } = await relay.stats()
    expect([exporters, accepted, open]).toEqual([[], 1, 0])
    await relay.close()

    const child = box.start('import', '-', '--json', '--store-dir', dirOf('new'))
    child.child.stdin!.end(lines)
    expect(JSON.parse(await child.line())).toMatchObject({ spans: 0, known: 1 })
    expect(await child.end()).toBe(0)
  })

  /** One that answers imports with these, in turn. */
  async function fakeRelay(answers: [status: number, body: object][]): Promise<Server> {
    const server = createServer((request, response) => {
      request.resume()
      const [status, body] =
        request.url === '/health' ? [200, { pid: process.pid }] : answers.shift()!
      response.writeHead(status).end(JSON.stringify(body))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    mkdirSync(dirOf('new'), { mode: 0o700 })
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const about = { pid: process.pid, url, startedAt: new Date().toISOString() }
    writeFileSync(join(dirOf('new'), 'relay.json'), JSON.stringify(about), { mode: 0o600 })
    writeFileSync(dirOf('lines'), '{}\n')
    return server
  }

  test('waits while the relay has no room', async () => {
    const answers: [number, object][] = [
      [503, { error: { code: 'busy', message: 'the store is full' } }],
      [200, { lines: 1, spans: 7, rejected: {}, malformedLines: 0, problems: [] }],
    ]
    const server = await fakeRelay(answers)
    const { code, out } = await cli(importRun, 'new', [dirOf('lines')], { json: '' })
    expect([code, JSON.parse(out).spans, answers]).toEqual([0, 7, []])
    server.closeAllConnections()
    server.close()
  })

  test('of a relay that is too old says so', async () => {
    const server = await fakeRelay([[404, {}]])
    await expect(cli(importRun, 'new', [dirOf('lines')])).rejects.toThrow('start it again')
    server.closeAllConnections()
    server.close()
  })
})

test('lines are handed over whole, a batch at a time, and one that is too long is passed over', async () => {
  async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
  }
  const line = fc.nat(30).map((length) => `${'x'.repeat(length)}\n`)
  const size = fc.integer({ min: 1, max: 100 })
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { maxLength: 20 }),
      fc.boolean(),
      fc.tuple(size, size, size),
      async (lines, isCut, [pieceSize, maxLine, batch]) => {
        if (isCut) lines.push('end')
        const found: (string | null)[] = []
        const input = pieces(Buffer.from(lines.join('')), pieceSize)
        for await (const { bytes } of lineBatches(input, maxLine, batch)) {
          if (bytes === null) found.push(null)
          else {
            const whole = bytes.toString().match(/.*\n|.+$/g) as string[]
            expect(whole.length === 1 || bytes.length <= batch).toBe(true)
            found.push(...whole)
          }
        }
        expect(found).toEqual(lines.map((of) => (of.length > maxLine ? null : of)))
      },
    ),
  )
})
