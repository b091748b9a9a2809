import { onTestFinished } from 'vitest'
import type { RecorderOptions } from '../recorder/options.ts'
import { Recorder } from '../recorder/recorder.ts'
import { replaceRecorder } from '../session.ts'
import { START_FLAG } from '../spool/format.ts'
import {
  addRecord,
  type CollectedObservation,
  collected,
  newAssembly,
} from '../testing/assemble.ts'
import {
  type Frame,
  joinBlobs,
  newTables,
  readRecords,
  type StartRecord,
} from '../testing/decode.ts'
import { memorySink } from '../testing/memory-sink.ts'
import { testOptions } from '../testing/options.ts'

/** An observation with what its start record says beside it. */
export interface Recorded extends CollectedObservation {
  readonly kind: number
  readonly appRoot: boolean
  readonly remoteParent: boolean
  /** How often its type was recorded again. */
  readonly types: number
}

export interface Recordings {
  all(): Recorded[]
  /** The only observation of this name. */
  one(name: string): Recorded
}

/** The real recorder on a spool in memory, for the rest of the test. */
export function recordInMemory(options: Partial<RecorderOptions> = {}): Recordings {
  const sink = memorySink()
  const frames: Frame[] = []
  const complete = { ...testOptions, ...options }
  const recorder = new Recorder(complete, sink, (message) => {
    throw new Error(message)
  })
  onTestFinished(replaceRecorder(recorder, complete))
  const all = (): Recorded[] => {
    recorder.flush()
    frames.push(...sink.take())
    return read(frames)
  }
  return {
    all,
    one(name) {
      const found = all().filter((observation) => observation.name === name)
      if (found.length !== 1) throw new Error(`${found.length} observations are named ${name}`)
      return found[0]!
    },
  }
}

function read(frames: readonly Frame[]): Recorded[] {
  const tables = newTables(joinBlobs(frames))
  const assembly = newAssembly()
  const starts: StartRecord[] = []
  for (const { kind, payload } of frames) {
    if (kind !== 1) continue
    for (const record of readRecords(payload, tables)) {
      addRecord(assembly, record)
      if (record.type === 'start' || record.type === 'event') starts.push(record)
    }
  }
  return collected(assembly).map((observation, index) => {
    const { flags, spanKind, serial } = starts[index]!
    const fields = assembly.observations.get(serial)!.fields
    return {
      ...observation,
      kind: spanKind,
      appRoot: (flags & START_FLAG.appRoot) !== 0,
      remoteParent: (flags & START_FLAG.remoteParent) !== 0,
      types: fields.filter(({ field }) => field === 2).length,
    }
  })
}
