/**
 * `npm run bench -- python` (twenty minutes; --quick five): what does tracing cost a Python application,
 * recording alone and in a FastAPI service under load? It makes its own virtual environment from python/requirements.txt.
 *
 * Method. Recording (`small`, `generation`, `history`: python/record.py): each subject in a process of its own, fresh in
 * each round, in random order; `us` is CPU of the main thread per observation (per step in `history`), less that of the
 * same program without tracing. Exporters drop each batch at once, and no relay runs.
 *
 * FastAPI (`fastapi-64kb` at 100 requests a second, `fastapi-256kb` at 20: python/serve.py): a cell is a case with a
 * subject in a process of its own under uvicorn. Requests come from another process at planned times, whether or not
 * earlier ones are done. Each is three observations: messages of that many characters on root and generation, half as much
 * in documents. All subjects deliver to the same server process, Offpath through a relay that lives through the whole run.
 *
 *   us                  CPU of the main thread per request until all is delivered, less that of `none` in the same round
 *   p50_ms, p99_ms      latency from the planned start
 *   loop_delay_max_ms   what a ticker of 1 ms on the service's event loop was late at most, while requests came;
 *                       loop_delay_worst_ms is that of the worst round
 *   rss_mb              highest of ten samples a second
 *   threads             of the process, less those of `none`
 *
 * How a sceptic could be fooled. By noise: the second row of `none` measures nothing against nothing. By the machine:
 * service, load, server and relay share its cores, and the relay works while Offpath's requests run, as Langfuse's thread
 * does. By CPU that is moved elsewhere: the relay's is not in `us` (`load` counts all processes, in JavaScript). By the
 * flush at the end: Langfuse's runs in a thread of its own here, and only what of it needs the main thread counts.
 */
import { join } from 'node:path'
import { seededRandom } from '../../examples/vllm-simulator/text.ts'
import { pythonEnvironment } from '../../scripts/python-environment.ts'
import { findPython } from '../../scripts/pythons.ts'
import {
  makePlace,
  type Place,
  type Server,
  startChild,
  startPython,
  startRelay,
  startServer,
  waitForCount,
} from '../apparatus/processes.ts'
import { median, rounded, shuffled } from '../apparatus/statistics.ts'
import { UsageError } from '../command-line.ts'
import { type BenchOptions, chosenCases } from './options.ts'
import { pythonTargets } from './python/targets.ts'
import { sweep } from './recorder.ts'
import type { Report, Row } from './report.ts'
import type { Subject } from './subjects.ts'

const RECORDING = ['small', 'generation', 'history'] as const
const SERVING = {
  'fastapi-64kb': { bytes: 65_536, perSecond: 100 },
  'fastapi-256kb': { bytes: 262_144, perSecond: 20 },
} as const
const CASES = [...RECORDING, ...(Object.keys(SERVING) as (keyof typeof SERVING)[])]
type Case = (typeof CASES)[number]
const RECORDERS: readonly Subject[] = ['none', 'offpath', 'langfuse', 'otel']
const SERVED: readonly Subject[] = ['none', 'offpath', 'langfuse', 'langfuse-tuned']
/** Observations of a request. */
const SPANS = 3
/** Longer than the batch delay of Langfuse's processor, 5 s. */
const PATIENCE_MS = 6000
const OLDEST_PYTHON = 11

export interface FireRequest {
  readonly port: number
  readonly bytes: number
  readonly perSecond: number
  readonly seed: number
}

export interface FireResult {
  readonly requests: number
  readonly p50Ms: number
  readonly p99Ms: number
}

interface RecordResult {
  readonly us: number
  readonly recorded: number
  readonly taken: number
}

interface ServeResult {
  readonly loopDelayMaxMs: number
  readonly rssMb: number
  readonly threads: number
}

/** What is measured in one process, by the fields of a row; CPU as it is, not above untraced. */
interface Sample extends Partial<Omit<FireResult & ServeResult, 'requests'>> {
  readonly us: number
  readonly delivered: number
  readonly lost: number
}

/** A subject's place in each round; `again` is the second one of `none`. */
type Lane = Subject | 'again'

export async function benchPython(options: BenchOptions): Promise<Report> {
  const cases = chosenCases(options, CASES)
  const command = findPython(OLDEST_PYTHON)
  if (command === undefined) throw new UsageError(`no Python from 3.${OLDEST_PYTHON} on is found`)
  options.progress('the virtual environment: made when it is not there')
  const python = pythonEnvironment(command, join(import.meta.dirname, 'python/requirements.txt'))
  const rounds = options.rounds ?? (options.quick ? 2 : 5)
  const seconds = {
    record: (options.quick ? 1 : 2) * options.scale,
    serve: (options.quick ? 5 : 10) * options.scale,
  }
  const random = seededRandom(options.seed)
  const samples = new Map<string, Sample[]>()

  const place = makePlace()
  const server = await startServer()
  const relay = await startRelay(place, server.url)
  const measure = (inCase: Case, subject: Subject, seed: number): Promise<Sample> =>
    inCase in SERVING
      ? serve(python, place, server, inCase as keyof typeof SERVING, subject, seed, seconds.serve)
      : record(python, inCase, subject, seed, seconds.record)
  try {
    for (let round = 1; round <= rounds; round++) {
      for (const inCase of shuffled(cases, random)) {
        for (const lane of shuffled(lanesOf(inCase, options.subjects), random)) {
          const sample = await measure(inCase, subjectOf(lane), options.seed * 1000 + round)
          const key = `${inCase} ${lane}`
          samples.set(key, [...(samples.get(key) ?? []), sample])
          options.progress(`round ${round} of ${rounds}: ${key}: ${shown(sample)}`)
        }
      }
    }
  } finally {
    await relay.stop()
    await server.stop()
    place.remove()
  }
  const rows = cases.flatMap((inCase) => rowsOf(inCase, samples, options.subjects))
  return {
    rows,
    targets: pythonTargets(rows),
    method: {
      rounds,
      record_seconds: seconds.record,
      serve_seconds: seconds.serve,
      seed: options.seed,
    },
  }
}

