import { state } from '../context.ts'
import { Ending } from '../follow/ending.ts'
import { follow } from '../follow/follow.ts'
import { recording } from '../session.ts'
import { EVENT, typeIndex } from './spans.ts'
import { contextWithin, startSpan } from './start.ts'
import type { ObserveOptions } from './types.ts'

/**
 * A function that records each call of `fn` as an observation: its argument (or an array of several) as input, its result
 * as output. The observation is active while `fn` runs, at each step of a generator too, and ends when the result is
 * complete: a promise or thenable settled, a generator or stream read to its end, failed or given up. All that was
 * yielded is the output, joined if it is text. The result is handed on as it is: the same object, except for a
 * native promise. Errors become level ERROR with their message and are thrown on.
 */
// biome-ignore lint/suspicious/noExplicitAny: any function is accepted, and its type kept
export function observe<T extends (...args: any[]) => any>(fn: T, options: ObserveOptions = {}): T {
  const {
    name = fn.name || 'anonymous-function',
    captureInput = true,
    captureOutput = true,
  } = options
  const type = typeIndex(options.asType)
  const endOnExit = options.endOnExit !== false
  const { parentSpanContext } = options
  const startOptions = parentSpanContext ? { parentSpanContext } : undefined

  const observed = function (this: unknown, ...args: unknown[]): unknown {
    if (recording() === undefined) return Reflect.apply(fn, this, args)
    const input = args.length === 1 ? args[0] : args.length === 0 ? undefined : args
    // A single falsy argument is no input, as in Langfuse.
    const attributes = captureInput && input ? { input } : undefined
    const span = startSpan(name, type === EVENT ? 0 : type, attributes, startOptions)
    // Else it would have ended before its output and its errors are known.
    if (type === EVENT) state.recorder?.setType(span, EVENT)
    const context = contextWithin(span)
    const ending = new Ending(span, context, 'level', captureOutput, endOnExit)
    let result: unknown
    try {
      result = state.storage.run(
        context,
        Reflect.apply<unknown, unknown[], unknown>,
        fn,
        this,
        args,
      )
    } catch (error) {
      ending.fail(error)
      throw error
    }
    if (typeof result === 'object' && result !== null) return follow(result, ending)
    ending.succeed(result)
    return result
  }
  // What counts arguments (Express's error handlers, curry) or goes by the name sees no difference.
  Object.defineProperties(observed, {
    name: { value: fn.name },
    length: { value: fn.length },
  })
  return observed as T
}
