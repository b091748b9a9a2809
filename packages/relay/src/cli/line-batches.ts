/** Some whole lines; null: a line that is too long. */
export interface LineBatch {
  readonly bytes: Buffer | null
}

/** So much is handed over at a time: a commit, and a stop of the relay for some 10 ms. */
const BATCH_BYTES = 1024 * 1024
const NEWLINE = 0x0a

/** Lines of a stream, several at a time. Of one that is longer than `maxLine` nothing is kept. */
export async function* lineBatches(
  input: AsyncIterable<unknown>,
  maxLine: number,
): AsyncGenerator<LineBatch> {
  let pieces: Buffer[] = []
  let bytes = 0
  let tooLong = false
  const whole = (): LineBatch => {
    const batch = { bytes: Buffer.concat(pieces) }
    pieces = []
    bytes = 0
    return batch
  }
  for await (const chunk of input) {
    let rest = chunk as Buffer
    while (rest.length > 0) {
      if (tooLong) {
        const end = rest.indexOf(NEWLINE)
        tooLong = end === -1
        rest = end === -1 ? Buffer.alloc(0) : rest.subarray(end + 1)
        continue
      }
      // Up to the last line's end when there is enough, else all of it.
      const end = bytes + rest.length >= BATCH_BYTES ? rest.lastIndexOf(NEWLINE) : -1
      if (end !== -1) {
        pieces.push(rest.subarray(0, end + 1))
        yield whole()
        rest = rest.subarray(end + 1)
        continue
      }
      pieces.push(rest)
      bytes += rest.length
      rest = Buffer.alloc(0)
      const open = bytes > maxLine ? openLine(pieces) : 0
      if (open <= maxLine) continue
      const before = Buffer.concat(pieces).subarray(0, bytes - open)
      pieces = []
      bytes = 0
      tooLong = true
      if (before.length > 0) yield { bytes: before }
      yield { bytes: null }
    }
  }
  if (bytes > 0) yield whole()
}

/** Bytes of the line at the end. */
function openLine(pieces: readonly Buffer[]): number {
  let open = 0
  for (const piece of pieces.toReversed()) {
    const end = piece.lastIndexOf(NEWLINE)
    if (end !== -1) return open + piece.length - end - 1
    open += piece.length
  }
  return open
}
