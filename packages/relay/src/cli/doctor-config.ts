import type { Run } from './call.ts'
import { checkApi } from './doctor/api.ts'
import type { Check } from './doctor/check.ts'
import { checkConfiguration } from './doctor/configuration.ts'
import { checkDirectories } from './doctor/directory.ts'
import { checkExporters } from './doctor/exporters.ts'
import { checkRelay } from './doctor/relay.ts'
import { checkStore } from './doctor/store.ts'
import type { Terminal } from './terminal.ts'
import { columnsOf, jsonLine, pad, printable } from './text.ts'

export const run: Run = async ({ json, loaded, terminal }) => {
  const { config } = loaded
  const found = await Promise.all([
    checkConfiguration(loaded),
    checkDirectories(config),
    checkStore(config),
    checkRelay(config),
    checkApi(config),
    checkExporters(config),
  ])
  const checks = found.flat()
  terminal.print(json ? jsonLine({ checks }) : render(checks, terminal))
  return checks.some(({ state }) => state === 'wrong') ? 1 : 0
}

const STYLES = { ok: 'green', warning: 'yellow', wrong: 'red' } as const
const STATES = ['ok', 'warning', 'wrong'] as const

function render(checks: readonly Check[], terminal: Terminal): string {
  const width = Math.max(...checks.map(({ name }) => columnsOf(printable(name))))
  const lines = checks.map(({ name, state, message, fix }) => {
    const text = fix === null ? message : `${message} → ${fix}`
    const word = terminal.style(STYLES[state], state.padEnd('warning'.length))
    return `${word}  ${pad(printable(name), width)}  ${printable(text)}\n`
  })
  const counts = STATES.map((state) => {
    return `${checks.filter((check) => check.state === state).length} ${state}`
  })
  return `${lines.join('')}${counts.join(', ')}\n`
}
