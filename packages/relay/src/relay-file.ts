import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** What a running relay leaves in its store's directory, so that the CLI finds it on whatever port it is. */
export interface RelayFile {
  readonly pid: number
  readonly url: string
  /** ISO 8601. */
  readonly startedAt: string
}

const NAME = 'relay.json'

export function writeRelayFile(storeDir: string, file: RelayFile): void {
  const path = join(storeDir, NAME)
  // Whole or not at all: it is read at any time.
  writeFileSync(`${path}.new`, `${JSON.stringify(file)}\n`, { mode: 0o600 })
  renameSync(`${path}.new`, path)
}

export function removeRelayFile(storeDir: string): void {
  rmSync(join(storeDir, NAME), { force: true })
}

/** Null when no relay has left one. It may be a killed relay's: only an answer tells. */
export function readRelayFile(storeDir: string): RelayFile | null {
  try {
    const { pid, url, startedAt } = JSON.parse(readFileSync(join(storeDir, NAME), 'utf8'))
    if (typeof pid !== 'number' || typeof url !== 'string') return null
    return { pid, url, startedAt: String(startedAt) }
  } catch {
    return null
  }
}
