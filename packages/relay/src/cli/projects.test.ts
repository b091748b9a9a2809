// Several projects in one process, each to its own keys: application, relay and server are real.
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { startLangfuseServer } from '../../../../test/langfuse-server/server.ts'
import { sandbox } from './cli.fixture.ts'

const run = promisify(execFile)

test('projects reach their own keys, flush waits for it, and OTEL_EXPORTER_* is not read', async () => {
  const langfuse = await startLangfuseServer({
    projects: { 'pk-main': 'sk-main', 'pk-search': 'sk-search' },
  })
  const box = sandbox({
    LANGFUSE_BASE_URL: langfuse.url,
    LANGFUSE_PUBLIC_KEY: 'pk-main',
    LANGFUSE_SECRET_KEY: 'sk-main',
    OFFPATH_LANGFUSE_PROJECTS: 'search=pk-search:sk-search',
    OTEL_EXPORTER_OTLP_ENDPOINT: langfuse.otlpUrl,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: langfuse.otlpUrl,
  })
  const relay = box.start('up', '--json')
  expect(JSON.parse(await relay.line())).toMatchObject({ exporters: ['langfuse'] })

  const app = join(box.dir, 'app.mjs')
  const sdk = join(import.meta.dirname, '../../../sdk/src/index.ts')
  writeFileSync(
    app,
    `import { flush, startObservation, withProject } from ${JSON.stringify(sdk)}
     startObservation('of main').end()
     withProject('search', () => startObservation('of search').end())
     console.log(await flush({ until: 'delivered', timeoutMs: 10_000 }))`,
  )
  const { stdout, stderr } = await run(process.execPath, [app], { cwd: box.dir, env: box.env })
  expect([stdout, stderr]).toEqual(['true\n', ''])

  // What flush promised: it is there now.
  const names = (key: string): string[] =>
    langfuse.requests
      .filter(({ headers }) => {
        const [, token = ''] = String(headers.authorization).split(' ')
        return Buffer.from(token, 'base64').toString().startsWith(`${key}:`)
      })
      .flatMap(({ spans }) => spans.map(({ name }) => name))
  expect(names('pk-main')).toEqual(['of main'])
  expect(names('pk-search')).toEqual(['of search'])
  expect(langfuse.spans()).toHaveLength(2)
  await relay.end('SIGTERM')
  await langfuse.close()
  box.remove()
})
