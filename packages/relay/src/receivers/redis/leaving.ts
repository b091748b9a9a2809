// The way of entries out of Redis: dead letters of their spans are written, then they are acknowledged. Both are tried until
// they work: an entry that is acknowledged late may be delivered by another relay too, which is better than not at all.
import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '../../log.ts'
import { writeDeadLetter } from '../../redis/dead-letters.ts'
import type { Group } from './group.ts'
import type { Departure } from './outbox.ts'

export interface Leaving {
  add(departure: Departure): void
  /** Waits at most so long until all have left. */
  flush(timeoutMs: number): Promise<void>
}

/** Acknowledged at a time. */
const BATCH = 100
const RETRY_MS = 500

/** @param left is called of each entry that was acknowledged */
export function startLeaving(
  group: Group,
  left: (stream: string, entry: string) => void,
  log: Log,
): Leaving {
  const { connection, name, deadStream } = group
  const waiting: Departure[] = []
  let running: Promise<void> | null = null
  let stopping = false
  /** Redis ≥ 8.2 deletes what all groups have acknowledged; before, the stream is trimmed (trim.ts). */
  let deletes = true

  const acknowledge = async (stream: string, entries: readonly string[]): Promise<void> => {
    if (deletes) {
      try {
        const ids = ['IDS', String(entries.length), ...entries]
        await connection.call(stream, ['XACKDEL', stream, name, 'ACKED', ...ids])
        return
      } catch (error) {
        if (!/^ERR unknown command|^NOPERM/.test((error as Error).message)) throw error
        deletes = false
      }
    }
    await connection.call(stream, ['XACK', stream, name, ...entries])
  }

  const leave = async (batch: readonly Departure[]): Promise<void> => {
    for (const { letters } of batch) {
      for (let letter = letters[0]; letter !== undefined; letter = letters[0]) {
        await writeDeadLetter(connection, deadStream, letter)
        letters.shift()
      }
    }
    const byStream = Map.groupBy(batch, ({ stream }) => stream)
    for (const [stream, of] of byStream) {
      await acknowledge(
        stream,
        of.map(({ entry }) => entry),
      )
    }
    for (const { stream, entry } of batch) left(stream, entry)
  }

  const run = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, BATCH)
      try {
        await leave(batch)
        waiting.splice(0, batch.length)
      } catch (error) {
        const { message } = error as Error
        log.warn(`entries not acknowledged yet: ${message}`, { exporter: name })
        if (stopping) return
        await delay(RETRY_MS)
      }
    }
  }

  const start = (): void => {
    running ??= run().finally(() => {
      running = null
    })
  }

  return {
    add(departure) {
      waiting.push(departure)
      start()
    },
    async flush(timeoutMs) {
      stopping = true
      if (waiting.length > 0) start()
      await Promise.race([running, delay(timeoutMs, undefined, { ref: false })])
    },
  }
}
