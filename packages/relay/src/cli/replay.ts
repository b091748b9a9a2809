import { type Call, type Run, UsageError } from './call.ts'
import { plural } from './format.ts'
import { commandLine, shellWord } from './npm.ts'
import { momentFlag } from './numbers.ts'
import { operate } from './operate.ts'
import { jsonLine } from './text.ts'

export const run: Run = async (call) => {
  const { flags, json, loaded, terminal } = call
  const from = moment(call, 'from')
  if (from === undefined) {
    throw new UsageError('--from is missing: since when? Such as 2h ago, or an ISO time')
  }
  // Somebody at a terminal sees what would happen before it does.
  const asks = !json && terminal.columns !== undefined && !flags.has('yes')
  const { done, relayRuns } = await operate(loaded.config, 'replay', {
    from,
    to: moment(call, 'to'),
    service: flags.get('service'),
    exporter: flags.get('exporter'),
    dryRun: flags.has('dry-run') || asks,
  })
  if (json) {
    terminal.print(jsonLine(done))
    return 0
  }
  const when = relayRuns ? '' : ', once the relay is started'
  for (const { name, observations } of done.exporters) {
    const what = plural(observations, 'observation')
    const will = done.dryRun ? 'would' : 'will'
    terminal.print(`${what} ${will} be sent to ${name} again${when}\n`)
  }
  if (done.unreadable > 0) {
    const what = `${plural(done.unreadable, 'chunk')} of observations cannot be read`
    terminal.print(terminal.style('yellow', `${what}\n`))
  }
  if (asks && !flags.has('dry-run')) {
    const filters = ['service', 'exporter'].flatMap((name) => {
      const value = flags.get(name)
      return value === undefined ? [] : [`--${name}`, shellWord(value)]
    })
    // As moments: what was "10m" ago was it now.
    const times = ['--from', done.from, '--to', done.to]
    const doIt = commandLine(call, 'replay', ...times, ...filters, '--yes')
    terminal.print(terminal.style('dim', `to send them: ${doIt}\n`))
  }
  return 0
}

/** ISO 8601. @throws UsageError */
function moment(call: Call, flag: 'from' | 'to'): string | undefined {
  const at = momentFlag(call, flag)
  return at === undefined ? undefined : new Date(at).toISOString()
}
