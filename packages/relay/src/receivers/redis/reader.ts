// Reading for one group: what is new, from each stream in turn, as long as there is room for it.
//
// It polls. A blocking XREADGROUP needs a connection of its own, in a cluster one a node; it goes on when there is no room
// any more, and when this relay has stopped, and what it then brings waits to be taken over by another. A request waits a
// second to become full, so 50 ms are nothing.
import type { Log } from '../../log.ts'
import { createGroup, entriesOf, type Group, itemsOf } from './group.ts'
import type { RedisOutbox } from './outbox.ts'
import { pause } from './pause.ts'

export interface Reader {
  /** Why nothing is read; null: it is. */
  readonly trouble: string | null
  /** Waits until nothing is read any more. */
  stop(): Promise<void>
}

export interface ReaderOptions {
  readonly group: Group
  readonly outbox: RedisOutbox
  readonly log: Log
  /** Something was read. */
  wake(): void
}

const POLL_MS = 50
/** Of a stream at a time; 4 MB of usual entries. How large they are is known only when they are here, so it begins with one. */
const MAX_COUNT = 16
const RETRY_MS = 1000

export function startReader(options: ReaderOptions): Reader {
  const { group, outbox, log } = options
  const { connection, streams, name, consumer } = group
  const stopping = new AbortController()
  const { signal } = stopping
  let trouble: string | null = null
  /** Of each stream, how many entries are asked for the next time: twice as many as came. */
  const most = new Map<string, number>()
  /** Another stream is the first one each time, so that none has all the room. */
  let first = 0

  /** False: it had no more than that. */
  const read = async (stream: string): Promise<boolean> => {
    if (outbox.room <= 0 || signal.aborted) return false
    const count = outbox.fitting(most.get(stream) ?? 1)
    const reply = await connection.call(stream, [
      'XREADGROUP',
      'GROUP',
      name,
      consumer,
      'COUNT',
      String(count),
      'STREAMS',
      stream,
      '>',
    ])
    const [, items] = itemsOf(itemsOf(reply)[0])
    const entries = items === undefined ? [] : entriesOf(items)
    for (const entry of entries) outbox.add(stream, entry)
    most.set(stream, Math.max(1, Math.min(MAX_COUNT, 2 * entries.length)))
    if (entries.length > 0) options.wake()
    return entries.length === count
  }

  const readOrCreate = async (stream: string): Promise<boolean> => {
    try {
      return await read(stream)
    } catch (error) {
      if (!(error as Error).message.startsWith('NOGROUP')) throw error
      await createGroup(group, stream)
      return true
    }
  }

  const round = async (): Promise<boolean> => {
    let more = false
    first = (first + 1) % streams.length
    for (let i = 0; i < streams.length; i++) {
      const stream = streams[(first + i) % streams.length] as string
      if (await readOrCreate(stream)) more = true
    }
    return more
  }

  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        const more = await round()
        if (trouble !== null) log.info('reading again', { exporter: name })
        trouble = null
        if (!more || outbox.room <= 0) await pause(POLL_MS, signal)
      } catch (error) {
        trouble = (error as Error).message
        log.warn(`cannot read from Redis: ${trouble}`, { exporter: name })
        await pause(RETRY_MS * (0.5 + Math.random()), signal)
      }
    }
  }
  const running = run()

  return {
    get trouble() {
      return trouble
    },
    async stop() {
      stopping.abort()
      await running
    },
  }
}
