import type { Readable } from 'node:stream'
import { brotliDecompressSync, unzipSync } from 'node:zlib'
import { Agent, request as send } from 'undici'
import { shownText } from './message.ts'
import { isAnswer, readPartialSuccess } from './otlp-response.ts'

/** One request, as each layer hands it to the next. */
export interface Request {
  readonly body: Buffer
  readonly headers: Readonly<Record<string, string>>
  /** Spans in the body, or scores. */
  readonly spans: number
  /** The same spans in two requests. Asked for only when there are at least two. */
  split(): [Request, Request]
}

/** What became of the spans of a request: runs, in their order, that add up to all of them. */
export type Result =
  /** `refused` of them the server took and said (partial_success) that it dropped; not which. */
  | { type: 'delivered'; spans: number; refused: number }
  | { type: 'rejected'; spans: 1; status: number; reason: string }
  /** Whether they arrived is unknown; they stay in the outbox. */
  | { type: 'abandoned'; spans: number }

/**
 * A layer: bisect(gzip(retry(post))).
 * Rejects with a SendError, or with the signal's reason once it is aborted.
 */
export type Send = (request: Request, signal: AbortSignal) => Promise<Result[]>

/**
 * Why a request failed, by what can be done about it. `unreachable`: no answer; `busy`: the server
 * asks for later; `refused`: it takes nothing from us, whatever we send (keys, URL); `rejected`: it
 * does not take these spans.
 */
export type Failure = 'unreachable' | 'busy' | 'refused' | 'rejected'

/** Its message is fit for logs and dead letters: bounded, and without the exporter's secrets. */
export class SendError extends Error {
  readonly code: Failure
  /** HTTP status; 0 without an answer. */
  readonly status: number
  /** The server's Retry-After in ms. */
  readonly retryAfterMs: number

  constructor(code: Failure, message: string, status = 0, retryAfterMs = 0) {
    super(message)
    this.name = 'SendError'
    this.code = code
    this.status = status
    this.retryAfterMs = retryAfterMs
  }
}

/** One attempt, for metrics. `status` 0: no answer. */
export interface Attempt {
  status: number
  seconds: number
  /** Body bytes as sent. */
  bytes: number
  /** Spans or scores in the body; 0: it is a request for media. */
  spans: number
}

/** The way to a target, open. */
export interface Sender {
  readonly send: Send
  /** Ends what is under way. */
  close(): Promise<void>
}

export interface ClientOptions {
  /** For one attempt, from the connection to the last byte of the answer. */
  readonly timeoutMs: number
  /** Never shown in a message. */
  readonly secrets: readonly string[]
  now(): number
  onAttempt(attempt: Attempt): void
}

/** For people: without query, which may hold a key. */
export function shownUrl(url: URL): string {
  return url.origin + url.pathname
}

/** One request to anywhere. */
interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  /** Null: none. */
  readonly body: Buffer | Readable | null
  /** Of the body. */
  readonly bytes: number
  /** Spans in the body, or scores. */
  readonly spans?: number
  /** Instead of the client's. */
  readonly timeoutMs?: number
  /** It goes to a storage, whose good answers say nothing, in whatever form. */
  readonly toStorage?: boolean
}

export interface Client {
  /** Resolves with a good answer; rejects with a SendError, or with the signal's reason once it is aborted. */
  call(call: Call, signal: AbortSignal): Promise<Answer>
  /** Without the client's secrets, on one line, not long. */
  shown(text: string): string
  close(): Promise<void>
}

/** A partial success may have a line for each span, and a good answer that is cut cannot be told from a page. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024
/** Looked at for a message. */
const MAX_TEXT_BYTES = 64 * 1024

