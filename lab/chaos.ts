import { killApplications, killPythonApplications } from './chaos/applications.ts'
import { killListRelays } from './chaos/lists.ts'
import { killRelays } from './chaos/relays.ts'
import { readCommandLine, runProgram } from './command-line.ts'

const RUNS: Record<string, typeof killApplications | typeof killRelays> = {
  app: killApplications,
  python: killPythonApplications,
  relay: killRelays,
  list: killListRelays,
}

const USAGE = `Usage: npm run chaos -- app|python|relay|list [--times <n>] [--seed <n>] [--json]

Kills the application, one in Python, the relay, or one that takes from a list in Redis, with SIGKILL under load (default 100
times), and counts what became of every observation that was in the spool, or the list, before a kill. Exit code 1 when one was
lost or stands twice in the store; what came from a list may.`

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
  const isOnce = result.duplicatesInStore === 0 || line.word === 'list'
  process.exitCode = result.lost === 0 && isOnce ? 0 : 1
})
