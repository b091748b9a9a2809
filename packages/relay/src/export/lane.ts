import type { Send } from './http.ts'
import type { Packer } from './packer.ts'

/**
 * retrying: the server does not answer, or asks for later; unauthorized: it refuses the keys;
 * misconfigured: it takes nothing at this URL; no-keys: the configuration has none for the project.
 */
export type LaneState = 'ok' | 'retrying' | 'unauthorized' | 'misconfigured' | 'no-keys'

/** Spans that may share requests: those of one set of keys. */
export interface Lane {
  readonly key: string
  readonly headers: Readonly<Record<string, string>>
  readonly send: Send
  readonly packer: Packer
  inFlight: number
  /** Number of the request that is being filled, and of the newest one that has waited long enough. */
  filling: number
  ripe: number
  /** Takes spans of the chunk that is being read. */
  accepting: boolean
  /** The first chunk of which it let spans lie; it takes nothing until it is read again from there. */
  rewind: number | null
  state: LaneState
  /** When the state began, ms since 1970. */
  since: number
  message: string | null
}
