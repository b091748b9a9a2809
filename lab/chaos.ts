import { runSeeds } from '../test/model/trial.ts'
import { killApplications, killPythonApplications } from './chaos/applications.ts'
import { killRelays } from './chaos/relays.ts'
import { readCommandLine, runProgram } from './command-line.ts'

const RUNS: Record<string, typeof killApplications | typeof killRelays> = {
  app: killApplications,
  python: killPythonApplications,
  relay: killRelays,
}

const USAGE = `Usage: npm run chaos -- app|python|relay|model [--times <n>] [--seed <n>] [--json]

Kills the application, one in Python, or the relay, with SIGKILL under load (default 100 times), and counts what became of every
observation that was in the spool before a kill. Exit code 1 when one was lost or stands twice in the store.

\`model\` runs steps drawn at random (100 lists of them, from a random seed on) on spool, store and outbox in this process, beside a
plain model of what should come of them: record, flush, read, deliver, crash, restart, disk full. The first list that
fails is made as short as can be and printed, for test/model/regressions.ts; exit code 1.`

await runProgram(USAGE, async () => {
  const line = readCommandLine([...Object.keys(RUNS), 'model'], ['json'], ['times', 'seed'])
  const times = line.wholeNumber('times', 1) ?? 100
  const json = line.has('json')
  if (line.word === 'model') {
    await checkModel(times, line.wholeNumber('seed', 0), json)
    return
  }
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

async function checkModel(times: number, given: number | undefined, json: boolean): Promise<void> {
  const seed = given ?? Math.floor(Math.random() * 1e9)
  const met = { observations: 0, kills: 0, requests: 0 }
  try {
    await runSeeds(times, seed, met)
  } catch (error) {
    console.error((error as Error).message)
    console.error((error as Error).cause ?? '')
    process.exitCode = 1
  }
  const result = { seed, ...met }
  if (json) console.log(JSON.stringify(result))
  else console.table(result)
}
