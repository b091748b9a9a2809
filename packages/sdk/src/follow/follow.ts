import { types } from 'node:util'
import type { Observer } from './ending.ts'
import { Group } from './group.ts'
import { methodOf } from './hook.ts'
import { followIterable, followIterator } from './iterators.ts'
import { endIfEnded, followNodeStream, isNodeStream } from './node-streams.ts'
import { followPromise, followThenable, isPlainPromise } from './promises.ts'
import { followWebStream } from './web-streams.ts'

// Objects that are hooked, and who follows them.
const groups = new WeakMap<object, Group>()

/**
 * Lets an observation end when its function's result is complete. Returns what the caller gets in its place: the
 * same object, with hooks on it, or for a native promise the promise derived from it.
 */
export function follow(result: object, observer: Observer): unknown {
  if (isPlainPromise(result)) return followPromise(result, observer, follow)
  let followed = false
  try {
    followed = join(result, observer)
  } catch {
    // A getter or a proxy's trap threw: what can't be looked at is complete.
  }
  if (followed) forgotten.register(result, observer)
  else observer.succeed(result)
  return result
}

// Nobody can complete a result that nobody holds any more: a query that was never awaited, a generator left half-way.
const forgotten = new FinalizationRegistry<Observer>((observer) => observer.succeed(undefined))

function join(result: object, observer: Observer): boolean {
  if (isNodeStream(result) && endIfEnded(result, observer)) return true
  const group = groups.get(result)
  if (group !== undefined) {
    group.add(observer)
    return true
  }
  const first = new Group(observer)
  if (!hookInto(result, first)) return false
  groups.set(result, first)
  return true
}

function hookInto(result: object, group: Group): boolean {
  if (methodOf(result, 'then')) return followThenable(result as PromiseLike<unknown>, group, follow)
  if (isWebStream(result)) return followWebStream(result, group)
  if (isNodeStream(result)) return followNodeStream(result, group)
  if (isIterator(result)) return followIterator(result, group)
  if (methodOf(result, Symbol.asyncIterator)) return followIterable(result, group)
  return false
}

function isWebStream(result: object): result is ReadableStream {
  return (
    result instanceof ReadableStream ||
    Object.prototype.toString.call(result) === '[object ReadableStream]'
  )
}

/** A generator, or another iterator that has to be stepped. */
function isIterator(result: object): result is Iterator<unknown> | AsyncIterator<unknown> {
  if (types.isGeneratorObject(result)) return true
  const itself = methodOf(result, Symbol.iterator) ?? methodOf(result, Symbol.asyncIterator)
  return itself !== undefined && methodOf(result, 'next') !== undefined
}
