// Requests to a service, from a process of its own: `node fire.child.ts '{"port":…,"path":…}'` (FireRequest). Sent a
// number of seconds it makes ready ("prepared"), and fires when it is sent "go"; the answer is a FireResult.
import { once } from 'node:events'
import { Agent, request as httpRequest } from 'node:http'
import hdr from 'hdr-histogram-js'
import { seededRandom } from '../../examples/vllm-simulator/text.ts'
import { openLoop, planOf } from '../apparatus/open-loop.ts'
import type { Case } from './cases.ts'
import { bodiesOf, ownBodies } from './workload.ts'

export interface FireRequest extends Pick<Case, 'path' | 'characters' | 'language' | 'perSecond'> {
  readonly port: number
  readonly seed: number
  /** False: a connection for each request, else some of several workers would have most of them. */
  readonly keepAlive: boolean
  /** See `ownBodies`. */
  readonly bodies?: string | undefined
}

export interface FireResult {
  readonly requests: number
  readonly failed: number
  /** See Cell. */
  readonly latency: string
  readonly meanMs: number
}

const {
  port,
  path,
  characters,
  language,
  bodies: file,
  perSecond,
  seed,
  keepAlive,
} = JSON.parse(process.argv[2] as string) as FireRequest
const random = seededRandom(seed)
const agent = new Agent({ keepAlive })
const write =
  file === undefined ? bodiesOf(path, characters, language, random) : ownBodies(file, random)
process.once('disconnect', () => process.exit())

for (;;) {
  const [seconds] = (await once(process, 'message')) as [number]
  const plan = planOf(perSecond, seconds, random)
  const bodies = Array.from(plan, write)
  const go = once(process, 'message')
  process.send?.('prepared')
  await go
  const failures = new Map<string, number>()
  const isFailed = new Uint8Array(plan.length)
  const latencies = await openLoop(plan, async (request) => {
    const failure = await post(bodies[request] as Buffer)
    if (failure === undefined) return
    isFailed[request] = 1
    failures.set(failure, (failures.get(failure) ?? 0) + 1)
  })
  for (const [failure, count] of failures) console.error(`${count} requests failed: ${failure}`)
  process.send?.(resultOf(latencies, isFailed))
}

/** Undefined, or why it was not answered as it should. */
async function post(payload: Buffer): Promise<string | undefined> {
  const sent = httpRequest({
    port,
    path,
    agent,
    host: '127.0.0.1',
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': payload.length },
  })
  sent.end(payload)
  try {
    const [response] = await once(sent, 'response')
    response.resume()
    await once(response, 'end')
    return response.statusCode === 200 ? undefined : `status ${response.statusCode}`
  } catch (error) {
    return (error as Error).message
  }
}

function resultOf(latencies: Float64Array, isFailed: Uint8Array): FireResult {
  const histogram = hdr.build({
    highestTrackableValue: 600_000_000,
    numberOfSignificantValueDigits: 3,
  })
  let sum = 0
  let answered = 0
  for (const [request, ms] of latencies.entries()) {
    if (isFailed[request] === 1) continue
    histogram.recordValue(Math.max(1, Math.round(ms * 1000)))
    sum += ms
    answered++
  }
  return {
    requests: latencies.length,
    failed: latencies.length - answered,
    latency: hdr.encodeIntoCompressedBase64(histogram),
    meanMs: sum / Math.max(1, answered),
  }
}
