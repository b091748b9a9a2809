import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { FIELD } from '@offpath/sdk/spool-format'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { settled } from '../testing/settlement.ts'
import { StoreReader } from './read.ts'
import { startRetention } from './retention.ts'
import { StoreError } from './schema.ts'
import type { Part, Resource, StoredField, StoredSpan, Value } from './span.ts'
import { type Batch, Store } from './store.ts'

let directory: string
let store: Store
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'offpath-store-'))
  store = new Store(directory)
  store.exporters(['a'])
})
afterEach(() => {
  store.close()
  rmSync(directory, { recursive: true, force: true })
})

const resource: Resource = {
  service: 'shop',
  environment: 'staging',
  release: null,
  host: 'host-a',
  pid: 42,
  sdk: { name: 'offpath', version: '0.1.0' },
  language: 'javascript',
  attributes: { 'deployment.zone': 'a' },
}

let serial = 0
function makeSpan(over: Partial<StoredSpan> = {}): StoredSpan {
  serial++
  const traceId = Buffer.alloc(16, 7)
  traceId.writeUInt32BE(serial, 12)
  const spanId = Buffer.alloc(8, 9)
  spanId.writeUInt32BE(serial, 4)
  return {
    traceId,
    spanId,
    parentSpanId: null,
    name: `span ${serial}`,
    type: 1,
    kind: 0,
    startSeconds: 1_790_000_000,
    startNanos: 5,
    endSeconds: 1_790_000_001,
    endNanos: 6,
    startFlags: 0,
    interrupted: false,
    revision: 0,
    statusCode: 0,
    statusDescription: '',
    project: null,
    scope: null,
    resource,
    fields: [],
    events: [],
    links: [],
    traceState: '',
    ...over,
  }
}
const many = (count: number, over: Partial<StoredSpan> = {}): StoredSpan[] =>
  Array.from({ length: count }, () => makeSpan(over))

function text(value: string): Value {
  const bytes = Buffer.from(value)
  return { type: 'text', parts: [bytes], length: bytes.length }
}

function batch(finished: readonly StoredSpan[], rest: Partial<Batch> = {}): Batch {
  const writer = { id: 'w', resource, finished, header: '{}', state: '{}', vitals: [] }
  return { writers: [writer], cursors: [], counters: { accepted: finished.length }, ...rest }
}

function commit(finished: readonly StoredSpan[]): void {
  store.commit(batch(finished))
}

function reopen(): void {
  store.close()
  store = new Store(directory)
  store.exporters(['a'])
}

const chunks = (exporter = 'a') => store.nextChunks(exporter, 0, Number.POSITIVE_INFINITY)
const names = (exporter = 'a'): string[] =>
  chunks(exporter).flatMap((chunk) => store.readSpans(chunk).map(({ name }) => name))

function read<T>(query: (reader: StoreReader) => T): T {
  const reader = StoreReader.open(directory) as StoreReader
  try {
    return query(reader)
  } finally {
    reader.close()
  }
}

