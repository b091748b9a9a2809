// The first command of the README, as a stranger runs it, with a Langfuse to deliver to.
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { startLangfuseServer } from './langfuse-server/server.ts'
import type { LangfuseServer } from './langfuse-server/types.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '..')

/** Runs the demo with its data in `data`, to a Langfuse that knows sk-test. */
async function startOnce(
  secretKey: string,
  check: (stdout: string, langfuse: LangfuseServer, data: string) => Promise<void>,
): Promise<void> {
  const data = mkdtempSync(join(tmpdir(), 'offpath-start-'))
  const langfuse = await startLangfuseServer({ projects: { 'pk-test': 'sk-test' } })
  try {
    const { stdout } = await run('npm', ['start', '--silent', '--', '--once', '--data', data], {
      cwd: root,
      env: {
        ...process.env,
        LANGFUSE_BASE_URL: langfuse.url,
        LANGFUSE_PUBLIC_KEY: 'pk-test',
        LANGFUSE_SECRET_KEY: secretKey,
      },
    })
    await check(stdout, langfuse, data)
  } finally {
    await langfuse.close()
    rmSync(data, { recursive: true, force: true })
  }
}

test('npm start -- --once shows 60 complete traces, and Langfuse gets the same', async () => {
  await startOnce('sk-test', async (stdout, langfuse, data) => {
    expect(stdout).toContain('60 requests: 12 answered, 24 streamed, 12 long, 6 failing, 6 aborted')
    expect(stdout.match(/^[0-9a-f]{12} .* api\.chat\.completions /gm)).toHaveLength(60)
    expect(stdout).toMatch(
      /vllm\.chat\.completion\s+generation.*first token \d+ ms · \d+ → \d+ tokens/,
    )
    expect(stdout).toMatch(
      /meta +\{"status":200,"total_ms":[\d.]+,"upstream_ms":[\d.]+,"loop_stall_ms":/,
    )
    expect(stdout).toMatch(/Tracing cost the chat API \d+ µs a request/)
    expect(stdout).toContain('Delivered to langfuse: 180 observations, 0 held.\n')
    expect(stdout).toContain(`Data: ${data}\n`)
    const spans = langfuse.spans()
    expect(spans.length).toBe(180)
    expect(new Set(spans.map((span) => span.traceId)).size).toBe(60)

    const next = /^Next: +npx (offpath .*)$/m.exec(stdout)?.[1] ?? ''
    const shown = await run('npx', next.split(' '), { cwd: root })
    expect(shown.stdout).toContain('API_REQUEST_COMPLETE')
  })
}, 120_000)

test('with wrong keys it says so, and where to look', async () => {
  await startOnce('sk-wrong', async (stdout, _, data) => {
    expect(stdout).toContain('Delivered to langfuse: 0 observations, 180 held.\n')
    expect(stdout).toMatch(/^langfuse is unauthorized: .*401/m)
    expect(stdout).toContain(`\`npx offpath status --config ${data}/offpath.yaml\` shows`)
  })
}, 120_000)
