import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeSpan, resource } from '../export/fixtures.ts'
import { StoreReader } from '../store/read.ts'
import type { StoredSpan } from '../store/span.ts'
import { Store } from '../store/store.ts'
import { exportedLines } from './export.ts'

test('an export has each span, also one whose next version comes as it begins', () => {
  const dir = mkdtempSync(join(tmpdir(), 'offpath-export-'))
  const store = new Store(dir)
  const commit = (span: StoredSpan): void => {
    const writer = { id: 'w', resource, finished: [span], state: '{}', vitals: [] }
    store.commit({ writers: [writer], cursors: [], counters: { accepted: 1 } })
  }
  const first = makeSpan({ name: 'first' })
  commit(first)
  const reader = StoreReader.open(dir)!
  const lastChunk = reader.lastChunk.bind(reader)
  let asked = 0
  reader.lastChunk = () => {
    const last = lastChunk()
    if (++asked === 1) commit({ ...first, name: 'second', revision: 1 })
    return last
  }
  const exported = { spans: 0, unreadable: 0 }
  const all = { from: 0, to: Number.MAX_SAFE_INTEGER, service: undefined, traceId: undefined }
  const lines = [...exportedLines(reader, all, 1e6, exported)]
  expect(lines).toHaveLength(1)
  reader.close()
  store.close()
  rmSync(dir, { recursive: true, force: true })
})
