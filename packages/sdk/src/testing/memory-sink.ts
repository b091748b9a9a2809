import type { FrameSink } from '../recorder/recorder.ts'
import { FRAME, LOSS_REASONS, type LossReason } from '../spool/format.ts'
import { APPENDED } from '../spool/writer.ts'
import type { Frame } from './decode.ts'

/** A spool in memory: one segment without end, from which nothing is lost. */
export interface MemorySink extends FrameSink {
  /** Frames since the last call. */
  take(): Frame[]
}

export function memorySink(): MemorySink {
  let frames: Frame[] = []
  let sequence = 0
  const sink: MemorySink = {
    bytesWritten: 0,
    get lost() {
      return LOSS_REASONS.reduce((total, reason) => total + sink.losses[reason], 0)
    },
    losses: Object.fromEntries(LOSS_REASONS.map((reason) => [reason, 0])) as Record<
      LossReason,
      number
    >,
    lastLoss: 'no_spool',
    append(frame, payloadBytes, kind, started) {
      const payload = Buffer.from(frame.subarray(FRAME.payload, FRAME.payload + payloadBytes))
      frames.push({ kind, sequence: sequence++, hasCrc: false, started, lost: 0, payload })
      sink.bytesWritten += payloadBytes
      return APPENDED
    },
    countLost(reason, observations) {
      sink.losses[reason] += observations
    },
    saveLosses() {},
    touch: () => true,
    relaySilence: () => 0,
    close() {},
    take() {
      const taken = frames
      frames = []
      return taken
    },
  }
  return sink
}
