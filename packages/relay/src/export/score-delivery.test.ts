import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startLangfuseServer } from '../../../../test/langfuse-server/server.ts'
import type { Fault, LangfuseServer } from '../../../../test/langfuse-server/types.ts'
import { createLog } from '../log.ts'
import { type ApartRow, StoreReader } from '../store/read.ts'
import type { NewScore } from '../store/scores.ts'
import { Store } from '../store/store.ts'
import { langfuseExporter } from './exporters.ts'
import { type FakeClock, resource, startFakeClock } from './fixtures.ts'
import { type Delivery, LOCAL_ERROR_MS } from './progress.ts'
import { type ScoreDeliveryOptions, startScoreDelivery } from './score-delivery.ts'

// A real store and a real server around one delivery.

let server: LangfuseServer
let directory: string
let store: Store
let clock: FakeClock
let delivery: Delivery
let lines: string[]
beforeEach(async () => {
  server = await startLangfuseServer({
    projects: { 'pk-main': 'sk-main-secret', 'pk-other': 'sk-other-secret' },
  })
  directory = mkdtempSync(join(tmpdir(), 'offpath-scores-'))
  store = new Store(directory)
  store.exporters(['langfuse'], ['langfuse'])
  clock = startFakeClock(0)
  lines = []
})
afterEach(async () => {
  await delivery.stop(0)
  store.close()
  await server.close()
  clock.stop()
  rmSync(directory, { recursive: true })
})

function start(options: Partial<ScoreDeliveryOptions> = {}): void {
  const exporter = langfuseExporter({
    baseUrl: new URL(server.url),
    keys: { publicKey: 'pk-main', secretKey: 'sk-main-secret' },
    projects: {
      other: { publicKey: 'pk-other', secretKey: 'sk-other-secret' },
      wrong: { publicKey: 'pk-wrong', secretKey: 'sk-wrong-secret' },
    },
  })
  delivery = startScoreDelivery({
    exporter,
    target: exporter.scores!,
    outbox: store.scores,
    clock,
    random: () => 0.01,
    concurrency: 4,
    lingerMs: 0,
    timeoutMs: 500,
    backlogBytes: 1e9,
    onAttempt: () => {},
    log: createLog((line) => lines.push(line), 'debug'),
    ...options,
  })
}

let serial = 0
function makeScore(over: object = {}, project = ''): NewScore {
  const id = `score-${++serial}`
  const score = { id, traceId: 'a'.repeat(32), name: 'quality', value: 0.5 }
  const timestamp = '2026-11-24T10:00:00.000000Z'
  return { project, json: JSON.stringify({ ...score, timestamp, ...over }) }
}
const many = (count: number): NewScore[] => Array.from({ length: count }, () => makeScore())

function commit(...scores: NewScore[]): void {
  store.commit({
    writers: [{ id: 'w', resource, state: '{}', vitals: [], scores }],
    cursors: [],
    counters: {},
  })
  delivery?.wake()
}

/** The figures; throws when the law is broken. */
function law(): ApartRow & { drops: number } {
  const reader = StoreReader.open(directory) as StoreReader
  const row = reader.exporters()[0]?.scores as ApartRow
  reader.close()
  const drops = Object.values(row.dropped).reduce((sum, count) => sum + count, 0)
  expect(row.accepted).toBe(row.delivered + row.dead + drops + row.held)
  return { ...row, drops }
}

