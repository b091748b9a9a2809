// Results as a study would write them, from a small model: no measurement, for the tests of the reports alone. A batch
// holds the loop for 10 ms a MB; requests that come in that time wait for its end.
import { build, encodeIntoCompressedBase64 } from 'hdr-histogram-js'
import { seededRandom } from '../../../examples/vllm-simulator/text.ts'
import { planOf } from '../../apparatus/open-loop.ts'
import type { ArmGroup } from '../arms.ts'
import { CASES, type CaseName } from '../cases.ts'
import type { ArmFacts, Attribution, Batch, Cell, Results, Share, Stall } from '../results.ts'

interface Model {
  readonly id: string
  readonly title: string
  readonly group: ArmGroup
  readonly cases: readonly CaseName[]
  /** CPU on the caller for a request and for each KB of it, µs. */
  readonly recordingUs: number
  /** Observations a batch, and the longest wait for them, s; none: nothing is built here. */
  readonly batch?: readonly [observations: number, seconds: number]
  readonly besideUs?: number
  readonly swept?: boolean
  /** ms in a flush at the end of each request. */
  readonly flushMs?: number
  /** Part of the requests that is traced. */
  readonly sampled?: number
}

const MAIN: readonly CaseName[] = ['chat', 'rag', 'longctx', 'vi', 'agent']

const MODELS: readonly Model[] = [
  {
    id: 'untraced',
    title: 'untraced',
    group: 'baseline',
    cases: MAIN,
    recordingUs: 0,
    swept: true,
  },
  {
    id: 'sdk-4',
    title: 'SDK 4',
    group: 'installed',
    cases: MAIN,
    recordingUs: 1600,
    batch: [512, 5],
  },
  {
    id: 'sdk-5',
    title: 'SDK 5',
    group: 'installed',
    cases: MAIN,
    recordingUs: 1200,
    batch: [512, 5],
    swept: true,
  },
  {
    id: 'flush-10',
    title: 'SDK 5, flush_at 10, interval 30 s',
    group: 'tuned',
    cases: MAIN,
    recordingUs: 1700,
    batch: [10, 30],
  },
  {
    id: 'flush-50',
    title: 'SDK 5, flush_at 50',
    group: 'tuned',
    cases: MAIN,
    recordingUs: 1400,
    batch: [50, 30],
  },
  {
    id: 'sample',
    title: 'SDK 5, sample_rate 0.1',
    group: 'tuned',
    cases: MAIN,
    recordingUs: 200,
    batch: [512, 5],
    sampled: 0.1,
  },
  {
    id: 'observe',
    title: 'SDK 5, @observe',
    group: 'style',
    cases: ['rag', 'agent'],
    recordingUs: 1500,
    batch: [512, 5],
  },
  {
    id: 'flush-each',
    title: 'SDK 5, flush() each request',
    group: 'style',
    cases: ['chat'],
    recordingUs: 1200,
    batch: [3, 1],
    flushMs: 8,
  },
  {
    id: 'handler',
    title: 'SDK 5, <LangChain> & "tokens"',
    group: 'integration',
    cases: ['chat'],
    recordingUs: 4000,
    batch: [512, 5],
  },
  {
    id: 'gzip-off',
    title: 'SDK 5, gzip off',
    group: 'intervention',
    cases: ['rag'],
    recordingUs: 1200,
    batch: [512, 5],
  },
  {
    id: 'relay',
    title: 'handed over to a relay',
    group: 'elsewhere',
    cases: MAIN,
    recordingUs: 60,
    besideUs: 300,
    swept: true,
  },
]

export interface Shape {
  readonly rounds?: number
  readonly seconds?: number
  readonly cases?: readonly CaseName[]
}

/** The same for the same arguments. */
export function syntheticResults({ rounds = 3, seconds = 12, cases = MAIN }: Shape = {}): Results {
  const random = seededRandom(7)
  const cells: Cell[] = []
  for (let round = 1; round <= rounds; round++) {
    for (const model of MODELS) {
      for (const name of model.cases.filter((each) => cases.includes(each))) {
        const { characters, perSecond, observations } = CASES[name]
        const cell = {
          ...{ part: 'cases' as const, case: name, round, characters, perSecond },
          seconds: perSecond < 50 ? seconds * 3 : seconds,
        }
        cells.push(cellOf(model, cell, observations, random))
        if (model.id === 'untraced') {
          cells.push({ ...cellOf(model, cell, observations, random), again: true })
        }
      }
      if (model.swept !== true) continue
      const sweep = { case: 'chat', round, seconds: seconds / 2 }
      for (const characters of [4096, 16_384, 65_536, 262_144]) {
        const cell = { ...sweep, part: 'sizes' as const, characters, perSecond: 40 }
        cells.push(cellOf(model, cell, 3, random))
      }
      for (const perSecond of [10, 40, 100, 200]) {
        const cell = { ...sweep, part: 'rates' as const, characters: 16_384, perSecond }
        cells.push(cellOf(model, cell, 3, random))
      }
    }
  }
  return {
    format: 1,
    study: 'python',
    quick: rounds === 1,
    command: 'npm run lab -- python',
    startedAt: '2026-01-02T03:04:05.000Z',
    minutes: 55,
    seed: 1,
    rounds,
    machine: { cpu: 'a CPU of no machine', cores: 2, memoryMb: 8000, system: 'Linux 6' },
    versions: { python: '3.11.2', 'sdk-5': '5.0.4' },
    arms: MODELS.map(
      ({ id, title, group }): ArmFacts => ({
        ...{ id, title, group, against: 'untraced' },
        what: `What ${title} does | differently`,
      }),
    ),
    cases: cases.map((name) => {
      const { title, perSecond, observations } = CASES[name]
      return { name, title, perSecond, observations }
    }),
    cells,
    attributions: ['sdk-5', 'sdk-4', 'relay'].map((arm) => attributionOf(arm, random)),
    skipped: [{ arm: 'redis-lpush', reason: 'redis-server: not found' }],
  }
}

