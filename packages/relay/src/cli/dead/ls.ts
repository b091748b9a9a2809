import type { Config } from '../../config/options.ts'
import { listDeadLetters } from '../../http/dead-letters.ts'
import { LIMITS } from '../../http/query.ts'
import type { DeadLetter, DeadLetterList } from '../../http/shapes.ts'
import { checkExporter } from '../../operations/operated.ts'
import type { DeadFilter } from '../../store/dead-letters.ts'
import type { Run } from '../call.ts'
import { clockTime, count, plural } from '../format.ts'
import { wholeNumber } from '../numbers.ts'
import { openStore } from '../store.ts'
import { type Cell, renderTable } from '../table.ts'
import { jsonLine, printable } from '../text.ts'
import { isOfPool, withPoolDead } from './pool.ts'

export const run: Run = async (call) => {
  const { flags, json, loaded, terminal } = call
  const limit = wholeNumber(call, 'limit', 50, 1, LIMITS.maxTraces)
  const filter = { exporter: flags.get('exporter'), reason: flags.get('reason') }
  const list = isOfPool(loaded)
    ? await withPoolDead(loaded.config, (dead) => dead.list(filter, limit))
    : listOfStore(loaded.config, filter, limit)
  if (json) {
    terminal.print(jsonLine(list))
    return 0
  }
  if (list.deadLetters.length === 0) {
    terminal.print('No dead letters.\n')
    return 0
  }
  const columns = [
    { title: 'ID' },
    { title: 'TIME' },
    { title: 'WHAT' },
    { title: 'EXPORTER' },
    { title: 'TRACE' },
    { title: 'NAME', flexible: true },
    { title: 'REASON', flexible: true },
  ] as const
  terminal.print(renderTable(columns, list.deadLetters.map(row), terminal))
  const more = list.total - list.deadLetters.length
  if (more > 0) {
    const rest = `… and ${plural(more, 'older one')}; --limit shows up to ${count(LIMITS.maxTraces)}`
    terminal.print(terminal.style('dim', `${rest}\n`))
  }
  return 0
}

function listOfStore(config: Config, filter: DeadFilter, limit: number): DeadLetterList {
  const reader = openStore(config)
  checkExporter(reader.dead, filter.exporter)
  const list = listDeadLetters(reader, filter, limit)
  reader.close()
  return list
}

function row(letter: DeadLetter): Cell[] {
  return [
    { text: letter.id, style: 'bold' },
    { text: clockTime(new Date(letter.time)) },
    { text: letter.what },
    { text: printable(letter.exporter) },
    { text: printable(letter.traceId?.slice(0, 12) ?? ''), style: 'cyan' },
    { text: printable(letter.name) },
    { text: printable(letter.reason), style: 'red' },
  ]
}