async function held(count: number): Promise<void> {
  const deadline = Date.now() + 8_000
  while (law().held !== count) {
    if (Date.now() > deadline) throw new Error(`${law().held} held, not ${count}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

const ids = (scores: readonly Readonly<Record<string, unknown>>[]): unknown[] =>
  scores.map(({ id }) => id).sort()
const idsOf = (scores: readonly NewScore[]): unknown[] =>
  ids(scores.map(({ json }) => JSON.parse(json)))
const deadLetters = () => {
  const reader = StoreReader.open(directory) as StoreReader
  const dead = reader.dead.newest('score', {}, 100)
  reader.close()
  return dead
}

describe('delivery of scores', () => {
  it('sends several as one array and one as an object, with the keys of its project', async () => {
    const scores = [...many(5), makeScore({}, 'other')]
    commit(...scores)
    start()
    await held(0)
    expect(law()).toMatchObject({ accepted: 6, delivered: 6, dead: 0, drops: 0 })
    const [main, other] = server.scores.requests.sort((a, b) => b.scores.length - a.scores.length)
    expect(main).toMatchObject({ project: 'pk-main', isArray: true, answer: 202 })
    expect(ids(main!.scores)).toEqual(idsOf(scores.slice(0, 5)))
    expect(other).toMatchObject({ project: 'pk-other', isArray: false, answer: 200 })
    expect(other!.scores).toEqual([JSON.parse(scores[5]!.json)])
    expect(other!.headers['content-type']).toBe('application/json')
    expect(delivery.status()).toMatchObject({ state: 'ok', requests: 2, retries: 0 })
  })

  it('keeps requests within a megabyte; a longer score goes alone', async () => {
    const long = (length: number) => makeScore({ comment: 'x'.repeat(length) })
    const scores = [long(400_000), long(400_000), long(400_000), long(1_020_000), ...many(250)]
    commit(...scores)
    start()
    await held(0)
    expect(ids(server.scores.all())).toEqual(idsOf(scores))
    const { requests } = server.scores
    const counts = requests.map((request) => request.scores.length)
    expect(counts.sort((a, b) => a - b)).toEqual([1, 1, 2, 50, 100, 100])
    for (const { bytes } of requests) expect(bytes).toBeLessThan(1024 * 1024)
  })

  it.each<[string, (score: object) => string | undefined, number]>([
    ['refused with the whole request (400)', () => undefined, 400],
    [
      'rejected among others (207)',
      (score) => ('bad' in score ? 'value out of range' : undefined),
      207,
    ],
  ])('a score that is %s stands alone in the dead letters', async (_how, reject, status) => {
    server.scores.reject = reject
    const scores = many(100)
    scores[41] = makeScore({ bad: 1, ...(status === 400 && { dataType: 'NO SUCH TYPE' }) })
    const good = scores.filter((_, index) => index !== 41)
    commit(...scores)
    start()
    await held(0)
    expect(server.scores.requests[0]).toMatchObject({ answer: status, isArray: true })
    expect(ids(server.scores.all())).toEqual(idsOf(good))
    expect(law()).toMatchObject({ accepted: 100, delivered: 99, dead: 1, drops: 0 })
    const [dead, ...others] = deadLetters()
    expect(others).toEqual([])
    expect(dead).toMatchObject({ exporter: 'langfuse', score: JSON.parse(scores[41]!.json) })
    expect(dead!.reason).toMatch(
      status === 400 ? /^answered 400: .*dataType/ : /value out of range/,
    )
  })

  it('sends a dead letter that is retried, behind what it has sent', async () => {
    server.scores.reject = (score) => (score.bad === true ? 'bad' : undefined)
    commit(makeScore({ bad: true }), ...many(3))
    start()
    await held(0)
    const retry = (): number =>
      store.scores.retry(
        'langfuse',
        deadLetters().map(({ id }) => id),
      )
    expect(retry()).toBe(1)
    delivery.wake()
    await held(0)
    expect(law()).toMatchObject({ accepted: 5, delivered: 3, dead: 2 })
    server.scores.reject = undefined
    expect(retry()).toBe(1)
    delivery.wake()
    await held(0)
    expect(law()).toMatchObject({ accepted: 6, delivered: 4, dead: 2, retried: 2 })
    expect(deadLetters()).toEqual([])
    expect(server.scores.all()).toHaveLength(4)
  })

  it('finds all that are rejected, wherever they are', async () => {
    server.scores.reject = (score) => (score.bad === true ? 'bad' : undefined)
    start()
    await fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { minLength: 1, maxLength: 40 }), async (bad) => {
        const before = law()
        const scores = bad.map((isBad) => makeScore(isBad ? { bad: true } : {}))
        commit(...scores)
        await held(0)
        const count = bad.filter(Boolean).length
        expect(law().dead - before.dead).toBe(count)
        expect(law().delivered - before.delivered).toBe(bad.length - count)
        const arrived = new Set(ids(server.scores.all()))
        expect(scores.map(({ json }) => !arrived.has(JSON.parse(json).id))).toEqual(bad)
      }),
      { numRuns: 20 },
    )
  })

  it.each<[string, Fault]>([
    ['429', { type: 'status', status: 429 }],
    ['408', { type: 'status', status: 408 }],
    ['500', { type: 'status', status: 500 }],
    ['503', { type: 'status', status: 503 }],
    ['a broken connection', { type: 'reset' }],
    ['half an answer', { type: 'half-body', accept: true }],
    ['no answer', { type: 'hang' }],
    ['an answer that is lost', { type: 'reset', accept: true }],
  ])('sends again after %s', async (_what, fault) => {
    server.scores.faults = [fault, fault]
    const scores = many(3)
    commit(...scores)
    start()
    await held(0)
    expect(server.scores.requests).toHaveLength(3)
    expect(ids(server.scores.all())).toEqual(idsOf(scores))
    const [first, , last] = server.scores.requests
    expect(last!.scores).toEqual(first!.scores)
    expect(law()).toMatchObject({ accepted: 3, delivered: 3 })
    expect(delivery.status()).toMatchObject({ state: 'ok', retries: 2 })
  })

  it('waits as long as Retry-After asks for', async () => {
    server.scores.faults = [{ type: 'status', status: 429, retryAfter: 30 }]
    commit(...many(2))
    start()
    await held(0)
    expect(Math.max(...clock.waits)).toBeGreaterThanOrEqual(30_000)
  })

  it('gets through hours without the server', async () => {
    const { port } = server
    await server.close()
    const scores = many(7)
    commit(...scores)
    start({ random: () => 0.9 })
    while (clock.elapsed() < 7_200_000) await new Promise((resolve) => setTimeout(resolve, 5))
    expect(delivery.status()).toMatchObject({ state: 'retrying' })
    expect(law()).toMatchObject({ held: 7 })
    server = await startLangfuseServer({ port, projects: { 'pk-main': 'sk-main-secret' } })
    await held(0)
    expect(ids(server.scores.all())).toEqual(idsOf(scores))
  })

  it('a project with wrong keys or none holds up no other, and is told', async () => {
    commit(makeScore({}, 'wrong'), makeScore({}, 'nobody'), makeScore())
    start()
    await held(2)
    expect(law()).toMatchObject({ accepted: 3, delivered: 1, held: 2 })
    // The good answer may be the first one.
    await expect.poll(() => delivery.status().state).toBe('unauthorized')
    const { state, message, lanes } = delivery.status()
    expect([state, message]).toEqual([
      'unauthorized',
      'answered 401: {"message":"Invalid credentials"}',
    ])
    expect(Object.fromEntries(lanes.map((lane) => [lane.project, lane.state]))).toEqual({
      '': 'ok',
      wrong: 'unauthorized',
      nobody: 'no-keys',
    })
    // Half a minute at least between attempts.
    expect(Math.min(...clock.waits.filter((ms) => ms > 0))).toBeGreaterThanOrEqual(LOCAL_ERROR_MS)
    server.projects.set('pk-wrong', 'sk-wrong-secret')
    await held(1)
    for (const text of [...lines, JSON.stringify(delivery.status())]) {
      expect(text).not.toMatch(/-secret|c2stb|Basic/)
    }
  })

  it('takes to single scores at an older server, and to arrays again after an hour', async () => {
    server.scores.arrays = false
    const scores = many(9)
    scores[4] = makeScore({ value: null })
    commit(...scores)
    start({ clock: { ...clock, elapsed: () => 0 } })
    await held(0)
    expect(law()).toMatchObject({ delivered: 8, dead: 1 })
    expect(deadLetters()[0]!.reason).toMatch(/value: invalid input/)
    commit(...many(20))
    await held(0)
    const arrays = () => server.scores.requests.filter(({ isArray }) => isArray).length
    expect(arrays()).toBe(1)
    expect(ids(server.scores.all())).toHaveLength(28)

    await delivery.stop(0)
    server.scores.arrays = true
    let time = 0
    start({ clock: { ...clock, elapsed: () => (time += 3_600_000) } })
    commit(...many(20))
    await held(0)
    expect(arrays()).toBe(2)
  })

  it.each([404, 405])('tries single scores where an array is answered with %i', async (status) => {
    server.scores.faults = [{ type: 'status', status }]
    const scores = many(2)
    commit(...scores)
    start()
    await held(0)
    expect(server.scores.requests.map(({ isArray }) => isArray)).toEqual([true, false, false])
    expect(ids(server.scores.all())).toEqual(idsOf(scores))
  })

  it('keeps everything where even a single score is answered with 404, and says so', async () => {
    server.scores.faults = () => ({ type: 'status', status: 404 })
    commit(...many(3))
    start()
    while (delivery.status().retries < 3) await new Promise((resolve) => setTimeout(resolve, 5))
    expect(delivery.status()).toMatchObject({ state: 'misconfigured' })
    expect(law()).toMatchObject({ held: 3, dead: 0 })
  })

  it('a login page in front of the server takes nothing', async () => {
    server.scores.faults = [{ type: 'html' }]
    commit(...many(2))
    start()
    await held(0)
    expect(server.scores.all()).toHaveLength(2)
    expect(server.scores.requests).toHaveLength(2)
  })

  it('a request that is never answered well holds up no other', async () => {
    server.scores.faults = [{ type: 'hang' }]
    const [first, second] = many(2)
    commit(first!)
    start({ timeoutMs: 60_000 })
    await server.waitFor(() => server.scores.requests.length === 1)
    commit(second!)
    await held(1)
    expect(ids(server.scores.all())).toEqual(idsOf([second!]))
    expect(delivery.status()).toMatchObject({ inFlight: 1 })
  })

  it('what is under way when it stops is sent again after the next start', async () => {
    server.scores.faults = [{ type: 'hang', accept: true }]
    const scores = many(3)
    commit(...scores)
    start({ timeoutMs: 60_000 })
    await server.waitFor(() => server.scores.requests.length === 1)
    await delivery.stop(20)
    expect(law()).toMatchObject({ held: 3, delivered: 0 })
    start()
    await held(0)
    const [first, second] = server.scores.requests
    expect(second!.scores).toEqual(first!.scores)
    expect(server.scores).toMatchObject({ received: 6 })
    expect(ids(server.scores.all())).toEqual(idsOf(scores))
    expect(law()).toMatchObject({ accepted: 3, delivered: 3 })
  })

  it('keeps what was settled of a request that it gives up', async () => {
    server.scores.faults = [{ type: 'status', status: 400 }, undefined, { type: 'hang' }]
    commit(...many(4))
    start({ timeoutMs: 60_000 })
    await server.waitFor(() => server.scores.requests.length === 3)
    await delivery.stop(20)
    expect(law()).toMatchObject({ accepted: 4, delivered: 2, held: 2 })
    start()
    await held(0)
    expect(law()).toMatchObject({ delivered: 4 })
    expect(server.scores).toMatchObject({ received: 4 })
  })

  it('drops the oldest of a backlog beyond its cap, counted', async () => {
    server.scores.faults = () => ({ type: 'status', status: 503 })
    const long = () => makeScore({ comment: 'x'.repeat(10_000) })
    const scores = Array.from({ length: 300 }, long)
    start({ backlogBytes: 1_500_000, concurrency: 1 })
    commit(...scores.slice(0, 50))
    await server.waitFor(() => server.scores.requests.length > 0)
    commit(...scores.slice(50))
    while (law().drops === 0) {
      delivery.wake()
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const { accepted, dropped, heldBytes } = law()
    expect(accepted).toBe(300)
    expect(dropped.backlog_full).toBeGreaterThan(100)
    expect(heldBytes).toBeLessThanOrEqual(1_500_000)
    server.scores.faults = undefined
    await held(0)
    const arrived = new Set(ids(server.scores.all()))
    // What was under way, and the newest.
    for (const id of [...idsOf(scores.slice(0, 50)), ...idsOf(scores.slice(-50))]) {
      expect(arrived).toContain(id)
    }
  })

  it('goes on dropping until what waits is below the cap', async () => {
    server.scores.faults = () => ({ type: 'status', status: 503 })
    start({ backlogBytes: 50_000, concurrency: 1 })
    commit(...many(3500))
    while (law().heldBytes > 50_000) await new Promise((resolve) => setTimeout(resolve, 5))
    // What is on its way stays.
    expect(law().held).toBeGreaterThanOrEqual(100)
    expect(law().drops).toBeGreaterThan(3000)
  })

  it('waits a little for others to share a request, unless it is told to hurry', async () => {
    start({ lingerMs: 1_000_000_000, clock: { ...clock, sleep: () => new Promise(() => {}) } })
    commit(...many(2))
    commit(...many(2))
    expect(server.scores.requests).toEqual([])
    delivery.hurry()
    await held(0)
    expect(server.scores.requests.map(({ scores }) => scores.length)).toEqual([4])
  })
})

describe('the outbox of scores', () => {
  beforeEach(() => start({ clock: { ...clock, sleep: () => new Promise(() => {}) } }))

  it('of an exporter that is no longer named keeps what it holds until it expires', () => {
    commit(...many(3))
    store.exporters(['other'], ['other'])
    commit(...many(2))
    const rows = () => {
      const reader = StoreReader.open(directory) as StoreReader
      const found = reader.exporters().map(({ name, scores }) => [name, scores])
      reader.close()
      return Object.fromEntries(found)
    }
    expect(rows()).toMatchObject({ langfuse: { accepted: 3, held: 3 }, other: { accepted: 2 } })
    store.expire(Date.now() - 60_000, 1e12, 10, Number.POSITIVE_INFINITY)
    expect(rows()).toMatchObject({ langfuse: { held: 3 } })
    store.expire(Date.now() + 60_000, 1e12, 10, Number.POSITIVE_INFINITY)
    expect(rows()).toMatchObject({
      langfuse: { accepted: 3, held: 0, dropped: { expired: 3 } },
      other: { accepted: 2, held: 2, dropped: {} },
    })
    store.exporters(['langfuse'], ['langfuse'])
  })

  it('counts scores that no exporter takes, and leaves the figures of spans alone', () => {
    store.exporters(['otlp'])
    commit(...many(3))
    expect(store.counters()).toEqual({ scores: 3, scoresWithoutExporter: 3 })
    const reader = StoreReader.open(directory) as StoreReader
    const row = reader.exporters().find(({ name }) => name === 'otlp')
    expect(row).toMatchObject({ accepted: 0, delivered: 0, held: 0, scores: null })
    reader.close()
  })

  it('settles a score once', () => {
    commit(...many(2))
    const [a, b] = store.scores.next('langfuse', '', 0, new Set(), { count: 9, maxBytes: 1e6 })
    store.scores.acknowledge('langfuse', [a!.id], [{ id: b!.id, reason: 'bad' }])
    store.scores.acknowledge('langfuse', [a!.id, b!.id], [{ id: b!.id, reason: 'bad' }])
    expect(law()).toMatchObject({ accepted: 2, delivered: 1, dead: 1, held: 0 })
  })

  it('accepts a dead letter once more, under a new number, or drops it', () => {
    commit(...many(3))
    const scores = store.scores.next('langfuse', '', 0, new Set(), { count: 9, maxBytes: 1e6 })
    const ids = scores.map(({ id }) => id)
    store.scores.acknowledge(
      'langfuse',
      [],
      ids.map((id) => ({ id, reason: 'bad' })),
    )
    expect(store.scores.retry('langfuse', [ids[0]!, ids[0]!, 999])).toBe(1)
    // It is held, and its application does not wait for it.
    expect([store.scores.held(), store.scores.newestOf('w')]).toEqual([1, 0])
    expect(store.scores.dropDead('langfuse', [ids[0]!, ids[1]!])).toBe(1)
    expect(deadLetters().map(({ id }) => id)).toEqual([ids[2]])
    expect(law()).toMatchObject({ accepted: 4, dead: 3, held: 1, retried: 1, deadDropped: 1 })
    const after = ids[2]!
    const [again] = store.scores.next('langfuse', '', after, new Set(), {
      count: 9,
      maxBytes: 1e6,
    })
    expect(again!.json).toBe(scores[0]!.json)
  })

  it('is as it was when a commit or an acknowledgement fails', () => {
    commit(...many(1))
    const scores = many(2)
    const broken = { ...scores[1]!, json: undefined as unknown as string }
    expect(() => commit(scores[0]!, broken)).toThrow()
    expect(law()).toMatchObject({ accepted: 1, held: 1 })
    const [one] = store.scores.next('langfuse', '', 0, new Set(), { count: 9, maxBytes: 1e6 })
    const none = { id: {} as unknown as number, reason: 'bad' }
    expect(() => store.scores.acknowledge('langfuse', [one!.id], [none])).toThrow()
    expect(law()).toMatchObject({ accepted: 1, held: 1, delivered: 0 })
  })
})
