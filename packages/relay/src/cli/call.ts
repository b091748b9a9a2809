import type { LoadedConfig } from '../config/config.ts'
import type { Terminal } from './terminal.ts'

/** What a command gets. */
export interface Call {
  /** Words after the command's name. */
  readonly words: readonly string[]
  /** The command's own flags, without dashes; switches are ''. */
  readonly flags: ReadonlyMap<string, string>
  readonly json: boolean
  readonly loaded: LoadedConfig
  readonly terminal: Terminal
}

/** @returns the exit code: 0 done, 1 not so (the reason is printed) */
export type Run = (call: Call) => Promise<number>

/** A command line that cannot be meant; the message says what could. Exit code 2. */
export class UsageError extends Error {
  readonly code = 'OFFPATH_USAGE'
  /** Whose help would help. */
  readonly command: string | undefined

  constructor(message: string, command?: string) {
    super(message)
    this.name = 'UsageError'
    this.command = command
  }
}
