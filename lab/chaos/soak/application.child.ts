// An application of a soak: records observations `<run>-<n>` at a pace, whole traces of them, and after each flush says on stdout
// how many it has recorded and what its SDK says it lost of them. Some stay open for a while, some until its end, by SIGTERM.
import { writeSync } from 'node:fs'
import { flush, type LangfuseSpan, shutdown, startObservation, stats } from '@offpath/sdk'
import { seededRandom, writeTokens } from '../../../examples/vllm-simulator/text.ts'
import type { Said } from './applications.ts'
import { isLarge } from './names.ts'

const [run = 'run', pauseMs = '100'] = process.argv.slice(2)
const random = seededRandom(Number.parseInt(run.replace(/\D/g, '') || '1', 10))
const context = writeTokens(random, 'Xin chào', 16_000).join('').slice(0, 65_536)
const open: LangfuseSpan[] = []
let recorded = 0
let ending = false
process.once('SIGTERM', () => {
  ending = true
})

const next = (): { name: string; input: unknown } => {
  const n = ++recorded
  return { name: `${run}-${n}`, input: isLarge(n) ? context + n : { question: n } }
}

function trace(): void {
  const { name, input } = next()
  const root = startObservation(name, { input })
  for (let steps = Math.floor(random() * 4); steps > 0; steps--) {
    const { name, input } = next()
    const step = root.startObservation(name, { input }, { asType: 'generation' })
    step.update({ output: `answer ${recorded}`, metadata: { recorded } }).end()
  }
  if (random() < 0.8) root.end()
  else open.push(root)
  // Three at most stay open, until the end.
  if (open.length > 3) open.splice(Math.floor(random() * open.length), 1)[0]?.end()
}

function report(): void {
  const lost = Object.entries(stats().lost).filter(([, count]) => count > 0)
  const said: Said = { recorded, lost: Object.fromEntries(lost) }
  writeSync(1, `${JSON.stringify(said)}\n`)
}

while (!ending) {
  for (let traces = Math.floor(random() * 4); traces >= 0; traces--) trace()
  await flush({ until: 'spooled' })
  report()
  await new Promise((resolve) => setTimeout(resolve, random() * 2 * Number(pauseMs)))
}
await shutdown()
report()
