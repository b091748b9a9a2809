// The handler of docs/deployment.md, frozen after each of its answers.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { gone, relaysOf, usePlace } from '../packages/relay/src/application/app.fixture.ts'

const root = join(import.meta.dirname, '..')
const place = usePlace()

test('what a call recorded is delivered before the environment freezes', async () => {
  const chapter = readFileSync(join(root, 'docs/deployment.md'), 'utf8').split('## AWS Lambda')[1]
  const lines = /```js\n([\s\S]*?)```/.exec(chapter ?? '')?.[1]
  const file = join(place.box.dir, 'handler.mjs')
  symlinkSync(join(root, 'node_modules'), join(place.box.dir, 'node_modules'))
  writeFileSync(file, lines as string)
  const runtime = spawn(
    process.execPath,
    ['--conditions=offpath-source', join(import.meta.dirname, 'lambda.child.ts'), file],
    { cwd: place.box.dir, env: place.box.env, stdio: ['pipe', 'pipe', 'inherit'] },
  )
  const answers = createInterface(runtime.stdout)[Symbol.asyncIterator]()
  let relay = 0
  for (let call = 1; call <= 3; call++) {
    runtime.stdin.write(`${JSON.stringify({ question: `question ${call}` })}\n`)
    expect(JSON.parse((await answers.next()).value as string)).toBe(`an answer to question ${call}`)
    relay = relaysOf(place.box)[0] as number
    for (const pid of [runtime.pid as number, relay]) process.kill(pid, 'SIGSTOP')
    expect(place.names()).toEqual(Array(call).fill('answer'))
    await sleep(50)
    for (const pid of [runtime.pid as number, relay]) process.kill(pid, 'SIGCONT')
  }
  // Without a word, as an environment goes.
  runtime.kill('SIGKILL')
  await once(runtime, 'exit')
  await gone(relay)
})
