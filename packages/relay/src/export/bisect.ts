import { type Request, type Result, type Send, SendError } from './http.ts'

/** Halves what the server rejects until the bad span stands alone; all others are delivered. */
export function bisect(next: Send): Send {
  const send = async (request: Request, signal: AbortSignal): Promise<Result[]> => {
    try {
      return await next(request, signal)
    } catch (error) {
      if (!(error instanceof SendError) || error.code !== 'rejected') throw error
      if (request.spans === 1) {
        return [{ type: 'rejected', spans: 1, status: error.status, reason: error.message }]
      }
    }
    const [left, right] = request.split()
    const first = await send(left, signal)
    try {
      return [...first, ...(await send(right, signal))]
    } catch {
      // Stopped between the halves: what the first one reached is kept.
      return [...first, { type: 'abandoned', spans: right.spans }]
    }
  }
  return send
}
