/**
 * `npm run chaos -- app|relay [--times N] [--seed S] [--json]`: kills the application, or the relay, N times with SIGKILL under load
 * and counts what became of every observation that was in the spool before a kill. Exit code 1 when one was lost
 * or stands twice in the store.
 */
import { killApplications } from './chaos/applications.ts'
import { killRelays } from './chaos/relays.ts'
import { readCommandLine, runProgram } from './command-line.ts'

const RUNS: Record<string, typeof killApplications | typeof killRelays> = {
  app: killApplications,
  relay: killRelays,
}

await runProgram(async () => {
  const line = readCommandLine(Object.keys(RUNS), ['json'], ['times', 'seed'])
  const times = line.wholeNumber('times', 1) ?? 100
  const json = line.has('json')
  const run = RUNS[line.word] as (typeof RUNS)[string]
  const result = await run({
    times,
    seed: line.wholeNumber('seed', 0) ?? 1,
    onKill: (kills) => {
      if (!json && process.stderr.isTTY) process.stderr.write(`\r${kills} of ${times} kills`)
    },
  })
  if (json) console.log(JSON.stringify(result))
  else console.table(result)
  process.exitCode = result.lost === 0 && result.duplicatesInStore === 0 ? 0 : 1
})
