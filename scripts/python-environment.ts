/** Virtual environments with pinned packages, made once for each list of requirements under node_modules/.cache. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { minorOf } from './pythons.ts'

const CACHE = join(import.meta.dirname, '..', 'node_modules', '.cache', 'python')

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
  const python = join(folder, process.platform === 'win32' ? 'Scripts' : 'bin', 'python')
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