describe('a commit', () => {
  test('keeps spans as they are', () => {
    fc.assert(
      fc.property(fc.array(spanArbitrary(), { minLength: 1, maxLength: 5 }), (spans) => {
        const before = store.nextChunks('a', 0, Number.POSITIVE_INFINITY).at(-1)?.id ?? 0
        commit(spans)
        const read = store
          .nextChunks('a', before, Number.POSITIVE_INFINITY)
          .flatMap((chunk) => store.readSpans(chunk))
        expect(read.map(whole)).toEqual(spans.map(whole))
      }),
      { numRuns: 150 },
    )
  })

  test('divides what is much into chunks, in order', () => {
    commit(many(1300))
    expect(chunks().map(({ spans }) => spans)).toEqual([512, 512, 276])
    const heavy = many(30, { fields: [{ field: FIELD.input, value: text('x'.repeat(200_000)) }] })
    commit(heavy)
    expect(chunks().slice(3).length).toBeGreaterThan(3)
    expect(names().slice(1300)).toEqual(heavy.map(({ name }) => name))
  })

  test('that fails leaves nothing, and can be tried again', () => {
    commit(many(2))
    const before = { spans: names(), counters: store.counters() }
    const failing = batch(many(700), {
      cursors: [{ writer: 'w', path: Symbol() as never, offset: 1 }],
    })
    expect(() => store.commit(failing)).toThrow()
    expect({ spans: names(), counters: store.counters() }).toEqual(before)
    Object.assign(failing, { cursors: [{ writer: 'w', path: '/x', offset: 1 }] })
    store.commit(failing)
    expect(names()).toHaveLength(702)
    reopen()
    expect(names()).toHaveLength(702)
  })

  test('is told to listeners when it brought spans', () => {
    let commits = 0
    store.onCommit(() => commits++)
    store.commit(batch([]))
    expect(commits).toBe(0)
    commit(many(1))
    expect(commits).toBe(1)
  })

  test('counts what is stored: observations, and not their further versions', () => {
    commit([...many(3), makeSpan({ revision: 1 })])
    commit(many(2))
    reopen()
    expect(store.counters().stored).toBe(5)
  })

  test('what a crash left behind the committed bytes is written over', () => {
    commit(many(3))
    const { length } = store.data.position
    store.data.append(Buffer.alloc(10_000, 1))
    store.data.flush()
    reopen()
    expect(store.data.position.length).toBe(length)
    commit(many(2))
    expect(names()).toHaveLength(5)
  })

  test('data files are rotated', () => {
    store.close()
    store = new Store(directory, { rotateBytes: 50_000 })
    store.exporters(['a'])
    const spans = many(10, { fields: [{ field: FIELD.input, value: text('y'.repeat(30_000)) }] })
    for (const span of spans) commit([span])
    expect(readdirSync(directory).filter((name) => name.endsWith('.dat'))).toHaveLength(6)
    expect(names()).toEqual(spans.map(({ name }) => name))
  })

  test('files are the owner’s alone', () => {
    commit(many(1))
    expect(statSync(directory).mode & 0o777).toBe(0o700)
    for (const name of readdirSync(directory).filter((name) => /\.(db|dat)$/.test(name))) {
      expect(statSync(join(directory, name)).mode & 0o777).toBe(0o600)
    }
  })
})

