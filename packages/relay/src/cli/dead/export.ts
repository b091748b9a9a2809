import { wholeDeadLetter } from '../../http/dead-letters.ts'
import { checkExporter } from '../../operations/operated.ts'
import { DEAD_KINDS, type DeadFilter } from '../../store/dead-letters.ts'
import type { Call, Run } from '../call.ts'
import { openStore } from '../store.ts'
import { jsonLine } from '../text.ts'
import { isOfPool, withPoolDead } from './pool.ts'

const MB = 1024 ** 2
const BOUNDS = { valueBytes: 64 * MB, totalBytes: 256 * MB }
const SLICE = 100

export const run: Run = async (call) => {
  const { flags, loaded, terminal } = call
  const filter = { exporter: flags.get('exporter'), reason: flags.get('reason') }
  if (isOfPool(loaded)) {
    await withPoolDead(loaded.config, async (dead) => {
      for await (const letter of dead.all(filter, BOUNDS)) terminal.print(jsonLine(letter))
    })
  } else ofStore(call, filter)
  return 0
}

function ofStore({ loaded, terminal }: Call, filter: DeadFilter): void {
  const reader = openStore(loaded.config)
  checkExporter(reader.dead, filter.exporter)
  for (const kind of DEAD_KINDS) {
    const last = reader.dead.last(kind)
    for (let after = 0; ; ) {
      const rows = reader.dead.range(kind, filter, after, last, SLICE)
      for (const row of rows) terminal.print(jsonLine(wholeDeadLetter(reader, row, BOUNDS)))
      if (rows.length === 0) break
      after = rows.at(-1)!.id
    }
  }
  reader.close()
}
