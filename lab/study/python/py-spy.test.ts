import { expect, test } from 'vitest'
import { attribute, type GilHolders, type TraceEvent } from './py-spy.ts'

const MAIN = 100
const EXPORT = 101
/** The clock when the trace's was 0. */
const ZERO = 1_790_000_000_000

const PACKAGES = '/venv/lib/python3.11/site-packages'
const STDLIB = '/opt/lib/python3.11'
const APPLICATION = '/lab/study/python/handlers.py'
const LOOP = `${STDLIB}/asyncio/events.py`
const ENCODER = `${PACKAGES}/opentelemetry/exporter/otlp/proto/common/_internal/trace_encoder/__init__.py`
const SERIALIZER = `${PACKAGES}/langfuse/_utils/serializer.py`

type Frame = readonly [name: string, file: string, line: number]

/** A trace as py-spy writes it: what changed on each thread since it was seen last. */
function traceOf(
  samples: readonly { ms: number; thread: number; stack: readonly Frame[] }[],
): TraceEvent[] {
  const events: TraceEvent[] = []
  const last = new Map<number, readonly Frame[]>()
  for (const { ms, thread, stack } of samples) {
    const name = thread === MAIN ? 'MainThread' : 'OtelBatchSpanRecordProcessor'
    const now: Frame[] = [[`thread (${thread}): ${name}`, '', 0], ...stack]
    const before = last.get(thread) ?? []
    const same = now.findIndex((frame, at) => String(frame) !== String(before[at]))
    const kept = same < 0 ? Math.min(now.length, before.length) : same
    const event = (ph: string, [called, filename, line]: Frame): TraceEvent => ({
      ph,
      name: called,
      pid: MAIN,
      tid: thread * 1e6,
      ts: ms * 1000,
      args: { filename, line },
    })
    events.push(
      ...before
        .slice(kept)
        .reverse()
        .map((frame) => event('E', frame)),
    )
    events.push(...now.slice(kept).map((frame) => event('B', frame)))
    last.set(thread, now)
  }
  return events
}

/** Who had the GIL in each 2 ms. */
function holdersOf(from: number, to: number, holder: (ms: number) => number): GilHolders {
  const pairs: number[] = []
  for (let ms = from; ms < to; ms += 2) pairs.push(ZERO + ms, holder(ms))
  return pairs
}

const idle: Frame = ['Handle._run', LOOP, 80]
const mark = (ms: number) => ({
  ms,
  thread: MAIN,
  stack: [idle, [`py_spy_mark_${ZERO + ms - 1}`, '/lab/study/python/py_spy_mark.py', 30] as Frame],
})

const trace = traceOf([
  mark(10),
  mark(15),
  mark(20),
  { ms: 100, thread: MAIN, stack: [idle, ['chat', APPLICATION, 60]] },
  { ms: 150, thread: MAIN, stack: [idle, ['chat', APPLICATION, 64]] },
  { ms: 205, thread: EXPORT, stack: [['_encode_span', ENCODER, 102]] },
  // The next samples of the thread are like this one: the trace does not have them.
  {
    ms: 260,
    thread: MAIN,
    stack: [
      idle,
      ['chat', APPLICATION, 61],
      ['EventSerializer.encode', SERIALIZER, 224],
      ['JSONEncoder.iterencode', `${STDLIB}/json/encoder.py`, 258],
    ],
  },
  { ms: 270, thread: MAIN, stack: [idle, ['Lock.acquire', `${STDLIB}/threading.py`, 10]] },
])

test('a stall is what threads did that had the GIL in it, by the clock', () => {
  const holders = holdersOf(0, 400, (ms) => {
    if (ms < 204) return MAIN
    return ms < 258 ? EXPORT : ms < 268 ? MAIN : 0
  })
  const { stalls } = attribute(trace, holders, [[ZERO + 283, 80]])
  expect(stalls).toHaveLength(1)
  expect(stalls[0]?.shares).toEqual([
    {
      thread: 'OtelBatchSpanRecordProcessor',
      package: 'opentelemetry-exporter-otlp-proto-common',
      function: expect.stringMatching(/^_encode_span \(opentelemetry\/exporter.*:102\)$/),
      ms: 54,
    },
    {
      thread: 'main',
      package: 'waiting',
      function: 'Lock.acquire (threading.py:10)',
      ms: 16,
    },
    {
      thread: 'main',
      package: 'langfuse',
      function: 'EventSerializer.encode (langfuse/_utils/serializer.py:224)',
      ms: 10,
    },
  ])
})

test('over all, lines of a function count together, and time without a holder does not', () => {
  const holders = holdersOf(100, 258, (ms) => (ms < 180 ? MAIN : 0))
  const { overall } = attribute(trace, holders, [])
  expect(overall).toEqual([
    { thread: 'main', package: 'application', function: 'chat (handlers.py:60)', ms: 79 },
  ])
})

test('of a stall with many functions the small ones count together by thread and package', () => {
  const many = Array.from({ length: 30 }, (_, at) => ({
    ms: 100 + 10 * at,
    thread: at < 15 ? MAIN : EXPORT,
    stack: [idle, [`step_${at}`, at < 15 ? APPLICATION : ENCODER, at] as Frame],
  }))
  const holders = holdersOf(100, 400, (ms) => (ms < 248 ? MAIN : EXPORT))
  const [stall] = attribute(traceOf([mark(10), ...many]), holders, [[ZERO + 398, 296]]).stalls
  expect(stall?.shares).toHaveLength(12)
  expect(stall?.shares.filter((share) => share.function === 'others')).toHaveLength(2)
  const total = stall?.shares.reduce((sum, { ms }) => sum + ms, 0)
  expect(total).toBeGreaterThan(290)
})

test('stalls of 20 ms and less are left out', () => {
  expect(
    attribute(
      trace,
      holdersOf(0, 300, () => MAIN),
      [[ZERO + 200, 20]],
    ).stalls,
  ).toEqual([])
})

test('a trace without a mark says so', () => {
  const without = traceOf([{ ms: 100, thread: MAIN, stack: [idle] }])
  expect(() => attribute(without, [], [])).toThrow(/no mark/)
})
