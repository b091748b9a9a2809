import { createClient } from 'redis'
import type { Tracing } from '../../../apparatus/tracing.ts'
import { tracingByHand, type Written } from './by-hand.ts'
import type { Tracer } from './tracer.ts'

const LIST = 'lab'

/** One JSON per request is pushed to a list, where a worker takes it (../../redis-worker.child.ts has its shape). */
export async function openRedis(url: string): Promise<Tracer> {
  const client = createClient({ url })
  await client.connect()
  const gathered = new WeakMap<Tracing, Written[]>()
  return {
    forRequest() {
      const observations: Written[] = []
      const tracing = tracingByHand((observation) => observations.push(observation))
      gathered.set(tracing, observations)
      return tracing
    },
    async handOver(tracing, call) {
      const observations = gathered.get(tracing)
      await client.lPush(
        LIST,
        call(() => JSON.stringify({ observations })),
      )
    },
    // Each request waits for its own.
    flush: async () => {},
  }
}
