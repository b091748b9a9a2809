import * as sdk from '@offpath/sdk'
import type { Tracing } from '../apparatus/tracing.ts'
import type { OpenSubject } from './subjects.ts'

/** Offpath as installed; OFFPATH_SPOOL_DIR says where. */
export function openOffpath(): OpenSubject {
  return {
    tracing: sdk as unknown as Tracing,
    flush: async () => void (await sdk.flush()),
    taken: () => {
      const { observations, lost } = sdk.stats()
      return observations - Object.values(lost).reduce((sum, count) => sum + count, 0)
    },
  }
}
