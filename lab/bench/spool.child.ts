// Fills a spool: `node spool.child.ts '{"kind":"small","spans":…}'` records so many observations through the SDK's API and
// ends. The directory is the environment's OFFPATH_SPOOL_DIR.
import { flush, shutdown, startObservation, stats } from '@offpath/sdk'
import { seededRandom } from '../../examples/vllm-simulator/text.ts'
import { attributesOf } from './relay/spans.ts'
import type { SpoolRequest, SpoolResult } from './relay.ts'

const { kind, spans, seed } = JSON.parse(process.argv[2] as string) as SpoolRequest
const random = seededRandom(seed)
const PER_TRACE = 20

const attributes = attributesOf(kind, random)

for (let recorded = 0; recorded < spans; recorded += PER_TRACE) {
  const children = Math.min(PER_TRACE, spans - recorded) - 1
  const root = startObservation('step', attributes())
  for (let i = 0; i < children; i++) root.startObservation('look-up', attributes()).end()
  root.end()
  await new Promise((resolve) => setImmediate(resolve))
}
await flush()
const { observations, lost } = stats()
await shutdown()
process.send?.({
  observations,
  lost: Object.values(lost).reduce((sum, count) => sum + count, 0),
} satisfies SpoolResult)
process.disconnect?.()
