// Measures Offpath against Langfuse's SDK and OpenTelemetry's in one run, and compares with what was promised. Each
// bench's file says how it measures, and how it could mislead.
import { availableParallelism, cpus } from 'node:os'
import type { BenchOptions } from './bench/options.ts'
import { asText, type Report } from './bench/report.ts'
import { SUBJECTS } from './bench/subjects.ts'
import { readCommandLine, runProgram, UsageError } from './command-line.ts'

const BENCHES: Record<string, () => Promise<(options: BenchOptions) => Promise<Report>>> = {
  recorder: async () => (await import('./bench/recorder.ts')).benchRecorder,
  load: async () => (await import('./bench/load.ts')).benchLoad,
  relay: async () => (await import('./bench/relay.ts')).benchRelay,
  python: async () => (await import('./bench/python.ts')).benchPython,
}

const USAGE = `Usage: npm run bench -- recorder|load|relay|python [flags]

Measures Offpath beside Langfuse's SDK and OpenTelemetry's, and compares with what was promised.

  --quick           fewer rounds and cases
  --json            one JSON object as the last line
  --rounds <n>
  --cases <a,b>
  --subjects <a,b>  of ${SUBJECTS.join(', ')}
  --seed <n>        of the payloads (default 1)
  --scale <x>       multiplies durations and amounts (0.1: a look, no figure to quote)`

await runProgram(USAGE, async () => {
  const line = readCommandLine(
    Object.keys(BENCHES),
    ['quick', 'json'],
    ['rounds', 'cases', 'subjects', 'seed', 'scale'],
  )
  const name = line.word
  if (name === 'relay' && line.text('subjects') !== undefined) {
    throw new UsageError('--subjects: relay measures Offpath alone')
  }
  const begun = performance.now()
  const options: BenchOptions = {
    quick: line.has('quick'),
    rounds: line.wholeNumber('rounds', 1),
    scale: line.factor('scale') ?? 1,
    cases: line.text('cases')?.split(','),
    subjects: line.names('subjects', SUBJECTS),
    seed: line.wholeNumber('seed', 0) ?? 1,
    progress: (text) => {
      const at = ((performance.now() - begun) / 1000).toFixed(0)
      console.error(`${at.padStart(4)} s  ${text}`)
    },
  }
  const bench = await (BENCHES[name] as (typeof BENCHES)[string])()
  const report = await bench(options)
  console.log(asText(report))
  if (line.has('json')) {
    const machine = { cpu: cpus()[0]?.model ?? '', cores: availableParallelism() }
    console.log(JSON.stringify({ bench: name, node: process.version, machine, ...report }))
  }
})
