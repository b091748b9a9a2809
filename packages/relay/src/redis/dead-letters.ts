import type { RedisConnection } from './connection.ts'
import { ENTRY_VERSION } from './entry.ts'
import { SCORES_VERSION } from './score-entry.ts'
import { FIELDS } from './streams.ts'

/** A span or a score that was rejected, or an entry that is none or ended relays. */
export interface RedisDeadLetter {
  readonly exporter: string
  readonly stream: string
  /** Id of the entry in the stream. */
  readonly entry: string
  readonly reason: string
  /** Null: the letter is a whole entry, or the score is none of a trace. Of a span hex. */
  readonly traceId: string | null
  readonly spanId: string | null
  /** Null: the letter is a whole entry. */
  readonly name: string | null
  /** Of scores; '' or undefined: they name none. */
  readonly project?: string
  readonly content: 'spans' | 'scores'
  /** Its longest values are cut, so it can't be sent again. */
  readonly isCut?: boolean
  /** An entry with this span alone, the score, or the whole entry, to be put into a stream again; empty: it was not kept. */
  readonly bytes: Buffer
}

/** Names of a dead letter's fields, beside those of an entry. */
export const LETTER_FIELDS = {
  exporter: 'exporter',
  stream: 'stream',
  entry: 'entry',
  trace: 'trace',
  span: 'span',
  name: 'name',
  reason: 'reason',
  time: 'time',
  cut: 'cut',
} as const

/** Beyond them the oldest go. */
export const MAX_DEAD_LETTERS = 10_000
const VERSIONS = { spans: ENTRY_VERSION, scores: SCORES_VERSION }

/** @throws SendError */
export async function writeDeadLetter(
  connection: RedisConnection,
  deadStream: string,
  letter: RedisDeadLetter,
): Promise<void> {
  const { exporter, stream, entry, traceId, spanId, name, project, content, isCut = false } = letter
  const reason = isCut ? `${letter.reason}; its longest values are cut` : letter.reason
  const fields: [name: string, value: string | Buffer | null | undefined][] = [
    [LETTER_FIELDS.exporter, exporter],
    [LETTER_FIELDS.stream, stream],
    [LETTER_FIELDS.entry, entry],
    [LETTER_FIELDS.trace, traceId],
    [LETTER_FIELDS.span, spanId],
    [LETTER_FIELDS.name, name],
    [LETTER_FIELDS.reason, reason],
    [LETTER_FIELDS.time, new Date().toISOString()],
    [LETTER_FIELDS.cut, isCut ? '1' : null],
    [FIELDS.project, project === '' ? null : project],
    [FIELDS.version, String(VERSIONS[content])],
    [FIELDS[content], letter.bytes],
  ]
  const given = fields.flatMap(([field, value]) => (value == null ? [] : [field, value]))
  await connection.call(deadStream, ['XADD', deadStream, '*', ...given])
}

/**
 * Takes out the oldest, where there are too many. Returns how many.
 *
 * @throws SendError
 */
export async function trimDeadLetters(
  connection: RedisConnection,
  deadStream: string,
): Promise<number> {
  const bound = ['MAXLEN', '~', String(MAX_DEAD_LETTERS)]
  return Number(await connection.call(deadStream, ['XTRIM', deadStream, ...bound]))
}
