// An application of the model: the SDK's recorder and spool writer, with segments that are full after a few KB, and an
// end as by SIGKILL.
import fs from 'node:fs'
import { join } from 'node:path'
import { type FrameSink, Recorder } from '../../packages/sdk/src/recorder/recorder.ts'
import { FRAME, LOSS_REASONS } from '../../packages/sdk/src/spool/format.ts'
import type { Tier } from '../../packages/sdk/src/spool/tier.ts'
import { APPENDED, LOST, ROTATED, SpoolWriter } from '../../packages/sdk/src/spool/writer.ts'
import { testOptions } from '../../packages/sdk/src/testing/options.ts'

/** The SDK's smallest segments have 256 KB. */
const ROTATE_BYTES = 8 * 1024

export class Application {
  readonly recorder: Recorder
  isAlive = true
  isKilled = false
  /** Segments that were full. */
  rotations = 0
  /** Of frames that the spool did not take: their observations are counted as lost. */
  readonly lost: Buffer[] = []
  /** Of frames that a killed process did not write, or in part: nobody knows of them. */
  readonly unwritten: Buffer[] = []
  readonly #writer: SpoolWriter
  /** Of the next frame only so much is written; then the process is dead. */
  #torn: number | null = null
  /** The timer's look at the segment is the model's: it is to be silent when that says so. */
  #touches = false

  /** `thread` is not the main one: whether it lives, its heartbeat alone tells, and that is for the relay's clock to say. */
  constructor(tiers: readonly Tier[], thread: number) {
    const writer = new SpoolWriter({
      tiers,
      thread,
      heartbeatSeconds: 10,
      describe: () => ({
        service: `service ${thread}`,
        environment: null,
        release: null,
        sdk: testOptions.sdk,
        language: 'javascript',
        resource: {},
      }),
      warn: () => {},
    })
    this.#writer = writer
    const sink: FrameSink = {
      get bytesWritten() {
        return writer.bytesWritten
      },
      get lastLoss() {
        return writer.lastLoss
      },
      get lost() {
        return writer.lost
      },
      get losses() {
        return writer.losses
      },
      append: (...args) => this.#append(...args),
      countLost: (reason, observations) => writer.countLost(reason, observations),
      saveLosses: () => this.isAlive && writer.saveLosses(),
      touch: () => !this.#touches || writer.touch(),
      relaySilence: () => 0,
      close: () => {},
    }
    this.recorder = new Recorder(testOptions, sink, () => {})
  }

  #append(...args: Parameters<SpoolWriter['append']>): number {
    const [frame, payloadBytes, , started, mayRotate] = args
    const payload = Buffer.from(frame.subarray(FRAME.payload, FRAME.payload + payloadBytes))
    if (!this.isAlive) {
      this.unwritten.push(payload)
      return APPENDED
    }
    const before = this.#torn === null ? null : this.#look()
    const result = this.#writer.append(...args)
    if (result === LOST) this.lost.push(payload)
    if (this.#torn !== null) {
      if (result !== LOST && before !== null && this.#tear(before, this.#torn)) {
        this.unwritten.push(payload)
      }
      this.isAlive = false
    } else if (result !== LOST && mayRotate && this.#length > ROTATE_BYTES) {
      this.#writer.close(started)
      this.rotations++
      return ROTATED
    }
    return result
  }

  get #length(): number {
    return this.#writer.place?.offset ?? 0
  }

  /** The segment as it is, what an earlier use of the file left behind its end included. */
  #look(): { readonly path: string; readonly length: number; readonly bytes: Buffer } | null {
    const place = this.#writer.place
    if (place === null) return null
    const name = `${this.#writer.id}-${String(place.segment).padStart(8, '0')}.seg`
    const path = join(place.directory, name)
    const bytes = fs.existsSync(path) ? fs.readFileSync(path) : null
    return bytes === null ? null : { path, length: place.offset, bytes }
  }

  /** Undoes the end of the last write; false when that went to another file. */
  #tear(before: { path: string; length: number; bytes: Buffer }, share: number): boolean {
    const after = this.#look()
    if (after?.path !== before.path || after.length <= before.length) return false
    const kept = before.length + Math.floor((after.length - before.length) * share)
    fs.writeFileSync(
      before.path,
      Buffer.concat([after.bytes.subarray(0, kept), before.bytes.subarray(kept)]),
    )
    return true
  }

  /** As by SIGKILL, before what is pending is written or in the midst of its last frame. */
  kill(torn: number | null): void {
    this.isKilled = true
    if (torn === null) this.isAlive = false
    else this.#torn = torn
    // With nothing that was pending, or with slices of large values, more than one frame or none.
    this.recorder.flush()
    this.isAlive = false
    this.recorder.flush()
  }

  /** All that is pending goes to a segment that a reader finds; false when something could not be written. */
  handOver(): boolean {
    this.#touches = true
    try {
      return this.recorder.handOver()
    } finally {
      this.#touches = false
    }
  }

  /** By reason; without observations whose segment was taken away, of which a writer counts too many. */
  get losses(): number {
    return LOSS_REASONS.filter((reason) => reason !== 'segment_removed').reduce(
      (sum, reason) => sum + this.#writer.losses[reason],
      0,
    )
  }

  /** Observations that found no room in either tier. */
  get spoolFull(): number {
    return this.#writer.losses.spool_full
  }

  /** When the trial is over. */
  close(): void {
    this.isAlive = false
    this.recorder.close()
    this.#writer.close(0)
  }
}
