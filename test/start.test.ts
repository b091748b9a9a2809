// The first command of the README, as a stranger runs it, with a Langfuse to deliver to.
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { startLangfuseServer } from './langfuse-server/server.ts'

const run = promisify(execFile)

test('npm start -- --once shows 60 complete traces, and Langfuse gets the same', async () => {
  const data = mkdtempSync(join(tmpdir(), 'offpath-start-'))
  const langfuse = await startLangfuseServer({ projects: { 'pk-test': 'sk-test' } })
  try {
    const { stdout } = await run('npm', ['start', '--silent', '--', '--once', '--data', data], {
      cwd: join(import.meta.dirname, '..'),
      env: {
        ...process.env,
        LANGFUSE_BASE_URL: langfuse.url,
        LANGFUSE_PUBLIC_KEY: 'pk-test',
        LANGFUSE_SECRET_KEY: 'sk-test',
      },
    })
    expect(stdout).toContain('60 requests: 12 answered, 24 streamed, 12 long, 6 failing, 6 aborted')
    expect(stdout).toMatch(
      /vllm\.chat\.completion\s+generation.*first token \d+ ms · \d+ → \d+ tokens/,
    )
    expect(stdout).toMatch(/Tracing cost the chat API \d+ µs a request/)
    expect(stdout).toContain(basename(data))
    const spans = langfuse.spans()
    expect(spans.length).toBe(180)
    expect(new Set(spans.map((span) => span.traceId)).size).toBe(60)
  } finally {
    await langfuse.close()
    rmSync(data, { recursive: true, force: true })
  }
}, 120_000)
