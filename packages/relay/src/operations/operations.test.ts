import { createHash } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { FIELD } from '@offpath/sdk/spool-format'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { otlpExporter } from '../export/exporters.ts'
import { field, json, makeSpan, resource, text } from '../export/fixtures.ts'
import { startHarness } from '../export/harness.ts'
import { type DeadRow, deadId } from '../store/dead-letters.ts'
import { StoreReader } from '../store/read.ts'
import type { StoredSpan } from '../store/span.ts'
import { Store } from '../store/store.ts'
import { createOperations, type Operations } from './operations.ts'

let directory: string
let store: Store
let operations: Operations
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'offpath-operations-'))
  store = new Store(directory)
  store.exporters(['a', 'b'], ['a'], ['a'])
  operations = open()
})
afterEach(() => {
  store.close()
  rmSync(directory, { recursive: true })
})

function open(backlogBytes = 1e9): Operations {
  return createOperations({
    store,
    storeDir: directory,
    backlogBytes,
    sendAgain: (exporter, chosen) => store.sendAgain(exporter, chosen),
    wake: () => {},
  })
}

/** Commits spans in a chunk of their own; returns its number. */
function commit(spans: readonly StoredSpan[], service = 'shop'): number {
  const writer = { id: service, resource: { ...resource, service }, state: '{}', vitals: [] }
  store.commit({ writers: [{ ...writer, finished: spans }], cursors: [], counters: {} })
  return store.nextChunks('a', 0, Number.POSITIVE_INFINITY).at(-1)!.id
}

/** Settles a whole chunk for an exporter: those of `dead` are rejected, the others delivered. */
function settle(exporter: string, chunk: number, dead: readonly number[] = [], counted = 0): void {
  const [info] = store.nextChunks(exporter, chunk - 1, 1)
  const spans = store.readSpans(info!)
  store.acknowledge(exporter, [
    {
      chunk,
      complete: true,
      states: null,
      delivered: spans.length - dead.length - counted,
      dead: dead.length,
      dropped: {},
      resent: counted,
      notResent: 0,
      deadLetters: dead.map((index) => {
        const { traceId, spanId, name } = spans[index]!
        return { index, traceId, spanId, name, reason: `answered 400: no ${index}` }
      }),
    },
  ])
}

function deadLetters(): DeadRow[] {
  const reader = StoreReader.open(directory)!
  const { dead } = reader
  const rows = (['span', 'score', 'media'] as const).flatMap((kind): DeadRow[] =>
    dead.newest(kind, {}, 1000),
  )
  reader.close()
  return rows
}
const deadIds = (): string[] => deadLetters().map(deadId)

/** Span ids of what waits for an exporter, in the order of its outbox. */
function waiting(exporter: string): string[] {
  return store.nextChunks(exporter, 0, Number.POSITIVE_INFINITY).flatMap((chunk) =>
    store
      .readSpans(chunk)
      .filter((_, index) => chunk.states?.[index] !== 2)
      .map(({ spanId }) => spanId.toString('hex')),
  )
}
const idOfTrace = ({ traceId }: StoredSpan): string => traceId.toString('hex')
const idsOf = (spans: readonly StoredSpan[]): string[] =>
  spans.map(({ spanId }) => spanId.toString('hex'))

const RETRIED = { retried: 0, superseded: 0, notConfigured: 0, gone: 0, noRoom: 0, unknown: [] }

