// What every exporter has to do, against a server that misbehaves in every way a real one does.
import { FIELD } from '@offpath/sdk/spool-format'
import { afterEach, describe, expect, it } from 'vitest'
import type { Fault, LangfuseServer } from '../../../../test/langfuse-server/types.ts'
import type { DeliveryOptions } from './delivery.ts'
import type { Exporter } from './exporters.ts'
import { field, makeSpan, manualClock, startFakeClock, text } from './fixtures.ts'
import { type Harness, type HarnessOptions, startHarness } from './harness.ts'

export interface Subject {
  readonly name: string
  exporterOf(server: LangfuseServer): Exporter
}

const HOUR = 3_600_000
const START = Date.parse('2026-11-24T10:00:00Z')

const many = (count: number, bytes = 10) =>
  Array.from({ length: count }, () =>
    makeSpan({ fields: [field(FIELD.input, text('x'.repeat(bytes)))] }),
  )
/** Long enough for a request that should not be sent to arrive. */
const turns = () => new Promise((resolve) => setTimeout(resolve, 50))
const idsOf = (spans: readonly { spanId: Buffer | string }[]): string[] =>
  spans.map(({ spanId }) => spanId.toString('hex'))

export function conformsAsExporter({ name, exporterOf }: Subject): void {
  describe(`exporter ${name}`, () => {
    let harness: Harness
    let clock: ReturnType<typeof startFakeClock> | undefined

    async function start(
      delivery: Partial<DeliveryOptions> = {},
      server: HarnessOptions['server'] = {},
    ): Promise<Harness> {
      harness = await startHarness({ exporterOf, server, delivery })
      return harness
    }
    const simulated = () => {
      clock = startFakeClock(START)
      return clock
    }
    afterEach(async () => {
      await harness.close()
      clock?.stop()
      clock = undefined
    })

    it('delivers each span once, in the order of their ends', async () => {
      const { commit, held, law, server } = await start({ concurrency: 1 })
      const spans = many(1000)
      commit(spans.slice(0, 10))
      commit(spans.slice(10, 500))
      commit(spans.slice(500))
      await held(0)
      expect(idsOf(server.spans())).toEqual(idsOf(spans))
      expect(server.duplicates).toEqual({ identical: 0, changed: 0 })
      expect(law()).toMatchObject({ accepted: 1000, delivered: 1000 })
      expect(harness.delivery.status()).toMatchObject({ name, state: 'ok', lastError: null })
    })

    it('waits a little for a request to become full, and no longer than that', async () => {
      const time = manualClock(START)
      const options = { clock: time, lingerMs: 250, requestBytes: 20_000 }
      const { commit, held, server } = await start(options)
      commit(many(3))
      commit(many(4))
      await turns()
      time.pass(249)
      await turns()
      expect(server.requests).toEqual([])
      time.pass(1)
      await held(0)
      expect(server.requests.map(({ spanCount }) => spanCount)).toEqual([7])
      // Full ones go while the clock stands still, the rest waits for it.
      commit(many(60, 500))
      await server.waitFor(() => server.requests.length >= 3)
      const sent = server.spans().length
      expect(sent).toBeLessThan(67)
      await held(67 - sent)
      time.pass(250)
      await held(0)
    })

    it('sends what has waited even when the clock was set back meanwhile', async () => {
      const time = manualClock(START)
      let back = 0
      const clock = { ...time, now: () => time.now() - back }
      const { commit, held } = await start({ clock, lingerMs: 250 })
      commit(many(3))
      await turns()
      // Timers and the wall clock never agree to the last millisecond.
      back = 1
      time.pass(250)
      await held(0)
    })

    it('sends at once when it is told to hurry', async () => {
      const { commit, held, delivery } = await start({ lingerMs: HOUR })
      commit(many(3))
      delivery.hurry()
      await held(0)
    })

    it('keeps requests within their bytes', async () => {
      const { commit, held, server } = await start({ requestBytes: 50_000 })
      commit(many(300, 1000))
      commit(many(1, 120_000))
      commit(many(5, 1000))
      await held(0)
      const sizes = server.requests.map(({ decodedBytes }) => decodedBytes)
      expect(sizes.filter((size) => size > 50_000)).toHaveLength(1)
      expect(Math.max(...sizes)).toBeLessThan(121_000)
      expect(server.requests.length).toBeLessThan(16)
    })

    it('compresses where it is told to', async () => {
      const { commit, held, server } = await start({ gzip: 'always' })
      commit(many(100, 1000))
      await held(0)
      const [request] = server.requests
      expect(request?.headers['content-encoding']).toBe('gzip')
      expect(request?.encodedBytes).toBeLessThan(request!.decodedBytes / 5)
    })

    it('puts one poison span of 512 among the dead letters and delivers the others', async () => {
      const { commit, held, law, server, lines } = await start()
      const spans = many(512)
      const poison = spans[300]!
      server.rejectSpan = ({ spanId }) =>
        spanId === poison.spanId.toString('hex') ? 'bad trace id' : undefined
      commit(spans)
      await held(0)
      expect(server.spans()).toHaveLength(511)
      expect(server.requests).toHaveLength(19)
      expect(law()).toMatchObject({ delivered: 511, dead: 1 })
      expect(lines.join()).toContain('bad trace id')
    })

    it('halves requests that are too large, until one span alone is', async () => {
      const { commit, held, law } = await start({}, { maxBodyBytes: 30_000 })
      commit([...many(50, 1000), ...many(1, 40_000), ...many(50, 1000)])
      await held(0)
      expect(law()).toMatchObject({ delivered: 100, dead: 1 })
    })

    it.each<[string, Fault]>([
      ['429', { type: 'status', status: 429, retryAfter: 20 }],
      [
        '503 with a date',
        { type: 'status', status: 503, retryAfter: new Date(START).toUTCString() },
      ],
      ['500', { type: 'status', status: 500, body: 'oops' }],
      ['408', { type: 'status', status: 408 }],
      ['a reset', { type: 'reset' }],
      ['half an answer', { type: 'half-body' }],
      ['no answer', { type: 'hang' }],
      ['a login page', { type: 'html' }],
      ['404', { type: 'status', status: 404 }],
    ])('sends again after %s', async (_what, fault) => {
      const { commit, held, law, server, delivery } = await start({
        clock: simulated(),
        timeoutMs: 100,
        concurrency: 1,
      })
      server.faults = [fault, fault]
      commit(many(20))
      await held(0)
      expect(server.requests).toHaveLength(3)
      expect(law()).toMatchObject({ delivered: 20 })
      expect(delivery.status()).toMatchObject({ state: 'ok', message: null, retries: 2 })
      expect(delivery.status().lastError?.message).toEqual(expect.any(String))
    })

    it('sends the same bytes again when an answer was lost', async () => {
      const { commit, held, server } = await start({ clock: simulated() })
      server.faults = [
        { type: 'reset', accept: true },
        { type: 'half-body', accept: true },
      ]
      commit(many(20))
      await held(0)
      expect(server.duplicates).toEqual({ identical: 40, changed: 0 })
      const bodies = server.requests.map(({ body }) => body.toString('hex'))
      expect(new Set(bodies).size).toBe(1)
    })

    it('gets through an hour without the server', async () => {
      const time = simulated()
      const { commit, held, law, server, delivery } = await start({
        clock: time,
        random: Math.random,
        requestBytes: 20_000,
      })
      server.faults = () =>
        time.now() < START + HOUR ? { type: 'status', status: 503 } : undefined
      const spans = many(2000, 100)
      for (let at = 0; at < spans.length; at += 100) commit(spans.slice(at, at + 100))
      await server.waitFor(() => server.requests.length > 8)
      expect(delivery.status()).toMatchObject({ state: 'retrying', inFlight: 4 })
      expect(delivery.status().since).toBeLessThan(START + HOUR / 10)
      await held(0)
      expect(time.now()).toBeGreaterThan(START + HOUR)
      expect(time.now()).toBeLessThan(START + HOUR + 120_000)
      expect(law()).toMatchObject({ delivered: 2000, dropped: 0 })
      expect(server.duplicates).toEqual({ identical: 0, changed: 0 })
      // Two a minute for each of four requests, and the first, faster ones.
      expect(server.stats().answers['503']).toBeLessThan(4 * 160)
    })

    it('keeps everything while its keys are refused, and says so', async () => {
      const time = simulated()
      const { commit, held, law, server, delivery, lines } = await start({ clock: time })
      server.faults = () =>
        time.now() < START + HOUR ? { type: 'status', status: 401, body: 'no' } : undefined
      commit(many(20))
      await server.waitFor(() => server.requests.length > 3)
      expect(delivery.status()).toMatchObject({
        state: 'unauthorized',
        message: 'answered 401: no',
        since: expect.any(Number),
      })
      expect(law()).toMatchObject({ held: 20 })
      await held(0)
      expect(server.stats().answers['401']).toBeLessThan(20)
      expect(delivery.status()).toMatchObject({ state: 'ok', message: null })
      expect(lines.join()).toContain('answered 401: no')
    })

    it('stops within its time; what is not delivered goes out after the next start', async () => {
      const { commit, held, law, server, restart } = await start({ timeoutMs: 60_000 })
      server.faults = () => ({ type: 'hang' })
      commit(many(20))
      await server.waitFor(() => server.requests.length > 0).catch(() => {})
      const began = performance.now()
      await harness.delivery.stop(100)
      expect(performance.now() - began).toBeLessThan(1000)
      expect(law()).toMatchObject({ held: 20 })
      server.faults = undefined
      restart()
      await held(0)
      expect(law()).toMatchObject({ delivered: 20 })
    })

    it('does not wait for a server that is down when it stops', async () => {
      const { commit, server, law } = await start({ random: () => 0.99 })
      server.faults = () => ({ type: 'status', status: 503 })
      commit(many(20))
      await server.waitFor(() => server.requests.length > 0)
      const began = performance.now()
      await harness.delivery.stop(60_000)
      expect(performance.now() - began).toBeLessThan(1000)
      expect(law()).toMatchObject({ held: 20 })
    })

    it('keeps what was settled of a request that it gives up', async () => {
      const { commit, law, server, restart, held } = await start({ timeoutMs: 60_000 })
      const spans = many(8)
      server.rejectSpan = ({ spanId }) => (spanId === idsOf(spans)[7] ? 'poison' : undefined)
      // The whole is rejected, its first half taken, its second half never answered.
      server.faults = (number) => (number === 3 ? { type: 'hang' } : undefined)
      commit(spans)
      await server.waitFor(() => server.requests.length === 2)
      await harness.delivery.stop(50)
      expect(law()).toMatchObject({ delivered: 4, held: 4 })
      restart()
      await held(0)
      expect(law()).toMatchObject({ delivered: 7, dead: 1 })
      expect(server.duplicates).toEqual({ identical: 0, changed: 0 })
    })

    it('never has two versions of a span in flight; the newest arrives last', async () => {
      const { commit, held, law, server } = await start({}, { latencyMs: 30 })
      const first = makeSpan({ interrupted: true })
      const second = { ...first, interrupted: false, revision: 1 }
      const third = { ...second, revision: 2, name: 'third' }
      commit([first, ...many(3)])
      commit([second, ...many(3), third])
      commit(many(3))
      await held(0)
      const numbers = server.requests
        .filter(({ spans }) => spans.some(({ spanId }) => spanId === idsOf([first])[0]))
        .map(({ number }) => number)
      expect(numbers).toHaveLength(3)
      expect(server.spans().find(({ spanId }) => spanId === idsOf([first])[0])?.name).toBe('third')
      expect(law()).toMatchObject({ accepted: 10, delivered: 10, resent: 2 })
    })

    it('counts newer versions that are rejected or refused apart: their observations were delivered', async () => {
      const { commit, held, law, server } = await start({ concurrency: 1 })
      const spans = many(3)
      const newer = spans.map((span) => ({ ...span, revision: 1, name: 'newer' }))
      commit(spans)
      await held(0)
      server.rejectSpan = ({ spanId }) => (spanId === idsOf(spans)[0] ? 'too late' : undefined)
      commit(newer.slice(0, 2))
      await held(0)
      const body = '{"partialSuccess":{"rejectedSpans":1}}'
      server.faults = [{ type: 'status', status: 200, body, contentType: 'application/json' }]
      commit(newer.slice(2))
      await held(0)
      const counts = { accepted: 3, delivered: 3, dead: 0, dropped: 0, resent: 1, notResent: 2 }
      expect(law()).toMatchObject(counts)
    })

    it('sends again what it is told to, the same bytes, and counts it apart', async () => {
      const { commit, held, law, server, again } = await start()
      commit(many(20))
      await held(0)
      commit(many(5))
      await held(0)
      const bodies = server.requests.map(({ body }) => body.toString('hex'))
      expect(again(1, ...Array.from({ length: 20 }, (_, index) => index))).toBe(20)
      await held(0)
      expect(server.requests[bodies.length]!.body.toString('hex')).toBe(bodies[0])
      expect(again(2, 4, 1)).toBe(2)
      // One of them waits already.
      expect(again(2, 4, 0)).toBe(1)
      await held(0)
      expect(server.duplicates).toEqual({ identical: 23, changed: 0 })
      expect(law()).toMatchObject({ accepted: 25, delivered: 25, dead: 0, resent: 23 })
    })

    it('sends again what it has only just settled, while others of the chunk are under way', async () => {
      const delivery = { requestBytes: 5_000, concurrency: 2 }
      const { commit, held, law, server, again } = await start(delivery, { latencyMs: 5 })
      commit(many(20, 1000))
      const left = new Set(Array.from({ length: 20 }, (_, index) => index))
      const deadline = Date.now() + 5_000
      while (left.size > 0 && Date.now() < deadline) {
        // What is not settled yet is left as it is.
        for (const index of left) if (again(1, index) === 1) left.delete(index)
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
      await held(0)
      expect(left.size).toBe(0)
      expect(server.duplicates).toEqual({ identical: 20, changed: 0 })
      expect(law()).toMatchObject({ accepted: 20, delivered: 20, resent: 20 })
    })

    it('delivers a dead letter once the server takes it; rejected again it is one again, counted once', async () => {
      const { commit, held, law, server, store, again } = await start()
      const spans = many(8)
      server.rejectSpan = ({ spanId }) => (spanId === idsOf(spans)[5] ? 'poison' : undefined)
      commit(spans)
      await held(0)
      expect(again(1, 5)).toBe(1)
      await held(0)
      expect(law()).toMatchObject({ delivered: 7, dead: 1, resent: 0, notResent: 1 })
      server.rejectSpan = undefined
      expect(again(1, 5)).toBe(1)
      await held(0)
      expect(law()).toMatchObject({ delivered: 7, dead: 1, resent: 1, notResent: 1 })
      expect(idsOf(server.spans()).toSorted()).toEqual(idsOf(spans).toSorted())
      expect(store.backlog(name)).toEqual({ chunks: 0, spans: 0, bytes: 0 })
    })

    it('takes no first delivery for one that is sent again, and the other way round, over a restart', async () => {
      const delivery = { requestBytes: 7_000, timeoutMs: 60_000 }
      const { commit, held, law, server, restart, again } = await start(delivery)
      // Two requests.
      commit(many(4, 2_000))
      await held(0)
      expect(server.requests).toHaveLength(2)
      server.faults = (number) => (number > 3 ? { type: 'hang' } : undefined)
      expect(again(1, 0, 1, 2, 3)).toBe(4)
      await server.waitFor(() => server.requests.length === 4)
      commit(many(3))
      await held(5)
      await turns()
      // The outbox is told of one request while the other is under way.
      await harness.delivery.stop(50)
      expect(law()).toMatchObject({ accepted: 7, delivered: 4, held: 3, resent: 2 })
      server.faults = undefined
      restart()
      await held(0)
      expect(law()).toMatchObject({ accepted: 7, delivered: 7, resent: 4, notResent: 0 })
      expect(server.duplicates).toEqual({ identical: 4, changed: 0 })
    })

    it('counts what is sent again and dropped from a full backlog as not resent', async () => {
      const options = { clock: simulated(), concurrency: 1 }
      const { commit, held, law, server, restart, again } = await start(options)
      commit(many(3))
      await held(0)
      await harness.delivery.stop(0)
      server.faults = () => ({ type: 'status', status: 503 })
      restart({ backlogBytes: 1 })
      // It looks at its backlog at once, and then every ten seconds.
      await turns()
      commit(many(1))
      await server.waitFor(() => server.requests.length > 2)
      expect(again(1, 0, 1, 2)).toBe(3)
      const deadline = Date.now() + 5_000
      while (law().notResent === 0 && Date.now() < deadline) {
        harness.delivery.wake()
        await turns()
      }
      expect(law()).toMatchObject({ accepted: 4, delivered: 3, held: 1, resent: 0, notResent: 3 })
      server.faults = undefined
      await held(0)
    })

    it('drops the oldest of a backlog beyond its cap, counted', async () => {
      const time = simulated()
      const { commit, law, server, held } = await start({
        clock: time,
        random: Math.random,
        concurrency: 1,
        requestBytes: 20_000,
        backlogBytes: 200_000,
      })
      server.faults = () =>
        time.now() < START + HOUR ? { type: 'status', status: 503 } : undefined
      const spans = many(1000, 1000)
      for (let at = 0; at < spans.length; at += 20) {
        commit(spans.slice(at, at + 20))
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
      await held(0)
      const { dropped, delivered } = law()
      expect(dropped).toBeGreaterThan(500)
      expect(delivered).toBeGreaterThan(100)
      // The newest are those that were spared.
      expect(idsOf(server.spans())).toEqual(expect.arrayContaining(idsOf(spans.slice(-100))))
    })

    it('counts what the server says it dropped', async () => {
      const { commit, held, law, server } = await start()
      const body = '{"partialSuccess":{"rejectedSpans":3}}'
      server.faults = [{ type: 'status', status: 200, body, contentType: 'application/json' }]
      commit(many(10))
      await held(0)
      expect(law()).toMatchObject({ delivered: 7, dropped: 3 })
    })

    it('shows its secrets nowhere', async () => {
      const { commit, held, server, exporter, store, delivery, lines } = await start({
        clock: simulated(),
      })
      expect(exporter.secrets.length).toBeGreaterThan(0)
      const body = `${exporter.secrets.join(' ')} ${JSON.stringify(exporter.headersOf(''))}`
      server.faults = [
        { type: 'status', status: 401, body },
        { type: 'status', status: 503, body },
        { type: 'status', status: 400, body },
      ]
      commit(many(1))
      await held(0)
      const shown = [lines.join(), JSON.stringify([delivery.status(), store.counters()])].join()
      expect(shown).toContain('answered 400: ***')
      for (const secret of exporter.secrets) expect(shown).not.toContain(secret)
    })
  })
}
