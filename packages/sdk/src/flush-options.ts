import { nearest, show } from './config.ts'
import { warnOnce } from './context.ts'

export interface FlushOptions {
  /**
   * `spooled` (default): what is recorded has left the process, and survives it. `delivered`: the relay's
   * exporters have delivered it, or given it up and counted it.
   */
  until?: 'spooled' | 'delivered' | undefined
  /** Longest wait for `delivered`, in milliseconds; 10 000 by default. */
  timeoutMs?: number | undefined
}

const DEFAULTS = { until: 'spooled', timeoutMs: 10_000 } as const

const KINDS = {
  until: {
    expects: "'spooled' or 'delivered'",
    takes: (value: unknown) => value === 'spooled' || value === 'delivered',
  },
  timeoutMs: {
    expects: 'a number of milliseconds from 0',
    takes: (value: unknown) => typeof value === 'number' && value >= 0,
  },
} as const

/** The options with their defaults. What can't be used is told in a warning and ignored: flush never rejects. */
export function flushOptions(given: unknown): Required<{
  [N in keyof FlushOptions]: Exclude<FlushOptions[N], undefined>
}> {
  const options: { until: 'spooled' | 'delivered'; timeoutMs: number } = { ...DEFAULTS }
  if (given === undefined) return options
  if (typeof given !== 'object' || given === null) {
    warn(
      `${show(given)} is not an object of options, such as { until: 'delivered' }; it is ignored`,
    )
    return options
  }
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue
    if (name !== 'until' && name !== 'timeoutMs') {
      const near = nearest(name, Object.keys(DEFAULTS))
      const hint = near === undefined ? 'known: until, timeoutMs' : `did you mean ${near}?`
      warn(`unknown option ${name} (${hint}); it is ignored`)
    } else if (KINDS[name].takes(value)) Object.assign(options, { [name]: value })
    else {
      warn(`${name}: ${show(value)} is not ${KINDS[name].expects}; ${show(DEFAULTS[name])} is used`)
    }
  }
  return options
}

function warn(problem: string): void {
  warnOnce(problem, `flush: ${problem}`)
}
