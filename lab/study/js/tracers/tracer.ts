import type { Observing, Tracing } from '../../../apparatus/tracing.ts'

/** What the service's requests are traced with. */
export interface Tracer {
  /** For one request. */
  forRequest(): Tracing
  /** Where the SDK has `observe`. */
  readonly observing?: Observing
  /** Hands over what is recorded. */
  flush(): Promise<void>
  /** At the end of a request: hands over what its tracing has gathered. `call` times what is done here for it. */
  handOver?(tracing: Tracing, call: <T>(run: () => T) => T): Promise<void>
  /** Of children that work for it. */
  usageOfChildren?(): Promise<ChildUsage>
}

export interface ChildUsage {
  readonly cpuUs: number
  readonly rssBytes: number
  readonly threads: number
}
