import { fromJson, toJson } from '../../apparatus/payloads.ts'
import { between, writeText } from '../../apparatus/text.ts'
import type { Tracing } from '../../apparatus/tracing.ts'
import type { Measured } from './measured.ts'
import { nextTurn, Stopwatch } from './turns.ts'

const PER_TURN = 20

/**
 * What does a small observation cost: start, four attributes, end? Twenty a turn, as when an agent's step or a busy
 * server works: a root and 19 children of it.
 */
export async function measureSmall(
  tracing: Tracing,
  seconds: number,
  random: () => number,
): Promise<Measured[]> {
  const texts = fromJson<string[]>(
    toJson(Array.from({ length: 512 }, () => writeText(random, 'en', between(random, 10, 40)))),
  )
  let next = 0
  const attributes = () => {
    next++
    return {
      input: texts[next % 512],
      output: texts[(next * 7) % 512],
      level: 'DEFAULT',
      version: 'v7',
    }
  }
  const turns = async (until: number) => {
    let observations = 0
    while (performance.now() < until) {
      const root = tracing.startObservation('step', attributes())
      for (let i = 1; i < PER_TURN; i++) root.startObservation('look-up', attributes()).end()
      root.end()
      observations += PER_TURN
      await nextTurn()
    }
    return observations
  }

  const warmUp = await turns(performance.now() + seconds * 500)
  const watch = new Stopwatch()
  watch.start()
  const observations = await turns(performance.now() + seconds * 1000)
  watch.stop()
  return [{ case: 'small', us: watch.used / observations, recorded: warmUp + observations }]
}
