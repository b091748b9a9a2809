// What every receiver has to do, in a relay that runs: what is handed over to it arrives at the server, whole, once and in
// order; what is damaged stops nobody; nothing is lost between two runs. A receiver joins with a `Subject`.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startLangfuseServer } from '../../../../test/langfuse-server/server.ts'
import type { CapturedSpan, LangfuseServer } from '../../../../test/langfuse-server/types.ts'
import { loadConfig } from '../config/config.ts'
import type { Config, OptionName } from '../config/options.ts'
import type { Stats } from '../http/stats.ts'
import { createLog, type Log } from '../log.ts'
import type { Relay } from '../relay.ts'

/** An observation as an application has it. All but the first ones may be left out. */
export interface Given {
  /** Hex. */
  readonly traceId: string
  readonly spanId: string
  readonly name: string
  /** Nanoseconds since 1970. */
  readonly startTime: bigint
  readonly endTime: bigint
  readonly parentSpanId?: string
  readonly type?: string
  readonly input?: unknown
  readonly output?: unknown
  readonly metadata?: Readonly<Record<string, unknown>>
  readonly level?: string
  readonly statusMessage?: string
  readonly model?: string
  readonly usageDetails?: Readonly<Record<string, number>>
  readonly userId?: string
  readonly sessionId?: string
  readonly tags?: readonly string[]
  /** Of the application; `app` unless it says otherwise. */
  readonly service?: string
}

/** A place to hand observations over at, for one test. */
export interface Source {
  /** Options of the relay. */
  readonly flags: Partial<Record<OptionName, string>>
  start(config: Config, log: Log): Promise<Relay>
  /** Hands over; resolves when an application would think that it is done. A relay runs, or has run. */
  send(observations: readonly Given[]): Promise<void>
  /** Hands over one thing that is no observation, beside what came before and what comes after it. */
  sendDamaged(): Promise<void>
  /** How many of these were noticed. */
  damagedIn(stats: Stats): number | Promise<number>
  close(): Promise<void>
}

export interface Subject {
  readonly name: string
  /** What all tests share, such as a server; it is closed at the end. */
  prepare?(): Promise<{ close(): Promise<void> }>
  /** @param directory of the test's own */
  source(directory: string): Promise<Source>
  /** What it does not promise, and why. */
  readonly skips?: Partial<Record<Skippable, string>>
}

type Skippable = 'takesWhileDown'

const START = 1_790_000_000_000_000_000n
const ANSWER_MS = 30_000
let serial = 0

function given(over: Partial<Given> = {}): Given {
  serial++
  return {
    traceId: serial.toString(16).padStart(32, '1'),
    spanId: serial.toString(16).padStart(16, '1'),
    name: `n${serial}`,
    startTime: START + BigInt(serial) * 1000n,
    endTime: START + BigInt(serial) * 1000n + 500n,
    ...over,
  }
}

/** As docs/json-records.md has it. */
export function recordOf(one: Given): Record<string, unknown> {
  const { userId, sessionId, tags } = one
  return {
    record: 'observation',
    trace_id: one.traceId,
    span_id: one.spanId,
    parent_span_id: one.parentSpanId,
    name: one.name,
    start_time: String(one.startTime),
    end_time: String(one.endTime),
    type: one.type,
    input: one.input,
    output: one.output,
    metadata: one.metadata,
    level: one.level,
    status_message: one.statusMessage,
    model: one.model,
    usage_details: one.usageDetails,
    trace: { user_id: userId, session_id: sessionId, tags },
  }
}

/** A relay with its receiver, and the server that it delivers to. */
interface Bench {
  readonly langfuse: LangfuseServer
  readonly source: Source
  start(): Promise<void>
  stop(): Promise<void>
  stats(): Promise<Stats>
  spans(): CapturedSpan[]
  names(): string[]
  until(condition: () => boolean | Promise<boolean>): Promise<void>
  arrived(count: number): Promise<void>
  /** What the exporter says; accepted = delivered + dead-lettered + dropped + held. */
  law(): Promise<Stats['exporters'][number]>
  close(): Promise<void>
}

