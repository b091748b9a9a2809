// What is refused leaves nothing behind, and what failed before it is not mixed up with it.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { FIELD } from '@offpath/sdk/spool-format'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { field, load, makeSpan, resource, text } from '../../export/fixtures.ts'
import { javascript5 } from '../../export/langfuse.ts'
import { createEncoder } from '../../export/otlp.ts'
import { fromProtobuf } from '../../otlp/from-protobuf.ts'
import { StoreReader } from '../../store/read.ts'
import type { StoredSpan, Value } from '../../store/span.ts'
import { Store } from '../../store/store.ts'
import { BusyError, Intake, type IntakeOptions, type Taken } from './intake.ts'

const encoder = createEncoder({ dialect: javascript5, load, maxSpanBytes: 2 ** 26 })
const spool = (spans: readonly StoredSpan[]) => ({
  writers: [{ id: 'w', resource, finished: spans, state: '{}', vitals: [] }],
  cursors: [],
  counters: { accepted: spans.length },
})

let dir: string
let store: Store
let intake: Intake
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'offpath-intake-'))
  store = new Store(dir)
  store.exporters(['a', 'b'])
  open()
})
afterEach(() => {
  intake.close()
  store.close()
  rmSync(dir, { recursive: true, force: true })
})

function open(options: Partial<IntakeOptions> = {}): void {
  intake = new Intake({ store, storeDir: dir, full: () => false, backlogBytes: 1e9, ...options })
}

function take(...spans: StoredSpan[]): Taken {
  const request = fromProtobuf(Buffer.from(encoder.encode(spans)))
  return intake.take([intake.read(request, null)], { way: 'otlp', deliver: true })
}

/** Has the store refuse commits with chunks, as a full disk does. */
function refuse(refuses: boolean): void {
  const database = new DatabaseSync(join(dir, 'offpath.db'))
  database.exec(
    refuses
      ? `CREATE TRIGGER refuse BEFORE INSERT ON chunk BEGIN SELECT RAISE(ABORT, 'no space'); END`
      : 'DROP TRIGGER refuse',
  )
  database.close()
}

/** accepted = delivered + dead + dropped + held of each exporter, and all that is stored. */
function law(): { accepted: number; names: string[] } {
  const reader = StoreReader.open(dir)!
  const [one, ...others] = reader.exporters()
  for (const row of [one!, ...others]) {
    const dropped = Object.values(row.dropped).reduce((sum, n) => sum + n, 0)
    expect(row.accepted).toBe(row.delivered + row.dead + dropped + row.held)
    expect(row.held).toBe(store.backlog(row.name).spans)
  }
  const names = reader.spansAfter(0, 1000).spans.map(({ name }) => name)
  reader.close()
  return { accepted: one!.accepted, names }
}

test('of a commit that fails nothing is kept, and it can be sent again', () => {
  refuse(true)
  expect(() => take(makeSpan({ name: 'mine' }))).toThrow('the store refuses it: no space')
  refuse(false)
  expect(law()).toEqual({ accepted: 0, names: [] })
  store.commit(spool([makeSpan({ name: 'spool' })]))
  expect(law()).toEqual({ accepted: 1, names: ['spool'] })
  expect(take(makeSpan({ name: 'mine' }))).toEqual({ spans: 1, revised: 0, known: 0 })
  expect(law()).toEqual({ accepted: 2, names: ['spool', 'mine'] })
})

test('of what is refused again and again no byte stays, in memory or in the data file', () => {
  const withText = (letter: string, length: number) =>
    makeSpan({ fields: [field(FIELD.input, text(letter.repeat(length)))] })
  take(withText('a', 100_000))
  const { position } = store.data
  refuse(true)
  // Some fit into the writer's buffer, some fill it.
  for (const length of [10, 1_000_000, 5_000_000, 10_000_000, 3_000_000, 100_000]) {
    expect(() => take(withText('x', length))).toThrow('no space')
    expect(store.data.position).toEqual(position)
  }
  refuse(false)
  take(withText('b', 100_000))
  expect(store.data.position.length).toBeLessThan(position.length + 110_000)
  const reader = StoreReader.open(dir)!
  const inputs = reader.spansAfter(0, 10).spans.map(({ fields: [input] }) => {
    const { parts, length } = input!.value as Extract<Value, { type: 'text' }>
    const bytes = Buffer.alloc(length)
    store.loadParts(parts, bytes, 0)
    return bytes.toString()
  })
  reader.close()
  expect(inputs).toEqual(['a'.repeat(100_000), 'b'.repeat(100_000)])
})

test('what is committed stays when somebody who is told of it fails', () => {
  let fails = true
  store.onCommit(() => {
    if (fails) throw new Error('not mine')
  })
  expect(() => take(makeSpan({ name: 'one' }))).toThrow('not mine')
  fails = false
  take(makeSpan({ name: 'two' }))
  expect(law().names).toEqual(['one', 'two'])
})

test('nothing is taken before what the spool brought and the store refused', () => {
  const batch = spool([makeSpan({ name: 'spool' })])
  refuse(true)
  expect(() => store.commit(batch)).toThrow('no space')
  refuse(false)
  expect(() => take(makeSpan({ name: 'mine' }))).toThrow(BusyError)
  expect(law()).toEqual({ accepted: 0, names: [] })
  store.commit(batch)
  take(makeSpan({ name: 'mine' }))
  expect(law()).toEqual({ accepted: 2, names: ['spool', 'mine'] })
})

test('a full store, and a backlog that is full for all exporters, refuse; one that is dead alone does not', () => {
  open({ full: () => true })
  expect(() => take(makeSpan())).toThrow('the store is full')
  open({ backlogBytes: 1 })
  take(makeSpan())
  expect(() => take(makeSpan())).toThrow('export.backlog-cap')
  store.drop('a', [1])
  expect(take(makeSpan())).toMatchObject({ spans: 1 })
  law()
})

test('versions of a span count once, whichever of them were in one request', () => {
  const span = makeSpan({ name: 'first', statusCode: 2 })
  expect(take(span, { ...span, name: 'second', statusCode: 0 }, span)).toEqual({
    spans: 1,
    revised: 2,
    known: 0,
  })
  expect(law()).toMatchObject({ accepted: 1, names: ['first', 'second', 'first'] })
  const reader = StoreReader.open(dir)!
  const { summary, spans } = reader.trace(span.traceId.toString('hex'))!
  expect(summary).toMatchObject({ spans: 1, errors: 1, interrupted: 0 })
  expect(spans).toMatchObject([{ name: 'first', revision: 2 }])
  reader.close()
})

test('what ends in the future by another clock is known as well', () => {
  const now = Math.floor(Date.now() / 1000)
  const span = makeSpan({ startSeconds: now, endSeconds: now + 3600 })
  expect([take(span), take(span)]).toMatchObject([{ spans: 1 }, { known: 1 }])
})

test('what another way has brought is known as well, once it ended before this one began', () => {
  const span = makeSpan()
  store.commit(spool([span]))
  expect(take(span)).toEqual({ spans: 0, revised: 0, known: 1 })
})
