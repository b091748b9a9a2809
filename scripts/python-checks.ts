/**
 * All checks and tests of clients/python, in a virtual environment of its own: format and lint, types, the tests of the
 * standard library, and those of tests/extra, which need other packages and the built relay. Without a Python from 3.11 on
 * it says so and passes.
 */
import { dirname, join } from 'node:path'
import { pythonEnvironment } from './python-environment.ts'
import { CLIENT, findPython, runInClient } from './pythons.ts'

/** What langfuse 5 needs. */
const OLDEST = 11

const command = findPython(OLDEST)
if (command === undefined) {
  console.log(`no Python from 3.${OLDEST} on: the checks of clients/python are left out`)
} else {
  console.log(`── packages for ${command}`)
  const python = pythonEnvironment(command, join(CLIENT, 'requirements-dev.txt'))
  const bin = dirname(python)
  const unittest = ['-m', 'unittest', 'discover', '-q']
  runInClient('ruff check', join(bin, 'ruff'), ['check', 'src', 'tests'])
  runInClient('ruff format', join(bin, 'ruff'), ['format', '--check', 'src', 'tests'])
  runInClient('mypy', join(bin, 'mypy'), [])
  runInClient('tests', python, [...unittest, '-s', 'tests', '-t', '.'])
  runInClient('tests/extra', python, [...unittest, '-s', 'tests/extra'])
}
