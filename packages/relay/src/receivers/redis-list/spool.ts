import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../../config/options.ts'
import type { Store } from '../../store/store.ts'
import type { Place } from './spool-writer.ts'

/** Where what was taken from a list waits to be read into the store. */
export function listDirectoryOf(config: Config): string {
  return join(config['store.dir'], 'redis-list')
}

/** Spool directories beside the application's: the list's, as long as there is one, or was. */
export function listSpoolOf(config: Config): string[] {
  const directory = listDirectoryOf(config)
  return config['redis.list'] !== undefined || existsSync(directory) ? [directory] : []
}

/** Where the store has read a writer. */
export function lastReadOf(store: Store, writer: string): Place | null {
  const state = store.writerState(writer)
  return state === null ? null : (JSON.parse(state) as Place)
}
