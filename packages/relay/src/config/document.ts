import { KINDS } from './kinds.ts'
import { flagOf, OPTION_NAMES, type OptionName, optionOf, variableOf } from './options.ts'

const BEGIN =
  '<!-- options: made from packages/relay/src/config/options.ts; do not edit by hand -->'
const END = '<!-- end of options -->'

/** docs/configuration.md with the options' table as it should be. */
export function renderDocument(document: string): string {
  const [before, rest = ''] = document.split(BEGIN)
  const after = rest.split(END)[1] ?? '\n'
  return `${before}${BEGIN}\n\n${renderOptions()}\n${END}${after}`
}

function renderOptions(): string {
  const sections = Map.groupBy(OPTION_NAMES, (name) => name.split('.')[0]!)
  return [...sections].map(([section, names]) => renderSection(section, names)).join('\n')
}

function renderSection(section: string, names: readonly OptionName[]): string {
  const rows = names.map((name) => {
    const { kind, default: value, about, secret, env = [] } = optionOf(name)
    const variables = [variableOf(name), ...env].map((variable) => `\`${variable}\``).join(', ')
    const expects = KINDS[kind].expects.split(' (')[0]
    const notes = `${about}${secret ? ' (secret)' : ''}`
    return `| \`${name}\` | \`${flagOf(name)}\` | ${variables} | ${expects} | ${value ? `\`${value}\`` : ''} | ${notes} |\n`
  })
  return `### ${section}

| offpath.yaml | flag | environment | value | default | |
|---|---|---|---|---|---|
${rows.join('')}`
}
