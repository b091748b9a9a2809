import type { Config } from '../../config/options.ts'
import { StoreReader } from '../../store/read.ts'
import { plural } from '../format.ts'
import { type Check, ok, wrong } from './check.ts'

/** Whether this offpath can read what is stored. */
export function checkStore(config: Config): Check[] {
  try {
    const reader = StoreReader.open(config['store.dir'])
    if (reader === null)
      return [ok('store', 'none is there yet, or an earlier version, which the relay takes over')]
    const { accepted = 0 } = reader.counters()
    reader.close()
    return [ok('store', `can be read: ${plural(accepted, 'observation')} so far`)]
  } catch (error) {
    return [wrong('store', (error as Error).message, null)]
  }
}
