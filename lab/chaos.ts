/**
 * `npm run chaos -- app|relay --times N [--json]`: kills the application, or the relay, N times with SIGKILL under load
 * and counts what became of every observation that was in the spool before a kill. Exit code 1 when one was lost
 * or stands twice in the store.
 */
import { parseArgs } from 'node:util'
import { killApplications } from './chaos/applications.ts'
import { killRelays } from './chaos/relays.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    times: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
})
const run = { app: killApplications, relay: killRelays }[positionals[0] ?? '']
const times = Number(values.times)
if (run === undefined || !Number.isInteger(times) || times < 1) {
  console.error('usage: npm run chaos -- app|relay [--times N] [--seed S] [--json]')
  process.exit(2)
}
const result = await run({
  times,
  seed: Number(values.seed),
  onKill: (kills) => {
    if (!values.json && process.stderr.isTTY) process.stderr.write(`\r${kills} of ${times} kills`)
  },
})
if (values.json) console.log(JSON.stringify(result))
else console.table(result)
process.exitCode = result.lost === 0 && result.duplicatesInStore === 0 ? 0 : 1
