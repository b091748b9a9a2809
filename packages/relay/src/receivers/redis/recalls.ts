// Entries on the shelf that are wanted are read again, where they lie: they are pending, so XREADGROUP would count a delivery.
import type { Log } from '../../log.ts'
import { entriesOf, type Group } from './group.ts'
import { type HeldEntries, LOST } from './held-entries.ts'
import { pause } from './pause.ts'

export interface Recalls {
  stop(): Promise<void>
}

export interface RecallsOptions {
  readonly group: Group
  readonly outbox: HeldEntries
  readonly log: Log
  /** Something came back. */
  wake(): void
}

const POLL_MS = 100
const RETRY_MS = 1000

export function startRecalls({ group, outbox, log, wake }: RecallsOptions): Recalls {
  const { connection, name } = group
  const stopping = new AbortController()
  const { signal } = stopping

  const run = async (): Promise<void> => {
    let failing = false
    while (!signal.aborted) {
      const wanted = outbox.nextWanted()
      if (wanted === undefined) {
        await pause(POLL_MS, signal)
        continue
      }
      const { stream, entry } = wanted
      try {
        const [found] = entriesOf(await connection.call(stream, ['XRANGE', stream, entry, entry]))
        if (found === undefined && outbox.isShelved(stream, entry)) {
          log.error(LOST, { exporter: name, stream, entries: 1 })
        }
        outbox.comeBack(stream, entry, found ?? null)
        wake()
        failing = false
      } catch (error) {
        const text = `cannot read again what waited for keys: ${(error as Error).message}`
        if (!failing) log.warn(text, { exporter: name, stream })
        failing = true
        await pause(RETRY_MS, signal)
      }
    }
  }
  const running = run()

  return {
    async stop() {
      stopping.abort()
      await running
    },
  }
}
