// Fills a spool: `node spool.child.ts '{"kind":"small","spans":…}'` records so many observations through the SDK's API and
// ends. The directory is the environment's OFFPATH_SPOOL_DIR.
import { flush, shutdown, startObservation, stats } from '@offpath/sdk'
import { seededRandom } from '../../examples/vllm-simulator/text.ts'
import { about, between, writeText } from '../apparatus/text.ts'
import type { SpoolRequest, SpoolResult } from './relay.ts'

const { kind, spans, seed } = JSON.parse(process.argv[2] as string) as SpoolRequest
const random = seededRandom(seed)
const PER_TRACE = 20

// A stretch of prose from a long one: no two observations have the same text, and cutting costs nothing.
const prose = writeText(random, 'en', 4 * 1024 * 1024)
function stretch(length: number): string {
  const at = between(random, 0, prose.length - length)
  return prose.slice(at, at + length)
}

function attributes(): object {
  const small = { level: 'DEFAULT', version: 'v7' }
  return kind === 'small'
    ? {
        input: stretch(between(random, 10, 40)),
        output: stretch(between(random, 10, 40)),
        ...small,
      }
    : { input: stretch(about(random, 3300)), output: stretch(about(random, 700)), ...small }
}

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
