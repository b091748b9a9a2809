import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { startLangfuseServer } from '../../test/langfuse-server/server.ts'
import { startSimulator } from '../vllm-simulator/server.ts'
import { ask, eventsOf } from './harness.ts'

test('starts its relay itself, and ends when all is delivered', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'chat-api-'))
  const langfuse = await startLangfuseServer()
  const simulator = await startSimulator({ ttftMs: 20, tokens: 3, tokensPerSecond: 100 })
  const child = spawn(
    process.execPath,
    ['--conditions=offpath-source', join(import.meta.dirname, 'main.ts')],
    {
      env: {
        ...process.env,
        PORT: '0',
        VLLM_URL: simulator.url,
        START_RELAY: 'true',
        OFFPATH_SPOOL_DIR: join(directory, 'spool'),
        OFFPATH_SPOOL_DISK_DIR: join(directory, 'disk'),
        OFFPATH_STORE_DIR: join(directory, 'store'),
        OFFPATH_HTTP_PORT: '0',
        LANGFUSE_BASE_URL: langfuse.url,
        LANGFUSE_PUBLIC_KEY: 'pk-lf-test',
        LANGFUSE_SECRET_KEY: 'sk-lf-test',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const exited = once(child, 'exit')
  const [line] = await once(createInterface(child.stdout), 'line')
  await (await ask(JSON.parse(line).url, {})).text()
  child.kill('SIGTERM')
  expect(await exited).toEqual([0, null])
  expect(langfuse.spans().map(({ name }) => name)).toContain('vllm.chat.completion')
  await simulator.close()
  await langfuse.close()
  await rm(directory, { recursive: true })
})

test('runs as a process that lets a running stream finish on SIGTERM', async () => {
  const spool = await mkdtemp(join(tmpdir(), 'chat-api-'))
  const simulator = await startSimulator({ ttftMs: 20, tokens: 30, tokensPerSecond: 100 })
  const main = join(import.meta.dirname, 'main.ts')
  const child = spawn(process.execPath, ['--conditions=offpath-source', main], {
    env: { ...process.env, PORT: '0', VLLM_URL: simulator.url, OFFPATH_SPOOL_DIR: spool },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  const [line] = await once(createInterface(child.stdout), 'line')
  const { ready, url } = JSON.parse(line)
  expect(ready).toBe(true)

  const response = await ask(url, { stream: true })
  child.kill('SIGTERM')
  expect(eventsOf(await response.text()).at(-1)).toBe('[DONE]')
  expect(await exited).toEqual([0, null])
  await simulator.close()
  await rm(spool, { recursive: true })
})