/** Calls over kept connections; `close` ends them, with what is under way. */
export function openClient(options: ClientOptions): Client {
  const agent = new Agent({
    // One deadline for the whole attempt, below: undici's begin anew with every piece of an answer.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: { timeout: options.timeoutMs },
  })

  const attempt = async (call: Call, signal: AbortSignal): Promise<Answer> => {
    const { method, url, body } = call
    // Answers are read as they come.
    const headers = { 'accept-encoding': 'identity', ...call.headers }
    const answer = await send(url, { dispatcher: agent, method, headers, body, signal })
    const { statusCode: status } = answer
    // A refusal stands without the rest of its page: who finds a request too large may hang up before he has all of it.
    const read = await readBounded(answer.body, isGood(status))
    const plain = inflated(read, answer.headers['content-encoding'])
    return { status, headers: answer.headers, body: plain }
  }

  const call = async (call: Call, signal: AbortSignal): Promise<Answer> => {
    signal.throwIfAborted()
    const { timeoutMs = options.timeoutMs } = call
    const deadline = new AbortController()
    const abort = (): void => deadline.abort()
    signal.addEventListener('abort', abort)
    const timer = setTimeout(abort, timeoutMs)
    const began = performance.now()
    let status = 0
    try {
      const answer = await attempt(call, deadline.signal)
      status = answer.status
      judge(answer, call.toStorage === true)
      return answer
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof SendError) throw error
      throw deadline.signal.aborted
        ? new SendError('unreachable', `no answer within ${timeoutMs} ms`)
        : new SendError('unreachable', shown(reasonOf(error)))
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      const seconds = (performance.now() - began) / 1000
      options.onAttempt({ status, seconds, bytes: call.bytes, spans: call.spans ?? 0 })
    }
  }

  /** Throws what is not good. */
  const judge = ({ status, headers, body }: Answer, toStorage: boolean): void => {
    const isPage = String(headers['content-type'] ?? '').includes('text/html')
    if (isGood(status) && (isAnswer(body) || (toStorage && !isPage))) return
    const text = shown(body.subarray(0, MAX_TEXT_BYTES).toString('utf8'))
    if (isGood(status)) {
      // A login page, a captive portal, a gateway: nothing was taken.
      const looksLikePage = isPage || /^<(!doctype|html)/i.test(text)
      const what = looksLikePage ? 'an HTML page' : 'no answer of this API'
      const says = looksLikePage ? '' : ` It says: ${text}`
      const message = `answered ${status} with ${what}: is the URL right?${says}`
      throw new SendError('refused', message, status)
    }
    const failure = classify(status)
    const { location } = headers
    // Whoever named the URL has to name that one. In a query there may be a key.
    const to =
      location === undefined ? '' : ` (to ${shown(String(location).replace(/[?#].*/s, ''))})`
    const message = `answered ${status}${to}${text === '' ? '' : `: ${text}`}`
    const wait = failure === 'rejected' ? 0 : retryAfterMs(headers['retry-after'], options.now())
    throw new SendError(failure, message, status, wait)
  }

  const shown = (text: string): string => shownText(text, options.secrets)

  return { call, shown, close: () => agent.destroy() }
}

export interface Endpoint extends ClientOptions {
  readonly url: URL
  /** What a good answer says against what the request brought; null: nothing. */
  complaint?(body: Buffer): string | null
}

/** Posts to one endpoint. */
export function openEndpoint(endpoint: Endpoint): { post: Send; close(): Promise<void> } {
  const { url } = endpoint
  const client = openClient(endpoint)

  const post: Send = async ({ body, headers, spans }, signal) => {
    const answer = await client.call(
      { method: 'POST', url, headers, body, bytes: body.length, spans },
      signal,
    )
    const complaint = endpoint.complaint?.(answer.body) ?? null
    if (complaint !== null) {
      const { status } = answer
      throw new SendError('rejected', `answered ${status}: ${client.shown(complaint)}`, status)
    }
    const refused = readPartialSuccess(answer.body)
    return [{ type: 'delivered', spans, refused: Math.min(refused, spans) }]
  }

  return { post, close: client.close }
}

/** To a call that went well. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** The first 4 MB; of a refusal the first 64 KB. */
  readonly body: Buffer
}

function isGood(status: number): boolean {
  return status >= 200 && status < 300
}

function classify(status: number): Failure {
  if (status >= 500 || status === 429 || status === 408) return 'busy'
  if (status === 400 || status === 413 || status === 422) return 'rejected'
  return 'refused'
}

/**
 * Retry-After (RFC 9110, 10.2.3) in ms: seconds, or an HTTP date.
 *
 * @returns 0 when it is missing, past or malformed
 */
export function retryAfterMs(header: string | string[] | undefined, now: number): number {
  const value = String(header ?? '').trim()
  if (/^\d+$/.test(value)) return Number(value) * 1000
  // Date.parse finds a date in nearly anything; an HTTP date ends in GMT.
  const date = value.endsWith('GMT') ? Date.parse(value) : Number.NaN
  return Number.isNaN(date) ? 0 : Math.max(0, date - now)
}

/** We ask for answers as they are; some are compressed all the same. */
function inflated(body: Buffer, encoding: string | string[] | undefined): Buffer {
  if (body.length === 0 || encoding === undefined) return body
  const bounds = { maxOutputLength: MAX_ANSWER_BYTES }
  try {
    if (encoding === 'br') return brotliDecompressSync(body, bounds)
    if (encoding === 'gzip' || encoding === 'deflate') return unzipSync(body, bounds)
  } catch {
    // It is no answer, and judged as none.
  }
  return body
}

async function readBounded(body: AsyncIterable<Buffer>, mustBeWhole: boolean): Promise<Buffer> {
  // Of a refusal only the beginning is looked at.
  const most = mustBeWhole ? MAX_ANSWER_BYTES : MAX_TEXT_BYTES
  const pieces: Buffer[] = []
  let length = 0
  try {
    // Leaving the loop early destroys the body and with it the connection.
    for await (const piece of body) {
      pieces.push(piece)
      length += piece.length
      if (length >= most) break
    }
  } catch (error) {
    if (mustBeWhole) throw error
  }
  return Buffer.concat(pieces).subarray(0, most)
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = (error as NodeJS.ErrnoException).code
  // A name with several addresses fails with an AggregateError, whose message is empty.
  if (error.message === '') return code ?? error.name
  return code === undefined || error.message.includes(code)
    ? error.message
    : `${code}: ${error.message}`
}
