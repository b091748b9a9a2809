import { createReadStream, openSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../config/options.ts'
import { exportersOf } from '../configured-exporters.ts'
import { BusyError, Intake } from '../receivers/otlp/intake.ts'
import { type Imported, importLines, MAX_LINE_BYTES, MAX_TOLD } from '../receivers/otlp/lines.ts'
import { lockStore } from '../store/lock.ts'
import { Store } from '../store/store.ts'
import type { Call, Run } from './call.ts'
import { count, plural } from './format.ts'
import { type LineBatch, lineBatches } from './line-batches.ts'
import { findRelay, postLines } from './relay-client.ts'
import { openStore } from './store.ts'
import { jsonLine, printable } from './text.ts'

/** How often a relay is asked that has no room for the moment, and how long between. */
const TRIES = 60
const BETWEEN_MS = 1000

/** Takes lines in; counts are of these lines. */
type Take = (lines: Buffer) => Promise<Imported>

export const run: Run = async (call) => {
  const { words, flags, json, loaded, terminal } = call
  const { config } = loaded
  // Says why a relay of a pool has none.
  if (config['redis.receive']) openStore(config)
  const deliver = flags.has('deliver')
  const [file = '-'] = words
  // Before anything is made: it may not be there.
  const input = file === '-' ? process.stdin : openSync(file, 'r')
  const relay = await findRelay(config)
  const stream = typeof input === 'number' ? createReadStream('', { fd: input }) : input
  const batches = lineBatches(stream, MAX_LINE_BYTES)
  const total =
    relay === null
      ? await alone(config, deliver, (take) => importAll(batches, take))
      : await importAll(batches, (lines) =>
          patiently(() => postLines(relay, lines, deliver, config['http.token'])),
        )
  if (json) terminal.print(jsonLine(total))
  else tell(total, deliver, call)
  const { malformedLines, rejected } = total
  return malformedLines === 0 && Object.keys(rejected).length === 0 ? 0 : 1
}

type Total = { -readonly [K in keyof Imported]: Imported[K] }

async function importAll(batches: AsyncIterable<LineBatch>, take: Take): Promise<Imported> {
  const total: Total = {
    lines: 0,
    spans: 0,
    revised: 0,
    known: 0,
    malformedLines: 0,
    rejected: {},
    linksLeftOut: 0,
    problems: [],
  }
  const problem = (line: number, message: string): void => {
    if (total.problems.length < MAX_TOLD) total.problems = [...total.problems, { line, message }]
  }
  for await (const { bytes } of batches) {
    if (bytes === null) {
      total.lines++
      total.malformedLines++
      problem(total.lines, `it is longer than ${MAX_LINE_BYTES} bytes`)
      continue
    }
    const done = await take(bytes)
    for (const { line, message } of done.problems) problem(total.lines + line, message)
    for (const key of [
      'lines',
      'spans',
      'revised',
      'known',
      'malformedLines',
      'linksLeftOut',
    ] as const) {
      total[key] += done[key]
    }
    const rejected: Record<string, number> = { ...total.rejected }
    for (const [reason, n] of Object.entries(done.rejected)) {
      rejected[reason] = (rejected[reason] ?? 0) + n
    }
    total.rejected = rejected
  }
  return total
}

/** While no relay runs: as the store's one writer. */
async function alone<T>(
  config: Config,
  deliver: boolean,
  act: (take: Take) => Promise<T>,
): Promise<T> {
  const storeDir = config['store.dir']
  const lock = lockStore(storeDir)
  try {
    const store = new Store(storeDir)
    try {
      nameExporters(store, config, deliver)
      const intake = new Intake({
        store,
        storeDir,
        full: () => store.bytes() > config['retention.size'],
        backlogBytes: config['export.backlog-cap'],
      })
      try {
        return await act(async (lines) => importLines(intake, lines, deliver))
      } finally {
        intake.close()
      }
    } finally {
      store.close()
    }
  } finally {
    lock.release()
  }
}

/** Those that the next relay has are to get it, also where none ran before. */
function nameExporters(store: Store, config: Config, deliver: boolean): void {
  if (!deliver) {
    store.exportersAsBefore()
    return
  }
  const exporters = exportersOf(config)
  if (exporters.length === 0) {
    const message = '--deliver: no exporter is configured (Langfuse: keys, OTLP: a URL)'
    throw Object.assign(new Error(message), { code: 'OFFPATH_OPERATION' })
  }
  const names = (of: readonly { readonly name: string }[]): string[] => of.map(({ name }) => name)
  store.exporters(
    names(exporters),
    names(exporters.filter(({ scores }) => scores !== null)),
    names(exporters.filter(({ media }) => media !== null)),
  )
}

/** @throws BusyError: it has no room for too long */
async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof BusyError) || tries === TRIES) throw error
      await sleep(BETWEEN_MS)
    }
  }
}

function tell(total: Imported, deliver: boolean, { terminal }: Call): void {
  const { spans, revised, known, malformedLines, rejected, linksLeftOut, problems } = total
  terminal.print(`${plural(spans, 'observation')} imported\n`)
  const told: [number, string][] = [
    [known, 'were there already, just so'],
    [revised, 'of them changed: stored as their next version'],
  ]
  for (const [n, text] of told) if (n > 0) terminal.print(`${count(n)} ${text}\n`)
  const bad: [number, string][] = [
    [malformedLines, `${plural(malformedLines, 'line')} left out`],
    ...Object.entries(rejected).map(([reason, n]): [number, string] => [
      n,
      `${plural(n, 'span')} left out: ${reason}`,
    ]),
    [linksLeftOut, `${plural(linksLeftOut, 'link')} left out: invalid ids`],
  ]
  for (const [n, text] of bad) if (n > 0) terminal.print(terminal.style('yellow', `${text}\n`))
  for (const { line, message } of problems) {
    terminal.complain(`offpath: line ${line}: ${printable(message)}`)
  }
  if (spans > 0 && !deliver) {
    const how = 'not for exporters: `offpath replay` sends what ended within a time'
    terminal.print(terminal.style('dim', `${how}\n`))
  }
}
