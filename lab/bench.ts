// Measures Offpath against Langfuse's SDK and OpenTelemetry's in one run, and compares with what was promised. Each
// bench's file says how it measures, and how it could mislead.
import { existsSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { dirname } from 'node:path'
import type { BenchOptions } from './bench/options.ts'
import { asText, type Report } from './bench/report.ts'
import { SUBJECTS } from './bench/subjects.ts'
import { readCommandLine, recordedCommand, runProgram, UsageError } from './command-line.ts'
import type { BenchResult } from './study/report/bench-addresses.ts'

const BENCHES: Record<string, () => Promise<(options: BenchOptions) => Promise<Report>>> = {
  recorder: async () => (await import('./bench/recorder.ts')).benchRecorder,
  load: async () => (await import('./bench/load.ts')).benchLoad,
  relay: async () => (await import('./bench/relay.ts')).benchRelay,
  delivery: async () => (await import('./bench/delivery.ts')).benchDelivery,
  python: async () => (await import('./bench/python.ts')).benchPython,
}

const USAGE = `Usage: npm run bench -- recorder|load|relay|delivery|python [flags]

Measures Offpath beside Langfuse's SDK and OpenTelemetry's, and compares with what was promised.

  --quick           fewer rounds and cases
  --json            one JSON object as the last line
  --rounds <n>
  --cases <a,b>
  --subjects <a,b>  of ${SUBJECTS.join(', ')}
  --seed <n>        of the payloads (default 1)
  --scale <x>       multiplies durations and amounts (0.1: a look, no figure to quote)
  --out <file>      writes the JSON there; docs/results/delivery.json is what docs/capacity.md takes its figures from
  --dir <path>      of delivery: where its stores are, 7 GB (default: the system's temporary directory)
  --backlog-gb <x>  of delivery: the backlog that is drained (default 5)`

await runProgram(USAGE, async () => {
  const line = readCommandLine(
    Object.keys(BENCHES),
    ['quick', 'json'],
    ['rounds', 'cases', 'subjects', 'seed', 'scale', 'out', 'dir', 'backlog-gb'],
  )
  const name = line.word
  if (['relay', 'delivery'].includes(name) && line.text('subjects') !== undefined) {
    throw new UsageError(`--subjects: ${name} measures Offpath alone`)
  }
  for (const option of ['dir', 'backlog-gb']) {
    if (name !== 'delivery' && line.text(option) !== undefined) {
      throw new UsageError(`--${option}: it is for delivery, not for ${name}`)
    }
  }
  const file = line.text('out')
  // Not after ten minutes.
  if (file !== undefined && !existsSync(dirname(file))) {
    throw new UsageError(`--out ${file}: there is no folder ${dirname(file)}`)
  }
  const begun = performance.now()
  const options: BenchOptions = {
    quick: line.has('quick'),
    rounds: line.wholeNumber('rounds', 1),
    scale: line.factor('scale') ?? 1,
    cases: line.text('cases')?.split(','),
    subjects: line.names('subjects', SUBJECTS),
    seed: line.wholeNumber('seed', 0) ?? 1,
    dir: line.text('dir'),
    backlogGb: line.factor('backlog-gb'),
    progress: (text) => {
      const at = ((performance.now() - begun) / 1000).toFixed(0)
      console.error(`${at.padStart(4)} s  ${text}`)
    },
  }
  const startedAt = new Date().toISOString()
  const bench = await (BENCHES[name] as (typeof BENCHES)[string])()
  const report = await bench(options)
  console.log(asText(report))
  const machine = { cpu: cpus()[0]?.model ?? '', cores: availableParallelism() }
  const command = recordedCommand('npm run bench --')
  const about = { bench: name, node: process.version, machine, command, startedAt }
  const json = JSON.stringify({ ...about, ...report } satisfies BenchResult)
  if (line.has('json')) console.log(json)
  if (file !== undefined) writeFileSync(file, `${json}\n`)
})
