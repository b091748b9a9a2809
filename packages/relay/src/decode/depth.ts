/** Levels of a value that are kept: readers of its JSON recurse. */
export const MAX_DEPTH = 256
/** What stands for what is deeper. */
export const TOO_DEEP = '[cut: deeper than 256]'

/** Whether JSON text may be nested deeper than that, by how many brackets it opens. */
export function mayBeDeep(json: string): boolean {
  let opened = 0
  for (const bracket of ['[', '{']) {
    let at = json.indexOf(bracket)
    for (; at !== -1 && opened <= MAX_DEPTH; at = json.indexOf(bracket, at + 1)) opened++
  }
  return opened > MAX_DEPTH
}

/** The parsed value down to so many levels. */
export function cutDeep(value: unknown, levels: number): unknown {
  // A large integer's wrapper is frozen, and no object of the text.
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  if (levels === 0) return TOO_DEEP
  if (Array.isArray(value)) return value.map((item) => cutDeep(item, levels - 1))
  for (const key of Object.keys(value)) {
    Object.defineProperty(value, key, {
      value: cutDeep((value as Record<string, unknown>)[key], levels - 1),
    })
  }
  return value
}
