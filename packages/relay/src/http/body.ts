// Bodies of requests that hand spans over: read and unpacked within bounds, one after the other, for what a body becomes
// takes far more memory than the body.
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { MalformedError, TooManyError } from '../otlp/message.ts'
import { BusyError } from '../receivers/otlp/intake.ts'

const unzip = promisify(gunzip)

/** A body that is not taken, with the status that says so. */
class BodyError extends Error {
  readonly status: 400 | 413 | 415 | 429 | 503
  constructor(status: BodyError['status'], message: string) {
    super(message)
    this.status = status
  }
}

export interface Bodies {
  /**
   * Has `use` do something with a request's body, once those before it are done.
   *
   * @throws BodyError
   */
  withBody<T>(request: Request, maxBytes: number, use: (body: Buffer) => T): Promise<T>
  /** Refuses what waits, and what comes from now on. Resolves once nothing is in use, so that what is used can be closed. */
  close(): Promise<void>
}

/** @param maxHeld bytes of all bodies that wait; beyond them the next one is refused */
export function createBodies(maxHeld: number): Bodies {
  let held = 0
  let turn: Promise<unknown> = Promise.resolve()
  let ends = false

  const read = async (request: Request, maxBytes: number): Promise<Buffer> => {
    if (Number(request.headers.get('content-length') ?? 0) > maxBytes) throw tooLarge(maxBytes)
    const pieces: Uint8Array[] = []
    let bytes = 0
    try {
      for await (const piece of request.body ?? []) {
        bytes += piece.length
        held += piece.length
        if (bytes > maxBytes) throw tooLarge(maxBytes)
        if (held > maxHeld) throw new BodyError(429, 'too many requests at a time')
        pieces.push(piece)
      }
      return Buffer.concat(pieces)
    } catch (error) {
      held -= bytes
      if (error instanceof BodyError) throw error
      throw new BodyError(400, 'the body did not arrive')
    }
  }

  const unpack = async (body: Buffer, encoding: string, maxBytes: number): Promise<Buffer> => {
    if (encoding === '' || encoding === 'identity') return body
    if (encoding !== 'gzip') throw new BodyError(415, 'content-encoding: only gzip and identity')
    try {
      return await unzip(body, { maxOutputLength: maxBytes })
    } catch (error) {
      // It unpacks to more than a body may be, however small it is itself.
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(maxBytes)
      throw new BodyError(400, 'the body is no gzip')
    }
  }

  return {
    async withBody(request, maxBytes, use) {
      const encoding = (request.headers.get('content-encoding') ?? '').trim().toLowerCase()
      const body = await read(request, maxBytes)
      const mine = turn.then(async () => {
        const unpacked = ends ? body : await unpack(body, encoding, maxBytes)
        if (ends) throw new BodyError(503, 'the relay ends')
        return use(unpacked)
      })
      turn = mine.catch(() => {})
      try {
        return await mine
      } finally {
        held -= body.length
      }
    },
    async close() {
      ends = true
      await turn
    },
  }
}

export interface Refusal {
  readonly status: BodyError['status']
  /** As counters have it. */
  readonly reason: string
  readonly message: string
}

/** What is answered when a body was not taken; null: the error is none of a body. */
export function refusalOf(error: unknown): Refusal | null {
  if (error instanceof BusyError) {
    const { reason, message } = error
    return { status: reason === 'backlog' ? 429 : 503, reason, message }
  }
  if (error instanceof MalformedError) {
    return { status: 400, reason: 'malformed', message: `no trace request: ${error.message}` }
  }
  if (error instanceof TooManyError) {
    return { status: 413, reason: 'too_large', message: error.message }
  }
  if (!(error instanceof BodyError)) return null
  return { status: error.status, reason: REASONS[error.status], message: error.message }
}

const REASONS = {
  400: 'malformed',
  413: 'too_large',
  415: 'malformed',
  429: 'busy',
  503: 'busy',
} as const

function tooLarge(maxBytes: number): BodyError {
  return new BodyError(413, `the body is longer than ${maxBytes} bytes (unpacked)`)
}
