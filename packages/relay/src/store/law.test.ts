import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  isAgain,
  isWaiting,
  markTaken,
  openChunk,
  type Run,
  settle,
  tell,
} from '../export/chunk.ts'
import { makeSpan, resource } from '../export/fixtures.ts'
import { type ExporterRow, StoreReader } from './read.ts'
import type { StoredSpan } from './span.ts'
import { Store, type WriterChange } from './store.ts'

// The counting law against a plain model that knows each span: after every step, and in the store that is opened anew.

const NAMES = ['a', 'b']
const OUTCOMES = ['delivered', 'dead', 'refused'] as const
type Outcome = (typeof OUTCOMES)[number]

type Step =
  | {
      readonly type: 'commit'
      readonly revisions: readonly boolean[]
      readonly open: number
      readonly abandoned: number
      readonly fails: boolean
    }
  | {
      readonly type: 'settle'
      readonly exporter: string
      readonly chunk: number
      readonly outcomes: readonly (Outcome | null)[]
      readonly fails: boolean
    }
  | {
      readonly type: 'again'
      readonly exporter: string
      readonly chunk: number
      readonly spans: readonly number[]
      readonly fails: boolean
    }
  | { readonly type: 'drop'; readonly exporter: string; readonly count: number }
  /** The bytes of a chunk are damaged, and somebody reads it. */
  | { readonly type: 'damage'; readonly chunk: number }
  | { readonly type: 'expire'; readonly limit: number }
  | { readonly type: 'name'; readonly exporters: readonly string[] }
  | { readonly type: 'reopen' }

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        type: fc.constant('commit' as const),
        revisions: fc.array(fc.boolean(), { maxLength: 6 }),
        open: fc.nat(3),
        abandoned: fc.nat(2),
        fails: fc.boolean(),
      }),
    },
    {
      weight: 8,
      arbitrary: fc.record({
        type: fc.constant('settle' as const),
        exporter: fc.constantFrom(...NAMES),
        chunk: fc.nat(2),
        outcomes: fc.array(fc.option(fc.constantFrom(...OUTCOMES), { freq: 2 }), {
          minLength: 6,
          maxLength: 6,
        }),
        fails: fc.boolean(),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        type: fc.constant('drop' as const),
        exporter: fc.constantFrom(...NAMES),
        count: fc.integer({ min: 1, max: 3 }),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        type: fc.constant('again' as const),
        exporter: fc.constantFrom(...NAMES),
        chunk: fc.nat(2),
        spans: fc.uniqueArray(fc.nat(6), { minLength: 1 }),
        fails: fc.boolean(),
      }),
    },
    fc.record({ type: fc.constant('damage' as const), chunk: fc.nat(20) }),
    fc.record({ type: fc.constant('expire' as const), limit: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ type: fc.constant('name' as const), exporters: fc.subarray(NAMES) }),
    fc.record({ type: fc.constant('reopen' as const) }),
  ),
  // In a few steps nothing is settled in part, sent again in part, and settled.
  { minLength: 20, maxLength: 60 },
)

/** What an exporter was given, span by span. */
class Exporter {
  named = false
  known = false
  given = 0
  readonly counts = { delivered: 0, dead: 0, dropped: 0, resent: 0, notResent: 0 }
  /** Of each chunk in its outbox the spans: whether they are counted already (revisions, sent again); null: settled. */
  readonly outbox = new Map<number, (boolean | null)[]>()

  settle(chunk: number, index: number, outcome: Outcome | 'dropped'): void {
    const spans = this.outbox.get(chunk) ?? []
    const isCounted = spans[index]
    if (isCounted == null) return
    spans[index] = null
    if (isCounted) this.counts[outcome === 'delivered' ? 'resent' : 'notResent']++
    else this.counts[outcome === 'refused' ? 'dropped' : outcome]++
    if (spans.every((span) => span === null)) this.outbox.delete(chunk)
  }

  /** Returns how many spans of a chunk of so many are newly to be sent again. */
  again(chunk: number, size: number, chosen: readonly number[]): number {
    const spans = this.outbox.get(chunk) ?? new Array<boolean | null>(size).fill(null)
    const settled = chosen.filter((index) => spans[index] === null)
    for (const index of settled) spans[index] = true
    if (settled.length > 0) this.outbox.set(chunk, spans)
    return settled.length
  }

  drop(chunk: number): void {
    const spans = this.outbox.get(chunk) ?? []
    for (const index of spans.keys()) this.settle(chunk, index, 'dropped')
  }

