// What should come of it, by the plainest means: a list of observations, and where their records went.
import type { Span } from '../../packages/sdk/src/recorder/span.ts'
import { spanIdOf, traceIdOf } from '../../packages/sdk/src/recorder/span.ts'
import type { SpoolFault } from './steps.ts'
import type { Application } from './writer.ts'

export interface Observation {
  /** Each record has a mark of its own, by which it is found in the frames that were lost. That of the start is the name. */
  readonly name: string
  readonly span: Span
  readonly spanId: string
  readonly traceId: string
  readonly parent: Observation | null
  readonly application: Application
  /** What was recorded, by mark. */
  readonly values: Map<string, unknown>
  /** Some value leaves in slices: the observation is stored when the last one has come. */
  isHuge: boolean
  readonly poison: 'a' | 'b' | null
  /** Mark of its end, and that as a time. */
  end: { readonly mark: string; readonly at: number } | null
  /** Its writer was given up: what it recorded afterwards has no start. */
  isGivenUp: boolean
}

export class Model {
  readonly observations: Observation[] = []
  spoolFault: SpoolFault | null = null
  isStoreFull = false
  isPaused = false
  marks = 0
}

export const idsOf = (span: Span): { spanId: string; traceId: string } => ({
  spanId: spanIdOf(span),
  traceId: traceIdOf(span),
})

const texts = ['history '.repeat(50), 'ngữ cảnh '.repeat(200), 'y'.repeat(3000)]

/** What is recorded; `mark` makes it differ. */
export function recordedValue(kind: number, mark: string): unknown {
  switch (kind) {
    case 0:
    case 1:
    case 2:
      return texts[kind]
    case 3:
      return { mark, messages: texts }
    case 4:
      return `${mark} `.repeat(300)
    case 6:
      return `${mark} `.padEnd(300_000, 'ế')
    case 7:
      return [`${mark} `.padEnd(300_000, '.'), texts[0]]
    default:
      return mark
  }
}

export const isHuge = (kind: number): boolean => kind === 6 || kind === 7

/** What has become of an observation, as far as its application's process can tell. */
export type Fate =
  /** Counted. */
  | 'lost'
  /** Its process was killed first: nobody knows of it. */
  | 'unwritten'
  | 'written'

export function fateOf({ name, application }: Observation): Fate {
  if (holds(application.lost, name)) return 'lost'
  return holds(application.unwritten, name) ? 'unwritten' : 'written'
}

/** Whether its end was written; null: an end that was lost is recorded once more, unless the process is killed before. */
export function hasEnded({ end, application, isGivenUp }: Observation): boolean | null {
  if (end === null) return false
  const { lost, unwritten, isAlive } = application
  if (holds(lost, end.mark)) return isAlive && !isGivenUp ? true : null
  return !holds(unwritten, end.mark)
}

/** What was written of an observation. */
export function writtenValues({ values, application }: Observation): [string, unknown][] {
  const { lost, unwritten } = application
  return [...values].filter(([mark]) => !holds(lost, mark) && !holds(unwritten, mark))
}

function holds(payloads: readonly Buffer[], mark: string): boolean {
  return payloads.some((payload) => payload.includes(mark))
}
