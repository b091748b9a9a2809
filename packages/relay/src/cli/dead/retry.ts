import type { Retried } from '../../operations/dead.ts'
import type { Run } from '../call.ts'
import { count, plural } from '../format.ts'
import { operate } from '../operate.ts'
import { jsonLine } from '../text.ts'
import { deadSelection } from './selection.ts'

export const run: Run = async (call) => {
  const { json, loaded, terminal } = call
  const { done, relayRuns } = await operate(loaded.config, 'retryDead', deadSelection(call))
  if (json) terminal.print(jsonLine(done))
  else {
    const when = relayRuns ? '' : ', once the relay is started'
    terminal.print(`${plural(done.retried, 'dead letter')} will be sent again${when}\n`)
    for (const note of notes(done)) terminal.print(terminal.style('yellow', `${note}\n`))
  }
  for (const id of done.unknown) terminal.complain(`offpath: no dead letter ${id}`)
  return done.unknown.length === 0 ? 0 : 1
}

function notes({ superseded, notConfigured, gone, noRoom }: Retried): string[] {
  const told: [number, string][] = [
    [superseded, 'taken off the list: a newer version of the observation is stored'],
    [notConfigured, 'left: the exporter is not configured now, or takes none such'],
    [gone, 'left: the observation has expired, or cannot be read, and what was rejected with it'],
    [noRoom, 'left: export.backlog-cap has no room for them now'],
  ]
  return told.filter(([n]) => n > 0).map(([n, text]) => `${count(n)} ${text}`)
}
