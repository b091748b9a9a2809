// The end of `offpath up`: by its stdin, and with what is left delivered before.
import { once } from 'node:events'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startLangfuseServer } from '../../../../test/langfuse-server/server.ts'
import type { LangfuseServer } from '../../../../test/langfuse-server/types.ts'
import { deliveringTo, type Sandbox, sandbox } from './cli.fixture.ts'

let langfuse: LangfuseServer
let box: Sandbox

beforeEach(async () => {
  langfuse = await startLangfuseServer()
  box = sandbox(deliveringTo(langfuse))
})

afterEach(async () => {
  await langfuse.close()
  box.remove()
})

test('when its stdin closes, --until-stdin-closes ends it, and --export-drain delivers all before', async () => {
  const relay = box.start('up', '--json', '--until-stdin-closes', '--export-drain', '20s')
  await relay.line()
  await box.killedApp()
  expect(await relay.end()).toBe(0)
  expect(langfuse.spans()).toHaveLength(5)
  expect(await relay.stderr).toMatch(/ stopping signal=stdin\n.* stopped\n$/)
})

test('an API that other machines reach without a token is told of, and what they can do there', async () => {
  const relay = box.start('up', '--json', '--http-host', '0.0.0.0')
  await relay.line()
  expect(await relay.end('SIGTERM')).toBe(0)
  expect(await relay.stderr).toMatch(/ the API is open to the network: .* drops dead letters; set /)
})

test('an end of stdin is nothing to a relay that was not told so', async () => {
  const relay = box.start('up', '--json')
  await relay.line()
  relay.child.stdin?.end()
  await box.killedApp()
  await langfuse.waitForSpans(5)
  expect(await relay.end('SIGTERM')).toBe(0)
})

test('SIGTERM ends it although stdin is open; what cannot be delivered holds it up no longer than --export-drain', async () => {
  langfuse.faults = () => ({ type: 'status', status: 503 })
  const relay = box.start('up', '--json', '--until-stdin-closes', '--export-drain', '300ms')
  await relay.line()
  await box.killedApp()
  relay.child.kill('SIGTERM')
  await once(relay.child, 'exit')
  expect(relay.child.exitCode).toBe(0)
  expect(await relay.stderr).toContain(
    ' not all is delivered: the rest goes out at the next start\n',
  )
  expect(langfuse.spans()).toHaveLength(0)
})