describe('the outbox', () => {
  test('hands out chunks in order, by bytes, one at least', () => {
    for (let i = 0; i < 5; i++) {
      commit(many(1, { fields: [{ field: FIELD.input, value: text('x'.repeat(1000)) }] }))
    }
    expect(store.nextChunks('a', 0, 1).map(({ id }) => id)).toEqual([1])
    expect(store.nextChunks('a', 1, 3000).map(({ id }) => id)).toEqual([2, 3, 4])
    expect(store.nextChunks('a', 4, 1e9).map(({ id }) => id)).toEqual([5])
    expect(store.nextChunks('a', 5, 1e9)).toEqual([])
  })

  test('counts what is settled, once', () => {
    commit(many(4))
    const letter = {
      index: 2,
      traceId: Buffer.alloc(16),
      spanId: Buffer.alloc(8),
      name: 'bad',
      reason: 'no',
    }
    store.acknowledge('a', [
      settled(1, {
        complete: false,
        states: Uint8Array.from([2, 0, 2, 0]),
        delivered: 1,
        dead: 1,
        deadLetters: [letter],
      }),
    ])
    reopen()
    expect([...(chunks()[0]?.states ?? [])]).toEqual([2, 0, 2, 0])
    expect(read((reader) => reader.exporters())).toMatchObject([
      { name: 'a', delivered: 1, dead: 1, waiting: 2 },
    ])
    store.acknowledge('a', [settled(1, { delivered: 1, dropped: { refused: 1 } })])
    // A second word about the same chunk, or about one that never was.
    store.acknowledge('a', [settled(1, { delivered: 2 }), settled(99, { delivered: 5 })])
    expect(read((reader) => reader.exporters())).toMatchObject([
      { delivered: 2, dead: 1, dropped: { refused: 1 }, waiting: 0 },
    ])
    expect(read((reader) => reader.dead.newest('span', {}, 9))).toMatchObject([
      { exporter: 'a', name: 'bad', reason: 'no' },
    ])
    expect(chunks()).toEqual([])
  })

  test('tells since when the oldest waits that is left: spans, scores and media', async () => {
    store.exporters(['a'], ['a'], ['a'])
    const place = { exporter: 'a', project: '', writer: 'w', traceId: 't', observationId: 'o' }
    const come = (what: string): void => {
      const score = { project: '', json: JSON.stringify({ id: what }) }
      const writer = { id: 'w', resource, header: '{}', state: '{}', vitals: [], scores: [score] }
      store.commit({ writers: [{ ...writer, finished: many(1) }], cursors: [], counters: {} })
      const content = Buffer.from(what)
      store.media.add(place, [{ content, sha256: what, contentType: 'text/plain', field: what }])
    }
    const oldest = () =>
      read((reader) => {
        const row = reader.exporters()[0]!
        return [row.oldestWaiting, row.scores!.oldestHeld, row.media!.oldestHeld]
      })
    expect(oldest()).toEqual([null, null, null])
    const first = Date.now()
    come('first')
    await new Promise((resolve) => setTimeout(resolve, 20))
    const second = Date.now()
    come('second')
    for (const time of oldest()) {
      expect(time).toBeGreaterThanOrEqual(first)
      expect(time).toBeLessThan(second)
    }
    store.acknowledge('a', [settled(1, { delivered: 1 })])
    store.scores.acknowledge('a', [1], [])
    store.media.settle('a', store.media.next('a', '', new Set())!, { type: 'delivered' })
    for (const time of oldest()) expect(time).toBeGreaterThanOrEqual(second)
    // What is sent again has not waited since it was stored.
    expect(store.sendAgain('a', new Map([[1, [0]]])).spans).toBe(1)
    expect(oldest()[0]).toBeGreaterThanOrEqual(second)
  })

  test('scores that wait for an exporter that takes none any more expire, counted', () => {
    store.exporters(['a'], ['a'])
    const scores = [{ project: '', json: '{"id":"s"}' }]
    const writer = { id: 'w', resource, header: '{}', state: '{}', vitals: [], scores }
    store.commit({ writers: [writer], cursors: [], counters: {} })
    // It has lost its keys, and a command while no relay runs must not believe that it takes them.
    store.exporters(['a'])
    store.exportersAsBefore()
    expect(store.scores.isTaking('a')).toBe(false)
    const figures = () => read((reader) => reader.exporters()[0]!.scores)
    expect(figures()).toMatchObject({ accepted: 1, held: 1 })
    store.scores.expire(Date.now() + 1)
    expect(figures()).toMatchObject({ accepted: 1, held: 0, dropped: { expired: 1 } })
  })

  test('drops what it is told to, counted; revisions and what is settled are no observations', () => {
    commit(many(3))
    commit([...many(2), makeSpan({ revision: 1 })])
    commit(many(5))
    store.acknowledge('a', [
      settled(1, { complete: false, states: Uint8Array.from([2, 0, 0]), delivered: 1 }),
    ])
    expect(store.backlog('a')).toMatchObject({ chunks: 3, spans: 9 })
    expect(store.drop('a', [1, 2, 99])).toEqual({ observations: 4, counted: 1 })
    expect(chunks().map(({ spans }) => spans)).toEqual([5])
    expect(store.backlog('a')).toMatchObject({ chunks: 1, spans: 5 })
    expect(store.counters()).toMatchObject({ 'a.dropped.backlog_full': 4, 'a.notResent': 1 })
  })

  const letter = (index: number) => ({
    index,
    traceId: Buffer.alloc(16),
    spanId: Buffer.alloc(8),
    name: 'bad',
    reason: 'no',
  })
  const deadIds = () => read((reader) => reader.dead.newest('span', {}, 99)).map(({ id }) => id)

  test('sends again what was settled, or never came, and leaves what waits as it is', () => {
    commit(many(3))
    store.acknowledge('a', [
      settled(1, {
        complete: false,
        states: Uint8Array.from([2, 2, 0]),
        delivered: 1,
        dead: 1,
        deadLetters: [letter(1)],
      }),
    ])
    commit(many(2))
    store.acknowledge('a', [settled(2, { delivered: 2 })])
    const chosen = new Map([
      [1, [1, 2]],
      [2, [1]],
      [9, [0]],
    ])
    expect(store.sendAgain('a', chosen)).toEqual({
      spans: 2,
      states: new Map([
        [1, Uint8Array.from([2, 4, 0])],
        [2, Uint8Array.from([2, 4])],
      ]),
    })
    expect(store.sendAgain('a', chosen)).toEqual({ spans: 0, states: new Map() })
    expect(deadIds()).toEqual([])
    expect(store.backlog('a')).toMatchObject({ chunks: 2, spans: 1 })
    reopen()
    expect(chunks().map(({ states }) => [...(states ?? [])])).toEqual([
      [2, 4, 0],
      [2, 4],
    ])
    store.acknowledge('a', [
      settled(1, { delivered: 1, resent: 1 }),
      settled(2, { notResent: 1, deadLetters: [letter(1)] }),
    ])
    expect(read((reader) => reader.exporters())).toMatchObject([
      { accepted: 5, delivered: 4, dead: 1, held: 0, resent: 1, notResent: 1 },
    ])
    store.exporters(['a', 'b'])
    expect(store.sendAgain('b', new Map([[1, [0, 1, 2]]])).spans).toBe(3)
    expect(store.drop('b', [1])).toEqual({ observations: 0, counted: 3 })
    expect(store.counters()).toMatchObject({ 'b.notResent': 3 })
    expect(() => store.sendAgain('c', chosen)).toThrow('no exporter c')
  })

  test('an application that waits for delivery does not wait for what is sent again', () => {
    commit(many(1))
    store.acknowledge('a', [settled(1, { delivered: 1 })])
    store.sendAgain('a', new Map([[1, [0]]]))
    commit(many(2))
    expect(store.unsettledChunks('w')).toEqual([2])
    expect([store.isSettled(1), store.isSettled(2)]).toEqual([true, false])
    store.acknowledge('a', [
      settled(2, { complete: false, states: Uint8Array.from([2, 0]), delivered: 1 }),
    ])
    expect(store.unsettledChunks('w')).toEqual([2])
  })

  test('no number of a dead letter is given twice; those that are dropped are counted', () => {
    commit(many(3))
    store.acknowledge('a', [settled(1, { dead: 2, delivered: 1, deadLetters: [letter(0)] })])
    expect(deadIds()).toEqual([1])
    expect(store.dropDeadLetters('a', [1, 7])).toBe(1)
    expect(deadIds()).toEqual([])
    reopen()
    commit(many(1))
    store.acknowledge('a', [settled(2, { dead: 1, deadLetters: [letter(0)] })])
    expect(deadIds()).toEqual([2])
    expect(read((reader) => reader.exporters())).toMatchObject([{ dead: 3, deadDropped: 1 }])
  })

  test('the newest 10 000 dead letters are kept, however many there were; those that go are counted', () => {
    commit(many(2))
    const die = (count: number): void => {
      const deadLetters = Array.from({ length: count }, () => letter(0))
      const part = { complete: false, states: Uint8Array.from([2, 0]), deadLetters }
      store.acknowledge('a', [settled(1, part)])
    }
    const listed = () => read((reader) => reader.dead.newest('span', {}, 1e6)).map(({ id }) => id)
    die(2)
    die(9998)
    store.dropDeadLetters('a', listed().slice(0, -2))
    die(5)
    expect(listed()).toEqual([10_005, 10_004, 10_003, 10_002, 10_001, 2, 1])
    expect(store.counters().deadLettersTrimmed).toBeUndefined()
    die(9996)
    expect(listed()).toHaveLength(10_000)
    expect(listed().at(-1)).toBe(10_002)
    expect(store.counters().deadLettersTrimmed).toBe(3)
  })

  test('each exporter has its own; a new one gets what is finished from then on', () => {
    commit(many(3))
    store.exporters(['a', 'b'])
    commit(many(2))
    expect([names('a').length, names('b').length]).toEqual([5, 2])
    expect(store.counters()).toMatchObject({ accepted: 5, 'b.before': 3 })
    store.acknowledge('b', [settled(2, { delivered: 2 })])
    expect(names('a')).toHaveLength(5)
  })

  test('an exporter that is no longer named keeps what it had, and gets nothing more until it is', () => {
    commit(many(3))
    store.exporters(['b'])
    commit(many(4))
    store.exporters(['a', 'b'])
    commit(many(5))
    expect([names('a').length, names('b').length]).toEqual([8, 9])
    expect(store.counters()).toMatchObject({ accepted: 12, 'a.before': 4, 'b.before': 3 })
    expect(() => store.nextChunks('c', 0, 1)).toThrow('no exporter c')
  })

  test('a chunk whose bytes are gone is dropped, counted, and holds nothing up', () => {
    commit(many(3))
    const { length } = store.data.position
    commit(many(2))
    store.exporters(['a', 'b'])
    commit(many(4))
    truncateSync(join(directory, 'data-00000001.dat'), length + 10)
    reopen()
    const [first, second, third] = chunks()
    expect(store.readSpans(first as never)).toHaveLength(3)
    expect(store.readSpans(second as never)).toEqual([])
    expect(store.readSpans(third as never)).toEqual([])
    expect(chunks()).toHaveLength(1)
    expect(store.counters()['a.dropped.unreadable']).toBe(6)
  })

  test('bytes that are not what was written are no spans', () => {
    commit(many(3))
    const file = join(directory, 'data-00000001.dat')
    const bytes = readFileSync(file)
    bytes.writeUInt8((bytes[100] as number) ^ 1, 100)
    writeFileSync(file, bytes)
    reopen()
    expect(store.readSpans(chunks()[0] as never)).toEqual([])
    expect(read((reader) => reader.spansAfter(0, 9).spans)).toEqual([])
  })

  test('a long text whose bytes are gone reads as a marker of its length', () => {
    const into = Buffer.alloc(60, '-')
    const end = store.loadParts([Buffer.from('a'), { file: 9, offset: 0, length: 50 }], into, 2)
    expect(end).toBe(53)
    expect(into.toString()).toMatch(/^--a\[unreadable: its data file is gone or damaged\] +-{7}$/)
  })
})