type CellShape = Pick<Cell, 'part' | 'case' | 'round' | 'characters' | 'perSecond' | 'seconds'>

function cellOf(model: Model, shape: CellShape, observations: number, random: () => number): Cell {
  const begun = 1_700_000_000_000 + shape.round * 1e6
  const plan = planOf(shape.perSecond, shape.seconds, random)
  const kb = shape.characters / 1024
  const ownUs = model.recordingUs * (0.4 + kb / 100) * (1 + 0.04 * random())
  const mbOfRequest = (shape.characters * 2.4 * (shape.case === 'vi' ? 3 : 1)) / 1e6
  const stalls: Stall[] = []
  const batches: Batch[] = []
  let recorded = 0
  let waiting = 0
  let queuedSince = 0
  const flush = (at: number): void => {
    if (model.batch === undefined || waiting === 0) return
    for (; waiting > 0; waiting -= Math.min(waiting, model.batch[0])) {
      const count = Math.min(waiting, model.batch[0])
      const mb = (count / observations) * mbOfRequest * (0.95 + 0.1 * random())
      const ms = (2 + 10 * mb) * (0.8 + 0.4 * random())
      // One after the other, as a batch processor does.
      const from = Math.max(at, (batches.at(-1)?.[0] ?? 0) - begun + 1)
      const ended = begun + from + ms
      if (ms > 10) stalls.push([ended, ms])
      batches.push([ended + 3 + mb, (mb * 1e6) / 4, mb * 1e6, count])
    }
    queuedSince = at
  }
  for (const at of plan) {
    if (random() > (model.sampled ?? 1) || model.group === 'baseline') continue
    recorded += observations
    waiting += observations
    const [most, longest] = model.batch ?? [1, 1]
    if (waiting >= most || at - queuedSince > longest * 1000) flush(at)
  }
  flush(plan.at(-1) ?? 0)
  const histogram = build({ numberOfSignificantValueDigits: 3 })
  let total = 0
  for (const at of plan) {
    const inStall = stalls.find(([ended, ms]) => ended - ms < begun + at && begun + at < ended)
    const wait = inStall === undefined ? 0 : inStall[0] - begun - at
    const tail = random() < 0.01 ? 2 * random() : 0
    const ms = 31 + 1.5 * random() ** 3 + tail + wait + (1.4 * ownUs) / 1000 + (model.flushMs ?? 0)
    histogram.recordValue(Math.round(ms * 1000))
    total += ms
  }
  const longest = Math.max(4 + 2 * random(), ...stalls.map(([, ms]) => ms))
  const mainUs = 700 + ownUs + 40 * random()
  const exportUs = model.batch === undefined ? 0 : 4000 * mbOfRequest
  return {
    ...shape,
    arm: model.id,
    measured: [begun, begun + shape.seconds * 1000],
    requests: plan.length,
    failed: 0,
    latency: encodeIntoCompressedBase64(histogram),
    meanMs: total / plan.length,
    service: {
      mainUs,
      processUs: mainUs * 1.05 + exportUs,
      lag: { p50Ms: 0.2, p99Ms: 1 + Math.min(longest / 3, 40) * random(), maxMs: longest },
      gil: { p50Ms: 0.1, p99Ms: 1 + longest / 4, maxMs: longest * 1.1 },
      gc: { full: 1, fullMaxMs: 3, totalMs: 80, pauses: [] },
      stalls,
      rssMb: 90 + (model.batch === undefined ? 3 : 60) + 2 * random(),
      threads: model.batch === undefined ? 2 : 5,
      recorded,
      flushMs: model.batch === undefined ? 0 : 40 * random(),
      split: {
        requests: plan.length >> 3,
        recordingUs: ownUs,
        waitingInCallsUs: 0.2 * ownUs,
        flushUs: (model.flushMs ?? 0) * 1000,
        networkUs: 0,
      },
    },
    besideUs: model.besideUs ?? 0,
    // SDK 4 loses its last batch.
    delivered: recorded - (model.id === 'sdk-4' ? (batches.at(-1)?.[3] ?? 0) : 0),
    batches: model.id === 'relay' ? [[begun + 900, 4e5, 3e6, recorded]] : batches,
  }
}

function attributionOf(arm: string, random: () => number): Attribution {
  const share = (thread: string, from: string, name: string, ms: number): Share => ({
    thread,
    package: from,
    function: name,
    ms,
  })
  const sharesOf = (ms: number): Share[] => [
    share('OtelBatchSpanProcessor', 'opentelemetry', '_encode_span (encoder.py:80)', ms * 0.55),
    share('OtelBatchSpanProcessor', 'protobuf', 'SerializeToString (<built-in>)', ms * 0.25),
    share('main', 'application', '<lambda> (app.py:10)', ms * 0.08),
    share('main', 'python', 'dumps (json/__init__.py:183)', ms * 0.05),
  ]
  const lengths = arm === 'relay' ? [] : Array.from({ length: 9 }, () => 30 + 400 * random())
  return {
    arm,
    case: 'longctx',
    seconds: 20,
    tool: 'a profiler of no make, 200 samples a second',
    stalls: lengths.map((ms, at) => ({
      endedAt: 1_700_000_000_000 + at * 2000,
      ms,
      shares: sharesOf(ms),
    })),
    overall: sharesOf(4000),
  }
}
