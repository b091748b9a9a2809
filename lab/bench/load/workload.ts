import type { Random } from '../../apparatus/text.ts'
import type { Tracing } from '../../apparatus/tracing.ts'

/** Gives the next of a request's prepared texts, parsed anew: its strings are flat and new to the process. */
type Receive = <T>() => T

/** Requests of one kind. */
export interface Workload {
  /** The JSON that a request and its upstreams send, its own for each request. */
  prepare(random: Random): Buffer[]
  handle(tracing: Tracing, receive: Receive): Promise<void>
}
