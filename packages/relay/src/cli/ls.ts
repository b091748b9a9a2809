import { listTraces } from '../http/answers.ts'
import { LIMITS } from '../http/query.ts'
import type { TraceSummary } from '../http/shapes.ts'
import type { Run } from './call.ts'
import { clockTime, count, duration, plural } from './format.ts'
import { commandLine, shellWord } from './npm.ts'
import { parameter, wholeNumber } from './numbers.ts'
import { openStore } from './store.ts'
import { type Cell, renderTable } from './table.ts'
import { jsonLine, printable } from './text.ts'

export const run: Run = async (call) => {
  const { flags, json, loaded, terminal } = call
  const filter = {
    limit: wholeNumber(call, 'limit', 20, 1, LIMITS.maxTraces),
    before: parameter(call, 'before'),
    service: flags.get('service'),
    since: parameter(call, 'since'),
  }
  const reader = openStore(loaded.config)
  const list = listTraces(reader, filter)
  reader.close()
  if (json) {
    terminal.print(jsonLine(list))
    return 0
  }
  if (list.traces.length === 0) {
    terminal.print('No traces.\n')
    return 0
  }
  const columns = [
    { title: 'TRACE' },
    { title: 'TIME' },
    { title: 'NAME', flexible: true },
    { title: 'SERVICE', flexible: true },
    { title: 'DURATION', align: 'end' },
    { title: 'SPANS', align: 'end' },
    { title: 'TOKENS', align: 'end' },
    { title: 'TROUBLE' },
    { title: 'USER', flexible: true },
    { title: 'SESSION', flexible: true },
  ] as const
  terminal.print(renderTable(columns, list.traces.map(row), terminal))
  if (list.next !== null) {
    const filters = ['limit', 'service', 'since'].flatMap((name) => {
      const value = flags.get(name)
      return value === undefined ? [] : [`--${name}`, shellWord(value)]
    })
    const older = commandLine(call, 'ls', ...filters, '--before', list.next)
    terminal.print(terminal.style('dim', `older ones: ${older}\n`))
  }
  return 0
}

function row(trace: TraceSummary): Cell[] {
  const { errors, warnings, interrupted } = trace
  const trouble = [
    errors > 0 && plural(errors, 'error'),
    warnings > 0 && plural(warnings, 'warning'),
    interrupted > 0 && `${count(interrupted)} cut off`,
  ]
  return [
    { text: trace.id.slice(0, 12), style: 'cyan' },
    { text: clockTime(new Date(trace.startTime)) },
    trace.name === null
      ? { text: '(running)', style: 'dim' }
      : { text: printable(trace.name), style: 'bold' },
    { text: printable(trace.service ?? '') },
    { text: trace.complete ? duration(trace.durationMs) : `${duration(trace.durationMs)} …` },
    { text: count(trace.observations) },
    { text: tokensText(trace.tokens) },
    { text: trouble.filter(Boolean).join(', '), style: errors > 0 ? 'red' : 'yellow' },
    { text: printable(trace.userId ?? '') },
    { text: printable(trace.sessionId ?? '') },
  ]
}

/** `412 → 128`; the total when that is not all. */
function tokensText(tokens: TraceSummary['tokens']): string {
  const { input = null, output = null, total = null } = tokens ?? {}
  if (total === null) return ''
  return input !== null && output !== null && input + output === total
    ? `${count(input)} → ${count(output)}`
    : count(total)
}
