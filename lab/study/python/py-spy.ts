// What ran in a service's stalls, from two records of the same seconds: who held the GIL (gil_watch.py), and what each
// thread was in (py-spy, `--gil --threads --full-filenames --format chrometrace`). The second counts time from its own
// start; functions named after the time (py_spy_mark.py) tell what that is by the clock.
import { median, rounded } from '../../apparatus/statistics.ts'
import type { AttributedStall, Attribution, Share, Stall } from '../results.ts'

const STALL_MS = 20
const SHARES_OF_A_STALL = 10
const SHARES_OVER_ALL = 40
/** A sample tells what a thread is in a little before, too: half of py-spy's period. */
const BEFORE_MS = 2.5
const MARK = 'py_spy_mark_'
/** From within a slice of the mark: half of it. */
const MARK_MS = 1

/** Of py-spy's trace; `ts` in µs. */
export interface TraceEvent {
  readonly ph: string
  readonly name: string
  readonly pid: number
  readonly tid: number
  readonly ts: number
  readonly args: { readonly filename: string; readonly line: number | null }
}

/** Pairs: a time, ms since 1970, and the thread that held the GIL then; 0 is nobody. */
export type GilHolders = readonly number[]

interface Frame {
  readonly name: string
  readonly file: string
  readonly line: number
}

interface Thread {
  readonly name: string
  /** What it was in, outermost first, at the times at which that had changed. */
  readonly changes: { readonly at: number; readonly stack: readonly Frame[] }[]
}

/** What ran in stalls above 20 ms, and who had the GIL over all. @throws when the trace has no mark */
export function attribute(
  trace: readonly TraceEvent[],
  holders: GilHolders,
  stalls: readonly Stall[],
): Pick<Attribution, 'stalls' | 'overall'> {
  const threads = readThreads(trace)
  // As Linux numbers threads.
  const mainId = trace[0]?.pid ?? 0
  const spans = spansOf(holders)

  const sharesOf = (from: number, to: number, withWaiting: boolean): Share[] => {
    const sums = new Map<string, Share>()
    for (let at = firstAfter(spans, from); at < spans.length; at++) {
      const span = spans[at] as Span
      if (span.from >= to) break
      const ms = Math.min(span.to, to) - Math.max(span.from, from)
      if (span.holder === 0 && !withWaiting) continue
      const share = shareOf(threads, mainId, span)
      const key = `${share.thread} ${share.package} ${share.function}`
      sums.set(key, { ...share, ms: ms + (sums.get(key)?.ms ?? 0) })
    }
    return functionsOf([...sums.values()])
  }
  return {
    stalls: stalls
      .filter(([, ms]) => ms > STALL_MS)
      .map(
        ([endedAt, ms]): AttributedStall => ({
          endedAt,
          ms,
          shares: shortened(sharesOf(endedAt - ms, endedAt, true)),
        }),
      ),
    overall: sharesOf(-Infinity, Infinity, false).slice(0, SHARES_OVER_ALL),
  }
}

/** The largest, and the others together by thread and package. */
function shortened(shares: readonly Share[]): Share[] {
  const others = Map.groupBy(
    shares.slice(SHARES_OF_A_STALL),
    (share) => `${share.thread} ${share.package}`,
  )
  return [
    ...shares.slice(0, SHARES_OF_A_STALL),
    ...[...others.values()].map((of) => ({
      ...(of[0] as Share),
      function: 'others',
      ms: sumOf(of),
    })),
  ]
}

/** Lines of a function together; the one that had most stands for it. */
function functionsOf(lines: readonly Share[]): Share[] {
  const sorted = lines.toSorted((a, b) => b.ms - a.ms)
  const functions = Map.groupBy(
    sorted,
    (share) => `${share.thread} ${share.package} ${share.function.replace(/:\d+\)$/, '')}`,
  )
  return [...functions.values()]
    .map((shares) => {
      return { ...(shares[0] as Share), ms: sumOf(shares) }
    })
    .filter(({ ms }) => ms > 0)
    .sort((a, b) => b.ms - a.ms)
}

function sumOf(shares: readonly Share[]): number {
  return (
    rounded(
      shares.reduce((sum, { ms }) => sum + ms, 0),
      1,
    ) ?? 0
  )
}

interface Span {
  readonly from: number
  readonly to: number
  readonly holder: number
}

/** Each look stands for the time until halfway to its neighbours. */
function spansOf(holders: GilHolders): Span[] {
  const spans: Span[] = []
  for (let at = 0; at < holders.length; at += 2) {
    const time = holders[at] as number
    const before = holders[at - 2] ?? time
    const after = holders[at + 2] ?? time
    spans.push({
      from: (before + time) / 2,
      to: (time + after) / 2,
      holder: holders[at + 1] as number,
    })
  }
  return spans
}

function firstAfter(spans: readonly Span[], time: number): number {
  let low = 0
  let high = spans.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((spans[middle] as Span).to <= time) low = middle + 1
    else high = middle
  }
  return low
}

