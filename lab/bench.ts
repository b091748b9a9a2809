/**
 * `npm run bench -- recorder|load|relay [--quick] [--json]`: measures Offpath against Langfuse's SDK and OpenTelemetry's
 * in one run, and compares with what was promised. Each bench's file says how it measures, and how it could mislead.
 *
 *   --quick      fewer rounds and cases
 *   --json       one JSON object as the last line
 *   --rounds N   --cases a,b   --subjects a,b   --seed N
 *   --scale X    multiplies durations and amounts (0.1: a look, no figure to quote)
 */
import { availableParallelism, cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { type BenchOptions, subjectsNamed, UsageError } from './bench/options.ts'
import { asText, type Report } from './bench/report.ts'

const usage = 'usage: npm run bench -- recorder|load|relay [--quick] [--json]'

const BENCHES: Record<string, () => Promise<(options: BenchOptions) => Promise<Report>>> = {
  recorder: async () => (await import('./bench/recorder.ts')).benchRecorder,
  load: async () => (await import('./bench/load.ts')).benchLoad,
  relay: async () => (await import('./bench/relay.ts')).benchRelay,
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    cases: { type: 'string' },
    subjects: { type: 'string' },
    seed: { type: 'string', default: '1' },
    scale: { type: 'string', default: '1' },
  },
})
const name = positionals[0] ?? ''
const bench = BENCHES[name]
if (bench === undefined) {
  console.error(usage)
  process.exit(2)
}
try {
  await run(bench)
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  console.error(error.message)
  process.exitCode = 2
}

async function run(load: (typeof BENCHES)[string]): Promise<void> {
  const begun = performance.now()
  const report = await (await load())({
    quick: values.quick,
    rounds: values.rounds === undefined ? undefined : Number(values.rounds),
    scale: Number(values.scale),
    cases: values.cases?.split(','),
    subjects: values.subjects === undefined ? undefined : subjectsNamed(values.subjects),
    seed: Number(values.seed),
    progress: (line) => {
      const at = ((performance.now() - begun) / 1000).toFixed(0)
      console.error(`${at.padStart(4)} s  ${line}`)
    },
  })
  console.log(asText(report))
  if (values.json) {
    const machine = { cpu: cpus()[0]?.model ?? '', cores: availableParallelism() }
    console.log(JSON.stringify({ bench: name, node: process.version, machine, ...report }))
  }
}
