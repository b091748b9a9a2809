import { isMap, isScalar, LineCounter, type Node, type Pair, parseDocument } from 'yaml'
import { KINDS, type Surroundings, withoutUser } from './kinds.ts'
import { isOptionName, OPTION_NAMES, type OptionName, optionOf } from './options.ts'
import { didYouMean } from './suggest.ts'

/** What a file sets, with the place of each value; problems are complete lines for people. */
export interface YamlOptions {
  readonly values: ReadonlyMap<OptionName, { readonly value: unknown; readonly at: string }>
  readonly problems: readonly string[]
}

/** Longer ones are no configuration. */
const MAX_CHARS = 1024 * 1024

/**
 * Reads offpath.yaml. Names nest or are written with dots: `spool: {dir: x}` is `spool.dir: x`.
 *
 * @param file as problems shall name it
 */
export function readYaml(text: string, file: string, around: Surroundings): YamlOptions {
  const values = new Map<OptionName, { value: unknown; at: string }>()
  const problems: string[] = []
  if (text.length > MAX_CHARS) return { values, problems: [`${file}: larger than 1 MB`] }

  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset)
    return `${file}:${line}:${col}`
  }
  for (const error of [...document.errors, ...document.warnings]) {
    // The library's own words for it: Missing closing "quote
    const message = error.message.replace(/^Missing closing (.)quote$/, 'the closing $1 is missing')
    problems.push(`${place(error.pos[0])}: ${message}`)
  }
  if (problems.length > 0) return { values, problems }

  const visit = (pair: Pair, prefix: string): void => {
    const key = pair.key as Node
    const at = place(key.range?.[0] ?? 0)
    if (!isScalar(key)) return void problems.push(`${at}: a key must be plain text`)
    const name = prefix + String(key.value)
    const node = pair.value as Node | null
    const here = node?.range ? place(node.range[0]) : at
    if (isOptionName(name)) {
      if (values.has(name)) return void problems.push(`${at}: ${name} is set twice`)
      const read = readValue(name, node, around)
      if (typeof read === 'string') problems.push(`${here}: ${name}: ${read}`)
      else values.set(name, { value: read.value, at: here })
      return
    }
    if (!OPTION_NAMES.some((option) => option.startsWith(`${name}.`))) {
      return void problems.push(`${at}: ${name} is not an option${didYouMean(name, known(prefix))}`)
    }
    if (isMap(node)) for (const inner of node.items) visit(inner as Pair, `${name}.`)
    else if (!isEmpty(node)) {
      problems.push(`${here}: ${name} holds the options ${known(`${name}.`).join(', ')}`)
    }
  }

  if (isMap(document.contents)) for (const pair of document.contents.items) visit(pair as Pair, '')
  else if (!isEmpty(document.contents)) {
    problems.push(`${file}:1:1: must hold options such as "spool: {dir: …}"`)
  }
  return { values, problems }
}

/** The option's value, or what is wrong with it. */
function readValue(
  name: OptionName,
  node: Node | null,
  around: Surroundings,
): { value: unknown } | string {
  const { kind, secret } = optionOf(name)
  const { parse, fromYaml, expects } = KINDS[kind]
  if (isEmpty(node)) return `has no value; expected ${expects}`
  if (isScalar(node)) {
    const text = node.source ?? String(node.value)
    const value = parse(text, around)
    return value === undefined ? rejected(text, expects, secret) : { value }
  }
  // Aliases are not followed: nothing here needs them, and they can be made to explode.
  const value = fromYaml?.(plain(node))
  if (value !== undefined) return { value }
  return `expected ${expects}${fromYaml ? ', or the same as a YAML collection' : ''}`
}

/** What is wrong with a value; a secret is not repeated. */
export function rejected(text: string, expects: string, secret: boolean | undefined): string {
  const safe = withoutUser(text)
  const shown = JSON.stringify(safe.length > 100 ? `${safe.slice(0, 100)}…` : safe)
  return secret ? `expected ${expects}` : `${shown} is not valid; expected ${expects}`
}

/** A node as plain values, scalars as their text; undefined for what configuration has no use for. */
function plain(node: unknown): unknown {
  if (isScalar(node)) return node.value === null ? undefined : (node.source ?? String(node.value))
  if (isMap(node)) {
    return Object.fromEntries(
      node.items.map(({ key, value }) => [String(plain(key)), plain(value)]),
    )
  }
  const items = (node as { items?: unknown[] } | null)?.items
  return Array.isArray(items) ? items.map(plain) : undefined
}

function isEmpty(node: unknown): boolean {
  return node === null || node === undefined || (isScalar(node) && node.value === null)
}

/** Option names and sections under a prefix, or all of them. */
function known(prefix: string): string[] {
  const inside = OPTION_NAMES.filter((name) => name.startsWith(prefix))
  return prefix === ''
    ? [...new Set(inside.flatMap((name) => [name, name.split('.')[0]!]))]
    : inside
}
