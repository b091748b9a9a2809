import type { Observer } from './ending.ts'
import { hook, type Method, methodOf } from './hook.ts'
import { followIterator } from './iterators.ts'

/**
 * Follows a web stream in all ways to read it: a reader, iteration, `pipeTo`, `pipeThrough`, `tee`. The observation
 * ends when the stream is read to its end, cancelled, or in error.
 */
export function followWebStream(stream: ReadableStream, observer: Observer): boolean {
  const { getReader, cancel, tee, pipeTo, pipeThrough } = stream as unknown as Record<
    'getReader' | 'cancel' | 'tee' | 'pipeTo' | 'pipeThrough',
    Method
  >
  const hooked = hook(stream, 'getReader', function (this: unknown, options) {
    const reader = Reflect.apply(getReader, this, options === undefined ? [] : [options])
    if (observer.settled) return reader
    if (options?.mode !== 'byob') return tappedReader(reader, observer)
    followByobReader(reader, observer)
    return reader
  })
  if (!hooked) return false
  followIteration(stream, observer)
  hook(stream, 'cancel', function (this: unknown, ...args) {
    const cancelled = Reflect.apply(cancel, this, args)
    // A locked stream refuses, and its reader goes on.
    if (!(this as ReadableStream).locked) observer.succeed(undefined)
    return cancelled
  })
  hook(stream, 'tee', function (this: unknown) {
    const branches = Reflect.apply(tee, this, []) as [ReadableStream, ReadableStream]
    const observers = branchesOf(observer)
    branches.forEach((branch, index) => {
      followWebStream(branch, observers[index]!)
    })
    return branches
  })
  hook(stream, 'pipeTo', function (this: ReadableStream, destination, options) {
    if (observer.settled || this.locked) return Reflect.apply(pipeTo, this, [destination, options])
    const { stream, release } = tap(Reflect.apply(getReader, this, []), observer)
    return stream.pipeTo(destination, options).finally(release)
  })
  hook(stream, 'pipeThrough', function (this: ReadableStream, transform, options) {
    if (
      observer.settled ||
      this.locked ||
      !transform?.readable ||
      transform.writable?.locked !== false
    ) {
      return Reflect.apply(pipeThrough, this, [transform, options])
    }
    // As pipeThrough does: an error shows at the transform's readable side.
    this.pipeTo(transform.writable, options).catch(() => {})
    return transform.readable
  })
  return true
}

function followIteration(stream: ReadableStream, observer: Observer): void {
  const iterate = stream[Symbol.asyncIterator] as Method
  // A subclass that iterates in its own way does so through a reader.
  if (iterate !== ReadableStream.prototype[Symbol.asyncIterator]) return
  for (const name of ['values', Symbol.asyncIterator]) {
    hook(stream, name, function (this: unknown, ...args) {
      const iterator = Reflect.apply(iterate, this, args)
      if (!observer.settled) followIterator(iterator, observer)
      return iterator
    })
  }
}

interface Tap {
  /** Gives what the followed stream gives, and holds its lock. */
  readonly stream: ReadableStream
  release(): void
}

/**
 * A stream between the followed one and its reader. Hooks on a reader would not do: the platform's pipeTo and
 * Node's Readable.fromWeb read past a reader's methods.
 */
function tap(reader: ReadableStreamDefaultReader, observer: Observer): Tap {
  let controller!: ReadableStreamDefaultController
  let reading = false
  let closed = false
  // Released or cancelled: what becomes of the followed stream is no business of this one any more.
  let detached = false
  const close = () => {
    observer.succeed(undefined)
    controller.close()
  }
  const stream = new ReadableStream(
    {
      start(its) {
        controller = its
      },
      async pull() {
        reading = true
        const { done, value } = await reader.read()
        reading = false
        if (!done) {
          observer.collect(value)
          controller.enqueue(value)
        }
        if (closed && !detached) close()
      },
      async cancel(reason) {
        detached = true
        try {
          await reader.cancel(reason)
        } catch (error) {
          observer.fail(error)
          throw error
        }
        observer.succeed(undefined)
      },
    },
    { highWaterMark: 0 },
  )
  reader.closed.then(
    () => {
      closed = true
      // Else the last chunk is still on its way.
      if (!reading && !detached) close()
    },
    (error) => {
      if (detached) return
      observer.fail(error)
      controller.error(error)
    },
  )
  return {
    stream,
    release() {
      detached = true
      reader.releaseLock()
    },
  }
}

function tappedReader(
  reader: ReadableStreamDefaultReader,
  observer: Observer,
): ReadableStreamDefaultReader {
  const { stream, release } = tap(reader, observer)
  const tapped = stream.getReader()
  const releaseLock = methodOf(tapped, 'releaseLock') as Method
  hook(tapped, 'releaseLock', function (this: unknown) {
    release()
    return Reflect.apply(releaseLock, this, [])
  })
  return tapped
}

/** Reads into buffers of the caller can't go through another stream. */
function followByobReader(reader: ReadableStreamBYOBReader, observer: Observer): void {
  let reads = 0
  let closed = false
  let released = false
  const settle = () => {
    if (closed && reads === 0) observer.succeed(undefined)
  }
  const read = methodOf(reader, 'read') as Method
  hook(reader, 'read', async function (this: unknown, ...args) {
    reads++
    try {
      const step = await Reflect.apply(read, this, args)
      // The buffer goes back into the next read.
      if (!step.done) observer.collect(step.value.slice())
      return step
    } finally {
      reads--
      settle()
    }
  })
  const releaseLock = methodOf(reader, 'releaseLock') as Method
  hook(reader, 'releaseLock', function (this: unknown) {
    released = true
    return Reflect.apply(releaseLock, this, [])
  })
  reader.closed.then(
    () => {
      closed = true
      settle()
    },
    (error) => {
      if (!released) observer.fail(error)
    },
  )
}

/** Two readers of one stream: over when both are, the first one's chunks are the output. */
function branchesOf(observer: Observer): [Observer, Observer] {
  let open = 2
  const branch = (collects: boolean): Observer => {
    let over = false
    return {
      context: observer.context,
      get settled() {
        return over || observer.settled
      },
      collect: (item) => {
        if (collects) observer.collect(item)
      },
      succeed: (value) => {
        if (over) return
        over = true
        open--
        if (open === 0) observer.succeed(value)
      },
      fail: (error) => observer.fail(error),
    }
  }
  return [branch(true), branch(false)]
}