function shareOf(threads: ReadonlyMap<number, Thread>, mainId: number, span: Span): Share {
  const time = (span.from + span.to) / 2
  const id = span.holder === 0 ? mainId : span.holder
  const thread = threads.get(id)
  const name = id === mainId ? 'main' : (thread?.name ?? 'thread')
  const stack = stackAt(thread, time)
  const inner = stack?.at(-1)
  if (stack === undefined || inner === undefined) {
    return { thread: name, package: 'unknown', function: 'no sample', ms: 0 }
  }
  // Nobody has the GIL, and the loop does not go on: the main thread waits for something else.
  if (span.holder === 0) {
    return { thread: name, package: 'waiting', function: shown(inner), ms: 0 }
  }
  const frame = responsible(stack)
  return { thread: name, package: packageOf(frame.file), function: shown(frame), ms: 0 }
}

function stackAt(thread: Thread | undefined, time: number): readonly Frame[] | undefined {
  const changes = thread?.changes ?? []
  let low = 0
  let high = changes.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((changes[middle] as Thread['changes'][0]).at - BEFORE_MS <= time) low = middle + 1
    else high = middle
  }
  return changes[Math.max(0, low - 1)]?.stack
}

/** Threads by the system's id, with times of the clock. */
function readThreads(trace: readonly TraceEvent[]): Map<number, Thread> {
  const zero = zeroOf(trace)
  const byTid = Map.groupBy(
    trace.filter(({ ph }) => ph === 'B' || ph === 'E'),
    ({ tid }) => tid,
  )
  const threads = new Map<number, Thread>()
  for (const events of byTid.values()) {
    // With --threads the outermost frame is `thread (12): MainThread`.
    const [, id, name = ''] = /^thread \((\w+)\):? ?(.*)$/.exec(events[0]?.name ?? '') ?? []
    if (id === undefined) continue
    const thread: Thread = { name: name.replace(/[-_]\d+(_\d+)?$/, ''), changes: [] }
    const stack: Frame[] = []
    for (const [at, { ph, name: called, args, ts }] of events.entries()) {
      if (ph === 'E') stack.pop()
      else stack.push({ name: called, file: args.filename, line: args.line ?? 0 })
      if (events[at + 1]?.ts === ts) continue
      thread.changes.push({ at: zero + ts / 1000, stack: stack.slice(1) })
    }
    threads.set(Number(id), thread)
  }
  return threads
}

/** When the trace's clock was 0, ms since 1970. */
function zeroOf(trace: readonly TraceEvent[]): number {
  const marks = trace.filter(({ ph, name }) => ph === 'B' && name.startsWith(MARK))
  if (marks.length === 0) throw new Error('the trace has no mark: py-spy has not seen the service')
  return median(marks.map(({ name, ts }) => Number(name.slice(MARK.length)) + MARK_MS - ts / 1000))
}

const SCHEDULING =
  /\/(asyncio\/(base_events|events|runners)|threading|concurrent\/futures\/thread)\.py$/

/**
 * The innermost function of a package. The standard library works for whoever called it: `json` under langfuse is
 * langfuse's; but not its event loop and threads, which run everything.
 */
function responsible(stack: readonly Frame[]): Frame {
  const inner = stack.at(-1) as Frame
  for (const frame of stack.toReversed()) {
    if (SCHEDULING.test(frame.file)) return inner
    if (packageOf(frame.file) !== 'python') return frame
  }
  return inner
}

const OPENTELEMETRY: readonly (readonly [folder: string, name: string])[] = [
  ['sdk/', 'opentelemetry-sdk'],
  ['exporter/otlp/proto/common/', 'opentelemetry-exporter-otlp-proto-common'],
  ['exporter/otlp/proto/http/', 'opentelemetry-exporter-otlp-proto-http'],
  ['exporter/', 'opentelemetry-exporter'],
  ['proto/', 'opentelemetry-proto'],
]

function packageOf(file: string): string {
  if (/\/study\/python\/\w+\.py$/.test(file)) return 'application'
  if (file.includes('/clients/python/src/offpath/')) return 'offpath'
  const path = withinPackages(file)
  if (path === undefined) return 'python'
  const within = path.replace(/^opentelemetry\//, '')
  if (within !== path) {
    return OPENTELEMETRY.find(([folder]) => within.startsWith(folder))?.[1] ?? 'opentelemetry-api'
  }
  if (path.startsWith('google/protobuf/')) return 'protobuf'
  return (path.split('/')[0] as string).replace(/\.\w+$/, '')
}

function withinPackages(file: string): string | undefined {
  return /\/site-packages\/(.*)$/.exec(file)?.[1]
}

function shown({ name, file, line }: Frame): string {
  const short =
    withinPackages(file) ??
    /\/(?:lib\/python3\.\d+|src|study\/python)\/(.*)$/.exec(file)?.[1] ??
    file
  return `${name} (${short}:${line})`
}
