import { state } from '../context.ts'
import type { Observer } from './ending.ts'
import { hook, type Method, methodOf } from './hook.ts'

// Iterators that are followed already, so that an object reached in two ways is counted once.
const stepped = new WeakSet<object>()

/**
 * Follows a generator or iterator step by step: each runs within the observation, its items are the output. The
 * observation ends with the last item, an early `return` (a `break`) or an error.
 */
export function followIterator(iterator: object, observer: Observer): boolean {
  if (stepped.has(iterator)) return true
  const next = methodOf(iterator, 'next')
  if (next === undefined || !hook(iterator, 'next', stepper(next, observer, true))) return false
  stepped.add(iterator)
  for (const name of ['return', 'throw']) {
    const method = methodOf(iterator, name)
    if (method) hook(iterator, name, stepper(method, observer, false))
  }
  return true
}

function stepper(method: Method, observer: Observer, returnsResult: boolean): Method {
  const seen = (step: IteratorResult<unknown>): IteratorResult<unknown> => {
    if (!step?.done) observer.collect(step?.value)
    // What `return` gives back is the caller's own value.
    else observer.succeed(returnsResult ? step.value : undefined)
    return step
  }
  const failed = (error: unknown): never => {
    observer.fail(error)
    throw error
  }
  return function (this: unknown, ...args) {
    if (observer.settled) return Reflect.apply(method, this, args)
    let step: IteratorResult<unknown>
    try {
      step = state.storage.run(observer.context, Reflect.apply, method, this, args)
    } catch (error) {
      return failed(error)
    }
    return methodOf(step, 'then') ? Promise.resolve(step).then(seen, failed) : seen(step)
  }
}

/** Follows what can be iterated asynchronously, from when it is. The first iteration to end ends the observation. */
export function followIterable(iterable: object, observer: Observer): boolean {
  // Streams of OpenAI's and Anthropic's clients: `tee` too begins with their own `iterator`.
  const name = Object.hasOwn(iterable, 'iterator') ? 'iterator' : Symbol.asyncIterator
  const iterate = methodOf(iterable, name)
  if (iterate === undefined) return false
  return hook(iterable, name, function (this: unknown, ...args) {
    const iterator = Reflect.apply(iterate, this, args)
    if (!observer.settled && typeof iterator === 'object' && iterator !== null) {
      followIterator(iterator, observer)
    }
    return iterator
  })
}
