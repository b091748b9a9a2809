// Files of OTLP JSON lines: a trace request a line, as `offpath export` and the file exporter of the OpenTelemetry Collector
// write them.
import { fromJson } from '../../otlp/from-json.ts'
import { MalformedError, TooManyError } from '../../otlp/message.ts'
import type { Intake, Taken } from './intake.ts'
import type { Received } from './spans.ts'

/** Of a line. What `offpath export` writes is shorter. */
export const MAX_LINE_BYTES: number = 128 * 1024 * 1024
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
 * @throws BusyError: nothing of them is in the store
 */
export function importLines(intake: Intake, bytes: Buffer, deliver: boolean): Imported {
  const received: Received[] = []
  const problems: { line: number; message: string }[] = []
  const rejected: Record<string, number> = {}
  let lines = 0
  let malformedLines = 0
  let linksLeftOut = 0
  const tell = (message: string): void => {
    if (problems.length < MAX_TOLD) problems.push({ line: lines, message })
  }
  for (const line of linesOf(bytes)) {
    lines++
    if (isBlank(line)) continue
    try {
      const one = intake.read(fromJson(line), null)
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
    }
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
  return line.every((byte) => byte === 0x20 || byte === 0x0d || byte === 0x09)
}
