import type { Observation, Observing, Tracing } from '../../apparatus/tracing.ts'
import type { Account } from './split.ts'

// What calls back, an active observation or an observed function, is timed before and after the function it calls. After:
// from that function's end until the SDK has passed on what it gave; microtasks of others that come in between count.

/** Tracing whose calls an account times. */
export function timedTracing(tracing: Tracing, account: Account): Tracing {
  return {
    startObservation: (...args) =>
      timedObservation(
        account.call(() => tracing.startObservation(...args)),
        account,
      ),
    async startActiveObservation(name, run, options) {
      let entered = performance.now()
      try {
        return await tracing.startActiveObservation(
          name,
          async (observation) => {
            account.spent(performance.now() - entered)
            try {
              return await run(timedObservation(observation, account))
            } finally {
              entered = performance.now()
            }
          },
          options,
        )
      } finally {
        account.spent(performance.now() - entered)
      }
    },
  }
}

function timedObservation(observation: Observation, account: Account): Observation {
  return {
    update: (attributes) => account.call(() => observation.update(attributes)),
    end: () => account.call(() => observation.end()),
    startObservation: (...args) =>
      timedObservation(
        account.call(() => observation.startObservation(...args)),
        account,
      ),
  }
}

/** `observe` for async functions, and updates, that an account times. */
export function timedObserving(observing: Observing, account: Account): Observing {
  return {
    updateActiveObservation: (...args) =>
      account.call(() => observing.updateActiveObservation(...args)),
    observe<T, A extends unknown[], R>(
      run: (this: T, ...args: A) => R,
      options: Parameters<Observing['observe']>[1],
    ) {
      // The SDK calls the function at once: it can take what was noted for this call.
      let entering = { at: 0 }
      const observed = observing.observe(async function (this: T, ...args: A) {
        const mark = entering
        account.spent(performance.now() - mark.at)
        try {
          return await run.apply(this, args)
        } finally {
          mark.at = performance.now()
        }
      }, options)
      return async function (this: T, ...args: A) {
        const mark = { at: performance.now() }
        entering = mark
        try {
          return await observed.apply(this, args)
        } finally {
          account.spent(performance.now() - mark.at)
        }
      } as (this: T, ...args: A) => R
    },
  }
}
