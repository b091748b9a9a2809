/**
 * `npm run bench -- load` (half an hour; --quick two minutes): what does tracing cost a service under load, its main thread
 * and the machine, and how long does it hold the event loop?
 *
 * Method. A cell is a case with a subject, in a process of its own: requests without HTTP arrive at a rate, parse JSON,
 * wait for simulated upstreams (timers) and trace what they do; subjects differ in nothing but the import. A warm-up
 * comes first, delivered to its end. All subjects deliver to the same server process, which counts and answers at
 * once: Langfuse and the relay to Langfuse's endpoint, OpenTelemetry to /v1/traces, nobody compressed. A cell ends when
 * all spans have arrived, or when none has come for 6 s (then they are lost). In each round cases come in random
 * order, and within a case the subjects. Figures are medians of the rounds.
 *
 *   us                  CPU of the main thread per request, from the first request until all is delivered, less that
 *                       of `none` in the same round
 *   us_low, us_high     of the rounds
 *   system_us           the part of `us` in the kernel (writes, more turns of the loop)
 *   total_us            as `us`, for all threads, and with the relay's process, storing and delivering, added for Offpath
 *   p50_ms … p999_ms    latency of requests from their planned start
 *   loop_delay_max_ms   longest delay of the event loop while requests ran (not while the rest was delivered);
 *                       loop_delay_worst_ms is that of the worst round
 *   rss_mb              highest of the samples, ten a second
 *
 * How a sceptic could be fooled. By requests that wait for each other (coordinated omission): these start by plan, and
 * late ones have waited. By noise: `none` is measured twice in each round, and its second row says what nothing
 * against nothing is. By work moved elsewhere: `total_us`. By work put off: CPU counts until delivery. By a compiler
 * still at work: the relay lives through the whole run and is warmed up first, as one is that has run for a minute; a
 * subject's own process gets its warm-up with exporting. By hot caches: at these rates the main thread sleeps nine
 * tenths of the time, so that everything costs two to three times what it does in a loop (`recorder` is the loop). By
 * easy text: it is written word by word and none of it comes back, except where the program passes the same string on.
 * Offpath gains by that: the messages of root, generation and judge are the same strings, and in `history` each step
 * repeats the list; rag's documents, half of its text, are there once.
 */
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { seededRandom } from '../../examples/vllm-simulator/text.ts'
import {
  makePlace,
  type Place,
  type Relay,
  type Server,
  startChild,
  startRelay,
  startServer,
  waitForCount,
} from '../apparatus/processes.ts'
import { median, rounded, shuffled } from '../apparatus/statistics.ts'
import { LOADS, type LoadCase } from './load/loads.ts'
import { loadTargets } from './load/targets.ts'
import { type BenchOptions, chosenCases } from './options.ts'
import type { Report, Row } from './report.ts'
import { SUBJECTS, type Subject } from './subjects.ts'

const QUICK_CASES: readonly LoadCase[] = ['rag', 'longctx', 'agent', 'vi']
const QUICK_SUBJECTS: readonly Subject[] = ['none', 'offpath', 'langfuse']
/** Longer than the batch delay of Langfuse's and OpenTelemetry's processors, 5 s. */
const PATIENCE_MS = 6000

export interface CellRequest {
  readonly case: LoadCase
  readonly subject: Subject
  readonly seconds: number
  readonly warmUpSeconds: number
  readonly seed: number
  /** Of the server that takes the spans. */
  readonly url: string
}

/** A cell's process has come to a point and waits until its observations so far have arrived. */
export interface Progress {
  readonly at: 'warm' | 'loaded'
  readonly spans: number
}

export interface CellResult {
  readonly requests: number
  /** CPU per request. */
  readonly mainUs: number
  /** Of it, in the kernel. */
  readonly mainSystemUs: number
  readonly processUs: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly loopDelayMaxMs: number
  readonly rssMb: number
}

interface Sample extends CellResult {
  /** Of the relay, per request. */
  readonly relayUs: number
  readonly delivered: number
  readonly lost: number
}

interface Stage {
  readonly place: Place
  readonly server: Server
  /** Undefined when Offpath is not among the subjects. */
  readonly relay: Relay | undefined
}

export async function benchLoad(options: BenchOptions): Promise<Report> {
  const rounds = options.rounds ?? (options.quick ? 1 : 3)
  const seconds = (options.quick ? 4 : 10) * options.scale
  const warmUpSeconds = (options.quick ? 1.5 : 3) * options.scale
  const all = Object.keys(LOADS) as LoadCase[]
  const cases = chosenCases(options, all, options.quick ? QUICK_CASES : all)
  const subjects = options.subjects ?? (options.quick ? QUICK_SUBJECTS : SUBJECTS)
  const lanes = subjects.flatMap((subject) =>
    subject === 'none' ? [subject, 'again'] : [subject],
  ) as Lane[]
  const random = seededRandom(options.seed)
  const samples = new Map<string, Sample[]>()
  const total = rounds * cases.length * lanes.length
  let done = 0

  const place = makePlace()
  const server = await startServer()
  const relay = subjects.includes('offpath') ? await startRelay(place, server.url) : undefined
  const stage = { place, server, relay }
  try {
    if (relay !== undefined) {
      const warmUp = { case: 'rag', subject: 'offpath', seed: 0, url: server.url } as const
      await runCell(stage, { ...warmUp, seconds: warmUpSeconds, warmUpSeconds: warmUpSeconds })
      options.progress('the relay is warm')
    }
    for (let round = 1; round <= rounds; round++) {
      for (const inCase of shuffled(cases, random)) {
        for (const lane of shuffled(lanes, random)) {
          const sample = await runCell(stage, {
            case: inCase,
            subject: subjectOf(lane),
            seconds,
            warmUpSeconds,
            seed: options.seed * 1000 + round,
            url: server.url,
          })
          const key = `${inCase} ${lane}`
          samples.set(key, [...(samples.get(key) ?? []), sample])
          options.progress(`${++done} of ${total}: ${key}: ${shown(sample)}`)
        }
      }
    }
  } finally {
    await relay?.stop()
    await server.stop()
    place.remove()
  }
  const rows = cases.flatMap((inCase) => rowsOf(inCase, lanes, samples))
  return {
    rows,
    targets: loadTargets(rows),
    method: { rounds, seconds, warm_up_seconds: warmUpSeconds, seed: options.seed },
  }
}

