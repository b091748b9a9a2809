import { type Channel, channel } from 'node:diagnostics_channel'

export type CrashPoint =
  | 'read'
  | 'commit'
  | 'unlink'
  | 'send'
  | 'acknowledge'
  | 'media'
  | 'uploaded'
  | 'moved'
  | 'written'

/** Gets the name of each point that is passed. Nobody listens but testing/crash-at.ts. */
export const CRASH_POINTS: Channel = channel('offpath:crash-point')

/** Where a test may kill the relay. */
export function crashPoint(name: CrashPoint): void {
  if (CRASH_POINTS.hasSubscribers) CRASH_POINTS.publish(name)
}
