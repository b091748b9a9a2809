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

test('status names each project that does not get on, and its exit code says so', async () => {
  const langfuse = await startLangfuseServer({ projects: { 'pk-main': 'sk-main' } })
  const box = sandbox({
    LANGFUSE_BASE_URL: langfuse.url,
    LANGFUSE_PUBLIC_KEY: 'pk-main',
    LANGFUSE_SECRET_KEY: 'sk-main',
    OFFPATH_LANGFUSE_PROJECTS: 'search=pk-search:sk-wrong',
    OFFPATH_HTTP_TOKEN: 'secret',
  })
  const relay = box.start('up', '--json')
  await relay.line()
  expect((await box.offpath('status')).code).toBe(0)

  const app = join(box.dir, 'app.mjs')
  const sdk = join(import.meta.dirname, '../../../sdk/src/index.ts')
  writeFileSync(
    app,
    `import { flush, startObservation, withProject } from ${JSON.stringify(sdk)}
     startObservation('of main').end()
     withProject('nobody', () => startObservation('of nobody').end())
     withProject('search', () => startObservation('of search').end())
     await flush({ until: 'spooled', timeoutMs: 10_000 })`,
  )
  await run(process.execPath, [app], { cwd: box.dir, env: box.env })
  await langfuse.waitFor(() => langfuse.requests.length > 1)
  let { code, stdout, stderr } = await box.offpath('status')
  expect([code, stderr]).toEqual([1, ''])
  expect(stdout).toMatch(/\nlangfuse, project search: unauthorized since .*: answered 401/)
  expect(stdout).toMatch(/\nlangfuse, project nobody: no-keys since .*: no keys for the project/)

  delete box.env.OFFPATH_HTTP_TOKEN
  ;({ code, stdout, stderr } = await box.offpath('status'))
  expect(code).toBe(1)
  expect(stderr).toMatch(/^offpath: the relay .* asks for a token \(http\.token\); this is read/)
  expect(stdout).toMatch(/^relay +runs, but has not answered\n/)
  expect(stdout).toMatch(/\nlangfuse +unknown /)
  await relay.end('SIGTERM')
  expect(await box.offpath('status')).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/^relay +not running\n/),
  })
  await langfuse.close()
  box.remove()
})
