import type { Report } from '../../bench/report.ts'
import type { Found } from './addresses.ts'

/** What `npm run bench -- … --out <file>` writes. */
export interface BenchResult extends Report {
  readonly bench: string
  /** Version of Node. */
  readonly node: string
  readonly machine: { readonly cpu: string; readonly cores: number }
  readonly command: string
  /** ISO 8601. */
  readonly startedAt: string
}

/** Whether a file of docs/results is of a bench, and not of a study. */
export function isBenchResult(json: object): json is BenchResult {
  return 'bench' in json
}

/**
 * All that documents may cite from a bench, by address:
 *
 *     small-export/offpath/per_cpu_second   of a subject in a case; the fields are the bench's own
 *     about/rounds                          also what else its method says, and command, started
 *     machine/cpu                           also cores
 *     versions/node
 */
export function benchAddressesOf(result: BenchResult): ReadonlyMap<string, Found> {
  const { rows, method, machine, command, startedAt, node } = result
  const found = new Map<string, Found>()
  const add = (address: string, value: number | string): void => {
    found.set(address, typeof value === 'number' ? { value } : value)
  }
  for (const { case: inCase, subject, ...figures } of rows) {
    for (const [name, value] of Object.entries(figures)) {
      if (typeof value === 'number') add(`${inCase}/${subject}/${name}`, value)
    }
  }
  for (const [name, value] of Object.entries(method)) add(`about/${name}`, value)
  add('about/command', command)
  add('about/started', startedAt.slice(0, 10))
  add('machine/cpu', machine.cpu)
  add('machine/cores', machine.cores)
  add('versions/node', node.replace(/^v/, ''))
  return found
}
