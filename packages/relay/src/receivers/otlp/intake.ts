// Takes complete spans into the store: one transaction a request, with chunk, outbox and counters, as for what is read from a
// spool. Senders keep what is refused, and send again what they don't know to have arrived, so a span may come twice:
//
//   not known ──▶ stored          known, the same ──▶ left out          known, another ──▶ a further version

import { spanBytes } from '../../export/cut.ts'
import type { Encoder } from '../../export/encoder.ts'
import { javascript5 } from '../../export/langfuse.ts'
import { createEncoder } from '../../export/otlp.ts'
import type { TraceRequest } from '../../otlp/message.ts'
import type { Before } from '../../store/chunk-builder.ts'
import { beforeOf } from '../../store/put-span.ts'
import { StoreReader } from '../../store/read.ts'
import type { Resource, StoredSpan } from '../../store/span.ts'
import type { Store, WriterChange } from '../../store/store.ts'
import { TraceKeys } from '../../store/trace-keys.ts'
import { type Received, type ReceivedGroup, Resources, receivedSpans } from './spans.ts'

/** By what way spans come, as counters have it. */
export type Way = 'otlp' | 'import'

export interface IntakeOptions {
  readonly store: Store
  readonly storeDir: string
  /** Nothing is taken in, for the store is full. */
  readonly full: () => boolean
  /** Most that may wait for one exporter. */
  readonly backlogBytes: number
  /** After each commit: what it took, in seconds, and whether the store refused it. */
  readonly onCommit?: (seconds: number, failed: boolean) => void
  readonly now?: () => number
}

export interface Taken {
  /** Observations that are new. */
  readonly spans: number
  /** Further versions of observations that were stored. */
  readonly revised: number
  /** Left out: stored already, just so. */
  readonly known: number
}

export interface TakeOptions {
  readonly way: Way
  /** False: exporters don't get them. */
  readonly deliver: boolean
}

/** Nothing can be taken in now. What was sent is not lost by it: it is to be sent again. */
export class BusyError extends Error {
  readonly code = 'OFFPATH_BUSY'
  /** `full`: the store; `backlog`: what waits for exporters; `store`: it can't be written to. */
  readonly reason: 'full' | 'backlog' | 'store'
  constructor(reason: BusyError['reason'], message: string, cause?: unknown) {
    super(message, { cause })
    this.reason = reason
  }
}

/** Spans that are known without asking the store. */
const MAX_RECENT = 100_000
/** Clocks of two machines are apart: what ended so long after this one began may have come before. */
const START_SLACK_MS = 60_000
/** Nothing is stored so long before its end. */
const CLOCK_SLACK_MS = 600_000

export class Intake {
  readonly #options: IntakeOptions
  readonly #now: () => number
  readonly #resources = new Resources()
  /** When spans were stored, the oldest first: all since `#recentFrom`. */
  readonly #recent = new Map<string, number>()
  #recentFrom: number
  #reader: StoreReader | null = null
  readonly #encoder: Encoder
  /** For two versions of a span, encoded. */
  readonly #buffers: [Buffer, Buffer] = [Buffer.alloc(64 * 1024), Buffer.alloc(64 * 1024)]

