// The way out for one exporter: chunks from its outbox, in the order of span ends, into requests, and
// acknowledgements back. What is taken but not acknowledged lives here alone; a crash at any point
// loses nothing and at worst sends the requests that were in flight a second time.
//
//   outbox ──read──▶ lane (one per set of keys) ──encode──▶ request ──send──▶ settle ──▶ acknowledge
//                     └ a lane that does not get on lets its spans lie in the outbox and has them
//                       read again later: it holds up no other lane and no memory. Where the outbox
//                       is memory, what waits for keys goes to its shelf.
import { crashPoint } from '../crash-point.ts'
import type { Log } from '../log.ts'
import type { StoredSpan } from '../store/span.ts'
import type { SentAgain } from '../store/store.ts'
import { bisect } from './bisect.ts'
import {
  type Chunk,
  isAgain,
  isWaiting,
  openChunk,
  type Run,
  release,
  sendAgain,
  settle,
  splitRuns,
  tell,
  told,
} from './chunk.ts'
import type { Clock } from './clock.ts'
import type { Exporter } from './exporters.ts'
import { type GzipMode, gzip } from './gzip.ts'
import type { Attempt, Request, Result, SendError } from './http.ts'
import { type Lane, newHealth } from './lane.ts'
import type { Outbox } from './outbox.ts'
import { createPacker, type Pack } from './packer.ts'
import { type Delivery, LOCAL_ERROR_MS, Progress } from './progress.ts'
import { retry } from './retry.ts'

export interface DeliveryOptions {
  readonly exporter: Exporter
  readonly outbox: Outbox
  readonly clock: Clock
  /** In [0, 1): for the jitter of retries. */
  readonly random: () => number
  readonly gzip: GzipMode
  /** Requests in flight; each set of keys can always have one. */
  readonly concurrency: number
  /** Of a request before compression. */
  readonly requestBytes: number
  /** Of one span's values when expanded; beyond it the longest are cut, visibly. */
  readonly spanBytes: number
  /** How long a request waits to become full. */
  readonly lingerMs: number
  /** For one attempt. */
  readonly timeoutMs: number
  /** Of what waits; beyond it the oldest is dropped. */
  readonly backlogBytes: number
  /** Sees to the media of a span, and returns the span without; undefined: they stay in it. */
  readonly cutMedia?: ((span: StoredSpan) => StoredSpan) | undefined
  /** Spans for which the configuration has no keys are rejected; default: they wait until it has some. */
  readonly rejectsWithoutKeys?: boolean
  readonly onAttempt: (attempt: Attempt) => void
  /** A request has arrived: seconds since the earliest end of an observation in it. */
  readonly onDelivered: (lagSeconds: number) => void
  readonly log: Log
}

export interface SpanDelivery extends Delivery {
  /** Runs a change of the outbox after which settled spans are to be sent again, and goes back to their chunks. */
  again(change: () => SentAgain): SentAgain
}

/** Of 64 KB prompts: level 1 takes 8 ms a MB to a third, level 6 takes 19 ms and leaves a seventh less. */
const GZIP_LEVEL = 1
/** Requests that a lane keeps in flight when it does not get on and there are others. */
const IN_TROUBLE = 2
/** Requests that a lane keeps ready beside those in flight. */
const READY_REQUESTS = 2
const FIRST_BUFFER_BYTES = 256 * 1024
/** Of a request or a span, whatever the configuration says: lengths have 28 bits on the wire. */
const MAX_BYTES = 128 * 1024 * 1024
/** Without giving others their turn. */
const MAX_READS = 16
const MAX_DROPS = 100
/** The backlog is summed up over all its chunks. */
const TRIM_MS = 10_000

