/**
 * Pythons of this machine, and virtual environments with pinned packages, made once for each list of requirements under
 * node_modules/.cache.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, join } from 'node:path'

const OLDEST = 10
const NEWEST = 14
const CACHE = join(import.meta.dirname, '..', 'node_modules', '.cache', 'python')

/** Python 3 from 3.10 on, by minor version: a command that starts it. Oldest first. */
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
function minorOf(command: string): number | undefined {
  const code = 'import sys; print(sys.version_info[0], sys.version_info[1])'
  const { status, stdout } = spawnSync(command, ['-c', code], { encoding: 'utf8' })
  const [major, minor] = status === 0 ? stdout.trim().split(' ').map(Number) : []
  return major === 3 ? minor : undefined
}

/**
 * The Python of a virtual environment with the packages of a requirements file, made with `command` when it is not there
 * yet; that takes a minute and the network.
 *
 * @throws when pip fails
 */
export function pythonEnvironment(command: string, requirements: string): string {
  const text = readFileSync(requirements, 'utf8')
  const key = createHash('sha256')
    .update(`${minorOf(command)}\n${text}`)
    .digest('hex')
    .slice(0, 8)
  const folder = join(CACHE, `${basename(requirements, '.txt')}-${key}`)
  const ready = join(CACHE, `${basename(folder)}.ready`)
  const python = join(folder, 'bin', 'python')
  if (existsSync(ready)) return python
  mkdirSync(CACHE, { recursive: true })
  rmSync(folder, { recursive: true, force: true })
  run(command, ['-m', 'venv', folder])
  run(python, ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', '-r', requirements])
  writeFileSync(ready, text)
  return python
}

function run(command: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) {
    throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr}`)
  }
}
