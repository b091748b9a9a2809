// What exporters over HTTP have to do besides (conformance.ts): answers, compression, spans that a server rejects.
import { afterEach, describe, expect, it } from 'vitest'
import type { Fault, LangfuseServer } from '../../../../test/langfuse-server/types.ts'
import type { DeliveryOptions } from './delivery.ts'
import type { Exporter } from './exporters.ts'
import { idsOf, manySpans, startFakeClock, turns } from './fixtures.ts'
import { type Harness, type HarnessOptions, startHarness } from './harness.ts'

export interface HttpSubject {
  readonly name: string
  exporterOf(server: LangfuseServer): Exporter
}

const HOUR = 3_600_000
const DAY = 24 * HOUR
const START = Date.parse('2026-11-24T10:00:00Z')

export function conformsOverHttp({ name, exporterOf }: HttpSubject): void {
  describe(`exporter ${name} over HTTP`, () => {
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

    it('compresses where it is told to', async () => {
      const { commit, held, server } = await start({ gzip: 'always' })
      commit(manySpans(100, 1000))
      await held(0)
      const [request] = server.requests
      expect(request?.headers['content-encoding']).toBe('gzip')
      expect(request?.encodedBytes).toBeLessThan(request!.decodedBytes / 5)
    })

    it('puts one poison span of 512 among the dead letters and delivers the others', async () => {
      const { commit, held, law, server, lines } = await start()
      const spans = manySpans(512)
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
      commit([...manySpans(50, 1000), ...manySpans(1, 40_000), ...manySpans(50, 1000)])
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
      [
        'the text of a gateway',
        { type: 'status', status: 200, contentType: 'text/plain', body: 'Welcome' },
      ],
      ['JSON that is none', { type: 'status', status: 200, body: '{{' }],
      ['404', { type: 'status', status: 404 }],
    ])('sends again after %s', async (_what, fault) => {
      const { commit, held, law, server, delivery } = await start({
        clock: simulated(),
        timeoutMs: 100,
        concurrency: 1,
      })
      server.faults = [fault, fault]
      commit(manySpans(20))
      await held(0)
      expect(server.requests).toHaveLength(3)
      expect(law()).toMatchObject({ delivered: 20 })
      expect(delivery.status()).toMatchObject({ state: 'ok', message: null, retries: 2 })
      expect(delivery.status().lastError?.message).toEqual(expect.any(String))
    })

    it('gets through a day without the server', async () => {
      const time = simulated()
      const { commit, held, law, server, delivery } = await start({
        clock: time,
        // The upper end of what may be waited, so that a day has few attempts.
        random: () => 0.9 + Math.random() / 10,
        requestBytes: 1_000,
        concurrency: 1,
      })
      server.faults = () => (time.now() < START + DAY ? { type: 'status', status: 503 } : undefined)
      const spans = manySpans(200, 100)
      for (let at = 0; at < spans.length; at += 100) commit(spans.slice(at, at + 100))
      await server.waitFor(() => server.requests.length > 4)
      expect(delivery.status()).toMatchObject({ state: 'retrying', inFlight: 1 })
      expect(delivery.status().since).toBeLessThan(START + HOUR / 10)
      await server.waitFor(() => time.now() > START + DAY, 15_000)
      await held(0)
      expect(time.now()).toBeGreaterThan(START + DAY)
      expect(time.now()).toBeLessThan(START + DAY + 120_000)
      expect(law()).toMatchObject({ delivered: 200, dropped: 0 })
      expect(server.duplicates).toEqual({ identical: 0, changed: 0 })
      // About one a minute, and the first, faster ones.
      expect(server.stats().answers['503']).toBeLessThan(DAY / 54_000 + 10)
    })

    it('keeps everything while its keys are refused, and says so', async () => {
      const time = simulated()
      const { commit, held, law, server, delivery, lines } = await start({ clock: time })
      server.faults = () =>
        time.now() < START + HOUR ? { type: 'status', status: 401, body: 'no' } : undefined
      commit(manySpans(20))
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

    it('keeps what was settled of a request that it gives up', async () => {
      const { commit, law, server, restart, held } = await start({ timeoutMs: 60_000 })
      const spans = manySpans(8)
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

    it('counts newer versions that are rejected or refused apart: their observations were delivered', async () => {
      const { commit, held, law, server } = await start({ concurrency: 1 })
      const spans = manySpans(3)
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

    it('sends again what it has only just settled, while others of the chunk are under way', async () => {
      const delivery = { requestBytes: 5_000, concurrency: 2 }
      const { commit, held, law, server, again } = await start(delivery, { latencyMs: 5 })
      commit(manySpans(20, 1000))
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
      const spans = manySpans(8)
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
      commit(manySpans(4, 2_000))
      await held(0)
      expect(server.requests).toHaveLength(2)
      server.faults = (number) => (number > 3 ? { type: 'hang' } : undefined)
      expect(again(1, 0, 1, 2, 3)).toBe(4)
      await server.waitFor(() => server.requests.length === 4)
      commit(manySpans(3))
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

    it('counts what the server says it dropped', async () => {
      const { commit, held, law, server } = await start()
      const body = '{"partialSuccess":{"rejectedSpans":3}}'
      server.faults = [{ type: 'status', status: 200, body, contentType: 'application/json' }]
      commit(manySpans(10))
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
      commit(manySpans(1))
      await held(0)
      const shown = [lines.join(), JSON.stringify([delivery.status(), store.counters()])].join()
      expect(shown).toContain('answered 400: ***')
      for (const secret of exporter.secrets) expect(shown).not.toContain(secret)
    })
  })
}
