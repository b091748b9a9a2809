import { wholeDeadLetter } from '../../http/dead-letters.ts'
import { checkExporter } from '../../operations/operated.ts'
import { DEAD_KINDS } from '../../store/dead-letters.ts'
import type { Run } from '../call.ts'
import { openStore } from '../store.ts'
import { jsonLine } from '../text.ts'

const MB = 1024 ** 2
const BOUNDS = { valueBytes: 64 * MB, totalBytes: 256 * MB }
const SLICE = 100

export const run: Run = async ({ flags, loaded, terminal }) => {
  const filter = { exporter: flags.get('exporter'), reason: flags.get('reason') }
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
  return 0
}
