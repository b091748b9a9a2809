import { findTrace, type TraceBounds } from '../http/answers.ts'
import { type Run, UsageError } from './call.ts'
import { renderTrace } from './show-trace.ts'
import { openStore } from './store.ts'
import { jsonLine } from './text.ts'

const MB = 1024 ** 2
/** Beginnings are enough for lines of a terminal. */
const PREVIEW: TraceBounds = { observations: 5000, valueBytes: 4096, totalBytes: 64 * MB }
const FULL: TraceBounds = { observations: 100_000, valueBytes: 64 * MB, totalBytes: 256 * MB }

export const run: Run = async ({ words, flags, json, loaded, terminal }) => {
  const id = words[0]!.toLowerCase()
  if (!/^[0-9a-f]{1,32}$/.test(id)) {
    throw new UsageError(`"${words[0]}" is no trace id: 32 hexadecimal digits, or their beginning`)
  }
  const full = flags.has('full')
  const reader = openStore(loaded.config)
  const result = findTrace(reader, id, full || json ? FULL : PREVIEW)
  reader.close()
  if (result.found !== null) {
    terminal.print(json ? jsonLine(result.found) : renderTrace(result.found, terminal, full))
    return 0
  }
  if (result.problem === 'unknown') {
    terminal.complain(`offpath: no trace begins with ${id}; \`offpath ls\` lists them`)
  } else {
    terminal.complain(`offpath: several traces begin with ${id}:\n${result.ids.join('\n')}`)
  }
  return 1
}
