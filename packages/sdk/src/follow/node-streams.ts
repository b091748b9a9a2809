import type { Readable, Writable } from 'node:stream'
import type { Observer } from './ending.ts'
import { hook, methodOf } from './hook.ts'

type NodeStream = Partial<Readable> & Partial<Writable> & Pick<Readable, 'emit'>

/** By its shape: there may be several copies of readable-stream. */
export function isNodeStream(result: object): result is NodeStream {
  return (
    methodOf(result, 'emit') !== undefined &&
    methodOf(result, 'pipe') !== undefined &&
    ('_readableState' in result || '_writableState' in result)
  )
}

/** Settles at once what ended before it was returned. */
export function endIfEnded(stream: NodeStream, observer: Observer): boolean {
  if (stream.errored && !isLeft(stream.errored)) observer.fail(stream.errored)
  else if (stream.destroyed || (reads(stream) ? stream.readableEnded : stream.writableFinished)) {
    observer.succeed(undefined)
  } else return false
  return true
}

/**
 * Follows a stream through what it emits. No listener is added: one for `data` would set it flowing, one for
 * `error` would hide an error that nobody handles.
 */
export function followNodeStream(stream: NodeStream, observer: Observer): boolean {
  const last = reads(stream) ? 'end' : 'finish'
  const emit = stream.emit
  return hook(stream, 'emit', function (this: unknown, ...args) {
    const [event, value] = args
    if (!observer.settled) {
      if (event === 'data') observer.collect(value)
      else if (event === 'error' && !isLeft(value)) observer.fail(value)
      // Closed before its end: destroyed by its reader.
      else if (event === last || event === 'close' || event === 'error') observer.succeed(undefined)
    }
    return Reflect.apply(emit, this, args)
  })
}

/**
 * What Node destroys a stream with when its reader leaves early: a `break` out of `for await`, the `cancel` of a web stream made from it.
 * The error of an AbortSignal has the signal's reason as its cause.
 */
function isLeft(error: unknown): boolean {
  const { name, code, cause } = (error ?? {}) as NodeJS.ErrnoException
  return name === 'AbortError' && code === 'ABORT_ERR' && cause === undefined
}

function reads(stream: NodeStream): boolean {
  return '_readableState' in stream && stream.readable !== false
}
