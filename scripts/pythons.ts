import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

const OLDEST = 10
const NEWEST = 14

/** The folder of the Python client. */
export const CLIENT: string = join(import.meta.dirname, '..', 'clients', 'python')

/** Commands of the Pythons of this machine that are 3.10 or newer, by minor version, oldest first. */
export function findPythons(): Map<number, string> {
  const found = new Map<number, string>()
  for (const command of candidates()) {
    const minor = minorOf(command)
    if (minor !== undefined && minor >= OLDEST && !found.has(minor)) found.set(minor, command)
  }
  return new Map([...found].sort(([a], [b]) => a - b))
}

/** The oldest of at least a minor version; undefined: there is none. */
export function findPython(oldestMinor: number): string | undefined {
  return [...findPythons()].find(([minor]) => minor >= oldestMinor)?.[1]
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

/** The minor version of a Python 3 that can be started. */
export function minorOf(command: string): number | undefined {
  const code = 'import sys; print(sys.version_info[0], sys.version_info[1])'
  const { status, stdout } = spawnSync(command, ['-c', code], { encoding: 'utf8' })
  const [major, minor] = status === 0 ? stdout.trim().split(' ').map(Number) : []
  return major === 3 ? minor : undefined
}

/** Runs a command in the client's folder, on its sources. Ends the process when it fails. */
export function runInClient(what: string, command: string, args: readonly string[]): void {
  console.log(`── ${what}`)
  const path = [join(CLIENT, 'src'), CLIENT].join(process.platform === 'win32' ? ';' : ':')
  const env = { ...process.env, PYTHONPATH: path, PYTHONDONTWRITEBYTECODE: '1' }
  const { status } = spawnSync(command, args, { cwd: CLIENT, stdio: 'inherit', env })
  if (status === 0) return
  console.error(`── ${what} failed: ${command} ${args.join(' ')}`)
  process.exit(1)
}