/** A subject's place in each round; `again` is the second one of `none`. */
type Lane = Subject | 'again'

function subjectOf(lane: Lane): Subject {
  return lane === 'again' ? 'none' : lane
}

async function runCell({ place, server, relay }: Stage, cell: CellRequest): Promise<Sample> {
  const traced = cell.subject !== 'none'
  const arrived = async (spans: number): Promise<number> => {
    const received = traced ? await waitForCount(server.received, spans, PATIENCE_MS) : 0
    // The relay's CPU is read after what follows a delivery: the acknowledgement.
    if (cell.subject === 'offpath') await delay(100)
    return received
  }
  // What is late would count with what follows.
  const tellLate = async (at: Progress['at'], spans: number, received: number): Promise<void> => {
    if (!traced || received === spans) return
    const account = cell.subject === 'offpath' ? `: ${await relay?.account()}` : ''
    console.error(`${cell.subject}, ${at}: ${received} of ${spans} delivered${account}`)
  }
  const relayCpu = async () =>
    cell.subject === 'offpath' && relay !== undefined ? (await relay.usage()).cpu : 0

  await server.clear()
  const child = startChild(join(import.meta.dirname, 'load.child.ts'), cell, place.env)
  const warmUp = await child.receive<Progress>()
  await tellLate('warm', warmUp.spans, await arrived(warmUp.spans))
  await server.clear()
  const before = await relayCpu()
  child.send('go')
  const { spans } = await child.receive<Progress>()
  const delivered = await arrived(spans)
  const relayUsed = (await relayCpu()) - before
  await tellLate('loaded', spans, delivered)
  child.send('delivered')
  const result = await child.receive<CellResult>()
  await child.ended()
  return {
    ...result,
    relayUs: relayUsed / result.requests,
    delivered,
    lost: traced ? Math.max(0, spans - delivered) : 0,
  }
}

function shown(sample: Sample): string {
  const { mainUs, processUs, relayUs, loopDelayMaxMs, p99Ms, lost } = sample
  const cpu = `${mainUs.toFixed(0)} µs main, ${(processUs + relayUs).toFixed(0)} µs in all`
  return `${cpu}, loop ${loopDelayMaxMs.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms, ${lost} lost`
}

function rowsOf(
  inCase: LoadCase,
  lanes: readonly Lane[],
  samples: ReadonlyMap<string, readonly Sample[]>,
): Row[] {
  const baseline = samples.get(`${inCase} none`) ?? []
  return lanes.map((lane): Row => {
    const list = samples.get(`${inCase} ${lane}`) ?? []
    const middle = (figure: (sample: Sample) => number) => median(list.map(figure))
    const above = (figure: (sample: Sample) => number) =>
      list.map((sample, round) => figure(sample) - figureOf(baseline[round], figure))
    const main = above((sample) => sample.mainUs)
    const total = above((sample) => sample.processUs + sample.relayUs)
    return {
      case: inCase,
      subject: subjectOf(lane),
      again: lane === 'again',
      us: rounded(median(main), 1),
      us_low: rounded(Math.min(...main), 1),
      us_high: rounded(Math.max(...main), 1),
      system_us: rounded(median(above((sample) => sample.mainSystemUs)), 1),
      total_us: rounded(median(total), 1),
      relay_us: rounded(
        middle((sample) => sample.relayUs),
        1,
      ),
      cpu_us: rounded(
        middle((sample) => sample.mainUs),
        1,
      ),
      p50_ms: rounded(middle((sample) => sample.p50Ms)),
      p99_ms: rounded(middle((sample) => sample.p99Ms)),
      p999_ms: rounded(middle((sample) => sample.p999Ms)),
      loop_delay_max_ms: rounded(middle((sample) => sample.loopDelayMaxMs)),
      loop_delay_worst_ms: rounded(Math.max(...list.map((sample) => sample.loopDelayMaxMs))),
      rss_mb: rounded(
        middle((sample) => sample.rssMb),
        1,
      ),
      delivered: list.reduce((sum, sample) => sum + sample.delivered, 0),
      lost: list.reduce((sum, sample) => sum + sample.lost, 0),
    }
  })
}

/** Zero without a baseline: then the figures are those of the whole program. */
function figureOf(sample: Sample | undefined, figure: (sample: Sample) => number): number {
  return sample === undefined ? 0 : figure(sample)
}
