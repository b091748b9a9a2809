// An application to be killed: records observations named `<run>-<n>`, and says on stdout how many are in the
// spool for certain ("acknowledged n") after each flush. Every tenth stays open. With STARTS_RELAY it starts its relay.
import { writeSync } from 'node:fs'
import { flush, startObservation } from '@offpath/sdk'
import { seededRandom, writeTokens } from '../../examples/vllm-simulator/text.ts'

const [run = 'run', pauseMs = '1', total = 'Infinity'] = process.argv.slice(2)
if (process.env.STARTS_RELAY !== undefined) {
  const { startRelay } = await import('offpath')
  startRelay({ onLog: () => {} })
}
const random = seededRandom(Number.parseInt(run.replace(/\D/g, '') || '1', 10))
const context = writeTokens(random, 'Xin chào', 16_000).join('')
let recorded = 0

async function burst(): Promise<void> {
  const count = 1 + Math.floor(random() * 40)
  for (let i = 0; i < count && recorded < Number(total); i++) {
    recorded++
    const input = recorded % 50 === 0 ? context.slice(0, 65_536) + recorded : { question: recorded }
    const root = startObservation(`${run}-${recorded}`, { input }, { asType: 'generation' })
    root.update({ output: `answer ${recorded}`, metadata: { recorded } })
    if (recorded % 10 !== 0) root.end()
  }
  await flush({ until: 'spooled' })
  writeSync(1, `acknowledged ${recorded}\n`)
}

while (recorded < Number(total)) {
  await burst()
  await new Promise((resolve) => setTimeout(resolve, random() * 2 * Number(pauseMs)))
}
writeSync(1, 'done\n')
