/**
 * Asks the tools that know each kind of file about those of deploy/, as far as they are on the PATH. What relay and SDK say of
 * the files is in packages/relay/src/deploy.test.ts.
 */
import { spawnSync } from 'node:child_process'
import { globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Check, root, type Tool, toolsFor } from './deploy/tools.ts'
import { pythonEnvironment } from './python-environment.ts'
import { findPython } from './pythons.ts'

const USAGE = `Usage: npm run check:deploy -- [--all] [--fetch]

Asks the tools on the PATH about the files of deploy/, and says which tools are missing.

  --all    a tool that is missing fails, too
  --fetch  takes those of PyPI that are pinned in scripts/deploy/requirements.txt, into node_modules/.cache`

const { all, fetch, help } = parse()
if (help) {
  console.log(USAGE)
  process.exit()
}
if (fetch) addFetched()

const checked = new Set<string>()
let failed = 0
let missing = 0
const folder = mkdtempSync(join(tmpdir(), 'offpath-deploy-'))
try {
  for (const tool of await toolsFor(folder)) askAll(tool)
} finally {
  rmSync(folder, { recursive: true })
}

const kinds = ['deploy/**/*.{json,yml,yaml,service,conf,env}', 'deploy/**/Dockerfile']
const left = globSync(kinds, { cwd: root }).filter((file) => !checked.has(file))
if (left.length > 0) console.log(`\nno tool has looked at ${left.sort().join(', ')}`)
if (failed > 0 || (all && missing > 0)) {
  console.error(`\n${failed} checks failed, ${missing} tools are missing`)
  process.exitCode = 1
}

function parse() {
  try {
    return parseArgs({
      options: {
        all: { type: 'boolean', default: false },
        fetch: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`)
    process.exit(2)
  }
}

/** Puts the pinned tools behind those that the machine has. */
function addFetched(): void {
  const python = findPython(11)
  if (python === undefined) {
    console.log('no Python from 3.11 on: nothing is fetched')
    return
  }
  const requirements = join(root, 'scripts/deploy/requirements.txt')
  const bin = dirname(pythonEnvironment(python, requirements))
  process.env.PATH = `${process.env.PATH}${delimiter}${bin}`
}

function askAll({ name, commands, from, checks }: Tool): void {
  for (const command of commands) {
    const [version, ...words] = [command.at(-1) as string, ...command.slice(0, -1)]
    const answer = run(words, [version])
    if (!answer.isOk) continue
    console.log(`${name}: ${answer.output.split('\n')[0]}`)
    for (const check of checks) ask(words, check)
    return
  }
  missing++
  const files = new Set(checks.flatMap((check) => check.files))
  console.log(`${name}: missing (${from}), and has not looked at ${[...files].join(', ')}`)
}

function ask(words: readonly string[], check: Check): void {
  const { what, args, files, input, env, without } = check
  const { isOk, output } = run(words, args, input, env)
  if (!isOk && without?.complaint.test(output)) {
    ask(words, without.instead)
    return
  }
  console.log(`  ${isOk ? 'ok' : 'FAILED'} ${what}: ${files.join(', ')}`)
  for (const file of files) checked.add(file)
  if (isOk) return
  failed++
  console.log(output.replace(/^/gm, '    '))
}

function run(
  [command = '', ...words]: readonly string[],
  args: readonly string[],
  input = '',
  env: Readonly<Record<string, string>> = {},
): { isOk: boolean; output: string } {
  const { status, stdout, stderr, error } = spawnSync(command, [...words, ...args], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, ...env },
    input,
  })
  const output = error?.message ?? `${stdout}${stderr}`.trim()
  return { isOk: status === 0, output }
}
