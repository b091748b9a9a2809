/**
 * A program of the differential test. Its source imports the tracing API from `#tracing`, which is
 * @langfuse/tracing or, under the condition `offpath-tracing`, @offpath/sdk: nothing else changes.
 *
 * Observations in one program have names of their own: spans are matched by name. Generated ids and
 * clock times are compared by their place in the structure; ids from given.ts and times outside of
 * the run's minutes are given, and must arrive as they are. Programs of one environment share a
 * process, one after the other.
 */
export interface Program {
  name: string
  /** Environment of the process, the same for both libraries. */
  env?: Record<string, string>
  /**
   * Names of observations it never ends: Offpath delivers them, interrupted, once the process is gone.
   * The program has a process of its own.
   */
  leavesOpen?: readonly string[]
  run(report: Report): void | Promise<void>
}

/** States a fact that is not in the spans (a return value, an error), to be compared as well. */
export type Report = (what: string, value: unknown) => void

/** What the process that ran a program says of it. */
export interface Answer {
  /** Values rendered as text. */
  reports: [what: string, value: string][]
  error: string | undefined
}
