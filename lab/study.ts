// Measures where tracing overhead comes from, with the real SDKs in a service under load. docs/method.md says how.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import {
  type CommandLine,
  readCommandLine,
  recordedCommand,
  runProgram,
  UsageError,
} from './command-line.ts'
import { CASES, type CaseName } from './study/cases.ts'
import type { StudyOptions } from './study/plan.ts'
import { fillDocuments } from './study/report/documents.ts'
import { writeReport } from './study/report/report.ts'
import type { Results } from './study/results.ts'
import { type Language, runStudy } from './study/run.ts'
import { whatIsWrongWith } from './study/workload.ts'

const STUDIES: Readonly<Record<string, () => Promise<Language>>> = {
  js: async () => (await import('./study/js/study.ts')).JS,
  python: async () => (await import('./study/python/study.ts')).PYTHON,
}
const CASE_NAMES = (Object.keys(CASES) as CaseName[]).filter((name) => name !== 'own')
const RESULTS = join(import.meta.dirname, 'results')

const USAGE = `Usage: npm run lab -- js|python [flags]
       npm run lab -- report [--file <raw results>]
       npm run lab -- figures

Measures a chat service without tracing and with Langfuse's SDK, OpenTelemetry's and Offpath, as installed and
tuned, and finds what ran while it stood still. Writes lab/results/<study>.json, .md, .html and a picture of a stall. An hour and more.

  --quick          the main arms in two cases, at the rates of --slow: three minutes
  --arm <a,b>      and what they are compared with
  --case <a,b>     of ${CASE_NAMES.join(', ')}
  --sweeps         sizes and rates alone, which a whole run ends with: of some arms, or of those asked for
  --slow           half the requests a second in chat, rag, vi and agent, in twice the time: where the lab says so
  --bodies <file>  your own requests in the place of the cases: a line of JSON each, {"messages":[…],"documents":…}
  --rounds <n>
  --seconds <n>    measured, of each cell
  --rate <n>       requests a second
  --seed <n>       of payloads and order (default 1)
  --out <file>     where the raw results go; the reports go beside
  --json           the raw results as the last line

report renders again from raw results: the given file, or all in lab/results. figures writes the figures in the documents anew
from docs/results.`

function render(file: string | undefined): void {
  const files = file === undefined ? rawResults() : [file]
  if (files.length === 0) throw new UsageError('there are no results yet: npm run lab -- js|python')
  for (const each of files) {
    if (!existsSync(each)) throw new UsageError(`--file ${each}: no such file`)
    for (const written of writeReport(each)) console.log(relative(process.cwd(), written))
  }
}

function ownRequests(file: string | undefined): string | undefined {
  const wrong = file === undefined ? undefined : whatIsWrongWith(file)
  if (wrong !== undefined) throw new UsageError(`--bodies ${file}: ${wrong}`)
  return file
}

function slowly(line: CommandLine): boolean {
  if (line.has('slow') && line.text('rate') !== undefined)
    throw new UsageError('--slow with --rate: one or the other')
  return line.has('slow')
}

/** They have sizes and rates of their own. */
function sweepsAlone(line: CommandLine): boolean {
  if (!line.has('sweeps')) return false
  if (line.has('quick')) throw new UsageError('--sweeps with --quick: take --seconds')
  for (const option of ['case', 'bodies', 'rate']) {
    if (line.text(option) !== undefined)
      throw new UsageError(`--sweeps with --${option}: one or the other`)
  }
  return true
}

function figures(): void {
  const written = fillDocuments(true)
  console.log(written.length === 0 ? 'all documents have these figures' : written.join('\n'))
}

function rawResults(): string[] {
  if (!existsSync(RESULTS)) return []
  const names = readdirSync(RESULTS).filter((name) => name.endsWith('.json'))
  return names.map((name) => join(RESULTS, name))
}

await runProgram(USAGE, async () => {
  const line = readCommandLine(
    [...Object.keys(STUDIES), 'report', 'figures'],
    ['quick', 'sweeps', 'slow', 'json'],
    ['arm', 'case', 'bodies', 'rounds', 'seconds', 'rate', 'seed', 'out', 'file'],
  )
  if (line.word === 'report') return render(line.text('file'))
  if (line.word === 'figures') return figures()
  const language = await (STUDIES[line.word] as () => Promise<Language>)()
  const ids = language.arms.map(({ id }) => id)
  const options: StudyOptions = {
    quick: line.has('quick'),
    sweeps: sweepsAlone(line),
    slow: slowly(line),
    arms: line.names('arm', ids),
    cases: line.names('case', CASE_NAMES),
    bodies: ownRequests(line.text('bodies')),
    rounds: line.wholeNumber('rounds', 1),
    seconds: line.factor('seconds'),
    perSecond: line.factor('rate'),
    seed: line.wholeNumber('seed', 0) ?? 1,
  }
  const begun = performance.now()
  const progress = (text: string): void => {
    const at = ((performance.now() - begun) / 1000).toFixed(0)
    console.error(`${at.padStart(5)} s  ${text}`)
  }
  const command = recordedCommand('npm run lab --')
  const file = line.text('out') ?? join(RESULTS, `${line.word}.json`)
  mkdirSync(dirname(file), { recursive: true })
  const keep = (results: Results): void => writeFileSync(file, JSON.stringify(results))
  const results = await runStudy(language, options, command, progress, keep)
  // With what the last cell was skipped for, if it was.
  keep(results)
  for (const written of writeReport(file)) console.log(relative(process.cwd(), written))
  if (line.has('json')) console.log(JSON.stringify(results))
})
