// The stream of dead letters, as relays of a pool write to it: about the newest 10 000. It is trimmed by a command of its own,
// for XTRIM says how many went, and XADD with MAXLEN does not. Each is counted once, by the relay that trimmed it.
import type { Log } from '../../log.ts'
import type { RedisConnection } from '../../redis/connection.ts'
import {
  MAX_DEAD_LETTERS,
  type RedisDeadLetter,
  trimDeadLetters,
  writeDeadLetter,
} from '../../redis/dead-letters.ts'
import { each } from './pause.ts'

export interface DeadStream {
  readonly stream: string
  /** Letters, as of the last look, which is seconds ago; null: Redis has not said. */
  readonly length: number | null
  /** Letters that this relay took out, for there were too many. */
  readonly trimmed: number
  /** Adds letters; returns what became of each. */
  write(letters: readonly RedisDeadLetter[]): Promise<readonly PromiseSettledResult<void>[]>
  stop(): Promise<void>
}

export interface DeadStreamOptions {
  readonly connection: RedisConnection
  readonly stream: string
  readonly log: Log
}

const LOOK_MS = 2000

export function startDeadStream({ connection, stream, log }: DeadStreamOptions): DeadStream {
  const stopping = new AbortController()
  let length: number | null = null
  let trimmed = 0
  /** Why it is not trimmed, as it was told; null: it is. */
  let trouble: string | null = null
  /** It was told that letters are dropped, and there has been no room since. */
  let isFull = false

  const look = async (): Promise<void> => {
    try {
      length = Number(await connection.call(stream, ['XLEN', stream]))
      if (length < MAX_DEAD_LETTERS) isFull = false
    } catch (error) {
      // Readers tell why Redis does not answer, and those who write what is no stream.
      log.debug(`cannot count dead letters: ${(error as Error).message}`, { stream })
    }
  }
  const running = each(LOOK_MS, stopping.signal, look)

  const tell = (trim: PromiseSettledResult<number>): void => {
    if (trim.status === 'rejected') {
      const { message } = trim.reason as Error
      if (message !== trouble)
        log.warn(`cannot trim dead letters, their stream grows: ${message}`, { stream })
      trouble = message
      return
    }
    trouble = null
    if (trim.value === 0) return
    trimmed += trim.value
    if (!isFull) {
      const text = `dead letters are dropped: their stream keeps ${MAX_DEAD_LETTERS}`
      log.error(text, { stream, letters: trim.value })
    }
    isFull = true
  }

  return {
    stream,
    get length() {
      return length
    },
    get trimmed() {
      return trimmed
    },
    async write(letters) {
      if (letters.length === 0) return []
      const writing = letters.map((letter) => writeDeadLetter(connection, stream, letter))
      // Sent behind them, so that all are waited for once.
      const trimming = trimDeadLetters(connection, stream)
      const [trim, ...written] = await Promise.allSettled([trimming, ...writing])
      // With no memory left Redis refuses letters, and still trims.
      const isWritten = written.some(({ status }) => status === 'fulfilled')
      if (isWritten || trim.status === 'fulfilled') tell(trim)
      return written
    },
    async stop() {
      stopping.abort()
      await running
    },
  }
}