  get waiting(): number {
    return [...this.outbox.values()].flat().filter((isCounted) => isCounted === false).length
  }
}

class Trial {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'offpath-law-'))
  readonly exporters: Record<string, Exporter> = { a: new Exporter(), b: new Exporter() }
  /** Of each chunk, which of its spans are. */
  readonly revisions = new Map<number, readonly boolean[]>()
  store: Store
  open = 0
  chunks = 0

  constructor() {
    this.store = new Store(this.directory)
    this.step({ type: 'name', exporters: ['a'] })
  }

  step(step: Step): void {
    const { store, exporters } = this
    switch (step.type) {
      case 'commit':
        this.commit(step)
        break
      case 'settle': {
        const exporter = exporters[step.exporter] as Exporter
        if (exporter.named) this.settle(step.exporter, exporter, step)
        break
      }
      case 'again': {
        const exporter = exporters[step.exporter] as Exporter
        if (exporter.named) this.again(step.exporter, exporter, step)
        break
      }
      case 'drop': {
        const exporter = exporters[step.exporter] as Exporter
        if (!exporter.named) break
        const ids = [...exporter.outbox.keys()].slice(0, step.count)
        const { dropped, notResent } = exporter.counts
        for (const id of ids) exporter.drop(id)
        expect(store.drop(step.exporter, ids)).toEqual({
          observations: exporter.counts.dropped - dropped,
          counted: exporter.counts.notResent - notResent,
        })
        break
      }
      case 'damage':
        this.damage(step.chunk)
        break
      case 'expire': {
        store.expire(Date.now() + 1e9, 1e12, step.limit, Number.POSITIVE_INFINITY)
        const kept = this.chunkIds()
        for (const exporter of Object.values(exporters)) {
          for (const id of [...exporter.outbox.keys()].filter((id) => !kept.has(id))) {
            // What waits for the first time is spared.
            if (exporter.named) expect(exporter.outbox.get(id)).not.toContain(false)
            exporter.drop(id)
          }
        }
        break
      }
      case 'name':
        store.exporters(step.exporters)
        for (const [name, exporter] of Object.entries(exporters)) {
          exporter.named = step.exporters.includes(name)
          exporter.known ||= exporter.named
        }
        break
      case 'reopen':
        this.reopen()
    }
    this.check()
  }

  commit({ revisions, open, abandoned: most, fails }: Step & { type: 'commit' }): void {
    const spans = revisions.map((isRevision) => makeSpan({ revision: isRevision ? 1 : 0 }))
    const first = revisions.filter((isRevision) => !isRevision).length
    const abandoned = Math.min(most, this.open)
    const batch = {
      writers: [writerOf(spans)],
      cursors: fails ? [{ writer: 'w', path: Symbol() as never, offset: 1 }] : [],
      counters: { accepted: first + open },
      abandoned,
    }
    if (fails) {
      expect(() => this.store.commit(batch)).toThrow()
      this.check()
      batch.cursors = []
    }
    this.store.commit(batch)
    this.open += open - abandoned
    if (spans.length > 0) this.revisions.set(++this.chunks, revisions)
    for (const exporter of Object.values(this.exporters)) {
      if (!exporter.named) continue
      exporter.given += first + abandoned
      exporter.counts.dropped += abandoned
      if (spans.length > 0) exporter.outbox.set(this.chunks, [...revisions])
    }
  }

  settle(name: string, exporter: Exporter, step: Step & { type: 'settle' }): void {
    const infos = this.store.nextChunks(name, 0, Number.POSITIVE_INFINITY)
    expect(infos.map(({ id }) => id)).toEqual([...exporter.outbox.keys()].sort((a, b) => a - b))
    const info = infos[step.chunk % infos.length]
    if (info === undefined) return
    const spans = exporter.outbox.get(info.id) as (boolean | null)[]
    const chunk = openChunk(info)
    const outcomes = spans.map((isCounted, index): [number, Outcome] | null => {
      const outcome = step.outcomes[index] ?? null
      return isCounted === null || outcome === null ? null : [index, outcome]
    })
    for (const outcome of outcomes) {
      if (outcome === null) continue
      const [index, what] = outcome
      const counted = this.revisions.get(info.id)![index]! || isAgain(chunk, index)
      const run: Run = { chunk, from: index, to: index + 1, counted }
      markTaken(chunk, index)
      settle(run, what)
    }
    // The others are under way when the outbox is told: a crash brings them back as they were.
    for (const index of spans.keys()) if (isWaiting(chunk, index)) markTaken(chunk, index)
    const settlement = tell(chunk)
    if (step.fails) {
      const bad = { ...tell(chunk), complete: false, states: Symbol() as never }
      expect(() => this.store.acknowledge(name, [settlement, bad])).toThrow()
      this.check()
    }
    this.store.acknowledge(name, [settlement])
    for (const outcome of outcomes) {
      if (outcome !== null) exporter.settle(info.id, outcome[0], outcome[1])
    }
  }

  again(name: string, exporter: Exporter, step: Step & { type: 'again' }): void {
    const stored = [...this.chunkIds()]
    const chunk = stored[step.chunk % stored.length]
    if (chunk === undefined) return
    if (step.fails) {
      const bad = new Map([
        [chunk, step.spans],
        [Symbol() as never, step.spans],
      ])
      expect(() => this.store.sendAgain(name, bad)).toThrow()
      this.check()
    }
    const { spans } = this.store.sendAgain(name, new Map([[chunk, step.spans]]))
    const size = this.revisions.get(chunk)?.length as number
    expect(spans).toBe(exporter.again(chunk, size, step.spans))
  }

  damage(which: number): void {
    const named = NAMES.find((name) => this.exporters[name]?.named)
    if (named === undefined) return
    const infos = this.store.nextChunks(named, 0, Number.POSITIVE_INFINITY)
    const info = infos[which % infos.length]
    if (info === undefined) return
    const file = openSync(join(this.directory, 'data-00000001.dat'), 'r+')
    writeSync(file, Buffer.from('damage'), 0, 6, info.offset + 40)
    closeSync(file)
    // What was read before is read ahead.
    this.reopen()
    expect(this.store.readSpans(info)).toEqual([])
    for (const exporter of Object.values(this.exporters)) if (exporter.named) exporter.drop(info.id)
  }

  chunkIds(): Set<number> {
    const database = new DatabaseSync(join(this.directory, 'offpath.db'), { readOnly: true })
    const rows = database.prepare('SELECT id FROM chunk').all()
    database.close()
    return new Set(rows.map(({ id }) => Number(id)))
  }

  reopen(): void {
    this.store.close()
    this.store = new Store(this.directory)
    this.store.exporters(NAMES.filter((name) => this.exporters[name]?.named))
  }

  /** The store counts as the model does, and the law holds. */
  check(): void {
    const reader = StoreReader.open(this.directory) as StoreReader
    const rows = reader.exporters()
    reader.close()
    for (const [name, exporter] of Object.entries(this.exporters)) {
      const row = rows.find((found) => found.name === name)
      expect(row !== undefined).toBe(exporter.known)
      if (row === undefined) continue
      expect(figuresOf(row)).toEqual(this.expected(exporter))
      const { accepted, delivered, dead, dropped, held } = figuresOf(row)
      expect(accepted).toBe(delivered + dead + dropped + held)
      if (!exporter.named) continue
      const backlog = { chunks: exporter.outbox.size, spans: exporter.waiting }
      expect(this.store.backlog(name)).toEqual({ ...backlog, bytes: row.waitingBytes })
    }
  }

  expected(exporter: Exporter): ReturnType<typeof figuresOf> {
    const { given, counts, waiting, named } = exporter
    const open = named ? this.open : 0
    return { accepted: given + open, held: waiting + open, waiting, ...counts }
  }

  close(): void {
    this.store.close()
    rmSync(this.directory, { recursive: true })
  }
}

function figuresOf(row: ExporterRow) {
  const { accepted, held, waiting, delivered, dead, resent, notResent } = row
  const dropped = Object.values(row.dropped).reduce((sum, count) => sum + count, 0)
  return { accepted, held, waiting, delivered, dead, dropped, resent, notResent }
}

function writerOf(finished: readonly StoredSpan[]): WriterChange {
  return { id: 'w', resource, finished, state: '{}', vitals: [] }
}

test('holds after every step, and in the store that is opened anew', { timeout: 60_000 }, () => {
  fc.assert(
    fc.property(steps, (list) => {
      const trial = new Trial()
      try {
        for (const step of list) trial.step(step)
        trial.step({ type: 'reopen' })
      } finally {
        trial.close()
      }
    }),
    { numRuns: 100 },
  )
})
