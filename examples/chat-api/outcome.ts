import { STATUS_CODES } from 'node:http'

/**
 * How a request went. A WARNING is the caller's doing (a refused request, a closed connection), an
 * ERROR is ours or the upstream's. README.md has the whole table.
 */
export interface Outcome {
  /** What the client got; once a stream has begun, what it would have got. 499: it had gone. */
  status: number
  level?: 'WARNING' | 'ERROR'
  /** Names the cause. */
  statusMessage?: string
}

export const ok: Outcome = { status: 200 }

export function warning(status: number, statusMessage: string): Outcome {
  return { status, level: 'WARNING', statusMessage }
}

export function failure(status: number, statusMessage: string): Outcome {
  return { status, level: 'ERROR', statusMessage }
}

/** The body of an error answer, in the dialect of the upstream. */
export function errorBody({ status, statusMessage }: Outcome): object {
  const type = STATUS_CODES[status] ?? 'Error'
  return { error: { message: statusMessage ?? type, type, param: null, code: status } }
}

const timeouts = new Set([
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** What it means that the call to the upstream threw `error` after `pieces` of its answer. */
export function outcomeOfThrow(
  error: unknown,
  pieces: number,
  clientGone: AbortSignal,
  timeoutMs: number,
): Outcome {
  const when = pieces === 0 ? 'before the first byte' : `after ${pieces} chunks`
  if (clientGone.aborted) return warning(499, `client closed the connection ${when}`)
  const { code, message } = error as { code?: string; message?: string }
  if (code && timeouts.has(code)) {
    return failure(504, `upstream timeout: silent for ${timeoutMs} ms ${when}`)
  }
  // Network and protocol errors carry a code; what has none is a fault of this program.
  if (code) return failure(502, `upstream connection failed ${when}: ${message || code}`)
  return failure(500, `internal error ${when}: ${message}`)
}
