// An entry of the stream of scores: JSON as Langfuse's API takes it, a score a line, the bytes that the writer's relay has.

export const SCORES_VERSION = 1

const NEWLINE = 0x0a

export function scoreLines(jsons: readonly string[]): Buffer {
  return Buffer.from(jsons.join('\n'))
}

/**
 * The scores of an entry, each as its line.
 *
 * @throws RangeError that says why it is no entry
 */
export function readScores(version: string, bytes: Buffer): Buffer[] {
  if (version !== String(SCORES_VERSION)) {
    throw new RangeError(`its format has version ${version}, known is ${SCORES_VERSION}`)
  }
  const lines: Buffer[] = []
  for (let from = 0; from <= bytes.length; ) {
    const end = bytes.indexOf(NEWLINE, from)
    const line = bytes.subarray(from, end < 0 ? bytes.length : end)
    if (scoreOf(line) === null) throw new RangeError(`its line ${lines.length + 1} is no score`)
    lines.push(line)
    from += line.length + 1
  }
  return lines
}

/** Null: it is no JSON object. */
export function scoreOf(line: Buffer): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(line.toString())
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? (value as Record<string, unknown>) : null
  } catch {
    return null
  }
}
