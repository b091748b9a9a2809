import { once } from 'node:events'
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyReply } from 'fastify'
import type { Dispatcher } from 'undici'
import { type Answer, type AnswerStream, readAnswer } from './answer.ts'
import { errorBody, failure, type Outcome, ok, warning } from './outcome.ts'

/** One call to the upstream, as far as it has come. */
export interface Call {
  readonly pieces: AnswerStream
  /** Milliseconds for which the upstream was ahead and the client was waited for. */
  clientWaitMs: number
}

export interface Result {
  outcome: Outcome
  answer: Answer
}

/**
 * Hands a stream to the client piece by piece, no faster than it reads. What is recorded of it is
 * assembled later. Nothing is sent before the first piece, so what fails until then is a plain 502.
 */
export async function passStream(
  { body, headers }: Dispatcher.ResponseData,
  reply: FastifyReply,
  call: Call,
  clientGone: AbortSignal,
): Promise<Result> {
  const { raw } = reply
  for await (const bytes of body) {
    if (!reply.sent) {
      reply.hijack()
      raw.writeHead(200, { ...passedHeaders(headers), 'cache-control': 'no-cache' })
    }
    call.pieces.push(bytes)
    if (!raw.write(bytes)) {
      const fullAt = performance.now()
      await once(raw, 'drain', { signal: clientGone })
      call.clientWaitMs += performance.now() - fullAt
    }
  }
  const answer = call.pieces.finish()
  if (!answer.done) throw Object.assign(new Error('it ended without [DONE]'), { code: 'CUT_SHORT' })
  raw.end()
  return { outcome: judge(answer), answer }
}

/** Hands a whole answer to the client, and then reads it for the record. */
export async function passWhole(
  { body, headers }: Dispatcher.ResponseData,
  reply: FastifyReply,
): Promise<Result> {
  const bytes = Buffer.from(await body.arrayBuffer())
  reply.headers(passedHeaders(headers)).send(bytes)
  const answer = readAnswer(bytes.toString())
  return { outcome: judge(answer), answer }
}

/** A 4xx is the client's to read. Whatever else is not a 200 becomes a 502. */
export async function passRefusal(
  { body, headers, statusCode }: Dispatcher.ResponseData,
  reply: FastifyReply,
): Promise<Result> {
  const text = await body.text()
  const cause = `upstream answered ${statusCode}: ${errorText(text)}`
  const answer = { message: undefined, malformed: 0, done: true }
  if (statusCode < 400 || statusCode > 499) {
    const outcome = failure(502, cause)
    reply.code(502).send(errorBody(outcome))
    return { outcome, answer }
  }
  reply.code(statusCode).headers(passedHeaders(headers)).send(text)
  return { outcome: warning(statusCode, cause), answer }
}

/** Tells the client that its answer failed: with a status, or inside the stream that has begun. */
export function sendFailure(reply: FastifyReply, outcome: Outcome): void {
  if (!reply.sent) reply.code(outcome.status).send(errorBody(outcome))
  // The blank line ends an event that was cut off.
  else reply.raw.end(`\n\ndata: ${JSON.stringify(errorBody(outcome))}\n\n`)
}

/** A stream or body can arrive whole with status 200 and still be wrong. */
function judge({ error, malformed }: Answer): Outcome {
  if (error) return failure(502, `upstream failed in mid-answer: ${error}`)
  if (malformed > 0) return warning(200, `upstream sent ${malformed} malformed lines`)
  return ok
}

function passedHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const passed: Record<string, string> = {}
  for (const name of ['content-type', 'retry-after', 'x-request-id']) {
    const value = headers[name]
    if (typeof value === 'string') passed[name] = value
  }
  return passed
}

/** The message in an OpenAI error body, else the start of the body. */
function errorText(body: string): string {
  try {
    const { error } = JSON.parse(body)
    if (typeof error.message === 'string') return error.message
  } catch {
    // Not JSON: a proxy's page, most likely.
  }
  return body.slice(0, 200)
}
