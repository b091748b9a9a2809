/**
 * Whether a relay failed to start because another one reads its spool: it may wait for its turn, and nothing is wrong. Who
 * shares but the store or the disk directory is not served by the other one.
 */
export async function isServedByAnother(error: unknown, spool: string): Promise<boolean> {
  const { code } = error as NodeJS.ErrnoException
  if (code !== 'OFFPATH_SPOOL_LOCKED' && code !== 'OFFPATH_STORE_LOCKED') return false
  // Loads node:sqlite, as the relay does: not before its warning is quiet.
  const { isLeased } = await import('./receivers/spool/lease.ts')
  try {
    return isLeased(spool)
  } catch {
    return false
  }
}
