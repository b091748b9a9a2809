import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { startSimulator } from '../vllm-simulator/server.ts'
import { ask, eventsOf } from './harness.ts'

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
