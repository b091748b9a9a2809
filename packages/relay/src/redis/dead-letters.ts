import type { RedisConnection } from './connection.ts'
import { ENTRY_VERSION } from './entry.ts'
import { FIELDS } from './streams.ts'

/** A span that was rejected, or an entry that is none or ended relays. */
export interface RedisDeadLetter {
  readonly exporter: string
  readonly stream: string
  /** Id of the entry in the stream. */
  readonly entry: string
  readonly reason: string
  /** Hex; null: the letter is a whole entry. */
  readonly traceId: string | null
  readonly spanId: string | null
  readonly name: string | null
  /** An entry with this span alone, or the whole entry, to be put into a stream again. */
  readonly bytes: Buffer
}

/** Beyond them the oldest go. */
const KEPT = 10_000

/** @throws SendError */
export async function writeDeadLetter(
  connection: RedisConnection,
  deadStream: string,
  letter: RedisDeadLetter,
): Promise<void> {
  const { exporter, stream, entry, reason, traceId, spanId, name, bytes } = letter
  const span = traceId === null ? [] : ['trace', traceId, 'span', spanId ?? '', 'name', name ?? '']
  const about = ['exporter', exporter, 'stream', stream, 'entry', entry, ...span, 'reason', reason]
  await connection.call(deadStream, [
    'XADD',
    deadStream,
    'MAXLEN',
    '~',
    String(KEPT),
    '*',
    ...about,
    'time',
    new Date().toISOString(),
    FIELDS.version,
    String(ENTRY_VERSION),
    FIELDS.spans,
    bytes,
  ])
}
