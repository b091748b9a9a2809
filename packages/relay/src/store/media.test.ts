import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { StoreReader } from './read.ts'
import { Store } from './store.ts'

let directory: string
let store: Store
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'offpath-media-'))
  open()
})
afterEach(() => {
  store.close()
  rmSync(directory, { recursive: true })
})

function open(...names: string[]): void {
  store = new Store(directory)
  store.exporters(['a', ...names], [], ['a', ...names])
}

function media(text: string, field = 'input') {
  const content = Buffer.from(text)
  const sha256 = createHash('sha256').update(content).digest('hex')
  return { content, sha256, contentType: 'image/png', field }
}

const place = { exporter: 'a', project: '', writer: 'w', traceId: 't', observationId: 'o' }
const next = (busy: string[] = []) => store.media.next('a', '', new Set(busy))
const files = (): string[] => readdirSync(join(directory, 'media'))

function figures() {
  const reader = StoreReader.open(directory)!
  const of = reader.exporters().find(({ name }) => name === 'a')!.media!
  reader.close()
  const dropped = Object.values(of.dropped).reduce((sum, count) => sum + count, 0)
  expect(of.accepted).toBe(of.delivered + of.dead + dropped + of.held)
  return of
}

test('content lies once, and goes when no row waits for it', async () => {
  const image = media('image')
  expect(store.media.add(place, [image, media('other'), media('image', 'output')])).toBe(3)
  expect(store.media.add(place, [image])).toBe(0)
  expect(store.media.add({ ...place, project: 'p' }, [image])).toBe(1)
  expect(files()).toHaveLength(2)
  expect(store.media.projects('a').sort()).toEqual(['', 'p'])
  const first = next()!
  expect(first).toMatchObject({ sha256: image.sha256, bytes: 5, field: 'input', upload: null })
  expect(await buffer(store.media.content(image.sha256)!)).toEqual(image.content)
  expect(next([image.sha256])!.bytes).toBe(5)
  const newest = store.media.newestOf('w')
  expect([store.media.newestOf('v'), store.media.isSettled('w', newest)]).toEqual([0, false])
  store.media.settle('a', first, { type: 'delivered' })
  store.media.settle('a', first, { type: 'delivered' })
  store.media.settle('a', next()!, { type: 'dead', reason: 'no' })
  expect(files()).toHaveLength(1)
  store.media.settle('a', next()!, { type: 'dropped', reason: 'content_gone' })
  store.media.settle('a', store.media.next('a', 'p', new Set())!, { type: 'delivered' })
  expect(store.media.isSettled('w', newest)).toBe(true)
  expect(files()).toEqual([])
  expect(store.media.content(image.sha256)).toBe(null)
  expect(figures()).toEqual({
    accepted: 4,
    delivered: 2,
    dead: 1,
    dropped: { content_gone: 1 },
    held: 0,
    heldBytes: 0,
    oldestHeld: null,
    retried: 0,
    deadDropped: 0,
  })
  // What was settled is known, whatever came of it.
  expect(store.media.add(place, [image, media('other')])).toBe(0)
  expect(files()).toEqual([])
})

test('an upload is remembered, and content that no row names is removed at the start', () => {
  const image = media('image')
  store.media.add(place, [image])
  const upload = { mediaId: 'm', uploadedAt: 'now', uploadHttpStatus: 200, uploadTimeMs: 3 }
  store.media.uploaded(next()!.id, upload)
  writeFileSync(join(directory, 'media', `${media('left').sha256}.part`), 'le')
  writeFileSync(join(directory, 'media', media('left').sha256), 'left')
  store.close()
  open()
  expect(files()).toEqual([image.sha256])
  expect(next()!.upload).toEqual(upload)
  expect(store.media.held()).toBe(1)
})

test('beyond a size the oldest go, but none that is on its way', () => {
  const all = ['aaaaa', 'bbbbb', 'ccccc'].map((text) => media(text))
  store.media.add(place, all)
  expect(store.media.trim('a', 15, new Set())).toBe(0)
  expect(store.media.trim('a', 9, new Set([all[0]!.sha256]))).toBe(2)
  expect(figures()).toMatchObject({ held: 1, heldBytes: 5, dropped: { backlog_full: 2 } })
  expect(files()).toEqual([all[0]!.sha256])
})

