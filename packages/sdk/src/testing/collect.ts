import { Recorder } from '../recorder/recorder.ts'
import { replaceRecorder } from '../session.ts'
import {
  addRecord,
  type CollectedObservation,
  collected,
  newAssembly,
  recordsOf,
} from './assemble.ts'
import { joinBlobs, newTables } from './decode.ts'
import { memorySink } from './memory-sink.ts'
import { testOptions } from './options.ts'

/** What this process records, from `collectObservations()` on. */
export interface ObservationCollector extends Disposable {
  /** The observations that have ended, in the order of their starts: a parent before its children. */
  readonly finished: readonly CollectedObservation[]
  /** The observations that have not ended yet, in the order of their starts. */
  readonly open: readonly CollectedObservation[]
  /** Forgets all observations; those that are open are not seen again. */
  clear(): void
  /** Records to the spool again, as before. What was collected can still be read. */
  restore(): void
}

/**
 * Collects what this process (or worker thread) records in memory instead of the spool, for tests with any runner:
 *
 * ```ts
 * const collector = collectObservations()
 * afterEach(() => collector.clear())
 * afterAll(() => collector.restore())
 *
 * test('the answer is recorded', async () => {
 *   await answer('question')
 *   expect(collector.finished).toMatchObject([{ name: 'answer', input: 'question' }])
 * })
 * ```
 *
 * All observations are sampled, and nothing is read from the environment. Values are what exporters get: copies, as
 * they were when they were recorded. `using collector = collectObservations()` restores by itself. Of several
 * collectors the newest collects; restore them in reverse order.
 */
export function collectObservations(): ObservationCollector {
  const sink = memorySink()
  const recorder = new Recorder(testOptions, sink, () => {})
  const takeAway = replaceRecorder(recorder, testOptions)
  const tables = newTables(new Map())
  let assembly = newAssembly()
  let restored = false

  function read(): CollectedObservation[] {
    recorder.flush()
    const frames = sink.take()
    for (const [id, blob] of joinBlobs(frames)) tables.blobs.set(id, blob)
    for (const record of recordsOf(frames, tables)) addRecord(assembly, record)
    return collected(assembly)
  }

  function restore(): void {
    if (restored) return
    restored = true
    recorder.close()
    takeAway()
  }

  return {
    get finished() {
      return read().filter(({ finished }) => finished)
    },
    get open() {
      return read().filter(({ finished }) => !finished)
    },
    clear() {
      read()
      assembly = newAssembly()
    },
    restore,
    [Symbol.dispose]: restore,
  }
}
