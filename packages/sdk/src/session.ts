import { type InitOptions, resolveOptions } from './config.ts'
import { type Recording, state, warnOnce } from './context.ts'
import { type FlushOptions, flushOptions } from './flush-options.ts'
import { openRecorder } from './recorder/open.ts'
import type { RecorderOptions } from './recorder/options.ts'
import type { RecorderStats } from './recorder/recorder.ts'
import { Propagated } from './recorder/span.ts'
import { noLosses } from './spool/format.ts'

/**
 * Sets the options, before the first observation. It need not be called: the environment is enough.
 * A second call with the same options changes nothing; with others it warns and changes nothing.
 *
 * @throws OptionsError for an unknown option or a value that can't be used
 */
export function init(options: InitOptions = {}): void {
  const resolved = resolveOptions(options)
  if (state.phase === 'idle') begin(resolved)
  else if (JSON.stringify(resolved) !== JSON.stringify(state.options)) {
    warnOnce(
      'late init',
      'init() came after the first observation, a first init() or shutdown(), and is ignored: call it first',
    )
  }
}

/** The recorder, opened by the first call; undefined when nothing is recorded. */
export function recording(): Recording | undefined {
  return state.recorder ?? (state.phase === 'idle' ? begin(resolveOptions({})) : undefined)
}

function begin(options: RecorderOptions): Recording | undefined {
  state.options = options
  state.base = baseOf(options)
  if (!options.enabled) {
    state.phase = 'off'
    return undefined
  }
  const { recorder, delivered } = openRecorder(options)
  state.phase = 'on'
  state.recorder = recorder
  state.delivered = delivered
  if (options.debug) console.error(`[offpath] recording to ${options.spoolDir}`)
  return recorder
}

function baseOf({ project }: RecorderOptions): Propagated | null {
  return project === undefined ? null : new Propagated({ project })
}

/** Puts a recorder in the place of the process's own, for tests. Returns the function that takes it away again. */
export function replaceRecorder(recorder: Recording, options: RecorderOptions): () => void {
  const { phase, recorder: recorderBefore, delivered, options: optionsBefore, base } = state
  const before = { phase, recorder: recorderBefore, delivered, options: optionsBefore, base }
  const after = { phase: 'on', recorder, delivered: undefined, options, base: baseOf(options) }
  Object.assign(state, after)
  return () => Object.assign(state, before)
}

/**
 * Writes what is pending. False: the time ran out, or something that was recorded since the last flush is lost, because
 * the spool refuses or was removed; `stats()` says how much and why. Never rejects: options that can't be used are told in
 * a warning and ignored.
 */
export async function flush(options: FlushOptions = {}): Promise<boolean> {
  const { until, timeoutMs } = flushOptions(options)
  if (state.recorder === undefined) return true
  const spooled = state.recorder.handOver()
  if (until !== 'delivered') return spooled
  const delivered = await state.delivered?.(timeoutMs)
  return spooled && delivered !== false
}

/** Flushes and stops recording, for good: later observations work and record nothing. Not needed at exit. */
export async function shutdown(options: FlushOptions = {}): Promise<boolean> {
  const flushed = await flush(options)
  state.recorder?.close()
  state.last = state.recorder?.stats() ?? state.last
  state.recorder = undefined
  state.phase = 'off'
  return flushed
}

/** What was recorded and lost since the process began, in observations; zeros when nothing was recorded. */
export function stats(): RecorderStats {
  return state.recorder?.stats() ?? state.last ?? NO_STATS
}

const NO_STATS: RecorderStats = {
  observations: 0,
  records: 0,
  bytes: 0,
  lost: noLosses(),
  lostUpdates: 0,
}
