import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))

// `#tracing`, which the programs import, is a package by these conditions: see package.json here.
test.each([
  ['@langfuse/tracing', ['offpath-source']],
  ['@offpath/sdk', ['offpath-source', 'offpath-tracing']],
])('the programs compile against %s', async (_, conditions) => {
  const tsc = path('../../node_modules/.bin/tsc')
  const options = ['-p', path('tsconfig.programs.json'), '--customConditions', conditions.join(',')]
  const { stdout } = await promisify(execFile)(tsc, options).catch(
    (error: { stdout: string }) => error,
  )
  expect(stdout).toBe('')
})
