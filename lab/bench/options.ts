import { named } from '../command-line.ts'
import type { Subject } from './subjects.ts'

export interface BenchOptions {
  readonly quick: boolean
  /** Undefined: as many as the bench thinks right. */
  readonly rounds: number | undefined
  /** Multiplies durations and amounts; for trying things out. */
  readonly scale: number
  /** Undefined: all that belong to the run. */
  readonly cases: readonly string[] | undefined
  /** Undefined: all that belong to the run. */
  readonly subjects: readonly Subject[] | undefined
  readonly seed: number
  /** Where stores go that are too large for memory; undefined: the system's temporary directory. */
  readonly dir: string | undefined
  /** Of the backlog that `delivery` drains. */
  readonly backlogGb: number | undefined
  progress(line: string): void
}

/** The cases asked for, of all there are; without a wish the usual ones. */
export function chosenCases<C extends string>(
  options: BenchOptions,
  all: readonly C[],
  usual: readonly C[] = all,
): readonly C[] {
  return options.cases?.map((name) => named('cases', name, all)) ?? usual
}
