/**
 * `npm run bench -- recorder`: what does recording alone cost the application's main thread?
 *
 * Method. Each subject records in a process of its own, fresh in each round; subjects take turns in random order, and the
 * figure is the median of the rounds. `us` is main-thread CPU (getrusage of the thread, not wall time) per observation,
 * less that of the same loop without tracing. The loop yields to the event loop as a server does, so that what
 * a subject does at the end of a turn is in its figure.
 *
 * Included: Offpath's writes to the spool; the processors of Langfuse (start and end hooks, its scan for media, its
 * batching queue) and of OpenTelemetry (BatchSpanProcessor). Excluded: exporting, for all: Langfuse's and OpenTelemetry's
 * exporters drop each batch at once, and no relay runs; a process that does nothing else deletes Offpath's segments, or
 * the disk would fill. `npm run bench -- load` measures with exporting.
 *
 * How a sceptic could be fooled. By noise: the second row of `none` measures nothing against nothing. By the
 * collector: garbage made here but collected in time that is not measured (texts are parsed between the measured parts)
 * is charged to nobody, which favours who makes the most of it; it is not Offpath. By repeated text: a string that Offpath
 * has just recorded would be referred to instead of written; texts come back only after it has forgotten them,
 * except in `history-…`, whose question this is.
 */
import { readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { seededRandom } from '../../examples/vllm-simulator/text.ts'
import { makePlace, startChild } from '../apparatus/processes.ts'
import { median, rounded, shuffled } from '../apparatus/statistics.ts'
import { type BenchOptions, chosenCases } from './options.ts'
import type { Measured } from './recorder/measured.ts'
import { recorderTargets } from './recorder/targets.ts'
import type { Report, Row } from './report.ts'
import { SUBJECTS, type Subject } from './subjects.ts'

const GROUPS = ['small', 'generation', 'audio-buffer', 'audio-string', 'history'] as const
type Group = (typeof GROUPS)[number]

export interface RecorderRequest {
  readonly group: Group
  readonly subject: Subject
  readonly seconds: number
  readonly seed: number
}

export interface RecorderResult {
  readonly measured: readonly Measured[]
  /** Observations in the spool or given to the exporter. */
  readonly taken: number
}

interface Sample extends Measured {
  readonly lost: number
}

export async function benchRecorder(options: BenchOptions): Promise<Report> {
  const rounds = options.rounds ?? (options.quick ? 3 : 5)
  const seconds = (options.quick ? 0.5 : 1) * options.scale
  const groups = chosenCases(options, GROUPS)
  const random = seededRandom(options.seed)
  const lanes = (options.subjects ?? SUBJECTS).flatMap((subject): Lane[] =>
    subject === 'none'
      ? [
          { subject, again: false },
          { subject, again: true },
        ]
      : [{ subject, again: false }],
  )
  const samples = new Map<string, Sample[]>()
  for (let round = 1; round <= rounds; round++) {
    for (const group of shuffled(groups, random)) {
      for (const lane of shuffled(lanes, random)) {
        const seed = options.seed * 1000 + round
        const request: RecorderRequest = { group, subject: lane.subject, seconds, seed }
        const measured = await measureInChild(request)
        for (const sample of measured) {
          const key = keyOf(sample.case, lane)
          samples.set(key, [...(samples.get(key) ?? []), sample])
        }
        const shown = measured.map((each) => `${each.case} ${each.us.toFixed(2)}`).join(', ')
        options.progress(`round ${round} of ${rounds}: ${lane.subject}: ${shown} µs`)
      }
    }
  }
  const rows = rowsOf(samples, lanes)
  return { rows, targets: recorderTargets(rows), method: { rounds, seconds, seed: options.seed } }
}

/** A subject's place in each round; `none` has two. */
interface Lane {
  readonly subject: Subject
  readonly again: boolean
}

function keyOf(inCase: string, lane: Lane): string {
  return `${inCase} ${lane.subject}${lane.again ? ' again' : ''}`
}

async function measureInChild(request: RecorderRequest): Promise<Sample[]> {
  const place = makePlace()
  const sweeping = setInterval(() => sweep(place.spool), 10)
  try {
    const child = startChild(join(import.meta.dirname, 'recorder.child.ts'), request, {
      ...place.env,
      OFFPATH_SPOOL_CAP: '2GB',
    })
    const { measured, taken } = await child.receive<RecorderResult>()
    await child.ended()
    const recorded = measured.reduce((sum, each) => sum + each.recorded, 0)
    const lost = request.subject === 'none' ? 0 : recorded - taken
    return measured.map((each) => ({ ...each, lost }))
  } finally {
    clearInterval(sweeping)
    place.remove()
  }
}

/** What a relay does that has read all segments but the newest: hands up to four files back, deletes the others. */
export function sweep(spool: string): void {
  const names = readdirSync(spool)
  const segments = names.filter((name) => name.endsWith('.seg')).sort()
  let free = names.filter((name) => name.endsWith('.free')).length
  for (const name of segments.slice(0, -1)) {
    if (free++ < 4) renameSync(join(spool, name), join(spool, `${name}.free`))
    else rmSync(join(spool, name))
  }
}

function rowsOf(samples: ReadonlyMap<string, readonly Sample[]>, lanes: readonly Lane[]): Row[] {
  const cases = new Set([...samples.values()].flatMap((list) => list.map((sample) => sample.case)))
  return [...cases].sort().flatMap((inCase) => {
    const baseline = samples.get(keyOf(inCase, { subject: 'none', again: false }))
    return lanes.map((lane): Row => {
      const list = samples.get(keyOf(inCase, lane)) ?? []
      const above = list.map((sample, round) => sample.us - (baseline?.[round]?.us ?? 0))
      const delays = list.flatMap(({ loopDelayMaxMs }) => loopDelayMaxMs ?? [])
      return {
        case: inCase,
        subject: lane.subject,
        again: lane.again,
        us: rounded(median(above), 3),
        loop_delay_max_ms: rounded(median(delays)),
        loop_delay_worst_ms: rounded(Math.max(...delays)),
        lost: list.reduce((sum, sample) => sum + sample.lost, 0),
        rounds: list.length,
      }
    })
  })
}
