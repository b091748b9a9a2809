import { LeaseError, takeLease } from '../receivers/spool/lease.ts'
import { StoreError } from './schema.ts'

/**
 * The right to write to a store: one process has it. The lock is of the kind that guards a spool.
 *
 * @throws StoreError
 */
export function lockStore(directory: string): { release(): void } {
  try {
    return takeLease(directory)
  } catch (error) {
    if (error instanceof LeaseError && error.code === 'OFFPATH_SPOOL_LOCKED') {
      throw new StoreError(
        'OFFPATH_STORE_LOCKED',
        `another relay writes to the store ${directory}; stop it, or name another store.dir`,
      )
    }
    const { message: why } = error as Error
    const message = error instanceof LeaseError ? why : `cannot use the store ${directory}: ${why}`
    throw new StoreError('OFFPATH_STORE_UNUSABLE', message, error)
  }
}
