// One cell: a service under load with one subject, `node load.child.ts '{"case":…}'`, started by load.ts.
//
//   warm-up ─▶ "warm" ─▶ (parent: all delivered) "go" ─▶ load ─▶ "loaded" ─▶ (all delivered) "delivered" ─▶ result
//
// CPU counts from "go" to "delivered"; latency and loop delay during the load alone.
import { once } from 'node:events'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { seededRandom } from '../../examples/vllm-simulator/text.ts'
import { openLoop, planOf } from '../apparatus/open-loop.ts'
import { fromJson } from '../apparatus/payloads.ts'
import { percentile } from '../apparatus/statistics.ts'
import { LOADS } from './load/loads.ts'
import type { CellRequest, CellResult, Progress } from './load.ts'
import { openSubject } from './open-subject.ts'

const cell = JSON.parse(process.argv[2] as string) as CellRequest
process.once('disconnect', () => process.exit(1))
const { perSecond, spans, workload } = LOADS[cell.case]
const random = seededRandom(cell.seed)
const warmUpPlan = planOf(perSecond, cell.warmUpSeconds, random)
const plan = planOf(perSecond, cell.seconds, random)
// Before anything is measured, and outside of V8's heap.
const texts = Array.from({ length: warmUpPlan.length + plan.length }, () =>
  workload.prepare(random),
)

const { tracing, flush } = await openSubject(cell.subject, cell.url)
const handle = async (request: number): Promise<void> => {
  const own = texts[request] as Buffer[]
  let next = 0
  await workload.handle(tracing, () => fromJson(own[next++] as Buffer))
}
const delays = monitorEventLoopDelay({ resolution: 1, samplePerIteration: true })
delays.enable()
globalThis.gc?.()

await openLoop(warmUpPlan, handle)
await flush()
await report('warm', warmUpPlan.length * spans)

let rssMax = 0
const rss = setInterval(() => {
  rssMax = Math.max(rssMax, process.memoryUsage.rss())
}, 100)
delays.reset()
const mainBefore = process.threadCpuUsage()
const before = process.cpuUsage()
const latencies = await openLoop(plan, (request) => handle(warmUpPlan.length + request))
const loopDelayMaxMs = delays.max / 1e6
clearInterval(rss)
await flush()
await report('loaded', plan.length * spans)
const main = process.threadCpuUsage(mainBefore)
const all = process.cpuUsage(before)

const result: CellResult = {
  requests: plan.length,
  mainUs: (main.user + main.system) / plan.length,
  mainSystemUs: main.system / plan.length,
  processUs: (all.user + all.system) / plan.length,
  p50Ms: percentile(latencies, 50),
  p99Ms: percentile(latencies, 99),
  p999Ms: percentile(latencies, 99.9),
  loopDelayMaxMs,
  rssMb: rssMax / 2 ** 20,
}
process.removeAllListeners('disconnect')
process.send?.(result)
process.disconnect?.()

/** Tells the parent and waits for its word to go on. */
async function report(at: Progress['at'], spans: number): Promise<void> {
  const answered = once(process, 'message')
  process.send?.({ at, spans } satisfies Progress)
  await answered
}
