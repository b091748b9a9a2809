/** Some whole lines; null: a line that is too long. */
export interface LineBatch {
  readonly bytes: Buffer | null
}

/** So much is handed over at a time: a commit, and a stop of the relay for some 10 ms. */
const BATCH_BYTES = 1024 * 1024
const NEWLINE = 0x0a

/**
 * Lines of a stream, `batchBytes` at a time, or one that is longer. Of one that is longer than `maxLine`, with its end, nothing is
 * kept.
 */
export async function* lineBatches(
  input: AsyncIterable<unknown>,
  maxLine: number,
  batchBytes: number = BATCH_BYTES,
): AsyncGenerator<LineBatch> {
  let whole: Buffer[] = []
  let bytes = 0
  /** Of the line that has not ended. */
  let open: Buffer[] = []
  let openBytes = 0

  function* handOver(): Generator<LineBatch> {
    if (bytes > 0) yield { bytes: Buffer.concat(whole, bytes) }
    whole = []
    bytes = 0
  }
  function* endLine(): Generator<LineBatch> {
    const tooLong = openBytes > maxLine
    if (tooLong || bytes + openBytes > batchBytes) yield* handOver()
    if (tooLong) yield { bytes: null }
    else {
      for (const piece of open) whole.push(piece)
      bytes += openBytes
    }
    open = []
    openBytes = 0
  }

  for await (const chunk of input) {
    let rest = chunk as Buffer
    while (rest.length > 0) {
      const end = rest.indexOf(NEWLINE)
      const piece = end === -1 ? rest : rest.subarray(0, end + 1)
      rest = rest.subarray(piece.length)
      openBytes += piece.length
      if (openBytes > maxLine) open = []
      else open.push(piece)
      if (end !== -1) yield* endLine()
    }
  }
  if (openBytes > 0) yield* endLine()
  yield* handOver()
}
