import type { Observing } from '../../../apparatus/tracing.ts'
import type { Account } from '../split.ts'
import type { Attached } from './attached.ts'

const LINES = 20

/** Log lines go to a destination that makes an update of the active observation of each; without an SDK they are dropped. */
export function attachLogs(observing: Observing | undefined): Attached {
  let account: Account | undefined
  let inRequest = false
  const stream = {
    write(line: string): void {
      // Fastify has lines of its own, when it starts.
      if (observing === undefined || !inRequest) return
      const update = () => observing.updateActiveObservation({ metadata: { log: line } })
      if (account === undefined) update()
      else account.call(update)
    },
  }
  return {
    logger: { level: 'info', stream },
    writeLog(log, user, accountInHand) {
      account = accountInHand
      inRequest = true
      for (let line = 0; line < LINES; line++) {
        log.info({ step: line, user, kept: line % 5 }, 'a step of the answer')
      }
      inRequest = false
    },
  }
}
