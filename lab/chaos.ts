import { metNothing, runSeeds } from '../test/model/trial.ts'
import { killApplications, killPythonApplications } from './chaos/applications.ts'
import { killListRelays } from './chaos/lists.ts'
import { killRedis } from './chaos/redis-loss.ts'
import { killRelays } from './chaos/relays.ts'
import { soak } from './chaos/soak/soak.ts'
import { killStarted } from './chaos/started.ts'
import { type CommandLine, readCommandLine, runProgram } from './command-line.ts'

const KILLS: Record<string, typeof killApplications | typeof killRelays> = {
  app: killApplications,
  python: killPythonApplications,
  relay: killRelays,
  started: killStarted,
  list: killListRelays,
}
const OTHERS: Record<string, (line: CommandLine) => Promise<void>> = { redis, model, soak: mix }

const USAGE = `Usage: npm run chaos -- app|python|relay|started|list|redis|model [--times <n>] [--seed <n>] [--json]
       npm run chaos -- soak [--minutes <n>] [--seed <n>] [--faults <name>,…] [--long] [--json]

app, python, relay, started, list: kills the application, one in Python, the relay, applications that start their relay themselves,
or a relay that takes from a list in Redis, with SIGKILL under load (default 100 times), and counts what became of every
observation that was in the spool, or the list, before a kill. Exit code 1 when one was lost or stands twice in the store; what
came from a list may. With relay also when nothing was sent again: the last kill comes between an answer and its acknowledgement.

redis: kills Redis under load, with appendfsync always, with everysec, with a replica that takes over, and with one that was cut
off before; counts the entries that it had acknowledged and has no more (default 20 times each). Exit code 1 when any is lost with always. What a machine that
loses power takes is not seen by this: the kernel keeps what a killed process has written.

model: runs steps drawn at random (100 lists of them, from a random seed on) on spool, store and outbox in this process, beside a
plain model of what should come of them: record, flush, read, deliver, crash, restart, disk full. The first list that
fails is made as short as can be and printed, for test/model/regressions.ts; exit code 1.

soak: applications, relays, Redis and a pool, and all faults at random for so many minutes (default 2), the same for the same seed.
Then all is let through, and every observation accounted for. --long: Redis is stopped for 65 s, once at least in a run that has
room for it (1.2 minutes), and who was refused waits his time. Exit code 1 when one is lost that need not be, or the account is not right. Ctrl-C ends the faults early.`

const words = [...Object.keys(KILLS), ...Object.keys(OTHERS)]

await runProgram(USAGE, async () => {
  const options = ['times', 'seed', 'minutes', 'faults']
  const line = readCommandLine(words, ['json', 'long'], options)
  const other = OTHERS[line.word]
  if (other !== undefined) return other(line)
  const run = KILLS[line.word] as (typeof KILLS)[string]
  const result = await run(kills(line, 100))
  print(line, result)
  const isOnce = result.duplicatesInStore === 0 || line.word === 'list'
  const isAgain = result.resent > 0 || line.word !== 'relay'
  process.exitCode = result.lost === 0 && isOnce && isAgain ? 0 : 1
})

async function redis(line: CommandLine): Promise<void> {
  const result = await killRedis(kills(line, 20))
  print(line, result)
  process.exitCode = result.always.lost === 0 ? 0 : 1
}

async function model(line: CommandLine): Promise<void> {
  const seed = line.wholeNumber('seed', 0) ?? Math.floor(Math.random() * 1e9)
  const met = metNothing()
  try {
    await runSeeds(line.wholeNumber('times', 1) ?? 100, seed, met)
  } catch (error) {
    console.error((error as Error).message)
    console.error((error as Error).cause ?? '')
    process.exitCode = 1
  }
  print(line, { seed, ...met })
}

async function mix(line: CommandLine): Promise<void> {
  const stopping = new AbortController()
  // A second one ends us at once. What we have started ends with us.
  process.once('SIGINT', () => {
    stopping.abort()
    process.once('SIGINT', () => process.exit(130))
  })
  process.once('SIGTERM', () => process.exit(143))
  const result = await soak({
    seconds: (line.factor('minutes') ?? 2) * 60,
    seed: line.wholeNumber('seed', 0) ?? 1,
    faults: line.text('faults')?.split(','),
    long: line.has('long'),
    signal: stopping.signal,
    onProgress: (text) => progress(line, text.slice(0, (process.stderr.columns ?? 100) - 1)),
  })
  if (line.has('json')) console.log(JSON.stringify(result))
  else console.log(JSON.stringify(result, null, 2))
  process.exitCode = result.lost === 0 && result.wrong.length === 0 ? 0 : 1
}

/** What the kill loops have alike. */
function kills(line: CommandLine, usual: number) {
  const times = line.wholeNumber('times', 1) ?? usual
  const seed = line.wholeNumber('seed', 0) ?? 1
  return { times, seed, onKill: (n: number) => progress(line, `${n} kills`) }
}

function progress(line: CommandLine, text: string): void {
  if (!line.has('json') && process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`)
}

function print(line: CommandLine, result: object): void {
  if (line.has('json')) console.log(JSON.stringify(result))
  else console.table(result)
}
