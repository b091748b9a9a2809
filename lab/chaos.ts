import { killApplications, killPythonApplications } from './chaos/applications.ts'
import { killRelays } from './chaos/relays.ts'
import { killStarted } from './chaos/started.ts'
import { readCommandLine, runProgram } from './command-line.ts'

const RUNS: Record<string, typeof killApplications | typeof killRelays> = {
  app: killApplications,
  python: killPythonApplications,
  relay: killRelays,
  started: killStarted,
}

const USAGE = `Usage: npm run chaos -- app|python|relay|started [--times <n>] [--seed <n>] [--json]

Kills the application, one in Python, the relay, or applications that start their relay themselves, with SIGKILL under load
(default 100 times), and counts what became of every observation that was in the spool before a kill. Exit code 1 when one was lost or stands twice in the store.`

await runProgram(USAGE, async () => {
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
