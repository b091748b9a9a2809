/**
 * Starts requests at their planned times whether or not earlier ones are done, as clients do that know nothing of each
 * other. Latency counts from the planned time: a request that could not even start because the loop was held
 * has waited all the same (else the stall would hide itself: coordinated omission).
 *
 * @param plan ms after the start, ascending
 * @returns latencies in ms, in the plan's order; rejects when a request does
 */
export async function openLoop(
  plan: Float64Array,
  handle: (request: number) => Promise<void>,
): Promise<Float64Array> {
  const latencies = new Float64Array(plan.length)
  const begun = performance.now()
  const requests: Promise<void>[] = []
  const start = async (request: number): Promise<void> => {
    await handle(request)
    latencies[request] = performance.now() - begun - (plan[request] as number)
  }
  await new Promise<void>((resolve) => {
    const next = (): void => {
      const now = performance.now() - begun
      while (requests.length < plan.length && (plan[requests.length] as number) <= now) {
        requests.push(start(requests.length))
      }
      if (requests.length === plan.length) resolve()
      else setTimeout(next, Math.max(1, (plan[requests.length] as number) - now))
    }
    next()
  })
  await Promise.all(requests)
  return latencies
}

/** Times of `seconds` at a rate: one in each slot of 1/rate, at a random place in it, so that nothing keeps step. */
export function planOf(perSecond: number, seconds: number, random: () => number): Float64Array {
  const slot = 1000 / perSecond
  return Float64Array.from(
    { length: Math.max(1, Math.round(perSecond * seconds)) },
    (_, request) => (request + random()) * slot,
  )
}