test('what is old goes: settled rows, and what waits for an exporter that is no longer named', () => {
  store.media.add(place, [media('one'), media('two')])
  store.media.settle('a', next()!, { type: 'delivered' })
  store.media.expire(Date.now() + 1)
  expect(figures()).toMatchObject({ delivered: 1, held: 1 })
  // It is forgotten: the same comes as new.
  expect(store.media.add(place, [media('one')])).toBe(1)
  store.exporters(['b'], [], ['b'])
  expect(store.media.held()).toBe(0)
  store.media.expire(Date.now() + 1)
  expect(figures()).toMatchObject({ accepted: 3, held: 0, dropped: { expired: 2 } })
  expect(files()).toEqual([])
})

test('an exporter that takes media no more, and is named still, has what waits for it expire', () => {
  store.media.add(place, [media('one'), media('two')])
  store.media.settle('a', next()!, { type: 'dead', reason: 'no' })
  store.exporters(['a'])
  store.close()
  // A command while no relay runs: what it had sent again would wait, and nobody would send it.
  store = new Store(directory)
  store.exportersAsBefore()
  expect([store.exporterNames(), store.media.isTaking('a')]).toEqual([['a'], false])
  // It is shown as long as it is there.
  expect(figures()).toMatchObject({ accepted: 2, dead: 1, held: 1 })
  store.media.expire(Date.now() + 1)
  expect(figures()).toMatchObject({ held: 0, dropped: { expired: 1 } })
  store.exporters(['a'], [], ['a'])
  expect(store.media.isTaking('a')).toBe(true)
})

test('a dead letter is accepted once more, with its content, or dropped', async () => {
  const image = media('image')
  store.media.add(place, [image, media('other'), media('third')])
  for (const reason of ['a', 'b', 'c']) {
    store.media.settle('a', next()!, { type: 'dead', reason })
  }
  expect(files()).toEqual([])
  expect(store.media.retry('a', 1, image)).toBe(true)
  // It is held, and its application does not wait for it.
  expect([store.media.held(), store.media.newestOf('w')]).toEqual([1, 0])
  // It is none any more.
  expect(store.media.retry('a', 1, image)).toBe(false)
  expect(store.media.retry('a', 9, media('unknown'))).toBe(false)
  expect(files()).toEqual([image.sha256])
  expect(await buffer(store.media.content(image.sha256)!)).toEqual(image.content)
  expect(figures()).toMatchObject({ accepted: 4, dead: 3, held: 1, retried: 1 })
  store.media.settle('a', next()!, { type: 'delivered' })
  expect(store.media.dropDead('a', [1, 2, 9])).toBe(1)
  expect(figures()).toMatchObject({ accepted: 4, delivered: 1, dead: 3, held: 0, deadDropped: 1 })
  const reader = StoreReader.open(directory)!
  expect(reader.dead.newest('media', {}, 9)).toMatchObject([
    { id: 3, what: 'media', reason: 'c', field: 'input', contentType: 'image/png', bytes: 5 },
  ])
  reader.close()
  // What is encoded again brings none of them.
  expect(store.media.add(place, [image, media('other'), media('third')])).toBe(0)
})

test('what is forgotten of an observation is new again, but its dead letters are not', () => {
  store.media.add(place, [media('one'), media('two')])
  store.media.add({ ...place, project: 'p', observationId: 'q' }, [media('one')])
  store.media.settle('a', next()!, { type: 'delivered' })
  store.media.settle('a', next()!, { type: 'dead', reason: 'no' })
  store.media.settle('a', store.media.next('a', 'p', new Set())!, { type: 'delivered' })
  store.media.forget('a', [{ traceId: 't', observationId: 'o' }])
  expect(store.media.add(place, [media('one'), media('two')])).toBe(1)
  expect(store.media.add({ ...place, project: 'p', observationId: 'q' }, [media('one')])).toBe(0)
  store.media.forget('a', [{ traceId: 't', observationId: 'q' }])
  expect(store.media.add({ ...place, project: 'p', observationId: 'q' }, [media('one')])).toBe(1)
  expect(figures()).toMatchObject({ accepted: 5, delivered: 2, dead: 1, held: 2 })
})
