// Which observation is what follows from its number, so that both ends know it.

/** The server rejects it, always. */
export function isPoison(n: number): boolean {
  return n % 97 === 0
}

/** It is larger than a proxy lets through while it answers 413. */
export function isLarge(n: number): boolean {
  return n % 50 === 0
}

/** The run that an observation is of and its number there, from 1; null: the name of something else. */
export function placeOf(name: string): { readonly run: string; readonly n: number } | null {
  const [, run, n] = /^(.+)-(\d+)$/.exec(name) ?? []
  return run === undefined ? null : { run, n: Number(n) }
}