  constructor(options: IntakeOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
    this.#recentFrom = this.#now() + START_SLACK_MS
    const { store } = options
    this.#encoder = createEncoder({
      dialect: javascript5,
      load: (parts, into, at) => store.loadParts(parts, into, at),
      maxSpanBytes: Number.POSITIVE_INFINITY,
    })
  }

  /** Spans of a request as the store has them, and what of it can't be taken. */
  read(request: TraceRequest, project: string | null): Received {
    return receivedSpans(request, this.#resources, project)
  }

  /** Why so many bytes can't be taken in now; null: they can. Asked before a body is read, and again with its length. */
  busy(deliver: boolean, bytes = 0): BusyError | null {
    const { store, full, backlogBytes } = this.#options
    if (full())
      return new BusyError('full', 'the store is full (retention.size), or the relay ends')
    const names = deliver ? store.exporterNames() : []
    const isFull = (name: string): boolean => {
      const held = store.backlog(name).bytes
      // What is longer than all that may wait is taken when nothing does.
      return held > 0 && held + bytes >= backlogBytes
    }
    // One that is dead holds up no other: with some that take more, the oldest is dropped for it, counted.
    if (names.length > 0 && names.every(isFull)) {
      return new BusyError(
        'backlog',
        `as much waits for ${names.join(', ')} as may (export.backlog-cap)`,
      )
    }
    if (store.behind) {
      return new BusyError('store', 'the store refuses what was read from the spool')
    }
    return null
  }

  /**
   * Takes in what was read, in one commit. When it returns, it survives a kill of this process.
   *
   * @throws BusyError: nothing of it is in the store
   */
  take(received: readonly Received[], { way, deliver }: TakeOptions): Taken {
    const groups = merged(received.flatMap((one) => one.groups))
    const bytes = groups.flatMap((of) => of.spans).reduce((sum, of) => sum + spanBytes(of), 0)
    const busy = this.busy(deliver, bytes)
    if (busy !== null) throw busy
    const { store, onCommit } = this.#options
    const started = performance.now()
    let failed = true
    try {
      const known = this.#stored(groups, way)
      const taken = { spans: 0, revised: 0, known: 0 }
      const keys: string[] = []
      const writers = groups.map((group) => newOf(group, known, this.#isSame, taken, keys))
      const counters = countersOf(way, received, taken)
      const change = { writers: writers.filter(({ finished }) => finished.length > 0), cursors: [] }
      if (change.writers.length > 0) store.take({ ...change, counters, settled: !deliver })
      else store.count(counters)
      this.#remember(keys)
      failed = false
      return taken
    } catch (error) {
      throw new BusyError('store', `the store refuses it: ${(error as Error).message}`, error)
    } finally {
      onCommit?.((performance.now() - started) / 1000, failed)
    }
  }

  close(): void {
    this.#reader?.close()
    this.#reader = null
  }

  /** To exporters, who see neither project nor revision. */
  readonly #isSame = (one: StoredSpan, other: StoredSpan): boolean =>
    this.#encode(one, 0).equals(this.#encode(other, 1))

  #encode(span: StoredSpan, index: 0 | 1): Buffer {
    const writer = this.#encoder.begin(this.#buffers[index], Number.POSITIVE_INFINITY)
    writer.add(span)
    const { buffer, length } = writer.finish()
    return buffer.subarray(0, length)
  }

  /** The newest versions of those spans that the store may have. */
  #stored(groups: readonly ReceivedGroup[], way: Way): Map<string, StoredSpan> {
    const wanted = new Set<string>()
    const traces = new TraceKeys<true>()
    // One that ends in the future, by its clock, was stored before.
    let since = this.#now()
    for (const span of groups.flatMap(({ spans }) => spans)) {
      const key = keyOf(span)
      const end = span.endSeconds * 1000
      if (way === 'otlp' && end >= this.#recentFrom && !this.#recent.has(key)) continue
      wanted.add(key)
      traces.set(span.traceId, true)
      since = Math.min(since, end)
    }
    return wanted.size === 0 ? new Map() : this.#find(wanted, traces, since - CLOCK_SLACK_MS)
  }

  #find(wanted: Set<string>, traces: TraceKeys<true>, since: number): Map<string, StoredSpan> {
    this.#reader ??= StoreReader.open(this.#options.storeDir)
    const found = new Map<string, StoredSpan>()
    const reader = this.#reader
    if (reader === null) return found
    // Newest first: what is found in a chunk has no newer version in another.
    for (const chunk of reader.chunksWith(traces, since)) {
      const heads = reader.headsOf(chunk) ?? []
      if (!heads.some((head) => wanted.has(keyOf(head)))) continue
      const here = new Map<string, StoredSpan>()
      for (const span of reader.spansOf(chunk) ?? []) {
        const key = keyOf(span)
        if (!wanted.has(key)) continue
        if (span.revision >= (here.get(key)?.revision ?? 0)) here.set(key, span)
      }
      for (const [key, span] of here) {
        found.set(key, span)
        wanted.delete(key)
      }
      if (wanted.size === 0) break
    }
    return found
  }

  #remember(keys: readonly string[]): void {
    const now = this.#now()
    for (const key of keys) {
      this.#recent.delete(key)
      this.#recent.set(key, now)
    }
    for (const [key, time] of this.#recent) {
      if (this.#recent.size <= MAX_RECENT) break
      this.#recent.delete(key)
      this.#recentFrom = Math.max(this.#recentFrom, time)
    }
  }
}

/** What tells a span from others, also for Langfuse. */
function keyOf(
  span: Pick<StoredSpan, 'traceId' | 'spanId' | 'startSeconds' | 'startNanos'>,
): string {
  const ids = span.traceId.toString('latin1') + span.spanId.toString('latin1')
  return `${ids}${span.startSeconds}.${span.startNanos}`
}

/** Those of one resource together: another one begins a chunk of its own. */
function merged(groups: readonly ReceivedGroup[]): ReceivedGroup[] {
  const byResource = new Map<Resource, ReceivedGroup & { spans: StoredSpan[] }>()
  for (const { writer, resource, spans } of groups) {
    const known = byResource.get(resource)
    if (known === undefined) byResource.set(resource, { writer, resource, spans: [...spans] })
    else for (const span of spans) known.spans.push(span)
  }
  return [...byResource.values()]
}

type NewSpans = WriterChange & { readonly finished: readonly StoredSpan[] }

/** What of a group is to be stored; `known` is of the store, and of what came before in the request. */
function newOf(
  { writer, resource, spans }: ReceivedGroup,
  known: Map<string, StoredSpan>,
  isSame: (one: StoredSpan, other: StoredSpan) => boolean,
  taken: { -readonly [K in keyof Taken]: Taken[K] },
  keys: string[],
): NewSpans {
  const finished: StoredSpan[] = []
  const before = new Map<StoredSpan, Before>()
  for (const span of spans) {
    const key = keyOf(span)
    const stored = known.get(key)
    if (stored !== undefined && isSame(stored, span)) {
      taken.known++
      continue
    }
    let version = span
    if (stored === undefined) taken.spans++
    else {
      version = { ...span, revision: stored.revision + 1 }
      before.set(version, beforeOf(stored))
      taken.revised++
    }
    known.set(key, version)
    finished.push(version)
    keys.push(key)
  }
  return { id: writer, resource, finished, before, state: null, vitals: [] }
}

function countersOf(
  way: Way,
  received: readonly Received[],
  { spans, revised, known }: Taken,
): Record<string, number> {
  const counters: Record<string, number> = {
    accepted: spans,
    [`received.${way}.spans`]: spans,
    [`received.${way}.revised`]: revised,
    [`received.${way}.known`]: known,
  }
  for (const { rejected, linksLeftOut } of received) {
    for (const [reason, count] of Object.entries(rejected)) {
      const name = `received.${way}.rejected.${reason}`
      counters[name] = (counters[name] ?? 0) + count
    }
    const links = `received.${way}.linksLeftOut`
    counters[links] = (counters[links] ?? 0) + linksLeftOut
  }
  return counters
}
