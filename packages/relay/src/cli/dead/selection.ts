import type { LoadedConfig } from '../../config/config.ts'
import { isPoolId, type PoolSelection } from '../../operations/pool-dead.ts'
import { deadKeyOf } from '../../store/dead-letters.ts'
import { type Call, UsageError } from '../call.ts'
import { isOfPool } from './pool.ts'

/** Which dead letters a command line names, as the API takes it. @throws UsageError */
export function deadSelection({ words, flags, loaded }: Call): PoolSelection {
  const exporter = flags.get('exporter')
  const reason = flags.get('reason')
  if (words.length > 0) {
    if (flags.has('all') || exporter !== undefined || reason !== undefined) {
      throw new UsageError('ids name dead letters one by one: --all, --exporter, --reason do not')
    }
    for (const word of words) checkId(word, loaded)
    return { ids: words }
  }
  if (!flags.has('all')) {
    throw new UsageError(
      'which dead letters? Their ids, or --all, with --exporter and --reason to choose',
    )
  }
  return { all: true, exporter, reason }
}

/** @throws UsageError */
export function checkId(word: string, loaded: LoadedConfig): void {
  const isId = isOfPool(loaded) ? isPoolId(word) : deadKeyOf(word) !== undefined
  if (isId) return
  const such = isOfPool(loaded)
    ? ' of a pool, such as span:1764260000000-0, score:1764260000000-1'
    : ', such as span:12, score:7, media:9'
  throw new UsageError(`${JSON.stringify(word)} is no dead letter's id${such}`)
}