export function startDelivery(options: DeliveryOptions): SpanDelivery {
  const { exporter, outbox, clock, log, concurrency } = options
  const requestBytes = Math.min(options.requestBytes, MAX_BYTES)
  const { name, target } = exporter
  const progress = new Progress<Lane>({ ...options, name, target, of: 'observations' })
  const { lanes, underWay, stopping } = progress
  const sender = exporter.open({
    timeoutMs: options.timeoutMs,
    clock,
    onAttempt: progress.onAttempt,
  })
  const mostInTrouble = exporter.several ? IN_TROUBLE : concurrency
  /** With one set of keys there is nobody that it could hold up, and reading on would gain nothing. */
  const shelf = exporter.several ? outbox.shelf : undefined
  const compress = exporter.compresses(options.gzip)
  const encoder = exporter.createEncoder({
    load: (parts, into, at) => outbox.loadParts(parts, into, at),
    maxSpanBytes: Math.min(options.spanBytes, MAX_BYTES),
    cutMedia: options.cutMedia,
  })

  const chunks = new Map<number, Chunk>()
  /** Chunks of which the outbox is to be told. */
  const touched = new Set<Chunk>()
  /** To be used again: of requests that were answered. */
  const buffers: Buffer[] = []
  const takeBuffer = (): Buffer => buffers.pop() ?? Buffer.allocUnsafeSlow(FIRST_BUFFER_BYTES)
  /** The newest chunk that was looked at. */
  let cursor = 0
  let hurried = false
  let pumpWanted = false
  let nextTrim = 0

  // --- lanes ---

  const laneOf = (span: StoredSpan): Lane => {
    const key = exporter.laneOf(span)
    return lanes.get(key) ?? addLane(key)
  }

  const addLane = (key: string): Lane => {
    const headers = exporter.headersOf(key)
    const sendAgain = retry(sender.send, {
      clock,
      random: options.random,
      stopping,
      onRetry: (error, waitMs) => progress.failed(lane, error, waitMs),
      givesUp: (error) => shelf !== undefined && progress.isForKeys(error),
    })
    const lane: Lane = {
      headers: headers ?? {},
      send: bisect(compress ? gzip(sendAgain, GZIP_LEVEL) : sendAgain),
      packer: createPacker(encoder, requestBytes, takeBuffer),
      filling: 0,
      ripe: 0,
      rewind: null,
      accepting: headers !== null,
      ...newHealth(key, headers !== null, clock.now(), 'observations'),
    }
    progress.add(lane)
    return lane
  }

  // --- reading: outbox → lanes ---

  /** Takes the next spans; false when there are no more. */
  const read = (): boolean => {
    const infos = outbox.nextChunks(name, cursor, requestBytes)
    for (const info of infos) {
      cursor = info.id
      const chunk = chunks.get(info.id) ?? openChunk(info)
      // Read a second time for a lane that let spans lie, which this chunk may have none of.
      if (chunk.taken + chunk.settled === info.spans) continue
      takeFrom(chunk)
    }
    return infos.length > 0
  }

  const takeFrom = (chunk: Chunk): void => {
    const { info } = chunk
    chunks.set(info.id, chunk)
    for (const lane of lanes.values()) lane.accepting = lane.rewind === null && !isFull(lane)
    chunk.lying.clear()
    const spans = outbox.readSpans(info)
    for (let index = 0; index < spans.length; index++) {
      if (!isWaiting(chunk, index)) continue
      const span = spans[index]!
      const lane = laneOf(span)
      if (lane.accepting) take(lane, chunk, index, span)
      else if (lane.state === 'no-keys' && options.rejectsWithoutKeys) {
        rejectUnsent(chunk, index, span, String(lane.message))
      } else letLie(lane, chunk)
    }
    if (chunk.taken === 0) touched.add(chunk)
  }

  /** A chunk of what is sent again may lie before the one that the lane waits for. */
  const letLie = (lane: Lane, chunk: Chunk): void => {
    chunk.lying.add(lane.key)
    lane.rewind = Math.min(lane.rewind ?? chunk.info.id, chunk.info.id)
  }

  const take = (lane: Lane, chunk: Chunk, index: number, span: StoredSpan): void => {
    try {
      lane.packer.put(chunk, index, span)
    } catch (error) {
      rejectUnsent(
        chunk,
        index,
        span,
        `cannot be encoded: ${error instanceof Error ? error.message : error}`,
      )
      return
    }
    if (lane.packer.spans === 1) ripen(lane)
  }

  const isFull = (lane: Lane): boolean =>
    lane.state === 'no-keys' ||
    progress.isClosed(lane) ||
    lane.packer.ready.length >= READY_REQUESTS

  /** What waits now is sent after a while, even if its request does not become full. */
  const ripen = (lane: Lane): void => {
    const request = ++lane.filling
    const wake = (): void => {
      // Timers that end within one millisecond may wake in either order; what had become ripe stays it.
      lane.ripe = Math.max(lane.ripe, request)
      pumpSoon()
    }
    clock.sleep(options.lingerMs, stopping).then(wake, () => {})
  }

  /** Requests that get on. */
  const active = (): number => {
    let count = 0
    for (const lane of lanes.values()) if (lane.state === 'ok') count += lane.inFlight
    return count
  }

  /**
   * A lane in trouble goes on with what it may have in flight: a request that is never answered well
   * must not hold up those behind it.
   */
  const hasSlot = ({ state, inFlight }: Lane): boolean =>
    inFlight === 0 || (state === 'ok' ? active() < concurrency : inFlight < mostInTrouble)

  const wantsMore = (): boolean => {
    if (active() >= concurrency) return false
    for (const lane of lanes.values()) {
      const { state } = lane
      if (state === 'ok' && isFull(lane)) return false
      // Others may have spans further on; one alone has none.
      const inTrouble = state !== 'ok' && state !== 'no-keys'
      if (inTrouble && !exporter.several && (isFull(lane) || !hasSlot(lane))) return false
    }
    return true
  }

  const isHolding = ({ packer }: Lane): boolean => packer.ready.length > 0 || packer.spans > 0

  /** Lanes that get on again have what they let lie read again. */
  const rewind = (): void => {
    for (const lane of lanes.values()) {
      if (lane.rewind === null || lane.state === 'no-keys' || isHolding(lane)) continue
      if (progress.isClosed(lane)) continue
      if (lane.state !== 'ok' && lane.inFlight > 0) continue
      cursor = Math.min(cursor, lane.rewind - 1)
      lane.rewind = null
    }
  }

  // --- sending: lane → request → results ---

  const next = (lane: Lane): Pack | undefined => {
    const { packer, inFlight } = lane
    if (!hasSlot(lane)) return undefined
    const ripe = hurried || lane.ripe === lane.filling
    if (packer.ready.length === 0 && packer.spans > 0 && ripe) packer.seal()
    return packer.ready[0]?.alone && inFlight > 0 ? undefined : packer.ready.shift()
  }

  const start = (lane: Lane, pack: Pack): void => {
    lane.inFlight++
    const work = deliver(lane, pack)
      .catch((error) => progress.troubled(error))
      .finally(() => underWay.delete(work))
    underWay.add(work)
  }

  const deliver = async (lane: Lane, pack: Pack): Promise<void> => {
    const { buffer, length, runs, oldestEnd } = pack
    crashPoint('send')
    const results = await send(lane, requestOf(lane, runs, buffer.subarray(0, length)))
    lane.inFlight--
    settleAll(lane, runs, results)
    const some = results.some((result) => result.type !== 'abandoned')
    if (some && progress.getsOn(lane)) shelf?.recall(lane.key, Number.POSITIVE_INFINITY)
    // An answer may come before the body has left entirely: only a good one frees the buffer. One that a
    // huge span made long is not kept.
    const good = results.every((result) => result.type === 'delivered')
    if (good && buffer.length <= Math.max(requestBytes, FIRST_BUFFER_BYTES)) buffers.push(buffer)
    if (oldestEnd < Number.POSITIVE_INFINITY && results.some(({ type }) => type === 'delivered')) {
      options.onDelivered(Math.max(0, clock.now() - oldestEnd) / 1000)
    }
    pumpSoon()
  }

  const send = async (lane: Lane, request: Request): Promise<Result[]> => {
    for (;;) {
      try {
        return await lane.send(request, progress.abandoning)
      } catch (error) {
        if (stopping.aborted) return [{ type: 'abandoned', spans: request.spans }]
        if (shelf !== undefined && progress.isForKeys(error)) {
          closeLane(lane, error)
          return [{ type: 'abandoned', spans: request.spans }]
        }
        // Nothing that retrying knows: no memory for compression, a data file that cannot be read.
        progress.troubled(error)
        await clock.sleep(LOCAL_ERROR_MS, stopping).catch(() => {})
      }
    }
  }

  /** Its keys are refused: it takes nothing for a while, then one chunk, to see whether they still are. */
  const closeLane = (lane: Lane, error: SendError): void => {
    if (progress.isClosed(lane)) return
    progress.close(lane, error, options.random(), () => {
      shelf?.recall(lane.key, 1)
      pumpSoon()
    })
    lane.packer.seal()
    for (const { runs } of lane.packer.ready.splice(0)) {
      for (const run of runs) giveBack(lane, run)
    }
    // What it let lie before is looked at again, and goes to the shelf.
    if (lane.rewind !== null) cursor = Math.min(cursor, lane.rewind - 1)
  }

  /** Whether all that waits of a chunk waits for keys. */
  const isForShelf = ({ taken, settled, info, lying }: Chunk): boolean => {
    if (taken > 0 || settled === info.spans || lying.size === 0) return false
    return [...lying].every((key) => progress.isClosed(lanes.get(key)!))
  }

  const requestOf = (lane: Lane, runs: readonly Run[], body: Buffer): Request => {
    const spans = runs.reduce((sum, { from, to }) => sum + to - from, 0)
    return {
      body,
      headers: lane.headers,
      spans,
      split() {
        const [left, right] = splitRuns(runs, spans >> 1)
        return [
          requestOf(lane, left, encoder.encode(left.flatMap(spansOf))),
          requestOf(lane, right, encoder.encode(right.flatMap(spansOf))),
        ]
      },
    }
  }

  const spansOf = ({ chunk, from, to }: Run): StoredSpan[] =>
    outbox.readSpans(chunk.info).slice(from, to)

  // --- settling: results → outbox ---

  const settleAll = (lane: Lane, runs: readonly Run[], results: readonly Result[]): void => {
    let rest = runs
    for (const result of results) {
      const [part, following] = splitRuns(rest, result.spans)
      rest = following
      if (result.type === 'delivered') delivered(part, result.refused)
      else if (result.type === 'abandoned') for (const run of part) giveBack(lane, run)
      else reject(part[0]!, spansOf(part[0]!)[0], result.reason)
    }
  }

  /** Which ones the server dropped it does not say; the number is what counts. */
  const delivered = (runs: readonly Run[], refused: number): void => {
    if (refused > 0) log.warn('spans refused (partial success)', { exporter: name, spans: refused })
    const [lost, arrived] = splitRuns(runs, refused)
    for (const run of lost) settle(run, 'refused')
    for (const run of arrived) settle(run, 'delivered')
    for (const run of runs) touched.add(run.chunk)
  }

  /** Without the span: its chunk has gone meanwhile, and the outbox holds nothing of it any more. */
  const reject = (run: Run, span: StoredSpan | undefined, reason: string): void => {
    const { chunk, from } = run
    if (span !== undefined) {
      const { traceId, spanId } = span
      log.error('span rejected', { exporter: name, trace: traceId.toString('hex'), reason })
      chunk.deadLetters.push({ index: from, traceId, spanId, name: span.name, reason })
    }
    settle(run, 'dead')
    touched.add(chunk)
  }

  const rejectUnsent = (chunk: Chunk, index: number, span: StoredSpan, reason: string): void => {
    chunk.taken++
    const counted = span.revision > 0 || isAgain(chunk, index)
    reject({ chunk, from: index, to: index + 1, counted }, span, reason)
  }

  const giveBack = (lane: Lane, run: Run): void => {
    letLie(lane, run.chunk)
    release(run)
    touched.add(run.chunk)
  }

  /** Tells the outbox what is settled, in one transaction, and forgets chunks that rest. */
  const acknowledge = (): void => {
    const news = [...touched].filter((chunk) => chunk.news > 0)
    if (news.length > 0) {
      crashPoint('acknowledge')
      outbox.acknowledge(name, news.map(tell))
      news.forEach(told)
    }
    for (const chunk of touched) {
      if (chunk.taken > 0) continue
      chunks.delete(chunk.info.id)
      if (shelf !== undefined && isForShelf(chunk)) shelf.put(chunk.info.id, [...chunk.lying])
    }
    touched.clear()
  }

  const again = (change: () => SentAgain): SentAgain => {
    // What has just been settled is to be sent again as well: the outbox has to know of it.
    acknowledge()
    const sent = change()
    for (const [id, states] of sent.states) {
      const chunk = chunks.get(id)
      if (chunk !== undefined) sendAgain(chunk, states)
      cursor = Math.min(cursor, id - 1)
    }
    pumpSoon()
    return sent
  }

  /** Beyond the cap the oldest chunks go, except those that are on their way; first those that are only sent again. */
  const trim = (): void => {
    if (clock.elapsed() < nextTrim) return
    nextTrim = clock.elapsed() + TRIM_MS
    let over = outbox.backlog(name).bytes - options.backlogBytes
    if (over <= 0) return
    let busy = 0
    for (const { info } of chunks.values()) busy += info.expandedBytes
    const first = outbox.againChunks(name, over + busy)
    const dropped = new Set<number>()
    for (const info of [...first, ...outbox.nextChunks(name, 0, over + busy)]) {
      if (over <= 0) break
      if (chunks.has(info.id) || dropped.has(info.id)) continue
      if (dropped.size === MAX_DROPS) {
        nextTrim = 0
        break
      }
      over -= info.expandedBytes
      dropped.add(info.id)
    }
    const { observations: spans, counted: notResent } = outbox.drop(name, [...dropped])
    if (spans + notResent > 0) {
      const what = { exporter: name, spans, notResent }
      log.warn('backlog full: the oldest spans were dropped', what)
    }
  }

  // --- the loop ---

  const pump = (): void => {
    acknowledge()
    trim()
    for (let reads = 0; ; reads++) {
      for (const lane of lanes.values()) {
        for (let pack = next(lane); pack !== undefined; pack = next(lane)) start(lane, pack)
      }
      rewind()
      if (!wantsMore()) return
      if (reads === MAX_READS) {
        pumpSoon()
        return
      }
      if (!read()) break
    }
    if (shelf !== undefined && touched.size > 0) pumpSoon()
    if (hurried && ![...lanes.values()].some(isHolding)) hurried = false
  }

  const pumpSoon = (): void => {
    if (pumpWanted || stopping.aborted) return
    pumpWanted = true
    setImmediate(() => {
      pumpWanted = false
      if (stopping.aborted) return
      try {
        pump()
      } catch (error) {
        progress.troubled(error)
        clock.sleep(LOCAL_ERROR_MS, stopping).then(pumpSoon, () => {})
      }
    })
  }

  const stop = async (timeoutMs: number): Promise<void> => {
    await progress.stop(timeoutMs)
    try {
      acknowledge()
    } finally {
      await sender.close()
    }
  }

  pumpSoon()
  return {
    wake: pumpSoon,
    hurry() {
      hurried = true
      pumpSoon()
    },
    status: () => progress.status(),
    again,
    stop,
  }
}