describe('dead letters', () => {
  test('are sent again by id, or all that have a text in their reason', async () => {
    const spans = Array.from({ length: 4 }, () => makeSpan())
    const chunk = commit(spans)
    settle('a', chunk, [0, 1, 2])
    settle('b', chunk, [1])
    expect(deadIds()).toEqual(['span:4', 'span:3', 'span:2', 'span:1'])
    expect(await operations.retryDead({ ids: ['span:1', 'span:9', 'score:1'] })).toEqual({
      ...RETRIED,
      retried: 1,
      unknown: ['span:9', 'score:1'],
    })
    expect(waiting('a')).toEqual(idsOf([spans[0]!]))
    const no1 = { all: true, reason: 'no 1' }
    expect(await operations.retryDead({ ...no1, exporter: 'a' })).toEqual({
      ...RETRIED,
      retried: 1,
    })
    expect(waiting('a')).toEqual(idsOf(spans.slice(0, 2)))
    expect(waiting('b')).toEqual([])
    expect(await operations.retryDead({ all: true })).toEqual({ ...RETRIED, retried: 2 })
    expect(waiting('b')).toEqual(idsOf([spans[1]!]))
    expect(deadIds()).toEqual([])
    expect(await operations.retryDead({ all: true })).toEqual(RETRIED)
  })

  test('that are many are sent again, each once', async () => {
    for (let i = 0; i < 3; i++) {
      const all = Array.from({ length: 400 }, (_, index) => index)
      settle('a', commit(all.map(() => makeSpan())), all)
    }
    expect(await operations.retryDead({ all: true })).toEqual({ ...RETRIED, retried: 1200 })
    expect(new Set(waiting('a')).size).toBe(1200)
    expect(waiting('a')).toHaveLength(1200)
  })

  test('of which a newer version is stored are not sent after it', async () => {
    const first = makeSpan({ interrupted: true })
    settle('a', commit([first, makeSpan()]), [0])
    settle('a', commit([{ ...first, revision: 1, interrupted: false }]), [], 1)
    expect(await operations.retryDead({ all: true })).toEqual({ ...RETRIED, superseded: 1 })
    expect(waiting('a')).toEqual([])
    expect(deadIds()).toEqual([])
    expect(store.counters()).toMatchObject({ 'a.dead': 1, 'a.deadDropped': 1 })
  })

  test('stay when their exporter is not configured now', async () => {
    settle('b', commit([makeSpan()]), [0])
    store.exporters(['a'], ['a'], ['a'])
    expect(await operations.retryDead({ all: true })).toEqual({ ...RETRIED, notConfigured: 1 })
    expect(deadIds()).toEqual(['span:1'])
    expect(await operations.dropDead({ ids: ['span:1', 'media:1'] })).toEqual({
      dropped: 1,
      unknown: ['media:1'],
    })
    expect(deadIds()).toEqual([])
    expect(store.counters()).toMatchObject({ 'b.dead': 1, 'b.deadDropped': 1 })
  })

  test('of scores are held again', async () => {
    const scores = [{ project: '', json: '{"id":"s","name":"quality"}' }]
    const writer = { id: 'w', resource, state: '{}', vitals: [], scores }
    store.commit({ writers: [writer], cursors: [], counters: {} })
    store.scores.acknowledge('a', [], [{ id: 1, reason: 'no' }])
    expect(await operations.retryDead({ ids: ['score:1'] })).toEqual({ ...RETRIED, retried: 1 })
    expect(store.scores.projects('a')).toEqual([''])
    expect(deadIds()).toEqual([])
    store.scores.acknowledge('a', [], [{ id: 2, reason: 'no' }])
    expect(await operations.dropDead({ all: true })).toEqual({ dropped: 1, unknown: [] })
    expect(store.counters()).toMatchObject({
      'a.scores.accepted': 2,
      'a.scores.dead': 2,
      'a.scores.deadDropped': 1,
    })
  })

  test('of media get their content from their observation, as long as that is stored', async () => {
    const content = Buffer.from('x'.repeat(60))
    const uri = `data:image/png;base64,${content.toString('base64')}`
    const span = makeSpan({ fields: [field(FIELD.input, text(uri))] })
    settle('a', commit([span]))
    const media = {
      content,
      sha256: createHash('sha256').update(content).digest('hex'),
      contentType: 'image/png',
      field: 'input',
    }
    const place = { exporter: 'a', project: '', writer: 'w', traceId: span.traceId.toString('hex') }
    store.media.add({ ...place, observationId: idsOf([span])[0]! }, [media])
    store.media.add({ ...place, observationId: 'f'.repeat(16) }, [media])
    const next = () => store.media.next('a', '', new Set())
    for (let i = 0; i < 2; i++) store.media.settle('a', next()!, { type: 'dead', reason: 'no' })
    expect(store.media.content(media.sha256)).toBe(null)
    expect(await operations.retryDead({ all: true })).toEqual({ ...RETRIED, retried: 1, gone: 1 })
    expect(deadIds()).toEqual(['media:2'])
    expect(next()).toMatchObject({ id: 1, sha256: media.sha256, upload: null })
    expect(readdirSync(join(directory, 'media'))).toEqual([media.sha256])
    // Of one that is named twice the second is none any more.
    store.media.settle('a', next()!, { type: 'dead', reason: 'no' })
    expect(await operations.retryDead({ ids: ['media:1', 'media:1'] })).toEqual({
      ...RETRIED,
      retried: 1,
      gone: 1,
    })
  })

  test('of which the observation cannot be read stay', async () => {
    const chunk = commit([makeSpan()])
    const [info] = store.nextChunks('a', chunk - 1, 1)
    settle('a', chunk, [0])
    const file = openSync(join(directory, 'data-00000001.dat'), 'r+')
    writeSync(file, 'damage', info!.offset + 40)
    closeSync(file)
    expect(await operations.retryDead({ all: true })).toEqual({ ...RETRIED, gone: 1 })
    expect(deadIds()).toEqual(['span:1'])
    expect(waiting('a')).toEqual([])
  })

  test('are sent again as far as the backlog has room for them; the others stay', async () => {
    const backlogBytes = 25_000
    const harness = await startHarness({
      exporterOf: ({ otlpUrl }) => otlpExporter({ url: new URL(otlpUrl), headers: {} }),
      delivery: { backlogBytes },
    })
    const { server, held, law } = harness
    const { retryDead } = createOperations({
      store: harness.store,
      storeDir: harness.directory,
      backlogBytes,
      sendAgain: (exporter, chosen) =>
        harness.delivery.again(() => harness.store.sendAgain(exporter, chosen)),
      wake: () => {},
    })
    try {
      server.rejectSpan = () => 'no'
      for (let i = 0; i < 4; i++) {
        harness.commit([makeSpan({ fields: [field(FIELD.input, text('x'.repeat(10_000)))] })])
        await held(0)
      }
      server.rejectSpan = undefined
      server.faults = () => ({ type: 'status', status: 503 })
      expect(await retryDead({ all: true })).toEqual({ ...RETRIED, retried: 2, noRoom: 2 })
      server.faults = undefined
      await held(0)
      expect(law()).toMatchObject({ dead: 4, dropped: 0, resent: 2, notResent: 0 })
      expect(await retryDead({ all: true })).toEqual({ ...RETRIED, retried: 2 })
      await held(0)
      expect(law()).toMatchObject({ dead: 4, dropped: 0, resent: 4, notResent: 0 })
    } finally {
      await harness.close()
    }
  })

  test.each<[object | string | null, string]>([
    [null, 'expected a JSON object'],
    [[], 'expected a JSON object'],
    [{}, 'which dead letters? Name them by "ids", or say "all": true'],
    [{ all: 'yes' }, 'which dead letters? Name them by "ids", or say "all": true'],
    [{ ids: [] }, '"ids": expected a list of 1 to 10000'],
    [{ ids: ['12'] }, '"12" is no dead letter\'s id, such as span:12, score:7, media:9'],
    [
      { ids: ['span:1'], reason: 'x' },
      '"ids" name dead letters one by one: "all", "exporter", "reason" do not',
    ],
    [{ all: true, reason: '' }, '"reason": expected a text of 1 to 1000 characters'],
    [
      { all: true, exporters: 'a' },
      '"exporters" is not known (did you mean exporter?); there are ids, all, exporter, reason',
    ],
    [{ all: true, exporter: 'c' }, 'the store knows no exporter c; there are a, b'],
  ])('%j is refused', async (body, message) => {
    const refusal = { code: 'OFFPATH_OPERATION', message }
    await expect(operations.retryDead(body)).rejects.toMatchObject(refusal)
    await expect(operations.dropDead(body)).rejects.toMatchObject(refusal)
  })
})

