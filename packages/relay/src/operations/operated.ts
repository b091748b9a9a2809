import type { DeadLetters } from '../store/dead-letters.ts'
import type { SentAgain, Store } from '../store/store.ts'
import { OperationError } from './requests.ts'

/** What operations work on: the store, of which this process is the one writer, and those who are to be told. */
export interface Operated {
  readonly store: Store
  readonly storeDir: string
  /** Most that may wait for one exporter. */
  readonly backlogBytes: number
  /** `Store.sendAgain`, also for the delivery that has taken spans of these chunks. */
  sendAgain(exporter: string, chosen: ReadonlyMap<number, readonly number[]>): SentAgain
  /** Scores or media wait that did not before. */
  wake(): void
}

export function namesOf(exporters: readonly string[]): string {
  return exporters.length === 0 ? 'there is none' : `there are ${exporters.join(', ')}`
}

/** @throws OperationError: the store knows no exporter of that name */
export function checkExporter(dead: DeadLetters, exporter: string | undefined): void {
  const names = dead.exporters()
  if (exporter === undefined || names.includes(exporter)) return
  throw new OperationError(`the store knows no exporter ${exporter}; ${namesOf(names)}`)
}

/** Bytes that may still come to an exporter's outbox: what is more would be dropped from it. */
export function roomFor({ store, backlogBytes }: Operated, exporter: string): number {
  return Math.max(0, backlogBytes - store.backlog(exporter).bytes)
}
