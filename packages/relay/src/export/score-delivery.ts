// The way of scores to one exporter: out of its outbox, a lane for each project, into requests. What is acknowledged leaves
// the outbox; a crash before that sends it again, with the same id and time, by which Langfuse replaces it.
import { crashPoint } from '../crash-point.ts'
import type { Log } from '../log.ts'
import type { HeldScore } from '../store/scores.ts'
import { bisect } from './bisect.ts'
import type { Clock } from './clock.ts'
import type { Exporter, ScoreTarget } from './exporters.ts'
import type { Attempt, Result, Send, SendError } from './http.ts'
import { type LaneHealth, newHealth } from './lane.ts'
import type { ScoresWaiting } from './outbox.ts'
import { type Delivery, LOCAL_ERROR_MS, Progress } from './progress.ts'
import { retry } from './retry.ts'

export interface ScoreDeliveryOptions {
  readonly exporter: Exporter
  readonly target: ScoreTarget
  readonly outbox: ScoresWaiting
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
  /** Scores for which the configuration has no keys are rejected; default: they wait until it has some. */
  readonly rejectsWithoutKeys?: boolean
  readonly onAttempt: (attempt: Attempt) => void
  readonly log: Log
}

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
  const progress = new Progress<ScoreLane>({
    ...options,
    name,
    target: target.target,
    of: 'scores',
  })
  const { lanes, underWay, stopping } = progress
  const sender = target.open({
    timeoutMs: options.timeoutMs,
    clock,
    onAttempt: progress.onAttempt,
  })
  /** With one set of keys there is nobody that it could hold up. */
  const shelf = exporter.several ? outbox.shelf : undefined
  /** Ids of scores on their way. */
  const taken = new Set<number>()
  let waits = false
  let nextTrim = 0

  const addLane = (key: string): ScoreLane => {
    const headers = target.headersOf(key)
    const lane: ScoreLane = {
      headers: headers ?? {},
      send: bisect(
        retry(sender.send, {
          clock,
          random: options.random,
          stopping,
          onRetry: (error, waitMs) => progress.failed(lane, error, waitMs),
          givesUp: (error) => shelf !== undefined && progress.isForKeys(error),
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
    if (lane.state === 'no-keys' && options.rejectsWithoutKeys) rejectAll(lane)
    if (progress.isClosed(lane)) {
      shelf?.put(lane.key, taken)
      return
    }
    while (lane.state !== 'no-keys' && lane.inFlight < options.concurrency) {
      const scores = outbox.next(name, lane.key, lane.cursor, taken, target.most)
      const last = scores.at(-1)
      if (last === undefined) return
      lane.cursor = last.id
      lane.inFlight++
      for (const { id } of scores) taken.add(id)
      const work = deliver(lane, scores).finally(() => underWay.delete(work))
      underWay.add(work)
    }
  }

  const rejectAll = (lane: ScoreLane): void => {
    const reason = String(lane.message)
    for (;;) {
      const scores = outbox.next(name, lane.key, 0, taken, target.most)
      if (scores.length === 0) return
      log.error('scores rejected', { exporter: name, scores: scores.length, reason })
      outbox.acknowledge(
        name,
        [],
        scores.map(({ id }) => ({ id, reason })),
      )
    }
  }

  const deliver = async (lane: ScoreLane, scores: readonly HeldScore[]): Promise<void> => {
    crashPoint('send')
    const results = await send(lane, scores)
    await settle(lane, scores, results)
    for (const { id } of scores) taken.delete(id)
    lane.inFlight--
    const some = results.some((result) => result.type !== 'abandoned')
    if (some && progress.getsOn(lane)) shelf?.recall(lane.key, Number.POSITIVE_INFINITY)
    if (scores.length === target.most.count) pump()
    else wake()
  }

  const send = async (lane: ScoreLane, scores: readonly HeldScore[]): Promise<Result[]> => {
    try {
      return await lane.send(target.requestOf(lane.headers, scores), progress.abandoning)
    } catch (error) {
      if (shelf !== undefined && progress.isForKeys(error)) closeLane(lane, error)
      else if (!stopping.aborted) {
        progress.troubled(error)
        await clock.sleep(LOCAL_ERROR_MS, stopping).catch(() => {})
      }
      return [{ type: 'abandoned', spans: scores.length }]
    }
  }

  /** Its keys are refused: nothing is taken for a while, then one entry, to see whether they still are. */
  const closeLane = (lane: ScoreLane, error: SendError): void => {
    if (progress.isClosed(lane)) return
    progress.close(lane, error, options.random(), () => {
      shelf?.recall(lane.key, 1)
      wake()
    })
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
      await sender.close()
    },
  }
}
