import { parseArgs } from 'node:util'
import { optionOfFlag } from '../config/config.ts'
import { flagOf, OPTION_NAMES, type OptionName } from '../config/options.ts'
import { didYouMean } from '../config/suggest.ts'
import { UsageError } from './call.ts'
import { COMMANDS, COMMON_FLAGS, type Command } from './commands.ts'

/** What was asked for on the command line. */
export interface Arguments {
  /** Undefined: only `offpath` and flags. */
  readonly command: Command | undefined
  readonly words: readonly string[]
  /** The command's and the common flags, without dashes; switches are ''. */
  readonly flags: ReadonlyMap<string, string>
  readonly options: ReadonlyMap<OptionName, string>
}

const SHORT: Readonly<Record<string, string>> = { h: 'help', V: 'version', n: 'limit' }

/** @throws UsageError for unknown commands and flags, missing values and words */
export function parseArguments(argv: readonly string[]): Arguments {
  const { tokens } = parseArgs({
    args: [...argv],
    options: parserOptions(),
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const words = tokens.flatMap((token) => (token.kind === 'positional' ? [token.value] : []))
  const command = findCommand(words)
  const flags = new Map<string, string>()
  const options = new Map<OptionName, string>()

  for (const token of tokens) {
    if (token.kind !== 'option') continue
    const { name, rawName, value } = token
    const option = optionOfFlag(rawName)
    const flag = Object.hasOwn(COMMON_FLAGS, name) ? COMMON_FLAGS[name] : command?.flags[name]
    if (option === undefined && flag === undefined) throw unknownFlag(rawName, command)
    const takes = option !== undefined || flag?.value !== undefined
    if (takes && !value) throw new UsageError(`${rawName} needs a value`, command?.name)
    if (!takes && value !== undefined)
      throw new UsageError(`${rawName} takes no value`, command?.name)
    if (option !== undefined) options.set(option, value!)
    else flags.set(name, value ?? '')
  }

  const rest = command === undefined ? words : words.slice(command.name.split(' ').length)
  if (!flags.has('help') && !flags.has('version') && command !== undefined) {
    const { words: expected } = command
    const least = expected.startsWith('<') ? 1 : 0
    const most = expected.startsWith('[') ? rest.length : least
    if (rest.length < least) throw new UsageError(`${expected} is missing`, command.name)
    if (rest.length > most) {
      throw new UsageError(`too many words: ${JSON.stringify(rest[most])}`, command.name)
    }
  }
  return { command, words: rest, flags, options }
}

function findCommand(words: readonly string[]): Command | undefined {
  if (words.length === 0) return undefined
  const [first, second] = words
  const found = COMMANDS.find(({ name }) => name === first || name === `${first} ${second}`)
  if (found !== undefined) return found
  const inside = COMMANDS.filter(({ name }) => name.startsWith(`${first} `))
  const names = COMMANDS.map(({ name }) => name)
  if (inside.length > 0) {
    const all = inside.map(({ name }) => name).join(', ')
    if (second === undefined) throw new UsageError(`${first}: which one? There are ${all}`)
    const meant = didYouMean(`${first} ${second}`, names)
    throw new UsageError(`unknown command "${first} ${second}"${meant}; there are ${all}`)
  }
  throw new UsageError(`unknown command "${first}"${didYouMean(first!, names)}`)
}

function unknownFlag(flag: string, command: Command | undefined): UsageError {
  const names = [...Object.keys(COMMON_FLAGS), ...Object.keys(command?.flags ?? {})]
  const known = [...names.map((name) => `--${name}`), ...OPTION_NAMES.map(flagOf)]
  const of = command === undefined ? '' : ` of ${command.name}`
  return new UsageError(`unknown flag ${flag}${of}${didYouMean(flag, known)}`, command?.name)
}

/** All flags there are: whether one takes a value must be known before the command is. */
function parserOptions(): Record<string, { type: 'string' | 'boolean'; short?: string }> {
  const result: Record<string, { type: 'string' | 'boolean'; short?: string }> = {}
  for (const flags of [COMMON_FLAGS, ...COMMANDS.map((command) => command.flags)]) {
    for (const [name, { value }] of Object.entries(flags)) {
      const short = Object.keys(SHORT).find((letter) => SHORT[letter] === name)
      const type = value === undefined ? 'boolean' : 'string'
      result[name] = short === undefined ? { type } : { type, short }
    }
  }
  for (const name of OPTION_NAMES) result[flagOf(name).slice(2)] = { type: 'string' }
  return result
}
