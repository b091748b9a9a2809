// Files of OTLP JSON lines: a trace request a line, as `offpath export` and the file exporter of the OpenTelemetry Collector
// write them.
import { fromJson } from '../../otlp/from-json.ts'
import { checkCount, MalformedError, newCount, TooManyError } from '../../otlp/message.ts'
import type { Intake, Taken } from './intake.ts'
import type { Received } from './spans.ts'

/** Of a line. What `offpath export` writes is shorter. */
export const MAX_LINE_BYTES: number = 128 * 1024 * 1024
/** What a line counts for, in parts of a request: to tell that it is malformed takes 5 µs. */
const LINE_PARTS = 10
/** Problems that are told; all are counted. */
export const MAX_TOLD = 20

/** What became of some lines; counts are of spans but for `lines` and `malformedLines`. */
export interface Imported extends Taken {
  readonly lines: number
  readonly malformedLines: number
  readonly rejected: Readonly<Record<string, number>>
  readonly linksLeftOut: number
  /** Of some lines with something wrong; numbers begin with 1. */
  readonly problems: readonly { readonly line: number; readonly message: string }[]
}

/**
 * Takes in lines, in one commit. Empty ones count as none.
 *
 * @throws BusyError, and TooManyError when together they have more parts than a request may: nothing of them is in the store
 */
export function importLines(intake: Intake, bytes: Buffer, deliver: boolean): Imported {
  const received: Received[] = []
  const problems: { line: number; message: string }[] = []
  const rejected: Record<string, number> = {}
  const all = newCount()
  let lines = 0
  let malformedLines = 0
  let linksLeftOut = 0
  const tell = (message: string): void => {
    if (problems.length < MAX_TOLD) problems.push({ line: lines, message })
  }
  for (const line of linesOf(bytes)) {
    lines++
    const blank = isBlank(line)
    all.parts += blank ? 1 : LINE_PARTS
    checkCount(all)
    if (blank) continue
    const count = newCount()
    try {
      const one = intake.read(fromJson(line, count), null)
      received.push(one)
      linksLeftOut += one.linksLeftOut
      for (const [reason, count] of Object.entries(one.rejected)) {
        rejected[reason] = (rejected[reason] ?? 0) + count
      }
      if (one.message !== '') tell(one.message)
    } catch (error) {
      if (!(error instanceof MalformedError || error instanceof TooManyError)) throw error
      malformedLines++
      tell(error.message)
      // Of one that has too many by itself nothing was read.
      if (error instanceof TooManyError) continue
    }
    all.spans += count.spans
    all.messages += count.messages
    all.parts += count.parts
    checkCount(all)
  }
  const taken = intake.take(received, { way: 'import', deliver })
  return { ...taken, lines, malformedLines, rejected, linksLeftOut, problems }
}

function* linesOf(bytes: Buffer): Iterable<Buffer> {
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0x0a, at)
    yield bytes.subarray(at, end === -1 ? bytes.length : end)
    if (end === -1) return
    at = end + 1
  }
}

function isBlank(line: Buffer): boolean {
  for (let at = 0; at < line.length; at++) {
    const byte = line[at]
    if (byte !== 0x20 && byte !== 0x0d && byte !== 0x09) return false
  }
  return true
}
