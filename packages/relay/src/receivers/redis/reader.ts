// Reading for one group: what is new, from all streams, as long as there is room for it. Each stream is read on its own: in a
// cluster another node may have it, and one that does not answer holds up no other.
//
// It polls. A blocking XREADGROUP needs a connection of its own, in a cluster one a node; it goes on when there is no room
// any more, and when this relay has stopped, and what it then brings waits to be taken over by another. A request waits a
// second to become full, so 50 ms are nothing; and 250 ms little where nothing comes, of which a fleet's Redis has a fifth to
// answer, and a relay that has nothing to do wakes up for.
import type { Log } from '../../log.ts'
import { createGroup, entriesOf, type Group, itemsOf } from './group.ts'
import type { HeldEntries } from './held-entries.ts'
import { pause } from './pause.ts'

export interface Reader {
  /** Why nothing is read, of one stream at least; null: it is. */
  readonly trouble: string | null
  /** Waits until nothing is read any more. */
  stop(): Promise<void>
}

export interface ReaderOptions {
  readonly group: Group
  readonly outbox: HeldEntries
  readonly log: Log
  /** Something was read. */
  wake(): void
}

const POLL_MS = 50
/** After some polls that brought nothing. */
const IDLE_POLL_MS = 250
/** Each poll that brings nothing has the next one wait so much longer. */
const LONGER = 1.5
/**
 * Of a stream at a time; 4 MB of usual entries. How large they are is known once they are here: the first time one is asked
 * for, then twice as many as came.
 */
const MAX_COUNT = 16
const RETRY_MS = 1000

export function startReader(options: ReaderOptions): Reader {
  const { group, outbox, log } = options
  const { connection, streams, name, consumer } = group
  const stopping = new AbortController()
  const { signal } = stopping
  /** By stream, why nothing is read of it. */
  const troubles = new Map<string, string>()
  /** Entries that were asked for and may still come. */
  let asked = 0

  /** Returns how many entries came; null: it did not ask, for there is no room. */
  const read = async (stream: string, most: number): Promise<number | null> => {
    const count = outbox.fitting(most, asked)
    if (count === 0 || signal.aborted) return null
    const args = ['GROUP', name, consumer, 'COUNT', String(count), 'STREAMS', stream, '>']
    asked += count
    try {
      const reply = await connection.call(stream, ['XREADGROUP', ...args])
      const [, items] = itemsOf(itemsOf(reply)[0])
      const entries = items === undefined ? [] : entriesOf(items)
      for (const entry of entries) outbox.add(stream, entry)
      if (entries.length > 0) options.wake()
      return entries.length
    } finally {
      asked -= count
    }
  }

  const readOrCreate = async (stream: string, most: number): Promise<number | null> => {
    try {
      return await read(stream, most)
    } catch (error) {
      if (!(error as Error).message.startsWith('NOGROUP')) throw error
      await createGroup(group, stream)
      return 0
    }
  }

  const run = async (stream: string): Promise<void> => {
    let most = 1
    let pollMs = POLL_MS
    while (!signal.aborted) {
      try {
        const came = await readOrCreate(stream, most)
        if (troubles.delete(stream)) log.info('reading again', { exporter: name, stream })
        most = Math.max(1, Math.min(MAX_COUNT, 2 * (came ?? 0)))
        if (came !== null && came > 0) {
          pollMs = POLL_MS
          continue
        }
        // Where there is no room there may be some in a moment: 24 MB are delivered in less than a tenth of a second.
        const waitMs = came === null ? POLL_MS : pollMs
        if (came === 0) pollMs = Math.min(IDLE_POLL_MS, pollMs * LONGER)
        // In no order: each of them is the first one to find room now and then.
        await pause(waitMs * (0.5 + Math.random()), signal)
      } catch (error) {
        const { message } = error as Error
        if (troubles.get(stream) !== message)
          log.warn(`cannot read from Redis: ${message}`, { exporter: name, stream })
        troubles.set(stream, message)
        await pause(RETRY_MS * (0.5 + Math.random()), signal)
      }
    }
  }
  const running = Promise.all(streams.map(run))

  return {
    get trouble() {
      const [first = null] = troubles.values()
      return first
    },
    async stop() {
      stopping.abort()
      await running
    },
  }
}
