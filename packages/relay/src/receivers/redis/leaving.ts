// The way of entries out of Redis: dead letters of their spans are written, then they are acknowledged. Both are tried until
// they work: an entry that is acknowledged late may be delivered by another relay too, which is better than not at all.
//
// A letter that cannot be written holds up its entry alone. With no memory left Redis refuses letters, and still takes
// acknowledgements: only these let it free memory again.
import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '../../log.ts'
import type { RedisDeadLetter } from '../../redis/dead-letters.ts'
import type { DeadStream } from './dead-stream.ts'
import type { Group } from './group.ts'
import type { Departure, Letters } from './held-entries.ts'

export interface Leaving {
  add(departure: Departure): void
  /** Waits at most so long until all have left. */
  flush(timeoutMs: number): Promise<void>
}

/** What waits for one kind of step, which is taken until nothing does. */
interface Chain<T> {
  add(item: T): void
  /** Ends when nothing waits any more, or when a step failed and there will be no other try. */
  run(): Promise<void>
}

/** A departure that has dead letters. */
interface Mourned {
  readonly stream: string
  readonly entry: string
  readonly letters: Letters
  /** How many were made. */
  made: number
  /** Letters that were made and are not in Redis. */
  unwritten: RedisDeadLetter[]
}

/** Acknowledged at a time. */
const BATCH = 100
/** Ids of an XACKDEL: Redis 8.2.0 to 8.2.2 write beyond a buffer of eight (CVE-2025-62507). */
const DELETED = 8
/** Dead letters made and sent at a time, of one entry; one may be larger. */
const LETTERS = 50
const LETTERS_BYTES = 1024 * 1024
const RETRY_MS = 500

/**
 * @param left is called of each entry that was acknowledged
 * @param isPiledUp whether what was acknowledged has to be deleted one by one, where Redis does not do so itself
 */
export function startLeaving(
  group: Group,
  dead: Pick<DeadStream, 'write'>,
  left: (stream: string, entry: string) => void,
  isPiledUp: (stream: string) => boolean,
  log: Log,
): Leaving {
  const { connection, name } = group
  let stopping = false
  /** Redis ≥ 8.2 deletes what all groups have acknowledged; before, the stream is trimmed (trim.ts). */
  let deletes = true

  /** @param step takes out of `waiting` what it is done with */
  const chain = <T>(what: string, step: (waiting: T[]) => Promise<void>): Chain<T> => {
    const waiting: T[] = []
    let running: Promise<void> | null = null
    let failing = false

    const work = async (): Promise<void> => {
      while (waiting.length > 0) {
        try {
          await step(waiting)
          failing = false
        } catch (error) {
          if (!failing) log.warn(`${what}: ${(error as Error).message}`, { exporter: name })
          failing = true
          if (stopping) break
          await delay(RETRY_MS)
        }
      }
      running = null
    }
    const run = (): Promise<void> => {
      if (waiting.length > 0) running ??= work()
      return running ?? Promise.resolve()
    }
    return {
      add(item) {
        waiting.push(item)
        void run()
      },
      run,
    }
  }

  const acknowledge = async (stream: string, entries: readonly string[]): Promise<void> => {
    if (deletes) {
      try {
        const calls: Promise<unknown>[] = []
        for (let at = 0; at < entries.length; at += DELETED) {
          const ids = entries.slice(at, at + DELETED)
          const args = ['ACKED', 'IDS', String(ids.length), ...ids]
          calls.push(connection.call(stream, ['XACKDEL', stream, name, ...args]))
        }
        await Promise.all(calls)
        return
      } catch (error) {
        if (!/^ERR unknown command|^NOPERM/.test((error as Error).message)) throw error
        deletes = false
      }
    }
    await connection.call(stream, ['XACK', stream, name, ...entries])
    if (isPiledUp(stream)) await remove(stream, entries)
  }

  const remove = async (stream: string, entries: readonly string[]): Promise<void> => {
    try {
      await connection.call(stream, ['XDEL', stream, ...entries])
    } catch (error) {
      // They are acknowledged: they stay until the stream can be trimmed.
      log.debug(`cannot delete: ${(error as Error).message}`, { exporter: name, stream })
    }
  }

  const acknowledgements = new Map(
    group.streams.map((stream): [string, Chain<string>] => {
      const ofStream = chain<string>(
        `entries of ${stream} not acknowledged yet`,
        async (waiting) => {
          const batch = waiting.slice(0, BATCH)
          await acknowledge(stream, batch)
          waiting.splice(0, batch.length)
          for (const entry of batch) left(stream, entry)
        },
      )
      return [stream, ofStream]
    }),
  )

  const mourning = chain<Mourned>('dead letters not written yet', async (waiting) => {
    const mourned = waiting.shift()!
    try {
      while (await writeSome(mourned));
    } catch (error) {
      // Others have their turn first.
      waiting.push(mourned)
      throw error
    }
    acknowledgements.get(mourned.stream)?.add(mourned.entry)
  })

  /** False: there are no more. */
  const writeSome = async (mourned: Mourned): Promise<boolean> => {
    const { letters, unwritten } = mourned
    let bytes = unwritten.reduce((sum, letter) => sum + letter.bytes.length, 0)
    while (unwritten.length < LETTERS && bytes < LETTERS_BYTES) {
      const letter = letters.at(mourned.made)
      if (letter === undefined) break
      mourned.made++
      unwritten.push(letter)
      bytes += letter.bytes.length
    }
    const results = await dead.write(unwritten)
    mourned.unwritten = unwritten.filter((_, i) => results[i]?.status === 'rejected')
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    return results.length > 0
  }

  const runAll = async (): Promise<void> => {
    await mourning.run()
    await Promise.all([...acknowledgements.values()].map((ofStream) => ofStream.run()))
  }

  return {
    add({ stream, entry, letters }) {
      if (letters === null) acknowledgements.get(stream)?.add(entry)
      else mourning.add({ stream, entry, letters, made: 0, unwritten: [] })
    },
    async flush(timeoutMs) {
      stopping = true
      await Promise.race([runAll(), delay(timeoutMs, undefined, { ref: false })])
    },
  }
}
