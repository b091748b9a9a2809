/**
 * All checks and tests of clients/python, in a virtual environment of its own (clients/python/.venv): format and lint, types,
 * the tests of the standard library, and those of tests/extra, which need other packages and the built relay. Without a
 * Python from 3.11 on it says so and passes.
 */
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CLIENT, findPythons, runInClient } from './pythons.ts'

/** What langfuse 5 needs. */
const OLDEST = 11
const REQUIREMENTS = join(CLIENT, 'requirements-dev.txt')
const VENV = join(CLIENT, '.venv')
const BIN = join(VENV, process.platform === 'win32' ? 'Scripts' : 'bin')
const PYTHON = join(BIN, 'python')
/** Written when all is installed: what was. */
const INSTALLED = join(VENV, 'installed')

const found = [...findPythons()].find(([minor]) => minor >= OLDEST)
if (found === undefined) {
  console.log(`no Python from 3.${OLDEST} on: the checks of clients/python are left out`)
} else {
  const [minor, command] = found
  install(minor, command)
  const unittest = ['-m', 'unittest', 'discover', '-q']
  runInClient('ruff check', join(BIN, 'ruff'), ['check', 'src', 'tests'])
  runInClient('ruff format', join(BIN, 'ruff'), ['format', '--check', 'src', 'tests'])
  runInClient('mypy', join(BIN, 'mypy'), [])
  runInClient('tests', PYTHON, [...unittest, '-s', 'tests', '-t', '.'])
  runInClient('tests/extra', PYTHON, [...unittest, '-s', 'tests/extra'])
}

function install(minor: number, command: string): void {
  const wanted = createHash('sha256').update(`3.${minor}\n`).update(readFileSync(REQUIREMENTS))
  const key = wanted.digest('hex')
  if (readText(INSTALLED) === key) return
  runInClient(`virtual environment of Python 3.${minor}`, command, ['-m', 'venv', '--clear', VENV])
  const pip = ['-m', 'pip', 'install', '-qq', '--disable-pip-version-check']
  runInClient('packages', PYTHON, [...pip, '-r', REQUIREMENTS])
  writeFileSync(INSTALLED, key)
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
