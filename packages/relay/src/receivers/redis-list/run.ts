import { randomBytes } from 'node:crypto'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Who takes from the list with this spool. */
export interface Run {
  /** Of this run alone: a copy of the store must not hold what another relay holds. */
  readonly id: string
  /** The run before, which has ended: the store has one relay at a time. */
  readonly earlier: string | null
  /** The same for all of them. */
  readonly seed: string
}

const NAME = 'run.json'
const ID = /^[0-9a-f]{16}$/

/** Begins a run; the directory remembers it. @throws the file system's error */
export function beginRun(directory: string): Run {
  const path = join(directory, NAME)
  const before = readRun(path)
  const id = randomBytes(8).toString('hex')
  const seed = before?.seed ?? id
  writeFileSync(`${path}.new`, `${JSON.stringify({ id, seed })}\n`, { mode: 0o600 })
  renameSync(`${path}.new`, path)
  return { id, earlier: before?.id ?? null, seed }
}

function readRun(path: string): { readonly id: string; readonly seed: string } | null {
  try {
    const { id, seed } = JSON.parse(readFileSync(path, 'utf8'))
    return ID.test(id) && ID.test(seed) ? { id, seed } : null
  } catch {
    return null
  }
}
