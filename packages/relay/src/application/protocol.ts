// What application and relay tell each other, over the channel of a child process or the port of a thread. The end of the
// channel is the end of the application, however it ended.
import type { LogLevel } from '../log.ts'

export type FromRelay =
  | { readonly type: 'ready'; readonly url: string; readonly spool: string }
  | { readonly type: 'log'; readonly level: LogLevel; readonly line: string }
  /** Lines that the application did not take in time. */
  | { readonly type: 'leftOut'; readonly lines: number }
  /** The configuration is wrong, as it will be the next time. */
  | { readonly type: 'refused'; readonly words: string }
  /** Another relay reads the spool. */
  | { readonly type: 'taken'; readonly words: string }
  | { readonly type: 'failed'; readonly words: string }
  /** The last words of a relay that was told to end. */
  | { readonly type: 'ended'; readonly delivered: boolean }

export type ToRelay = End | { readonly type: 'hurry' }

/** End, and deliver what is left for at most so long. */
export interface End {
  readonly type: 'end'
  readonly drainMs: number
  /** The application waits without its event loop: nobody takes lines any more. */
  readonly isDeaf?: true
}

/** What a relay needs to know beside its configuration: an argument of the child, or the thread's data. */
export interface Start {
  readonly drainMs: number
  /** Log lines go to the application; else those from `warn` on to stderr. */
  readonly logs: boolean
  /** Of the application when it called `startRelay`: relative paths and offpath.yaml are those from there. */
  readonly cwd: string
  /** Of a thread. */
  readonly shared?: Shared
}

/** Numbers that a thread and its application share. */
export interface Shared {
  /** Becomes 1 when the thread has ended, for an application that waits without its event loop. */
  readonly ended: Int32Array
  /** Messages that the application has not taken yet. */
  readonly waiting: Int32Array
}

/** The relay's way to the application, be it a channel or a port. */
export interface Application {
  readonly start: Start
  send(message: FromRelay): void
  /** Nobody is there any more. */
  isGone(): boolean
  /** Null: the application ended without a word. */
  listen(listener: (message: ToRelay | null) => void): void
  /** Resolves when what was sent has left, or nobody takes it. */
  sent(): Promise<void>
}
