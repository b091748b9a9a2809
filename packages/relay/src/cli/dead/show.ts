import type { Config } from '../../config/options.ts'
import { wholeDeadLetter } from '../../http/dead-letters.ts'
import type { WholeDeadLetter } from '../../http/shapes.ts'
import { deadKeyOf } from '../../store/dead-letters.ts'
import type { Run } from '../call.ts'
import { bytes } from '../format.ts'
import { renderObservations } from '../show-trace.ts'
import { openStore } from '../store.ts'
import type { Terminal } from '../terminal.ts'
import { jsonLine, printable } from '../text.ts'
import { isOfPool, withPoolDead } from './pool.ts'
import { checkId } from './selection.ts'

const MB = 1024 ** 2
/** Beginnings are enough for lines of a terminal. */
const PREVIEW = { valueBytes: 4096, totalBytes: 4 * MB }
const FULL = { valueBytes: 64 * MB, totalBytes: 256 * MB }

export const run: Run = async ({ words, flags, json, loaded, terminal }) => {
  const id = words[0]!
  const { config } = loaded
  checkId(id, loaded)
  const full = flags.has('full')
  const bounds = full || json ? FULL : PREVIEW
  const letter = isOfPool(loaded)
    ? await withPoolDead(config, (dead) => dead.get(id, bounds))
    : ofStore(config, id, bounds)
  if (letter === undefined) {
    terminal.complain(`offpath: no dead letter ${id}; \`offpath dead ls\` lists them`)
    return 1
  }
  terminal.print(json ? jsonLine(letter) : render(letter, terminal, full))
  return 0
}

function ofStore(
  config: Config,
  id: string,
  bounds: typeof FULL | typeof PREVIEW,
): WholeDeadLetter | undefined {
  const reader = openStore(config)
  const row = reader.dead.get(deadKeyOf(id)!)
  const letter = row && wholeDeadLetter(reader, row, bounds)
  reader.close()
  return letter
}

function render(letter: WholeDeadLetter, terminal: Terminal, full: boolean): string {
  const { id, exporter, time, reason, traceId, observationId } = letter
  const rows: [string, string][] = [
    ['rejected', `${time.slice(0, 19).replace('T', ' ')} UTC, by ${exporter}`],
    ['reason', terminal.style('red', printable(reason))],
  ]
  if (traceId !== null) rows.push(['trace', printable(traceId)])
  if (observationId !== null) rows.push(['observation', printable(observationId)])
  const head = rows.map(([title, text]) => `${terminal.style('dim', title.padEnd(13))}${text}`)
  const lines = [terminal.style('bold', id), ...head, '', ...content(letter, terminal, full)]
  return `${lines.join('\n')}\n`
}

function content(
  { what, name, observation, observations = [], score, media }: WholeDeadLetter,
  terminal: Terminal,
  full: boolean,
): string[] {
  if (observation !== null) {
    return renderObservations([observation], observation.durationMs, terminal, full)
  }
  if (observations.length > 0) {
    const longest = Math.max(...observations.map(({ durationMs }) => durationMs))
    return renderObservations(observations, longest, terminal, full)
  }
  if (score !== null) return JSON.stringify(score, null, 2).split('\n').map(printable)
  if (media !== null) {
    const { field, contentType, sha256 } = media
    return [
      `${printable(contentType)}, ${bytes(media.bytes)}, in ${printable(field)}, sha256 ${sha256}`,
    ]
  }
  return [terminal.style('yellow', `the ${what} ${printable(name)} cannot be read any more`)]
}
