import type { HeldScore } from '../store/scores.ts'
import type { Clock } from './clock.ts'
import { type Request, type Send, SendError } from './http.ts'

// POST /api/public/scores. A score alone goes as an object, which every Langfuse takes and answers with 200; several go as
// an array, which newer ones take and answer with 202, or with 207 when they reject some.

/** Servers are updated: after so long several scores are tried in one request again. */
const ARRAYS_AGAIN_MS = 3_600_000

export function scoreRequest(
  headers: Readonly<Record<string, string>>,
  scores: readonly HeldScore[],
): Request {
  const text = scores.map(({ json }) => json).join(',')
  const middle = scores.length >> 1
  return {
    body: Buffer.from(scores.length === 1 ? text : `[${text}]`),
    headers,
    spans: scores.length,
    split: () => [
      scoreRequest(headers, scores.slice(0, middle)),
      scoreRequest(headers, scores.slice(middle)),
    ],
  }
}

/** What an answer to an array has against some of its scores. It does not say which: they are found by halving. */
export function scoreComplaint(body: Buffer): string | null {
  try {
    const { rejected, errors } = JSON.parse(body.toString())
    if (!(rejected > 0)) return null
    return String(errors?.[0]?.message ?? `${rejected} rejected`)
  } catch {
    // A good answer in whatever form.
    return null
  }
}

/** Rejects arrays in the place of a server that takes but one score a request, so that the layer above halves them. */
export function arraysIfTaken(next: Send, clock: Clock): Send {
  let refusedAt = Number.NEGATIVE_INFINITY
  return async (request, signal) => {
    if (request.spans === 1) return next(request, signal)
    if (clock.elapsed() - refusedAt < ARRAYS_AGAIN_MS) throw oneByOne()
    try {
      return await next(request, signal)
    } catch (error) {
      if (!(error instanceof SendError) || !refusesArrays(error)) throw error
      refusedAt = clock.elapsed()
      throw oneByOne()
    }
  }
}

function oneByOne(): SendError {
  return new SendError('rejected', 'the server takes one score a request')
}

/** `{"expected":"object","received":"array"}`, or "expected object, received array". */
function refusesArrays({ status, message }: SendError): boolean {
  return status === 404 || status === 405 || (status === 400 && /received\W+array/i.test(message))
}
