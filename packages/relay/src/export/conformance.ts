// What every exporter has to do, whatever it speaks, against a server that misbehaves as real ones do.
import { FIELD } from '@offpath/sdk/spool-format'
import { afterEach, describe, expect, it } from 'vitest'
import type { LangfuseServer } from '../../../../test/langfuse-server/types.ts'
import type { DeliveryOptions } from './delivery.ts'
import type { Exporter } from './exporters.ts'
import {
  field,
  idsOf,
  makeSpan,
  manualClock,
  manySpans,
  startFakeClock,
  text,
  turns,
  until,
} from './fixtures.ts'
import { type Harness, type HarnessOptions, startHarness } from './harness.ts'

/** What a server of any kind can do to an exporter. */
export type Trouble =
  /** Connections are refused, or end at once. */
  | 'away'
  /** It takes nothing now, and says so. */
  | 'busy'
  /** It takes requests in, does nothing, and never answers. */
  | 'silent'
  /** It does not take these credentials, and repeats them where its answers have room. */
  | 'refuses'
  /** It takes the next request, and the answer does not arrive. */
  | 'loses'

/** A request whose spans a server has taken. */
export interface Arrival {
  /** Before compression. */
  readonly body: Buffer
  /** In their order; hex. */
  readonly spans: readonly { readonly spanId: string; readonly name: string }[]
}

/** The server of an exporter. */
export interface Peer {
  readonly exporter: Exporter
  /** In the order in which they came; one that came twice stands there twice. */
  arrived(): Promise<readonly Arrival[]>
  trouble(what: Trouble | null): Promise<void>
  close(): Promise<void>
}

export interface Subject {
  readonly name: string
  /** `server` is there for those who speak HTTP. */
  peerOf(server: LangfuseServer): Peer
}

const HOUR = 3_600_000
const START = Date.parse('2026-11-24T10:00:00Z')

