import type { Run } from '../call.ts'
import { plural } from '../format.ts'
import { operate } from '../operate.ts'
import { jsonLine } from '../text.ts'
import { isOfPool, withPoolDead } from './pool.ts'
import { deadSelection } from './selection.ts'

export const run: Run = async (call) => {
  const { json, loaded, terminal } = call
  const { config } = loaded
  const which = deadSelection(call)
  const done = isOfPool(loaded)
    ? await withPoolDead(config, (dead) => dead.drop(which))
    : (await operate(config, 'dropDead', which)).done
  if (json) terminal.print(jsonLine(done))
  else terminal.print(`${plural(done.dropped, 'dead letter')} dropped\n`)
  for (const id of done.unknown) terminal.complain(`offpath: no dead letter ${id}`)
  return done.unknown.length === 0 ? 0 : 1
}