describe('opening', () => {
  test('a store of a later version is refused in one line', () => {
    store.close()
    const database = new DatabaseSync(join(directory, 'offpath.db'))
    database.exec('PRAGMA user_version = 99')
    database.close()
    const error = caught(() => new Store(directory))
    expect(error).toBeInstanceOf(StoreError)
    expect(error).toMatchObject({ code: 'OFFPATH_STORE_VERSION' })
    expect((error as Error).message).toMatch(
      /^the store .* has version 99, this offpath knows 5: [^\n]*$/,
    )
    expect(caught(() => StoreReader.open(directory))).toMatchObject({
      code: 'OFFPATH_STORE_VERSION',
    })
    const again = new DatabaseSync(join(directory, 'offpath.db'))
    again.exec('PRAGMA user_version = 5')
    again.close()
    store = new Store(directory)
  })

  test('a store of version 1 is taken over, with what was settled of chunks', () => {
    commit(many(4))
    commit([...many(2), makeSpan({ revision: 1 })])
    commit(many(3))
    const part = { complete: false, states: Uint8Array.from([2, 0, 2, 0]), delivered: 2 }
    store.acknowledge('a', [settled(1, part)])
    store.close()
    const database = new DatabaseSync(join(directory, 'offpath.db'))
    database.exec(`ALTER TABLE outbox DROP COLUMN settled; DROP TABLE given_up;
      ALTER TABLE exporter DROP COLUMN scores; DROP TABLE score;
      ALTER TABLE exporter DROP COLUMN media; DROP TABLE media;
      PRAGMA user_version = 1`)
    database.close()
    expect(StoreReader.open(directory)).toBe(null)
    store = new Store(directory)
    store.exporters(['a'])
    expect(store.backlog('a')).toMatchObject({ chunks: 3, spans: 7 })
    expect(store.lossesOf('w')).toBe(null)
    const gone = { id: 'w', resource, state: null, losses: '[1]', vitals: [] }
    store.commit({ writers: [gone], cursors: [], counters: {} })
    expect(store.lossesOf('w')).toBe('[1]')
  })

  test('what is no database is told in one line', () => {
    const other = join(directory, 'other')
    new Store(other).close()
    for (const name of readdirSync(other)) rmSync(join(other, name))
    writeFileSync(
      join(other, 'offpath.db'),
      'no database, but long enough to look like one'.repeat(50),
    )
    expect(caught(() => new Store(other))).toMatchObject({
      code: 'OFFPATH_STORE_UNUSABLE',
      message: expect.stringMatching(/^cannot open the store [^\n]*not a database[^\n]*$/),
    })
    writeFileSync(join(directory, 'file'), '')
    expect(caught(() => new Store(join(directory, 'file', 'x')))).toMatchObject({
      code: 'OFFPATH_STORE_UNUSABLE',
    })
  })

  test('a directory without a store has nothing to read', () => {
    expect(StoreReader.open(join(directory, 'nothing'))).toBe(null)
  })

  test('a store that cannot be read is not taken for none', () => {
    mkdirSync(join(directory, 'other/offpath.db'), { recursive: true })
    expect(caught(() => StoreReader.open(join(directory, 'other')))).toMatchObject({
      code: 'OFFPATH_STORE_UNUSABLE',
      message: expect.stringMatching(/^cannot read the store .*other: /),
    })
  })

  test('a reader sees what is committed, while the store is written to', () => {
    const reader = StoreReader.open(directory) as StoreReader
    commit(many(2))
    expect(reader.traces({ limit: 9 }).traces).toHaveLength(2)
    commit(many(3))
    expect(reader.traces({ limit: 9 }).traces).toHaveLength(5)
    reader.close()
  })

  test('a snapshot is of one moment, while the store is written to', () => {
    commit(many(2))
    const reader = StoreReader.open(directory) as StoreReader
    const exporters = reader.snapshot(() => {
      reader.counters()
      commit(many(3))
      return reader.exporters()
    })
    expect(exporters).toMatchObject([{ accepted: 2, held: 2 }])
    expect(reader.exporters()).toMatchObject([{ accepted: 5, held: 5 }])
    reader.close()
  })
})

