import { fromJson, type Message, toJson, writeMessages } from '../../apparatus/payloads.ts'
import { about, writeText } from '../../apparatus/text.ts'
import type { Tracing } from '../../apparatus/tracing.ts'
import type { Measured } from './measured.ts'
import { nextTurn, Stopwatch } from './turns.ts'

/** 20 would be more than a server can receive in a turn: 1.4 MB of JSON takes it several milliseconds to parse. */
const PER_TURN = 8
/** Turns that are measured in one go. */
const TURNS = 3
/** Texts come back after so many: more than Offpath remembers for references (4 MB). */
const POOL = 240

interface Call {
  readonly messages: Message[]
  readonly output: string
}

/**
 * What does a generation cost with 64 K characters of messages in and 4 K out? The strings are new to the process
 * each time, parsed from JSON outside of the measured time.
 */
export async function measureGeneration(
  tracing: Tracing,
  seconds: number,
  random: () => number,
): Promise<Measured[]> {
  const texts = Array.from({ length: POOL }, () => {
    const messages = writeMessages(random, 'en', about(random, 65_536))
    return toJson({ messages, output: writeText(random, 'en', about(random, 4096)) } satisfies Call)
  })
  let next = 0
  const turns = async (until: number, watch: Stopwatch) => {
    let observations = 0
    while (performance.now() < until) {
      const turnsCalls = Array.from({ length: TURNS }, () =>
        Array.from({ length: PER_TURN }, () => fromJson<Call>(texts[next++ % POOL] as Buffer)),
      )
      // The collector's tasks from the parsing run here and not in the measured part.
      await nextTurn()
      await nextTurn()
      watch.start()
      for (const calls of turnsCalls) {
        for (const call of calls) record(tracing, call)
        await nextTurn()
      }
      watch.stop()
      observations += TURNS * PER_TURN
    }
    return observations
  }

  const warmUp = await turns(performance.now() + seconds * 500, new Stopwatch())
  const watch = new Stopwatch()
  const observations = await turns(performance.now() + seconds * 1000, watch)
  return [{ case: 'generation', us: watch.used / observations, recorded: warmUp + observations }]
}

function record(tracing: Tracing, { messages, output }: Call): void {
  const generation = tracing.startObservation(
    'chat.completion',
    { input: messages, model: 'qwen3-32b', modelParameters: { temperature: 0.2, top_p: 0.9 } },
    { asType: 'generation' },
  )
  generation.update({
    output,
    usageDetails: { input: messages.length * 2311, output: output.length >> 2 },
  })
  generation.end()
}
