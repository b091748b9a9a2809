import { join } from 'node:path'
import { startChild } from '../../apparatus/processes.ts'

export type SinkWord = 'take' | 'refuse' | 'clear' | 'stats'

/** Since the last `clear`. */
export interface SinkStats {
  /** Spans that were taken, and different ones among them. */
  readonly spans: number
  readonly unique: number
  /** Of the bodies that were taken, decompressed, and as they came. */
  readonly bytes: number
  readonly wireBytes: number
  /** Those that were refused among them. */
  readonly requests: number
  /** When the first request came, ms since 1970. */
  readonly firstAt: number | null
}

/** The server that everything is delivered to, in a process of its own. */
export interface Sink {
  readonly url: string
  /** Says a word to it; resolves when it has heard. */
  say(word: SinkWord): Promise<SinkStats>
  stop(): Promise<void>
}

export async function startSink(): Promise<Sink> {
  const child = startChild(join(import.meta.dirname, 'sink.child.ts'), {}, {})
  const url = await child.receive<string>()
  let turn: Promise<unknown> = Promise.resolve()
  return {
    url,
    say(word) {
      const answer = turn.then(() => {
        child.send(word)
        return child.receive<SinkStats>()
      })
      turn = answer.catch(() => {})
      return answer
    },
    stop: () => child.stop(),
  }
}
