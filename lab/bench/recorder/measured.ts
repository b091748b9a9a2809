/** What a recording process measured in one case. */
export interface Measured {
  readonly case: string
  /** Main-thread CPU per observation (per step in `history-…`), in µs. */
  readonly us: number
  /** Observations made, warm-up included. */
  readonly recorded: number
  readonly loopDelayMaxMs?: number
}