export function conformsAsExporter({ name, peerOf }: Subject): void {
  describe(`exporter ${name}`, () => {
    let harness: Harness
    let peer: Peer
    let clock: ReturnType<typeof startFakeClock> | undefined

    async function start(
      delivery: Partial<DeliveryOptions> = {},
      server: HarnessOptions['server'] = {},
    ): Promise<Harness> {
      const exporterOf = (one: LangfuseServer): Exporter => {
        peer = peerOf(one)
        return peer.exporter
      }
      harness = await startHarness({ exporterOf, server, delivery })
      return harness
    }
    const simulated = () => {
      clock = startFakeClock(START)
      return clock
    }
    const arrivedSpans = async () => (await peer.arrived()).flatMap(({ spans }) => spans)
    afterEach(async () => {
      await peer.trouble(null)
      await harness.close()
      await peer.close()
      clock?.stop()
      clock = undefined
    })

    it('delivers each span once, in the order of their ends', async () => {
      const { commit, held, law } = await start({ concurrency: 1, timeoutMs: 10_000 })
      const spans = manySpans(1000)
      commit(spans.slice(0, 10))
      commit(spans.slice(10, 500))
      commit(spans.slice(500))
      await held(0)
      expect(idsOf(await arrivedSpans())).toEqual(idsOf(spans))
      expect(law()).toMatchObject({ accepted: 1000, delivered: 1000 })
      expect(harness.delivery.status()).toMatchObject({ name, state: 'ok', lastError: null })
    })

    it('waits a little for a request to become full, and no longer than that', async () => {
      const time = manualClock(START)
      const options = { clock: time, lingerMs: 250, requestBytes: 20_000 }
      const { commit, held } = await start(options)
      commit(manySpans(3))
      commit(manySpans(4))
      await turns()
      time.pass(249)
      await turns()
      expect(await peer.arrived()).toEqual([])
      time.pass(1)
      await held(0)
      expect((await peer.arrived()).map(({ spans }) => spans.length)).toEqual([7])
      // Full ones go while the clock stands still, the rest waits for it.
      commit(manySpans(60, 500))
      while ((await peer.arrived()).length < 2) await turns()
      await turns()
      const sent = (await arrivedSpans()).length
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
      commit(manySpans(3))
      await turns()
      // Timers and the wall clock never agree to the last millisecond.
      back = 1
      time.pass(250)
      await held(0)
    })

    it('sends at once when it is told to hurry', async () => {
      const { commit, held, delivery } = await start({ lingerMs: HOUR })
      commit(manySpans(3))
      delivery.hurry()
      await held(0)
    })

    it('keeps requests within their bytes; a span that is longer goes alone', async () => {
      const { commit, held } = await start({ requestBytes: 50_000 })
      commit(manySpans(300, 1000))
      commit(manySpans(1, 120_000))
      commit(manySpans(5, 1000))
      await held(0)
      const sizes = (await peer.arrived()).map(({ body }) => body.length)
      expect(sizes.filter((size) => size > 50_000)).toHaveLength(1)
      expect(Math.max(...sizes)).toBeLessThan(121_000)
      expect(sizes.length).toBeLessThan(16)
    })

    it('cuts what is longer than a span may be, visibly, and leaves the rest of it', async () => {
      const { commit, held, law } = await start({ spanBytes: 20_000 })
      const short = field(FIELD.output, text('a short answer'))
      const long = field(FIELD.input, text('x'.repeat(100_000)))
      commit([makeSpan({ fields: [long, short] }), ...manySpans(2, 1000)])
      await held(0)
      const [arrival] = await peer.arrived()
      expect(arrival!.body.length).toBeLessThan(30_000)
      expect(arrival!.body.includes('… [cut by offpath: 100000 bytes]')).toBe(true)
      expect(arrival!.body.includes('a short answer')).toBe(true)
      expect(law()).toMatchObject({ delivered: 3 })
    })

    it.each(['away', 'busy', 'silent'] as const)(
      'waits while the server is %s',
      async (trouble) => {
        const { commit, held, law, delivery } = await start({
          clock: simulated(),
          timeoutMs: 100,
          concurrency: 1,
        })
        commit(manySpans(1))
        await held(0)
        await peer.trouble(trouble)
        const spans = manySpans(20)
        commit(spans.slice(0, 10))
        await until(() => delivery.status().state === 'retrying' && delivery.status().retries > 1)
        commit(spans.slice(10))
        expect(delivery.status().message).toEqual(expect.any(String))
        expect(law()).toMatchObject({ delivered: 1, held: 20 })
        await peer.trouble(null)
        await held(0)
        expect(law()).toMatchObject({ delivered: 21, dropped: 0, dead: 0 })
        expect(idsOf(await arrivedSpans()).slice(1)).toEqual(idsOf(spans))
        expect(delivery.status()).toMatchObject({ state: 'ok', message: null })
        expect(delivery.status().lastError?.message).toEqual(expect.any(String))
      },
    )

    it('sends the same bytes again when an answer was lost, and counts them once', async () => {
      const { commit, held, law } = await start({ clock: simulated() })
      await peer.trouble('loses')
      commit(manySpans(20))
      await held(0)
      const bodies = (await peer.arrived()).map(({ body }) => body.toString('hex'))
      expect(bodies).toHaveLength(2)
      expect(new Set(bodies).size).toBe(1)
      expect(law()).toMatchObject({ accepted: 20, delivered: 20 })
    })

    it('has no more requests under way than it may, however much waits', async () => {
      const options = { concurrency: 2, requestBytes: 5_000, timeoutMs: 60_000 }
      const { commit, held, law, delivery } = await start(options)
      commit(manySpans(1))
      await held(0)
      await peer.trouble('silent')
      for (let i = 0; i < 10; i++) commit(manySpans(50, 1000))
      await until(() => delivery.status().inFlight === 2)
      await turns()
      expect(delivery.status().inFlight).toBe(2)
      await delivery.stop(0)
      await peer.trouble(null)
      harness.restart()
      await held(0)
      expect(law()).toMatchObject({ delivered: 501 })
    })

    it('keeps everything while its credentials are refused, and shows them nowhere', async () => {
      const { commit, held, law, delivery, exporter, store, lines } = await start({
        clock: simulated(),
      })
      expect(exporter.secrets.length).toBeGreaterThan(0)
      await peer.trouble('refuses')
      commit(manySpans(20))
      await until(() => delivery.status().state === 'unauthorized')
      const { message } = delivery.status()
      expect(message).not.toBe('')
      expect(law()).toMatchObject({ held: 20 })
      await peer.trouble(null)
      await held(0)
      expect(delivery.status()).toMatchObject({ state: 'ok', message: null })
      const shown = [lines.join(), JSON.stringify([delivery.status(), store.counters()])].join()
      // As it stands in the log, where it is JSON.
      expect(shown).toContain(JSON.stringify(message).slice(1, -1))
      for (const secret of exporter.secrets) expect(shown).not.toContain(secret)
    })

    it('stops within its time; what is not delivered goes out after the next start', async () => {
      const { commit, held, law, restart } = await start({ timeoutMs: 60_000 })
      commit(manySpans(1))
      await held(0)
      await peer.trouble('silent')
      commit(manySpans(20))
      await until(() => harness.delivery.status().inFlight > 0)
      const began = performance.now()
      await harness.delivery.stop(100)
      expect(performance.now() - began).toBeLessThan(1000)
      expect(law()).toMatchObject({ held: 20 })
      await peer.trouble(null)
      restart()
      await held(0)
      expect(law()).toMatchObject({ delivered: 21 })
    })

    it('does not wait for a server that takes nothing when it stops', async () => {
      const { commit, held, law, delivery } = await start({ random: () => 0.99 })
      commit(manySpans(1))
      await held(0)
      await peer.trouble('busy')
      commit(manySpans(20))
      await until(() => delivery.status().state === 'retrying')
      const began = performance.now()
      await delivery.stop(60_000)
      expect(performance.now() - began).toBeLessThan(1000)
      expect(law()).toMatchObject({ held: 20 })
    })

    it('never has two versions of a span in flight; the newest arrives last', async () => {
      const { commit, held, law } = await start({}, { latencyMs: 30 })
      const first = makeSpan({ interrupted: true })
      const second = { ...first, interrupted: false, revision: 1 }
      const third = { ...second, revision: 2, name: 'third' }
      commit([first, ...manySpans(3)])
      commit([second, ...manySpans(3), third])
      commit(manySpans(3))
      await held(0)
      const [id] = idsOf([first])
      const versions = (await peer.arrived()).map(({ spans }) =>
        spans.filter(({ spanId }) => spanId === id).map((span) => span.name),
      )
      expect(versions.filter((names) => names.length > 0)).toEqual([
        [first.name],
        [second.name],
        ['third'],
      ])
      expect(law()).toMatchObject({ accepted: 10, delivered: 10, resent: 2 })
    })

    it('sends again what it is told to, the same bytes, and counts it apart', async () => {
      const { commit, held, law, again } = await start()
      const spans = manySpans(20)
      commit(spans)
      await held(0)
      commit(manySpans(5))
      await held(0)
      const before = await peer.arrived()
      expect(again(1, ...spans.keys())).toBe(20)
      await held(0)
      const after = await peer.arrived()
      expect(after[before.length]!.body.equals(before[0]!.body)).toBe(true)
      expect(again(2, 4, 1)).toBe(2)
      // One of them waits already.
      expect(again(2, 4, 0)).toBe(1)
      await held(0)
      expect((await arrivedSpans()).length).toBe(25 + 23)
      expect(law()).toMatchObject({ accepted: 25, delivered: 25, dead: 0, resent: 23 })
    })

    it('counts what is sent again and dropped from a full backlog as not resent', async () => {
      const { commit, held, law, restart, again } = await start({
        clock: simulated(),
        concurrency: 1,
      })
      commit(manySpans(3))
      await held(0)
      await harness.delivery.stop(0)
      await peer.trouble('busy')
      restart({ backlogBytes: 1 })
      // It looks at its backlog at once, and then every ten seconds.
      await turns()
      commit(manySpans(1))
      await until(() => harness.delivery.status().retries > 1)
      expect(again(1, 0, 1, 2)).toBe(3)
      await until(() => {
        harness.delivery.wake()
        return law().notResent > 0
      })
      expect(law()).toMatchObject({ accepted: 4, delivered: 3, held: 1, resent: 0, notResent: 3 })
      await peer.trouble(null)
      await held(0)
    })

    it('drops the oldest of a backlog beyond its cap, counted', async () => {
      const { commit, law, held } = await start({
        clock: simulated(),
        random: Math.random,
        concurrency: 1,
        requestBytes: 20_000,
        backlogBytes: 200_000,
      })
      await peer.trouble('busy')
      const spans = manySpans(1000, 1000)
      for (let at = 0; at < spans.length; at += 20) {
        commit(spans.slice(at, at + 20))
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
      await until(() => law().dropped > 500)
      await peer.trouble(null)
      await held(0)
      expect(law().delivered).toBeGreaterThan(100)
      // The newest are those that were spared.
      expect(idsOf(await arrivedSpans())).toEqual(expect.arrayContaining(idsOf(spans.slice(-100))))
    })
  })
}