describe('retention', () => {
  const day = 86_400_000

  function rotating(): void {
    store.close()
    store = new Store(directory, { rotateBytes: 100_000 })
    store.exporters(['a'])
  }
  const files = (): string[] => readdirSync(directory).filter((name) => name.endsWith('.dat'))
  const heavy = (): void => {
    commit(many(1, { fields: [{ field: FIELD.input, value: text('z'.repeat(60_000)) }] }))
  }
  const deliverAll = (): void => {
    store.acknowledge(
      'a',
      chunks().map(({ id, spans }) => settled(id, { delivered: spans })),
    )
  }
  const traces = (): number => read((reader) => reader.traces({ limit: 500 }).traces.length)

  test('by age, in slices, sparing what an outbox needs', () => {
    for (let i = 0; i < 6; i++) commit(many(1))
    store.acknowledge(
      'a',
      chunks()
        .slice(0, 4)
        .map(({ id }) => settled(id, { delivered: 1 })),
    )
    const later = Date.now() + day
    expect(store.expire(later, 1e12, 3, Number.POSITIVE_INFINITY)).toBe(3)
    expect(store.expire(later, 1e12, 3, Number.POSITIVE_INFINITY)).toBe(1)
    expect(traces()).toBe(2)
    expect(names()).toHaveLength(2)
    expect(store.counters().expiredChunks).toBe(4)
  })

  test('by size: whole data files go, the oldest first', () => {
    rotating()
    for (let i = 0; i < 12; i++) heavy()
    expect(files()).toHaveLength(7)
    expect(store.expire(0, 450_000, 100, Number.POSITIVE_INFINITY)).toBe(0)
    deliverAll()
    const before = store.bytes()
    expect(store.expire(0, 450_000, 100, Number.POSITIVE_INFINITY)).toBeGreaterThan(3)
    expect(store.bytes()).toBeLessThanOrEqual(450_000)
    expect(store.bytes()).toBeLessThan(before)
    expect(traces()).toBeGreaterThan(2)
    expect(store.data.firstFile).toBeGreaterThan(3)
    reopen()
    expect(traces()).toBeGreaterThan(2)
  })

  test('files that open observations refer to stay', () => {
    rotating()
    for (let i = 0; i < 8; i++) heavy()
    deliverAll()
    expect(store.expire(0, 1, 100, 2)).toBeGreaterThan(5)
    expect(existsSync(join(directory, 'data-00000001.dat'))).toBe(false)
    expect(existsSync(join(directory, 'data-00000002.dat'))).toBe(true)
    store.expire(0, 1, 100, Number.POSITIVE_INFINITY)
    expect(existsSync(join(directory, 'data-00000002.dat'))).toBe(false)
  })

  test('a reference keeps the file of what it refers to', () => {
    rotating()
    const place = store.data.append(Buffer.from('shared '.repeat(100)))
    for (let i = 0; i < 6; i++) heavy()
    const value: Value = { type: 'text', parts: [place], length: place.length }
    commit([makeSpan({ name: 'refers', fields: [{ field: FIELD.input, value }] })])
    store.acknowledge(
      'a',
      chunks()
        .slice(0, 6)
        .map(({ id }) => settled(id, { delivered: 1 })),
    )
    store.expire(Date.now() + day, 1e12, 100, Number.POSITIVE_INFINITY)
    expect(existsSync(join(directory, 'data-00000001.dat'))).toBe(true)
    const [span] = store.readSpans(chunks()[0] as never)
    expect(whole(span as StoredSpan)).toMatchObject({
      fields: [{ value: { text: 'shared '.repeat(100) } }],
    })
  })

  test('what waits for an exporter that is no longer named is dropped when its time comes, counted', () => {
    commit(many(3))
    store.exporters(['b'])
    expect(store.expire(Date.now() + day, 1e12, 100, Number.POSITIVE_INFINITY)).toBe(1)
    expect(store.counters()['a.dropped.expired']).toBe(3)
  })

  test('a full store says so until there is room again', async () => {
    rotating()
    for (let i = 0; i < 6; i++) heavy()
    const retention = startRetention({
      store,
      ageMs: day,
      bytes: 200_000,
      oldestOpenFile: () => Number.POSITIVE_INFINITY,
    })
    expect(retention.full()).toBe(true)
    retention.stop()
    deliverAll()
    const again = startRetention({
      store,
      ageMs: day,
      bytes: 200_000,
      oldestOpenFile: () => Number.POSITIVE_INFINITY,
    })
    expect(again.full()).toBe(false)
    again.stop()
  })

  test('what is only sent again goes with its chunk, counted and told, and holds nothing back', () => {
    for (let i = 0; i < 3; i++) commit(many(2))
    store.acknowledge('a', [
      settled(1, { delivered: 2 }),
      settled(2, { complete: false, states: Uint8Array.from([2, 0]), delivered: 1 }),
    ])
    const chosen = new Map([
      [1, [0, 1]],
      [2, [0]],
    ])
    expect(store.sendAgain('a', chosen).spans).toBe(3)
    const told: [string, number][] = []
    const tell = (exporter: string, spans: number): void => {
      told.push([exporter, spans])
    }
    // Of the second one a span waits for the first time.
    expect(store.expire(Date.now() + day, 1e12, 9, Number.POSITIVE_INFINITY, tell)).toBe(1)
    expect(told).toEqual([['a', 2]])
    expect(chunks().map(({ id }) => id)).toEqual([2, 3])
    expect(store.backlog('a')).toMatchObject({ chunks: 2, spans: 3 })
    expect(read((reader) => reader.exporters())).toMatchObject([
      { accepted: 6, delivered: 3, held: 3, dropped: {}, notResent: 2 },
    ])
  })

  test('a store that is full of what is only sent again has room again', () => {
    rotating()
    for (let i = 0; i < 6; i++) heavy()
    deliverAll()
    const all = Array.from({ length: 6 }, (_, i): [number, number[]] => [i + 1, [0]])
    expect(store.sendAgain('a', new Map(all)).spans).toBe(6)
    let notResent = 0
    const retention = startRetention({
      store,
      ageMs: day,
      bytes: 200_000,
      oldestOpenFile: () => Number.POSITIVE_INFINITY,
      onNotResent: (_, spans) => {
        notResent += spans
      },
    })
    expect(retention.full()).toBe(false)
    retention.stop()
    expect(notResent).toBeGreaterThan(0)
    expect(store.counters()).toMatchObject({ 'a.notResent': notResent })
    expect(store.backlog('a')).toMatchObject({ chunks: 6 - notResent, spans: 0 })
  })

  test('resources of writers that nothing is left of are forgotten', () => {
    store.commit({
      ...batch(many(1)),
      writers: [{ id: 'gone', resource, finished: many(1), header: '{}', state: '{}', vitals: [] }],
    })
    store.commit({
      writers: [{ id: 'gone', resource, state: null, vitals: [] }],
      cursors: [],
      counters: {},
    })
    commit(many(1))
    deliverAll()
    expect(store.expire(Date.now() + day, 1e12, 100, Number.POSITIVE_INFINITY)).toBe(2)
    const database = new DatabaseSync(join(directory, 'offpath.db'), { readOnly: true })
    expect(database.prepare('SELECT writer FROM resource').all()).toEqual([{ writer: 'w' }])
    database.close()
    commit(many(1))
    expect(store.readSpans(chunks()[0] as never)).toMatchObject([{ resource }])
  })
})