async function openBench(subject: Subject): Promise<Bench> {
  const langfuse = await startLangfuseServer()
  const directory = mkdtempSync(join(tmpdir(), 'offpath-receiver-'))
  const source = await subject.source(directory)
  let relay: Relay | null = null
  const lines: string[] = []

  const bench: Bench = {
    langfuse,
    source,
    async start() {
      const flags = {
        'spool.dir': join(directory, 'memory'),
        'spool.disk-dir': join(directory, 'disk'),
        'store.dir': join(directory, 'store'),
        'langfuse.base-url': langfuse.url,
        'langfuse.public-key': 'pk-lf-test',
        'langfuse.secret-key': 'sk-lf-test',
        'http.port': '0',
        ...source.flags,
      }
      const { config } = loadConfig({
        flags: new Map(Object.entries(flags)) as ReadonlyMap<OptionName, string>,
        env: { HOME: directory },
        cwd: directory,
      })
      const log = createLog((line) => lines.push(line), 'debug')
      relay = await source.start(config, log)
    },
    async stop() {
      await relay?.close()
      relay = null
    },
    stats: () => relay!.stats(),
    spans: () => langfuse.spans('pk-lf-test'),
    names: () => bench.spans().map(({ name }) => name),
    async until(condition) {
      const deadline = Date.now() + ANSWER_MS
      while (!(await condition())) {
        if (Date.now() > deadline) throw new Error(`it never came:\n${lines.join('')}`)
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    },
    arrived: (count) => bench.until(() => bench.spans().length >= count),
    async law() {
      const { exporters } = await bench.stats()
      const found = exporters.find(({ name }) => name === 'langfuse')!
      const { accepted, delivered, deadLettered, dropped, held } = found
      const lost = Object.values(dropped).reduce((sum, count) => sum + count, 0)
      expect(accepted).toBe(delivered + deadLettered + lost + held)
      return found
    },
    async close() {
      await bench.stop()
      await source.close()
      await langfuse.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
  return bench
}

export function conformsAsReceiver(subject: Subject): void {
  // They mostly wait: for polls, and for requests to become full.
  describe.concurrent(`receiver ${subject.name}`, { timeout: 60_000 }, () => {
    const { skips = {} } = subject
    let prepared: { close(): Promise<void> } | undefined
    beforeAll(async () => {
      prepared = await subject.prepare?.()
    })
    afterAll(async () => prepared?.close())

    const it = (what: string, body: (bench: Bench) => Promise<void>, skip?: string): void => {
      const name = skip === undefined ? what : `${what}: not here, ${skip}`
      test.skipIf(skip !== undefined)(name, async () => {
        const bench = await openBench(subject)
        try {
          await body(bench)
        } finally {
          await bench.close()
        }
      })
    }

    it('delivers an observation with all that it has', async ({
      source,
      start,
      spans,
      arrived,
    }) => {
      await start()
      const one = given({
        parentSpanId: '00000000000000ff',
        type: 'generation',
        input: { messages: [{ role: 'user', content: 'xin chào' }], n: 1.5, none: null },
        output: 'an answer\nin two lines',
        metadata: { region: 'eu', size: 12 },
        level: 'WARNING',
        statusMessage: 'slow',
        model: 'llama',
        usageDetails: { input: 10, output: 20 },
        userId: 'u1',
        sessionId: 's1',
        tags: ['a', 'b'],
        service: 'shop',
      })
      await source.send([one])
      await arrived(1)
      const [span] = spans()
      expect(span).toMatchObject({
        traceId: one.traceId,
        spanId: one.spanId,
        parentSpanId: one.parentSpanId,
        name: one.name,
        startTimeUnixNano: one.startTime,
        endTimeUnixNano: one.endTime,
      })
      const { attributes, resource } = span!
      expect(attributes).toMatchObject({
        'langfuse.observation.type': 'generation',
        'langfuse.observation.output': one.output,
        'langfuse.observation.level': 'WARNING',
        'langfuse.observation.status_message': 'slow',
        'langfuse.observation.model.name': 'llama',
        'langfuse.observation.metadata.region': 'eu',
        'user.id': 'u1',
        'session.id': 's1',
        'langfuse.trace.tags': ['a', 'b'],
      })
      const json = (key: string): unknown => JSON.parse(String(attributes[key]))
      expect(json('langfuse.observation.input')).toEqual(one.input)
      expect(json('langfuse.observation.usage_details')).toEqual(one.usageDetails)
      expect(resource.attributes).toMatchObject({ 'service.name': 'shop' })
    })

    it('delivers each once, those of a sender in their order', async ({
      langfuse,
      source,
      start,
      names,
      until,
      arrived,
      law,
    }) => {
      await start()
      const all = Array.from({ length: 200 }, () => given({ traceId: '1'.repeat(32) }))
      await source.send(all.slice(0, 3))
      await source.send(all.slice(3, 120))
      await source.send(all.slice(120))
      await arrived(200)
      expect(names()).toEqual(all.map(({ name }) => name))
      expect(langfuse.duplicates).toEqual({ identical: 0, changed: 0 })
      await until(async () => (await law()).delivered === 200)
    })

    it('keeps senders apart', async ({ source, start, spans, arrived }) => {
      await start()
      const all = Array.from({ length: 30 }, (_, n) => given({ service: `service-${n % 3}` }))
      await source.send(all)
      await arrived(30)
      for (const { spanId, service } of all) {
        const span = spans().find((one) => one.spanId === spanId)
        expect(span?.resource.attributes['service.name']).toBe(service)
      }
    })

    it('takes content as content, however large or odd', async ({
      source,
      start,
      spans,
      arrived,
    }) => {
      await start()
      const odd = {
        text: '\u0000\u001b[31m\u202e "\\ </script> $offpath:string',
        wide: '\u{1f600} 漢字',
        list: [[], {}, '', 0, -0.5, 1e300, false, null],
        empty: { '': { ' ': 1 } },
      }
      const large = 'words and more words '.repeat(60_000)
      const [first, second] = [given({ input: odd }), given({ output: large })]
      await source.send([first, second, given()])
      await arrived(3)
      const found = (one: Given) => spans().find(({ spanId }) => spanId === one.spanId)!.attributes
      expect(JSON.parse(String(found(first)['langfuse.observation.input']))).toEqual(odd)
      expect(found(second)['langfuse.observation.output']).toBe(large)
    })

    it('counts what is damaged, and goes on', async ({
      source,
      start,
      stats,
      names,
      until,
      arrived,
    }) => {
      await start()
      const all = [given(), given(), given()]
      await source.send(all.slice(0, 1))
      await source.sendDamaged()
      await source.send(all.slice(1, 2))
      await source.sendDamaged()
      await source.send(all.slice(2))
      await arrived(3)
      await until(async () => (await source.damagedIn(await stats())) === 2)
      expect(names().toSorted()).toEqual(all.map(({ name }) => name).toSorted())
    })

    it('takes what comes twice for the same', async ({
      langfuse,
      source,
      start,
      names,
      until,
      arrived,
      law,
    }) => {
      await start()
      const one = given({ input: 'x' })
      await source.send([one])
      await source.send([one, given()])
      await arrived(2)
      await until(async () => (await law()).held === 0)
      expect(langfuse.duplicates.changed).toBe(0)
      expect(new Set(names()).size).toBe(2)
    })

    it('loses nothing while the server is away', async ({
      langfuse,
      source,
      start,
      until,
      arrived,
      law,
    }) => {
      langfuse.faults = () => ({ type: 'status', status: 503 })
      await start()
      const all = Array.from({ length: 50 }, () => given())
      await source.send(all)
      await until(async () => (await law()).held > 0)
      langfuse.faults = undefined
      await arrived(50)
      await until(async () => (await law()).held === 0)
      expect(langfuse.duplicates).toEqual({ identical: 0, changed: 0 })
    })

    it('loses nothing when the relay ends and another one begins', async ({
      langfuse,
      source,
      start,
      stop,
      names,
      arrived,
    }) => {
      await start()
      const before = Array.from({ length: 40 }, () => given())
      await source.send(before)
      await stop()
      await start()
      const after = [given(), given()]
      await source.send(after)
      await arrived(42)
      expect(new Set(names())).toEqual(new Set([...before, ...after].map(({ name }) => name)))
      expect(langfuse.duplicates.changed).toBe(0)
    })

    it(
      'takes later what is handed over while no relay runs',
      async ({ langfuse, source, start, stop, names, arrived }) => {
        await start()
        await source.send([given()])
        await arrived(1)
        await stop()
        const meanwhile = Array.from({ length: 20 }, () => given())
        await source.send(meanwhile)
        await start()
        await arrived(21)
        expect(names().slice(1).toSorted()).toEqual(meanwhile.map(({ name }) => name).toSorted())
        expect(langfuse.duplicates).toEqual({ identical: 0, changed: 0 })
      },
      skips.takesWhileDown,
    )

    it('ends soon, though nothing gets away', async ({
      langfuse,
      source,
      start,
      stop,
      until,
      law,
    }) => {
      langfuse.faults = () => ({ type: 'hang' })
      await start()
      await source.send([given()])
      await until(async () => (await law()).held > 0)
      const began = performance.now()
      await stop()
      expect(performance.now() - began).toBeLessThan(10_000)
    })
  })
}
