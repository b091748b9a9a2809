import { fromJson, type Message, toJson } from '../../apparatus/payloads.ts'
import { about, writeText } from '../../apparatus/text.ts'
import type { Tracing } from '../../apparatus/tracing.ts'
import type { Measured } from './measured.ts'
import { nextTurn, Stopwatch } from './turns.ts'

const LENGTHS = [10, 20, 40, 80]
/** Texts come back after so many steps: more than Offpath remembers for references (4 MB). */
const POOL = 800

/**
 * Does the cost of an agent's step grow with its history? Each step records the whole message list, which has grown
 * by 8 K characters: recording that copies or serialises it costs 8 times as much per step in a run of 80 as in one of 10.
 */
export async function measureHistory(
  tracing: Tracing,
  seconds: number,
  random: () => number,
): Promise<Measured[]> {
  const texts = Array.from({ length: POOL }, () => {
    const call = { role: 'assistant', content: writeText(random, 'en', about(random, 900)) }
    const result = { role: 'tool', content: writeText(random, 'en', about(random, 7292)) }
    return toJson([call, result])
  })
  let next = 0
  const run = async (steps: number, watch: Stopwatch) => {
    const messages: Message[] = [{ role: 'system', content: writeText(random, 'en', 600) }]
    const additions = Array.from({ length: steps }, () =>
      fromJson<Message[]>(texts[next++ % POOL] as Buffer),
    )
    await nextTurn()
    await nextTurn()
    watch.start()
    for (const [step, added] of additions.entries()) {
      messages.push(...added)
      const generation = tracing.startObservation(
        'plan',
        { input: messages },
        { asType: 'generation' },
      )
      generation.update({ output: added[0]?.content, usageDetails: { input: step, output: 225 } })
      generation.end()
      await nextTurn()
    }
    watch.stop()
  }

  const measured: Measured[] = []
  let warmUp = 0
  for (const until = performance.now() + seconds * 250; performance.now() < until; warmUp += 20) {
    await run(20, new Stopwatch())
  }
  for (const steps of LENGTHS) {
    const watch = new Stopwatch()
    const until = performance.now() + (seconds * 1000) / LENGTHS.length
    let made = 0
    do {
      await run(steps, watch)
      made += steps
    } while (performance.now() < until)
    measured.push({ case: `history-${steps}`, us: watch.used / made, recorded: made + warmUp })
    warmUp = 0
  }
  return measured
}
