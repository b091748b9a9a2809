// Forwarding to Redis Streams: each request is an entry, XADD'ed to the stream of its spans' partition, or to that of
// scores. It is delivered once Redis has it; a pool of relays delivers from there.
import { type Argument, type ConnectionOptions, connectRedis } from '../redis/connection.ts'
import { ENTRY_VERSION, entryEncoder } from '../redis/entry.ts'
import { SCORES_VERSION, scoreLines } from '../redis/score-entry.ts'
import { FIELDS, scoreStreamOf, streamsOf } from '../redis/streams.ts'
import type { HeldScore } from '../store/scores.ts'
import type { Exporter, Opening } from './exporters.ts'
import { type Request, type Send, SendError, type Sender } from './http.ts'

export interface RedisExporterOptions extends ConnectionOptions {
  readonly stream: string
  readonly partitions: number
  /** Entries of a stream from which on nothing is added. */
  readonly maxLength: number
  readonly entryBytes: number
}

/**
 * For so long a stream is taken to be as long as it was, and what was added to it since. Several relays that look at the same
 * time may all add to it: it grows beyond its bound a little, which loses nothing, as MAXLEN would.
 */
const LENGTH_KNOWN_MS = 1000
const SCORES_OF_ENTRY = 100

export function redisExporter(options: RedisExporterOptions): Exporter {
  const { target, partitions } = options
  const streams = streamsOf(options.stream, partitions)
  return {
    name: 'redis',
    target: target.shown,
    secrets: target.password === undefined ? [] : [target.password],
    several: partitions > 1,
    requestBytes: options.entryBytes,
    // All spans of a trace in one stream, in their order.
    laneOf: ({ traceId }) => streams[traceId.readUInt32BE(0) % partitions] as string,
    headersOf: (lane) => ({ stream: lane }),
    compresses: () => false,
    createEncoder: entryEncoder,
    open: (opening) => openStreams(options, opening, spanFields),
    scores: {
      target: target.shown,
      most: { count: SCORES_OF_ENTRY, maxBytes: options.entryBytes },
      headersOf: (project) => ({ stream: scoreStreamOf(options.stream), project }),
      requestOf,
      open: (opening) => openStreams(options, opening, scoreFields),
    },
    media: null,
  }
}

function spanFields({ body }: Request): Argument[] {
  return [FIELDS.version, String(ENTRY_VERSION), FIELDS.spans, body]
}

function scoreFields({ body, headers: { project = '' } }: Request): Argument[] {
  const named = project === '' ? [] : [FIELDS.project, project]
  return [FIELDS.version, String(SCORES_VERSION), ...named, FIELDS.scores, body]
}

function requestOf(
  headers: Readonly<Record<string, string>>,
  scores: readonly HeldScore[],
): Request {
  const middle = scores.length >> 1
  return {
    body: scoreLines(scores.map(({ json }) => json)),
    headers,
    spans: scores.length,
    split: () => [
      requestOf(headers, scores.slice(0, middle)),
      requestOf(headers, scores.slice(middle)),
    ],
  }
}

/** @param fieldsOf what an entry has of a request */
function openStreams(
  options: RedisExporterOptions,
  opening: Opening,
  fieldsOf: (request: Request) => Argument[],
): Sender {
  const { maxLength } = options
  const { timeoutMs, clock } = opening
  const connection = connectRedis(options)
  const lengths = new Map<string, { at: number; length: number }>()
  /**
   * Requests that were sent and have not failed. One that is late is waited for again, not sent a second time: Redis may
   * be slow, and would have both.
   */
  const sent = new WeakMap<Request, Promise<unknown>>()

  const lengthOf = async (stream: string): Promise<{ length: number }> => {
    const known = lengths.get(stream)
    if (known !== undefined && clock.elapsed() - known.at < LENGTH_KNOWN_MS) return known
    const length = Number(await connection.call(stream, ['XLEN', stream]))
    const fresh = { at: clock.elapsed(), length }
    lengths.set(stream, fresh)
    return fresh
  }

  const add = async (stream: string, fields: readonly Argument[]): Promise<void> => {
    const known = await lengthOf(stream)
    if (known.length >= maxLength) {
      const why =
        'is a relay of the pool up, has it the same redis.partitions, does its exporter get on?'
      throw new SendError('busy', `${stream} is full, with ${known.length} entries: ${why}`, 503)
    }
    known.length++
    await connection.call(stream, ['XADD', stream, '*', ...fields])
  }

  const once = (request: Request): Promise<unknown> => {
    let adding = sent.get(request)
    if (adding === undefined) {
      adding = add(request.headers.stream as string, fieldsOf(request))
      sent.set(request, adding)
      adding.catch(() => sent.delete(request))
    }
    return adding
  }

  const send: Send = async (request, signal) => {
    const began = performance.now()
    let status = 0
    try {
      await within(once(request), timeoutMs, signal)
      status = 200
      return [{ type: 'delivered', spans: request.spans, refused: 0 }]
    } catch (error) {
      if (error instanceof SendError) status = error.status
      throw error
    } finally {
      const seconds = (performance.now() - began) / 1000
      opening.onAttempt({ status, seconds, bytes: request.body.length, spans: request.spans })
    }
  }

  return { send, close: connection.close }
}

/** Rejects when it takes longer, and with the signal's reason once that is aborted; the work itself goes on. */
async function within(work: Promise<unknown>, ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => reject(new SendError('unreachable', `no answer within ${ms} ms`)),
    ms,
  )
  const abort = (): void => reject(signal.reason)
  signal.addEventListener('abort', abort)
  try {
    await Promise.race([work, promise])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', abort)
  }
}