function caught(action: () => unknown): unknown {
  try {
    action()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

/** A span with the bytes of its values in one piece. */
function whole(span: StoredSpan): object {
  return {
    ...span,
    traceId: span.traceId.toString('hex'),
    spanId: span.spanId.toString('hex'),
    parentSpanId: span.parentSpanId?.toString('hex') ?? null,
    fields: span.fields.map(({ field, key, value }) => {
      if (value.type !== 'text' && value.type !== 'json') return { field, key, value }
      const bytes = Buffer.alloc(value.length)
      store.loadParts(value.parts, bytes, 0)
      return { field, key, value: { type: value.type, text: bytes.toString() } }
    }),
  }
}

function spanArbitrary(): fc.Arbitrary<StoredSpan> {
  const wellFormed = fc.string({ unit: 'grapheme', maxLength: 100 })
  const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })
  const id = (bytes: number) =>
    fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((value) => Buffer.from(value))
  const part: fc.Arbitrary<Part> = fc.oneof(
    wellFormed.map((value) => Buffer.from(value)),
    wellFormed.map((value) => store.data.append(Buffer.from(value))),
  )
  const parts = fc.array(part, { maxLength: 4 }).map((list) => ({
    // Parts of nothing are left out.
    parts: list.filter(({ length }) => length > 0),
    length: list.reduce((sum, { length }) => sum + length, 0),
  }))
  const value: fc.Arbitrary<Value> = fc.oneof(
    parts.map((of): Value => ({ type: 'text', ...of })),
    parts.map((of): Value => ({ type: 'json', ...of })),
    fc
      .oneof(fc.integer(), fc.maxSafeInteger())
      .map((number): Value => ({ type: 'int', value: number })),
    fc.constant<Value>({ type: 'int', value: 2n ** 80n }),
    fc.double().map((number): Value => ({ type: 'double', value: number })),
    fc.boolean().map((bool): Value => ({ type: 'bool', value: bool })),
    fc.array(wellFormed).map((values): Value => ({ type: 'strings', values })),
  )
  const plain = fc.dictionary(wellFormed, fc.oneof(fc.string(), fc.integer(), fc.boolean()), {
    noNullPrototype: true,
    maxKeys: 3,
  })
  const field: fc.Arbitrary<StoredField> = fc.oneof(
    fc
      .tuple(fc.constantFrom(3, 4, 6, 11, 13, 21), value)
      .map(([number, of]) => ({ field: number, value: of })),
    fc
      .tuple(fc.constantFrom(5, 24, 63), wellFormed, value)
      .map(([number, key, of]) => ({ field: number, key, value: of })),
  )
  return fc
    .record({
      traceId: id(16),
      spanId: id(8),
      parentSpanId: fc.option(id(8)),
      name: wellFormed,
      type: fc.nat(9),
      kind: fc.nat(4),
      startSeconds: u32,
      startNanos: u32,
      endSeconds: u32,
      endNanos: u32,
      startFlags: fc.nat(7),
      interrupted: fc.boolean(),
      revision: fc.nat(3),
      statusCode: fc.nat(2),
      statusDescription: wellFormed,
      traceState: wellFormed,
      project: fc.option(fc.string({ unit: 'grapheme', minLength: 1 })),
      scope: fc.option(fc.record({ name: wellFormed, version: wellFormed, attributes: plain })),
      fields: fc.array(field, { maxLength: 8 }),
      events: fc.array(
        fc.record({ name: wellFormed, seconds: u32, nanos: u32, attributes: plain }),
        {
          maxLength: 2,
        },
      ),
      links: fc.array(
        fc.record({
          traceId: id(16).map((bytes) => bytes.toString('hex')),
          spanId: id(8).map((bytes) => bytes.toString('hex')),
          flags: fc.nat(255),
          attributes: plain,
        }),
        { maxLength: 2 },
      ),
    })
    .map(makeSpan)
}
