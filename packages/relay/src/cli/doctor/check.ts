/** One thing that was looked at, as `offpath doctor config --json` prints it. */
export interface Check {
  /** The option it is about, or `configuration`, `relay`, an exporter. */
  readonly name: string
  readonly state: 'ok' | 'warning' | 'wrong'
  readonly message: string
  /** Null: nothing is to be done, or the message says it. */
  readonly fix: string | null
}

export function ok(name: string, message: string): Check {
  return { name, state: 'ok', message, fix: null }
}

/** It works, but perhaps not as it was meant. */
export function warning(name: string, message: string, fix: string | null): Check {
  return { name, state: 'warning', message, fix }
}

/** Traces would not get where they belong. */
export function wrong(name: string, message: string, fix: string | null): Check {
  return { name, state: 'wrong', message, fix }
}
