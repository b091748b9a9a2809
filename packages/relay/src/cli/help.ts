import { KINDS } from '../config/kinds.ts'
import { flagOf, OPTION_NAMES, optionOf } from '../config/options.ts'
import { COMMANDS, COMMON_FLAGS, type Command, type Flag } from './commands.ts'

const COLUMNS = 100

/** `offpath --help` */
export function overview(): string {
  const rows = COMMANDS.map(({ name, words, summary }): [string, string] => [
    `${name} ${words}`,
    summary,
  ])
  return `offpath: traces of LLM applications, recorded off the request path

Usage: offpath <command> [flags]

${table(rows)}
Flags of every command
${table(flagRows(COMMON_FLAGS))}
Start the relay with \`offpath up\`, run an application that records, then \`offpath ls\` and
\`offpath show <trace>\`. All but \`up\` and \`tail\` end at once; they read the store whether or not the relay runs.
\`dead retry\`, \`dead drop\`, \`replay\` and \`import\` have the running relay change it.
If no traces arrive: \`offpath doctor config\`.

To deliver to Langfuse: LANGFUSE_BASE_URL, LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY, or the same in offpath.yaml.
Every option has a flag (--store-dir), a variable (OFFPATH_STORE_DIR) and a key in offpath.yaml (store.dir):
\`offpath up --help\` lists them. Exit codes: 0 done, 1 failed, not found, not well (status, doctor) or not all (up --once),
2 wrong usage or configuration, 3 another relay reads the spool.
`
}

/** `offpath <command> --help` */
export function commandHelp({ name, words, summary, details, flags, options }: Command): string {
  const names = options.flatMap((option) => (option === 'all' ? OPTION_NAMES : [option]))
  const optionRows = names.map((option): [string, string] => {
    const { kind, about, default: value } = optionOf(option)
    const expects = KINDS[kind].expects.replace(/ \(.*/, '')
    return [flagOf(option), `${about}\n${expects}${value ? `; default ${value}` : ''}`]
  })
  const usage = ['offpath', name, words, '[flags]'].filter(Boolean).join(' ')
  return `${usage}: ${summary}

${details}

${table([...flagRows(flags), ...flagRows(COMMON_FLAGS)])}${
  names.length === 0
    ? ''
    : `\nOptions, also in the environment and in offpath.yaml\n${table(optionRows)}`
}`
}

function flagRows(flags: Readonly<Record<string, Flag>>): [string, string][] {
  return Object.entries(flags).map(([name, { value, about }]) => [
    `--${name}${value === undefined ? '' : ` <${value}>`}`,
    about,
  ])
}

function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length)) + 2
  const indent = `\n${' '.repeat(width + 2)}`
  const lines = rows.map(([left, right]) => {
    const wrapped = right.split('\n').flatMap((line) => wrap(line, COLUMNS - width - 2))
    return `  ${left.padEnd(width)}${wrapped.join(indent)}\n`
  })
  return lines.join('')
}

function wrap(text: string, columns: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > columns) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}
