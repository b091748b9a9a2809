import { parseArgs } from 'node:util'

/** What was asked for and is not there; a message of one line. */
export class UsageError extends Error {}

/** Runs a program of this folder: `--help` prints its usage, a UsageError ends it with its message and exit code 2. */
export async function runProgram(usage: string, program: () => Promise<void>): Promise<void> {
  if (process.argv.includes('--help') || process.argv.includes('-h')) {
    console.log(usage)
    return
  }
  try {
    await program()
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    console.error(error.message)
    process.exitCode = 2
  }
}

/** Say where results and working files lie, which is of no use to a reader of results, and may tell of a machine. */
const PLACES = ['out', 'dir']

/** The command that this process was started by, as results have it. */
export function recordedCommand(program: string): string {
  const words = process.argv.slice(2)
  const isPlace = (word = ''): boolean => PLACES.some((name) => word === `--${name}`)
  const isJoined = (word: string): boolean => PLACES.some((name) => word.startsWith(`--${name}=`))
  const kept = words.filter((word, i) => {
    return !isPlace(word) && !isPlace(words[i - 1]) && !isJoined(word)
  })
  return [program, ...kept].join(' ')
}

export interface CommandLine {
  /** The one word. */
  readonly word: string
  /** Whether a flag was given. */
  has(flag: string): boolean
  /** The value of an option. */
  text(option: string): string | undefined
  /** Of an option, a whole number of at least `least`. */
  wholeNumber(option: string, least: number): number | undefined
  /** Of an option, a number above 0. */
  factor(option: string): number | undefined
  /** Of an option, names with commas between them, each of `all`. */
  names<T extends string>(option: string, all: readonly T[]): T[] | undefined
}

/**
 * The arguments of this process: one of the words, flags, and options that take a value.
 *
 * @throws UsageError, as do the functions of what it returns
 */
export function readCommandLine(
  words: readonly string[],
  flags: readonly string[],
  options: readonly string[],
): CommandLine {
  const { tokens } = parseArgs({
    options: {
      ...Object.fromEntries(flags.map((name) => [name, { type: 'boolean' }] as const)),
      ...Object.fromEntries(options.map((name) => [name, { type: 'string' }] as const)),
    },
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const given = new Map<string, string>()
  const found: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') found.push(token.value)
    if (token.kind !== 'option') continue
    const { name, rawName, value } = token
    const isFlag = flags.includes(name)
    if (!isFlag && !options.includes(name)) {
      const all = [...flags, ...options].map((known) => `--${known}`).join(', ')
      throw new UsageError(`no option ${rawName}; there are ${all}`)
    }
    if (isFlag && value !== undefined) throw new UsageError(`${rawName} takes no value`)
    if (!isFlag && !value) throw new UsageError(`${rawName} needs a value`)
    given.set(name, value ?? '')
  }
  const [word, tooMany] = found
  if (word === undefined) throw new UsageError(`which one? There are ${words.join(', ')}`)
  if (!words.includes(word)) throw new UsageError(`no ${word}; there are ${words.join(', ')}`)
  if (tooMany !== undefined) throw new UsageError(`one at a time: ${word}, not ${tooMany} as well`)

  const number = (
    option: string,
    what: string,
    isGood: (value: number) => boolean,
  ): number | undefined => {
    const text = given.get(option)
    if (text === undefined) return undefined
    const value = /^[\d.]+$/.test(text) ? Number(text) : Number.NaN
    if (!isGood(value)) throw new UsageError(`--${option} ${text}: it takes ${what}`)
    return value
  }
  return {
    word,
    has: (flag) => given.has(flag),
    text: (option) => given.get(option),
    wholeNumber: (option, least) =>
      number(
        option,
        `a whole number from ${least} up`,
        (value) => value >= least && Number.isSafeInteger(value),
      ),
    factor: (option) => number(option, 'a number above 0', (value) => value > 0),
    names: (option, all) =>
      given
        .get(option)
        ?.split(',')
        .map((name) => named(option, name, all)),
  }
}

/** The one of `all` that has the name. @throws UsageError */
export function named<T extends string>(option: string, name: string, all: readonly T[]): T {
  const found = all.find((each) => each === name)
  if (found !== undefined) return found
  throw new UsageError(`--${option} ${name}: there are ${all.join(', ')}`)
}
