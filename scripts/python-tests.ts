/**
 * Runs the tests of clients/python that need the standard library alone, with each Python from 3.10 on that this machine
 * has. Without any it says so and passes: who has no Python changes nothing of that client.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { findPythons } from './python-environment.ts'

const folder = join(import.meta.dirname, '..', 'clients', 'python')

const found = findPythons()
if (found.size === 0)
  console.log('no Python from 3.10 on: the tests of clients/python are left out')

for (const [minor, command] of found) {
  console.log(`── Python 3.${minor}`)
  const { status } = spawnSync(
    command,
    ['-m', 'unittest', 'discover', '-q', '-s', 'tests', '-t', '.'],
    {
      cwd: folder,
      stdio: 'inherit',
      env: { ...process.env, PYTHONPATH: join(folder, 'src'), PYTHONDONTWRITEBYTECODE: '1' },
    },
  )
  if (status !== 0) {
    console.error(`── Python 3.${minor} failed: ${command}`)
    process.exit(1)
  }
}
