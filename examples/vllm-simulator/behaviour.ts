const faults = [
  'none',
  '400',
  '429',
  '500',
  '503',
  'die',
  'hang',
  'hang-stream',
  'malformed',
  'error-event',
] as const
export type Fault = (typeof faults)[number]

/** How one request is answered. README.md has the flag, variable and header of each setting. */
export interface Behaviour {
  /** Milliseconds until the first token. */
  ttftMs: number
  /** Mean rate after the first token; single pauses vary by half. 0 sends without pauses. */
  tokensPerSecond: number
  /** Length of the answer. 0 lets the seed choose between 24 and 96. */
  tokens: number
  /** The same seed and the same messages give the same text and the same pauses. */
  seed: number
  fault: Fault
  /** Chunks sent before `die`, `hang-stream`, `malformed` or `error-event` strikes. */
  faultAfter: number
}

export const defaultBehaviour: Behaviour = {
  ttftMs: 40,
  tokensPerSecond: 250,
  tokens: 0,
  seed: 1,
  fault: 'none',
  faultAfter: 5,
}

/** Names of the settings as flags (`--ttft-ms`), variables (`SIM_TTFT_MS`), headers (`x-sim-ttft-ms`). */
export const settingNames: readonly string[] = [
  'ttft-ms',
  'tokens-per-second',
  'tokens',
  'seed',
  'fault',
  'fault-after',
]

/**
 * Reads every setting through `lookup`; what `lookup` does not know keeps its value from `defaults`.
 * Throws a RangeError that names the setting and what it may be.
 */
export function readBehaviour(
  lookup: (name: string) => string | undefined,
  defaults: Behaviour = defaultBehaviour,
): Behaviour {
  const number = (name: string, fallback: number): number => {
    const text = lookup(name)
    if (text === undefined) return fallback
    const value = Number(text)
    if (text.trim() !== '' && value >= 0 && Number.isFinite(value)) return value
    throw new RangeError(`${name} must be a number from 0 up, not "${text}"`)
  }
  const fault = lookup('fault') ?? defaults.fault
  if (!isFault(fault)) {
    throw new RangeError(`fault must be one of ${faults.join(', ')}, not "${fault}"`)
  }
  return {
    ttftMs: number('ttft-ms', defaults.ttftMs),
    tokensPerSecond: number('tokens-per-second', defaults.tokensPerSecond),
    tokens: number('tokens', defaults.tokens),
    seed: number('seed', defaults.seed),
    fault,
    faultAfter: number('fault-after', defaults.faultAfter),
  }
}

function isFault(text: string): text is Fault {
  return (faults as readonly string[]).includes(text)
}
