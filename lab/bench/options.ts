import { SUBJECTS, type Subject } from './subjects.ts'

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
  progress(line: string): void
}

/** What was asked for on the command line and is not there. */
export class UsageError extends Error {}

/** Checks subjects by name. */
export function subjectsNamed(names: string): Subject[] {
  return named('subject', names.split(','), SUBJECTS)
}

/** The cases asked for, of all there are; without a wish the usual ones. */
export function chosenCases<C extends string>(
  options: BenchOptions,
  all: readonly C[],
  usual: readonly C[] = all,
): readonly C[] {
  return options.cases === undefined ? usual : named('case', options.cases, all)
}

function named<T extends string>(kind: string, names: readonly string[], all: readonly T[]): T[] {
  return names.map((name) => {
    const found = all.find((each) => each === name)
    if (found === undefined) throw new UsageError(`no ${kind} ${name}; there are ${all.join(', ')}`)
    return found
  })
}
