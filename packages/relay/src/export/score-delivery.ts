// The way of scores to one exporter: rows of its outbox, a lane for each set of keys, into requests. A row goes when it is
// acknowledged; a crash before that sends it again, with the same id and time, by which Langfuse replaces it.
import { crashPoint } from '../crash-point.ts'
import type { Log } from '../log.ts'
import type { HeldScore, ScoreOutbox } from '../store/scores.ts'
import { bisect } from './bisect.ts'
import type { Clock } from './clock.ts'
import type { Exporter, JsonTarget } from './exporters.ts'
import { type Attempt, openEndpoint, type Result, type Send } from './http.ts'
import { type LaneHealth, newHealth } from './lane.ts'
import { type Delivery, LOCAL_ERROR_MS, Progress } from './progress.ts'
import { retry } from './retry.ts'
import { arraysIfTaken, scoreComplaint, scoreRequest } from './score-request.ts'

export interface ScoreDeliveryOptions {
  readonly exporter: Exporter
  readonly target: JsonTarget
  readonly outbox: Pick<ScoreOutbox, 'projects' | 'next' | 'acknowledge' | 'trim'>
  readonly clock: Clock
  /** In [0, 1): for the jitter of retries. */
  readonly random: () => number
  /** Requests in flight, for each set of keys. */
  readonly concurrency: number
  /** How long scores wait for others to share a request. */
  readonly lingerMs: number
  /** For one attempt. */
  readonly timeoutMs: number
  /** Of what waits; beyond it the oldest is dropped. */
  readonly backlogBytes: number
  readonly onAttempt: (attempt: Attempt) => void
  readonly log: Log
}

/** Of a request. Langfuse's own SDK keeps to the same bytes: the endpoint takes 1 MiB by default. */
const REQUEST = { count: 100, maxBytes: 1_000_000 }
/** The backlog is summed up. */
const TRIM_MS = 10_000

interface ScoreLane extends LaneHealth {
  readonly headers: Readonly<Record<string, string>>
  readonly send: Send
  /** The newest score that was taken. */
  cursor: number
}

export function startScoreDelivery(options: ScoreDeliveryOptions): Delivery {
  const { exporter, target, outbox, clock, log } = options
  const { name } = exporter
  const progress = new Progress<ScoreLane>({ ...options, name, url: target.url, of: 'scores' })
  const { lanes, underWay, stopping } = progress
  const endpoint = openEndpoint({
    url: target.url,
    timeoutMs: options.timeoutMs,
    secrets: exporter.secrets,
    now: clock.now,
    complaint: scoreComplaint,
    onAttempt: progress.onAttempt,
  })
  const post = arraysIfTaken(endpoint.post, clock)
  /** Ids of scores on their way. */
  const taken = new Set<number>()
  let waits = false
  let nextTrim = 0

  const addLane = (key: string): ScoreLane => {
    const headers = target.headersOf(key)
    const lane: ScoreLane = {
      headers: headers ?? {},
      send: bisect(
        retry(post, {
          clock,
          random: options.random,
          stopping,
          onRetry: (error, waitMs) => progress.failed(lane, error, waitMs),
        }),
      ),
      cursor: 0,
      ...newHealth(key, headers !== null, clock.now(), 'scores'),
    }
    progress.add(lane)
    return lane
  }

  /** Takes what waits, as far as requests may be in flight. */
  const pump = (): void => {
    if (stopping.aborted) return
    try {
      trim()
      for (const project of outbox.projects(name)) fill(lanes.get(project) ?? addLane(project))
    } catch (error) {
      progress.troubled(error)
      clock.sleep(LOCAL_ERROR_MS, stopping).then(pump, () => {})
    }
  }

  const fill = (lane: ScoreLane): void => {
    while (lane.state !== 'no-keys' && lane.inFlight < options.concurrency) {
      const scores = outbox.next(name, lane.key, lane.cursor, taken, REQUEST)
      const last = scores.at(-1)
      if (last === undefined) return
      lane.cursor = last.id
      lane.inFlight++
      for (const { id } of scores) taken.add(id)
      const work = deliver(lane, scores).finally(() => underWay.delete(work))
      underWay.add(work)
    }
  }

  const deliver = async (lane: ScoreLane, scores: readonly HeldScore[]): Promise<void> => {
    crashPoint('send')
    const results = await send(lane, scores)
    await settle(lane, scores, results)
    for (const { id } of scores) taken.delete(id)
    lane.inFlight--
    if (results.some((result) => result.type !== 'abandoned')) {
      progress.getsOn(lane)
    }
    if (scores.length === REQUEST.count) pump()
    else wake()
  }

  const send = async (lane: ScoreLane, scores: readonly HeldScore[]): Promise<Result[]> => {
    try {
      return await lane.send(scoreRequest(lane.headers, scores), progress.abandoning)
    } catch (error) {
      if (!stopping.aborted) {
        progress.troubled(error)
        await clock.sleep(LOCAL_ERROR_MS, stopping).catch(() => {})
      }
      return [{ type: 'abandoned', spans: scores.length }]
    }
  }

  /** Tells the outbox what became of scores; what was abandoned is taken again. */
  const settle = async (
    lane: ScoreLane,
    scores: readonly HeldScore[],
    results: readonly Result[],
  ): Promise<void> => {
    const delivered: number[] = []
    const dead: { id: number; reason: string }[] = []
    let at = 0
    for (const result of results) {
      const part = scores.slice(at, at + result.spans)
      at += result.spans
      if (result.type === 'delivered') delivered.push(...part.map(({ id }) => id))
      else if (result.type === 'abandoned') lane.cursor = Math.min(lane.cursor, part[0]!.id - 1)
      else {
        const { id } = part[0]!
        dead.push({ id, reason: result.reason })
        log.error('score rejected', { exporter: name, reason: result.reason })
      }
    }
    if (delivered.length + dead.length === 0) return
    crashPoint('acknowledge')
    for (;;) {
      try {
        return outbox.acknowledge(name, delivered, dead)
      } catch (error) {
        progress.troubled(error)
        // At the end they are left to be sent again.
        if (stopping.aborted) return
        await clock.sleep(LOCAL_ERROR_MS, stopping).catch(() => {})
      }
    }
  }

  const trim = (): void => {
    if (clock.elapsed() < nextTrim) return
    nextTrim = clock.elapsed() + TRIM_MS
    const scores = outbox.trim(name, options.backlogBytes, taken)
    if (scores === 0) return
    log.warn('backlog full: the oldest scores were dropped', { exporter: name, scores })
    // A slice; there may be more.
    nextTrim = 0
    wake()
  }

  const wake = (): void => {
    if (waits || stopping.aborted) return
    waits = true
    const look = (): void => {
      waits = false
      pump()
    }
    clock.sleep(options.lingerMs, stopping).then(look, () => {})
  }

  wake()
  return {
    wake,
    hurry: pump,
    status: () => progress.status(),
    async stop(timeoutMs) {
      await progress.stop(timeoutMs)
      await endpoint.close()
    },
  }
}
