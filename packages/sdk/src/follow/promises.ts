import { types } from 'node:util'
import { state } from '../context.ts'
import type { Observer } from './ending.ts'
import { hook, type Method, methodOf } from './hook.ts'

/** Goes on following what a promise was fulfilled with. */
type Follow = (result: object, observer: Observer) => unknown

/**
 * A promise whose `then` is the language's: `await` doesn't call it, so that hooking it would be in vain, and deriving
 * another promise is harmless. Subclasses with a `then` of their own (OpenAI's APIPromise) are thenables.
 */
export function isPlainPromise(result: object): result is Promise<unknown> {
  if (!types.isPromise(result) || Object.hasOwn(result, 'then')) return false
  // A promise of another realm (vm, Jest) has another `then`, and a constructor of this name.
  return result.then === Promise.prototype.then || result.constructor?.name === 'Promise'
}

/** The derived promise is the only one that can be left unhandled: a rejection that nobody handles is still reported. */
export function followPromise(
  promise: Promise<unknown>,
  observer: Observer,
  follow: Follow,
): unknown {
  const derived = promise.then(
    (value) => fulfilled(value, observer, follow),
    (error) => {
      observer.fail(error)
      throw error
    },
  )
  // Such as `cancel`, which some libraries put on their promises. Not symbols: Node 22 keeps contexts under them.
  Object.assign(derived, Object.fromEntries(Object.entries(promise)))
  // A class may have its `then` give plain promises, without its methods.
  const prototype = Object.getPrototypeOf(promise)
  if (Object.getPrototypeOf(derived) !== prototype) Object.setPrototypeOf(derived, prototype)
  return derived
}

function fulfilled(value: unknown, observer: Observer, follow: Follow): unknown {
  if (typeof value === 'object' && value !== null) return follow(value, observer)
  observer.succeed(value)
  return value
}

/**
 * Hooks `then`, and never calls it: queries (Prisma, Knex, Mongoose) are lazy and run at the caller's
 * `await`, once. They run within the observation; the caller's callbacks run in the caller's context.
 */
export function followThenable(
  thenable: PromiseLike<unknown>,
  observer: Observer,
  follow: Follow,
): boolean {
  if (methodOf(thenable, 'parse') && methodOf(thenable, 'asResponse')) {
    return followApiPromise(thenable, observer, follow)
  }
  const then = thenable.then as Method
  const hooked = hook(thenable, 'then', function (this: unknown, onFulfilled, onRejected) {
    if (observer.settled) return Reflect.apply(then, this, [onFulfilled, onRejected])
    const caller = state.storage.getStore()
    const callbacks = [
      (value: unknown) => {
        const handed = fulfilled(value, observer, follow)
        return typeof onFulfilled === 'function' ? runIn(caller, onFulfilled, handed) : handed
      },
      (error: unknown) => {
        observer.fail(error)
        if (typeof onRejected === 'function') return runIn(caller, onRejected, error)
        throw error
      },
    ]
    return runIn(observer.context, Reflect.apply, then, this, callbacks)
  })
  if (!hooked) return false
  // Some reach their promise in another way than through `then`.
  if (methodOf(thenable, 'catch')) {
    hook(thenable, 'catch', function (this: PromiseLike<unknown>, onRejected) {
      return this.then(undefined, onRejected)
    })
  }
  if (methodOf(thenable, 'finally')) {
    hook(thenable, 'finally', function (this: Promise<unknown>, onFinally) {
      return Promise.prototype.finally.call(this, onFinally)
    })
  }
  return true
}

/** The APIPromise of OpenAI's and Anthropic's clients: `then` and `withResponse` go through `parse`, `asResponse` does not. */
function followApiPromise(promise: object, observer: Observer, follow: Follow): boolean {
  const parse = methodOf(promise, 'parse') as Method
  const asResponse = methodOf(promise, 'asResponse') as Method
  let parsing = false
  const failed = (error: unknown): never => {
    observer.fail(error)
    throw error
  }
  const hooked = hook(promise, 'parse', function (this: unknown) {
    parsing = true
    const parsed = runIn(observer.context, Reflect.apply, parse, this, []) as Promise<unknown>
    if (observer.settled) return parsed
    return parsed.then((value) => fulfilled(value, observer, follow), failed)
  })
  hook(promise, 'asResponse', function (this: unknown) {
    const answered = Reflect.apply(asResponse, this, []) as Promise<unknown>
    return answered.then((response) => {
      if (!parsing) observer.succeed(undefined)
      return response
    }, failed)
  })
  return hooked
}

function runIn(context: unknown, fn: Method, ...args: unknown[]): unknown {
  return state.storage.run(
    context as NonNullable<ReturnType<typeof state.storage.getStore>>,
    fn,
    ...args,
  )
}
