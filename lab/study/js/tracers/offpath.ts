import * as sdk from '@offpath/sdk'
import type { Observing, Tracing } from '../../../apparatus/tracing.ts'
import type { Settings } from '../settings.ts'
import type { Tracer } from './tracer.ts'

/** Offpath as installed; OFFPATH_SPOOL_DIR says where. */
export function openOffpath({ durable }: Settings): Tracer {
  if (durable !== undefined) sdk.init({ durable })
  const tracing = sdk as unknown as Tracing
  return {
    forRequest: () => tracing,
    observing: sdk as unknown as Observing,
    flush: async () => void (await sdk.flush()),
  }
}
