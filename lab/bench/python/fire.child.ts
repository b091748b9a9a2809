// Requests to a service, from a process of its own: `node fire.child.ts '{"port":…,"bytes":…,"perSecond":…,"seed":…}'`.
// Sent a number of seconds it makes ready ("prepared"), and fires when it is sent "go"; the answer is a FireResult.
import { once } from 'node:events'
import { Agent, request as httpRequest } from 'node:http'
import { seededRandom } from '../../../examples/vllm-simulator/text.ts'
import { openLoop, planOf } from '../../apparatus/open-loop.ts'
import { toJson } from '../../apparatus/payloads.ts'
import { percentile } from '../../apparatus/statistics.ts'
import { about, between, writeText } from '../../apparatus/text.ts'
import type { FireRequest, FireResult } from '../python.ts'

const { port, bytes, perSecond, seed } = JSON.parse(process.argv[2] as string) as FireRequest
const random = seededRandom(seed)
const agent = new Agent({ keepAlive: true })
process.once('disconnect', () => process.exit())

// A stretch of prose from a long one: no two requests have the same text, and cutting costs nothing.
const prose = writeText(random, 'en', 4 * 1024 * 1024)
function stretch(length: number): string {
  const at = between(random, 0, prose.length - length)
  return prose.slice(at, at + length)
}

/** Messages of so many characters, half as much in documents, and an answer of 4 K. */
function body(): Buffer {
  const question = { role: 'user', content: stretch(200) }
  const system = { role: 'system', content: stretch(about(random, bytes) - 200) }
  const documents = Array.from({ length: 4 }, () => stretch(bytes >> 3))
  return toJson({ messages: [system, question], documents, answer: stretch(about(random, 4096)) })
}

async function post(payload: Buffer): Promise<void> {
  const sent = httpRequest({
    port,
    agent,
    host: '127.0.0.1',
    path: '/chat',
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': payload.length },
  })
  sent.end(payload)
  const [response] = await once(sent, 'response')
  response.resume()
  await once(response, 'end')
  if (response.statusCode !== 200) throw new Error(`the service answered ${response.statusCode}`)
}

for (;;) {
  const [seconds] = (await once(process, 'message')) as [number]
  const plan = planOf(perSecond, seconds, random)
  const bodies = Array.from(plan, body)
  const go = once(process, 'message')
  process.send?.('prepared')
  await go
  const latencies = await openLoop(plan, (request) => post(bodies[request] as Buffer))
  process.send?.({
    requests: plan.length,
    p50Ms: percentile(latencies, 50),
    p99Ms: percentile(latencies, 99),
  } satisfies FireResult)
}
