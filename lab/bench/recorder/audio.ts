import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { writeText } from '../../apparatus/text.ts'
import type { Tracing } from '../../apparatus/tracing.ts'
import type { Measured } from './measured.ts'
import { nextTurn, Stopwatch } from './turns.ts'

const BYTES = 16 * 1024 * 1024
const REPEATS = 4
/** Unmeasured ones before: the first also opens the spool, loads and compiles. */
const WARM_UP = 1

/**
 * How long does one observation with 16 MB hold the event loop: audio in a Buffer, or text in one flat string? All
 * turns count until everything has left, not the first alone.
 */
export async function measureAudio(
  tracing: Tracing,
  random: () => number,
  kind: 'buffer' | 'string',
): Promise<Measured[]> {
  const delays = monitorEventLoopDelay({ resolution: 1, samplePerIteration: true })
  delays.enable()
  let watch = new Stopwatch()
  let longest = 0
  for (let repeat = -WARM_UP; repeat < REPEATS; repeat++) {
    if (repeat === 0) {
      watch = new Stopwatch()
      longest = 0
    }
    const audio = kind === 'buffer' ? recording(random) : flatText(random)
    globalThis.gc?.()
    await delay(20)
    delays.reset()
    watch.start()
    const generation = tracing.startObservation(
      'transcribe',
      { input: { audio, format: 'wav' }, model: 'whisper-large' },
      { asType: 'generation' },
    )
    generation.update({ output: 'Good morning.' })
    generation.end()
    // 16 MB leave in slices, one a turn.
    for (let turn = 0; turn < 200; turn++) await nextTurn()
    watch.stop()
    await delay(5)
    longest = Math.max(longest, delays.max / 1e6)
  }
  delays.disable()
  return [
    {
      case: `audio-${kind}`,
      us: watch.used / REPEATS,
      recorded: WARM_UP + REPEATS,
      loopDelayMaxMs: longest,
    },
  ]
}

function recording(random: () => number): Buffer {
  const bytes = Buffer.alloc(BYTES)
  for (let at = 0; at < BYTES; at += 2) bytes.writeInt16LE((random() - 0.5) * 20_000, at)
  return bytes
}

// Through JSON, as it would come from a request: one flat string on V8's heap.
function flatText(random: () => number): string {
  let text = ''
  while (text.length < BYTES) text += writeText(random, 'en', 65_536)
  return JSON.parse(JSON.stringify(text)) as string
}
