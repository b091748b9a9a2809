// One subject, one question: `node recorder.child.ts '{"group":…,"subject":…,"seconds":…,"seed":…}'`, started by
// recorder.ts, which gets what was measured as a message.
import { seededRandom } from '../../examples/vllm-simulator/text.ts'
import type { Tracing } from '../apparatus/tracing.ts'
import { openSubject } from './open-subject.ts'
import { measureAudio } from './recorder/audio.ts'
import { measureGeneration } from './recorder/generation.ts'
import { measureHistory } from './recorder/history.ts'
import type { Measured } from './recorder/measured.ts'
import { measureSmall } from './recorder/small.ts'
import type { RecorderRequest, RecorderResult } from './recorder.ts'

const { group, subject, seconds, seed } = JSON.parse(process.argv[2] as string) as RecorderRequest
const random = seededRandom(seed)

async function measure(tracing: Tracing): Promise<Measured[]> {
  switch (group) {
    case 'small':
      return measureSmall(tracing, seconds, random)
    case 'generation':
      return measureGeneration(tracing, seconds, random)
    case 'audio-buffer':
      return measureAudio(tracing, random, 'buffer')
    case 'audio-string':
      return measureAudio(tracing, random, 'string')
    case 'history':
      return measureHistory(tracing, seconds, random)
  }
}

const opened = await openSubject(subject, undefined)
const measured = await measure(opened.tracing)
await opened.flush()
const result: RecorderResult = { measured, taken: opened.taken() }
process.send?.(result)
process.disconnect?.()
