/**
 * Runs the tests of clients/python that need the standard library alone, with each Python from 3.10 on that this machine
 * has. Without any it says so and passes: who has no Python changes nothing of that client.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

const OLDEST = 10
const NEWEST = 14
const folder = join(import.meta.dirname, '..', 'clients', 'python')

/** The minor version of a Python 3 that can be started. */
function minorOf(command: string): number | undefined {
  const code = 'import sys; print(sys.version_info[0], sys.version_info[1])'
  const { status, stdout } = spawnSync(command, ['-c', code], { encoding: 'utf8' })
  const [major, minor] = status === 0 ? stdout.trim().split(' ').map(Number) : []
  return major === 3 ? minor : undefined
}

function candidates(): string[] {
  const names = ['python3']
  for (let minor = OLDEST; minor <= NEWEST; minor++) names.push(`python3.${minor}`)
  const versions = join(process.env.PYENV_ROOT ?? join(homedir(), '.pyenv'), 'versions')
  if (existsSync(versions)) {
    names.push(...readdirSync(versions).map((name) => join(versions, name, 'bin', 'python3')))
  }
  return names
}

const found = new Map<number, string>()
for (const command of candidates()) {
  const minor = minorOf(command)
  if (minor !== undefined && minor >= OLDEST && !found.has(minor)) found.set(minor, command)
}
if (found.size === 0)
  console.log('no Python from 3.10 on: the tests of clients/python are left out')

for (const [minor, command] of [...found].sort(([a], [b]) => a - b)) {
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
