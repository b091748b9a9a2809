import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { threadId } from 'node:worker_threads'
import { SpoolWriter } from '../spool/writer.ts'
import type { RecorderOptions } from './options.ts'
import { Recorder } from './recorder.ts'

const HEARTBEAT_SECONDS = 10
const DELIVERED_POLL_MS = 20

/** A recorder on the spool, with what a process needs around it. */
export interface OpenRecorder {
  readonly recorder: Recorder
  /**
   * Waits until all that is recorded is delivered by the relay's exporters, `timeoutMs` at most. False when the
   * time ran out or there is no spool to ask through.
   */
  delivered(timeoutMs: number): Promise<boolean>
}

/**
 * Opens a recorder that writes to the spool; no file is made before the first record. At the process's exit it writes
 * what is pending. Problems with the spool are told once each by process.emitWarning.
 */
export function openRecorder(options: RecorderOptions): OpenRecorder {
  const warned = new Set<string>()
  const warn = (message: string, code: string) => {
    if (warned.has(message) || warned.size >= 10) return
    warned.add(message)
    process.emitWarning(message, { type: 'OffpathWarning', code })
  }
  const writer = new SpoolWriter({
    tiers: [
      { directory: options.spoolDir, capBytes: options.spoolCapBytes, crc: false },
      { directory: options.diskDir, capBytes: options.diskCapBytes, crc: true },
    ],
    thread: threadId,
    heartbeatSeconds: HEARTBEAT_SECONDS,
    describe: () => ({
      service: options.service ?? null,
      environment: options.environment ?? null,
      release: options.release ?? null,
      sdk: options.sdk,
      language: 'javascript',
      resource: options.resource,
    }),
    warn,
  })
  const recorder = new Recorder(options, writer, warn)
  process.on('exit', () => recorder.close())
  let waiting = 0
  return {
    recorder,
    delivered: async (timeoutMs) => {
      recorder.flush()
      const place = writer.place
      if (place === null) return recorder.stats().observations === 0
      const question = join(place.directory, `${writer.id}.flush`)
      const { segment, offset } = place
      try {
        writeFileSync(question, JSON.stringify({ segment, offset }), { mode: 0o600 })
      } catch {
        return false
      }
      waiting++
      let answered = false
      for (const end = performance.now() + timeoutMs; !answered && performance.now() < end; ) {
        await delay(DELIVERED_POLL_MS)
        answered = !existsSync(question)
      }
      // Others that wait would take its absence for the answer.
      if (--waiting === 0 && !answered) rmSync(question, { force: true })
      return answered
    },
  }
}
