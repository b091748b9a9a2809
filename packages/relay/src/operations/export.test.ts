import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeSpan, resource } from '../export/fixtures.ts'
import { StoreReader } from '../store/read.ts'
import type { StoredSpan } from '../store/span.ts'
import { Store } from '../store/store.ts'
import { type Exported, type ExportFilter, exportedLines } from './export.ts'

let dir: string
let store: Store
let reader: StoreReader
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'offpath-export-'))
  store = new Store(dir)
  reader = StoreReader.open(dir)!
})
afterEach(() => {
  reader.close()
  store.close()
  rmSync(dir, { recursive: true, force: true })
})

function commit(...finished: StoredSpan[]): void {
  const writer = { id: 'w', resource, finished, state: '{}', vitals: [] }
  store.commit({ writers: [writer], cursors: [], counters: { accepted: finished.length } })
}

function exported(
  filter: Partial<ExportFilter> = {},
): Exported & { names: (string | undefined)[] } {
  const counts = { spans: 0, unreadable: 0 }
  const all = { from: 0, to: Number.MAX_SAFE_INTEGER, service: undefined, traceId: undefined }
  const text = JSON.stringify([...exportedLines(reader, { ...all, ...filter }, 1e6, counts)])
  const names = [...text.matchAll(/"spanId":"\w+","name":"(\w+)"/g)].map(([, name]) => name)
  return { ...counts, names }
}

test('each span is in it, also one whose next version comes as it begins', () => {
  const first = makeSpan({ name: 'first' })
  commit(first)
  const lastChunk = reader.lastChunk.bind(reader)
  let asked = 0
  reader.lastChunk = () => {
    const last = lastChunk()
    if (++asked === 1) commit({ ...first, name: 'second', revision: 1 })
    return last
  }
  expect(exported().spans).toBe(1)
})

test('of a trace the newest versions are in it, in the order in which they were stored', () => {
  const [first, other] = [makeSpan({ name: 'first' }), makeSpan({ name: 'other' })]
  commit(first, other)
  commit({ ...makeSpan({ name: 'next' }), traceId: first.traceId })
  commit({ ...first, name: 'newer', revision: 1 })
  const traceId = first.traceId.toString('hex')
  expect(exported({ traceId }).names).toEqual(['next', 'newer'])
  expect(exported({ traceId, service: 'none' }).spans).toBe(0)
})

test('a chunk that cannot be read is counted, also of a trace; one that has expired is not', () => {
  const span = makeSpan({})
  commit(span)
  const spansOf = reader.spansOf.bind(reader)
  reader.spansOf = (chunk) => {
    store.expire(Date.now() + 1000, Number.MAX_SAFE_INTEGER, 10, Number.MAX_SAFE_INTEGER)
    return spansOf(chunk)
  }
  expect(exported()).toMatchObject({ spans: 0, unreadable: 0 })
  commit(span)
  reader.spansOf = spansOf
  const [file] = readdirSync(dir).filter((name) => name.endsWith('.dat'))
  writeFileSync(join(dir, file!), '')
  const traceId = span.traceId.toString('hex')
  expect([exported().unreadable, exported({ traceId }).unreadable]).toEqual([1, 1])
})