describe('while much is done', () => {
  /** What came of it, when no turn took longer; by the processor's time, as on a busy machine the clock tells nothing. */
  async function inShortTurns<T>(work: () => Promise<T>): Promise<T> {
    let longest = 0
    let isDone = false
    let before = process.cpuUsage()
    const done = work().finally(() => {
      isDone = true
    })
    while (!isDone) {
      await new Promise((resolve) => setImmediate(resolve))
      const { user, system } = process.cpuUsage(before)
      longest = Math.max(longest, (user + system) / 1000)
      before = process.cpuUsage()
    }
    expect(longest).toBeLessThan(50)
    return done
  }
  const CHUNKS = 60
  const first = makeSpan()
  const version = (revision: number): StoredSpan[] =>
    Array.from({ length: 400 }, (_, at) => {
      const spanId = Buffer.alloc(8)
      spanId.writeUInt32BE(at + 1)
      return { ...first, spanId, revision, fields: [field(FIELD.input, text('x'.repeat(2000)))] }
    })

  test('others have their turn between dead letters of many chunks, and versions of many spans', async () => {
    for (let i = 1; i <= CHUNKS; i++) settle('a', commit(version(i)), [0], 399)
    const retried = await inShortTurns(() => operations.retryDead({ all: true }))
    expect(retried).toMatchObject({ retried: 1, superseded: CHUNKS - 1 })
    const again = await inShortTurns(() => operations.replay({ from: '1970-01-02', exporter: 'a' }))
    expect(again).toMatchObject({ exporters: [{ observations: 399 }] })
  })

  test('others have their turn while the content of many media is looked for', async () => {
    const contents = Array.from({ length: 60 }, (_, at) => Buffer.alloc(20_000, at))
    const uris = contents.map((content) => `data:image/png;base64,${content.toString('base64')}`)
    const input = field(FIELD.input, json(uris))
    settle('a', commit([{ ...first, fields: [input] }]))
    for (let i = 1; i <= CHUNKS; i++) commit(version(0))
    const place = { exporter: 'a', project: '', writer: 'w', traceId: idOfTrace(first) }
    const media = contents.map((content) => ({
      content,
      sha256: createHash('sha256').update(content).digest('hex'),
      contentType: 'image/png',
      field: 'input' as const,
    }))
    store.media.add({ ...place, observationId: idsOf([first])[0]! }, media)
    store.media.add({ ...place, observationId: 'f'.repeat(16) }, [media[0]!])
    for (let i = 0; i <= contents.length; i++) {
      const one = store.media.next('a', '', new Set())!
      store.media.settle('a', one, { type: 'dead', reason: 'no' })
    }
    const retried = await inShortTurns(() => operations.retryDead({ all: true }))
    expect(retried).toMatchObject({ retried: contents.length, gone: 1 })
  })

  test('others have their turn while a large store is looked through for what has expired', async () => {
    const chunk = commit([first])
    const database = new DatabaseSync(join(directory, 'offpath.db'))
    const columns = database.prepare("SELECT name FROM pragma_table_info('chunk')").all()
    const copied = columns.map(({ name }) => (name === 'id' ? 'c.id + i' : `c.${name}`))
    database.exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
      INSERT INTO chunk SELECT ${copied.join(', ')} FROM n, chunk c WHERE c.id = ${chunk}`)
    database.close()
    const content = Buffer.alloc(10)
    const sha256 = createHash('sha256').update(content).digest('hex')
    const media = { content, sha256, contentType: 'image/png', field: 'input' as const }
    const place = { exporter: 'a', project: '', writer: 'w', observationId: 'f'.repeat(16) }
    for (let i = 0; i < 20; i++) {
      store.media.add({ ...place, traceId: i.toString(16).padStart(32, 'a') }, [media])
      store.media.settle('a', store.media.next('a', '', new Set())!, { type: 'dead', reason: 'no' })
    }
    const retried = await inShortTurns(() => operations.retryDead({ all: true }))
    expect(retried).toEqual({ ...RETRIED, gone: 20 })
  })
})

describe('replay', () => {
  /** What has just been stored ended before. */
  const START = Math.floor(Date.now() / 1000) * 1000 - 100_000
  /** Ended so many ms after START. */
  const ended = (ms: number, over: Partial<StoredSpan> = {}): StoredSpan => {
    const at = START + ms
    return makeSpan({
      startSeconds: Math.floor(at / 1000) - 1,
      endSeconds: Math.floor(at / 1000),
      endNanos: (at % 1000) * 1_000_000,
      ...over,
    })
  }
  const iso = (ms: number): string => new Date(START + ms).toISOString()
  const ask = (from: number, to: number, more: object = {}) =>
    operations.replay({ from: iso(from), to: iso(to), ...more })

  test('sends what ended within the time, whatever the chunks, and nothing twice', async () => {
    const time = fc.nat(60_000)
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(time, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 6 }),
        time,
        time,
        async (chunks, one, other) => {
          store.close()
          rmSync(directory, { recursive: true })
          store = new Store(directory)
          store.exporters(['a'])
          operations = open()
          const from = Math.min(one, other)
          const to = Math.max(one, other) + 1
          const spans = chunks.map((times) => times.map((ms) => ({ ms, span: ended(ms) })))
          for (const chunk of spans) settle('a', commit(chunk.map(({ span }) => span)))
          const meant = spans.flat().filter(({ ms }) => ms >= from && ms < to)
          const observations = meant.length
          const asked = { from: iso(from), to: iso(to), unreadable: 0 }
          expect(await ask(from, to, { dryRun: true })).toEqual({
            ...asked,
            dryRun: true,
            exporters: [{ name: 'a', observations }],
          })
          expect(waiting('a')).toEqual([])
          expect(await ask(from, to)).toEqual({
            ...asked,
            dryRun: false,
            exporters: [{ name: 'a', observations }],
          })
          expect(waiting('a')).toEqual(idsOf(meant.map(({ span }) => span)))
          expect(await ask(from, to)).toMatchObject({ exporters: [{ observations: 0 }] })
        },
      ),
      { numRuns: 30 },
    )
  })

  test('chooses by service and exporter; an exporter that is new gets what it never got', async () => {
    const shop = [ended(1), ended(2)]
    settle('a', commit(shop))
    settle('b', 1)
    const chat = [ended(3)]
    settle('a', commit(chat, 'chat'))
    settle('b', 2)
    store.exporters(['a', 'b', 'c'])
    expect(await ask(0, 10, { service: 'chat', exporter: 'b' })).toMatchObject({
      exporters: [{ name: 'b', observations: 1 }],
    })
    expect([waiting('a'), waiting('b')]).toEqual([[], idsOf(chat)])
    expect(await ask(0, 10)).toMatchObject({
      exporters: [
        { name: 'a', observations: 3 },
        { name: 'b', observations: 2 },
        { name: 'c', observations: 3 },
      ],
    })
    expect(waiting('c')).toEqual(idsOf([...shop, ...chat]))
  })

  test('sends of several versions the newest alone, when that one ended within the time', async () => {
    const first = ended(1, { interrupted: true })
    const end = { endSeconds: first.endSeconds + 50, interrupted: false, revision: 1 }
    const second = { ...first, ...end, name: 'second' }
    settle('a', commit([first, ended(2)]))
    settle('a', commit([second]), [], 1)
    expect(await ask(0, 10)).toMatchObject({ exporters: [{ observations: 1 }, {}] })
    expect(await ask(0, 60_000, { exporter: 'a' })).toMatchObject({
      exporters: [{ observations: 1 }],
    })
    const chunks = store.nextChunks('a', 0, Number.POSITIVE_INFINITY)
    expect(chunks.map(({ states }) => [...states!])).toEqual([[2, 4], [4]])
  })

  test('takes the dead letters of what it sends off the list, and asks for its media anew', async () => {
    const span = ended(1)
    settle('a', commit([span, ended(2000)]), [0, 1])
    const place = { exporter: 'a', project: '', writer: 'w', traceId: span.traceId.toString('hex') }
    const media = {
      content: Buffer.from('x'),
      sha256: 'ab',
      contentType: 'image/png',
      field: 'input',
    }
    const add = () => store.media.add({ ...place, observationId: idsOf([span])[0]! }, [media])
    expect(add()).toBe(1)
    store.media.settle('a', store.media.next('a', '', new Set())!, { type: 'delivered' })
    expect(add()).toBe(0)
    await ask(0, 10, { exporter: 'a' })
    expect(deadIds()).toEqual(['span:2'])
    expect(add()).toBe(1)
  })

  test('sends no more than a backlog has room for', async () => {
    for (let i = 0; i < 3; i++) {
      const long = field(FIELD.input, text('x'.repeat(1024 ** 2)))
      settle('a', commit([ended(i, { fields: [long] })]))
    }
    operations = open(2 * 1024 ** 2)
    const message =
      'that would be 4 MB for a, and export.backlog-cap leaves 2 MB: ask for a shorter time, or raise it'
    await expect(ask(0, 10, { exporter: 'a' })).rejects.toMatchObject({ message })
    expect(waiting('a')).toEqual([])
    expect(await ask(0, 1, { exporter: 'a' })).toMatchObject({ exporters: [{ observations: 1 }] })
  })

  test.each<[object, string]>([
    [{}, '"from" is missing: since when?'],
    [{ from: 'yesterday' }, '"from": "yesterday" is not a duration such as 10m or an ISO time'],
    [{ from: '10m', to: 5 }, '"to": 5 is not a duration such as 10m or an ISO time'],
    [{ from: '2026-01-02', to: '2026-01-01' }, '"from" has to be before "to"'],
    [{ from: '10m', dryRun: 'yes' }, '"dryRun": expected true or false'],
    [{ from: '10m', exporter: 'c' }, 'no exporter c is configured; there are a, b'],
  ])('%j is refused', async (body, message) => {
    await expect(operations.replay(body)).rejects.toMatchObject({ message })
  })
})
