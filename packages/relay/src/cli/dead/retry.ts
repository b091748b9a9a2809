import type { LoadedConfig } from '../../config/config.ts'
import type { Retried } from '../../operations/dead.ts'
import type { PoolRetried, PoolSelection } from '../../operations/pool-dead.ts'
import type { Run } from '../call.ts'
import { count, plural } from '../format.ts'
import { operate } from '../operate.ts'
import { jsonLine, printable } from '../text.ts'
import { isOfPool, withPoolDead } from './pool.ts'
import { deadSelection } from './selection.ts'

export const run: Run = async (call) => {
  const { json, loaded, terminal } = call
  const { done, when } = await retried(loaded, deadSelection(call))
  const refused = 'refused' in done ? done.refused : []
  if (json) terminal.print(jsonLine(done))
  else {
    terminal.print(`${plural(done.retried, 'dead letter')} will be sent again${when}\n`)
    for (const note of notes(done)) terminal.print(terminal.style('yellow', `${note}\n`))
    for (const { id, reason } of refused) terminal.print(`${id}: ${printable(reason)}\n`)
  }
  for (const id of done.unknown) terminal.complain(`offpath: no dead letter ${id}`)
  return done.unknown.length === 0 ? 0 : 1
}

/** `when`, for people: once a relay runs. */
async function retried(
  loaded: LoadedConfig,
  which: PoolSelection,
): Promise<{ done: Retried | PoolRetried; when: string }> {
  const { config } = loaded
  if (isOfPool(loaded)) {
    const done = await withPoolDead(config, (dead) => dead.retry(which))
    return { done, when: ', by the relays of the pool' }
  }
  const { done, relayRuns } = await operate(config, 'retryDead', which)
  return { done, when: relayRuns ? '' : ', once the relay is started' }
}

function notes({ superseded, notConfigured, gone, noRoom }: Retried): string[] {
  const told: [number, string][] = [
    [superseded, 'taken off the list: a newer version of the observation is stored'],
    [notConfigured, 'left: the exporter is not configured now, or takes none such'],
    [gone, 'left: the observation has expired, or cannot be read, and what was rejected with it'],
    [
      noRoom,
      'left: there is no room for them now (export.backlog-cap, of a pool redis.max-length)',
    ],
  ]
  return told.filter(([n]) => n > 0).map(([n, text]) => `${count(n)} ${text}`)
}