function lanesOf(inCase: Case, wished: readonly Subject[] | undefined): Lane[] {
  const all = inCase in SERVING ? SERVED : RECORDERS
  const subjects = all.filter((subject) => wished?.includes(subject) ?? true)
  return subjects.flatMap((subject): Lane[] =>
    subject === 'none' ? [subject, 'again'] : [subject],
  )
}

function subjectOf(lane: Lane): Subject {
  return lane === 'again' ? 'none' : lane
}

async function record(
  python: string,
  inCase: Case,
  subject: Subject,
  seed: number,
  seconds: number,
): Promise<Sample> {
  const place = makePlace()
  const sweeping = setInterval(() => sweep(place.spool), 10)
  try {
    const request = { case: inCase, subject, seconds, seed }
    const env = { ...place.env, OFFPATH_SPOOL_CAP: '2GB' }
    const child = startPython(python, join(import.meta.dirname, 'python/record.py'), request, env)
    const { us, recorded, taken } = await child.receive<RecordResult>()
    await child.ended()
    return { us, delivered: taken, lost: subject === 'none' ? 0 : recorded - taken }
  } finally {
    clearInterval(sweeping)
    place.remove()
  }
}

async function serve(
  python: string,
  place: Place,
  server: Server,
  inCase: keyof typeof SERVING,
  subject: Subject,
  seed: number,
  seconds: number,
): Promise<Sample> {
  const arrived = (requests: number): number | Promise<number> =>
    subject === 'none' ? 0 : waitForCount(server.received, requests * SPANS, PATIENCE_MS)
  const service = startPython(
    python,
    join(import.meta.dirname, 'python/serve.py'),
    { subject, url: server.url },
    place.env,
  )
  const { port } = await service.receive<{ port: number }>()
  const fire = startChild(
    join(import.meta.dirname, 'python/fire.child.ts'),
    { port, seed, ...SERVING[inCase] },
    {},
  )
  const ask = <T>(command: string): Promise<T> => {
    service.send(command)
    return service.receive<T>()
  }
  const load = async (fraction: number, begin: () => Promise<unknown>): Promise<FireResult> => {
    fire.send(seconds * fraction)
    await fire.receive<'prepared'>()
    await begin()
    fire.send('go')
    return fire.receive<FireResult>()
  }

  await server.clear()
  const warm = await load(0.3, async () => {})
  await ask('flush')
  await arrived(warm.requests)
  await server.clear()
  const { requests, p50Ms, p99Ms } = await load(1, () => ask('begin'))
  const loaded = await ask<ServeResult>('loaded')
  await ask('flush')
  const delivered = await arrived(requests)
  const { mainUs } = await ask<{ mainUs: number }>('end')
  await Promise.all([service.ended(), fire.stop()])
  const lost = subject === 'none' ? 0 : Math.max(0, requests * SPANS - delivered)
  return { us: mainUs / requests, p50Ms, p99Ms, ...loaded, delivered, lost }
}

function shown({ us, p99Ms, loopDelayMaxMs, lost }: Sample): string {
  const served =
    p99Ms === undefined ? '' : `p99 ${p99Ms.toFixed(1)} ms, loop ${loopDelayMaxMs?.toFixed(1)} ms, `
  return `${us.toFixed(1)} µs, ${served}${lost} lost`
}

function rowsOf(
  inCase: Case,
  samples: ReadonlyMap<string, readonly Sample[]>,
  wished: readonly Subject[] | undefined,
): Row[] {
  const baseline = samples.get(`${inCase} none`) ?? []
  return lanesOf(inCase, wished).map((lane): Row => {
    const list = samples.get(`${inCase} ${lane}`) ?? []
    const all = (figure: keyof Sample): number[] => list.flatMap((sample) => sample[figure] ?? [])
    const above = list.map((sample, round) => sample.us - (baseline[round]?.us ?? 0))
    const row = {
      case: inCase,
      subject: subjectOf(lane),
      again: lane === 'again',
      us: rounded(median(above), 2),
      us_low: rounded(Math.min(...above), 2),
      us_high: rounded(Math.max(...above), 2),
      cpu_us: rounded(median(all('us')), 2),
      delivered: all('delivered').reduce((sum, count) => sum + count, 0),
      lost: all('lost').reduce((sum, count) => sum + count, 0),
      rounds: list.length,
    }
    if (!(inCase in SERVING)) return row
    const untraced = median(baseline.flatMap(({ threads }) => threads ?? []))
    return {
      ...row,
      p50_ms: rounded(median(all('p50Ms'))),
      p99_ms: rounded(median(all('p99Ms'))),
      p99_worst_ms: rounded(Math.max(...all('p99Ms'))),
      loop_delay_max_ms: rounded(median(all('loopDelayMaxMs'))),
      loop_delay_worst_ms: rounded(Math.max(...all('loopDelayMaxMs'))),
      rss_mb: rounded(median(all('rssMb')), 1),
      threads: rounded(median(all('threads')) - untraced, 1),
    }
  })
}
