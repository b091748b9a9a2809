// The end of a relay: what is in the spool is read, and what waits in the outboxes is delivered.
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { STUCK } from './export/lane.ts'
import type { Delivery } from './export/progress.ts'
import type { Log } from './log.ts'
import type { SpoolReceiver } from './receivers/spool/receiver.ts'

export interface DrainOptions {
  /** Reads what is written when it is called, and no more; else until nothing new is found. */
  readonly soFar?: boolean
  /** Ends it early. */
  readonly signal?: AbortSignal
}

/** What it works on. */
interface Drained {
  readonly receiver: Pick<SpoolReceiver, 'pollAll' | 'wasFull'>
  /** From now on nothing is read. */
  endReading(): void
  /** Nothing can be read, for the store is full. */
  full(): boolean
  /** Something is in an outbox. */
  waits(): boolean
  readonly deliveries: readonly Delivery[]
  readonly log: Log
}

/** Between looks. The first comes after it: an application that was killed is soon seen dead. */
const LOOK_MS = 50
/** Of a dead writer the first poll reads what it wrote, the second what is left of it, the third closes what was open. */
const POLLS = 3
/** What is stuck may be seen before the rest has begun. */
const STUCK_LOOKS = 10

/**
 * Delivers what has been recorded, for at most so long. Resolves to true when nothing is left; to false also before the
 * time when what is left waits for somebody's hand.
 */
export async function drain(
  drained: Drained,
  timeoutMs: number,
  { soFar = false, signal }: DrainOptions = {},
): Promise<boolean> {
  const { receiver, deliveries, log } = drained
  const until = performance.now() + timeoutMs
  let isRead = false
  let polls = 0
  let stuck = 0

  /** False: there is nothing more to be read. */
  const read = (): boolean => {
    if (isRead) return false
    try {
      const hadMore = receiver.pollAll()
      if (drained.full()) return true
      if (!soFar) return hadMore
      // Writers that go on would always have more: after enough polls it is all that there was.
      if (!receiver.wasFull) polls++
      isRead = !hadMore || polls === POLLS
      if (isRead) drained.endReading()
      return !isRead
    } catch (error) {
      log.error('reading the spool failed', { error: (error as Error).message })
      return true
    }
  }

  while (performance.now() < until && signal?.aborted !== true) {
    await (receiver.wasFull ? turn() : sleep(LOOK_MS))
    const more = read()
    if (!more && !drained.waits()) return true
    stuck = !more && isStuck(deliveries) ? stuck + 1 : 0
    if (stuck === STUCK_LOOKS) return false
    for (const delivery of deliveries) delivery.hurry()
  }
  return isRead && !drained.waits()
}

/** Some are refused, which no waiting heals, and the others have nothing to do. */
function isStuck(deliveries: readonly Delivery[]): boolean {
  const lanes = deliveries.flatMap((delivery) => delivery.status().lanes)
  return (
    lanes.some(({ state }) => STUCK.includes(state)) &&
    lanes.every(({ state, inFlight }) => {
      return STUCK.includes(state) || (state === 'ok' && inFlight === 0)
    })
  )
}
