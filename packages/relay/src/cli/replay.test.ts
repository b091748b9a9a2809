// What `offpath replay` asks at a terminal; all else of it is in dead.test.ts.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadConfig } from '../config/config.ts'
import { makeSpan, resource } from '../export/fixtures.ts'
import { Store } from '../store/store.ts'
import { type Sandbox, sandbox } from './cli.fixture.ts'
import { run } from './replay.ts'
import type { Terminal } from './terminal.ts'

let box: Sandbox
beforeEach(() => {
  box = sandbox()
  const store = new Store(box.env.OFFPATH_STORE_DIR as string)
  store.exporters(['otlp'])
  const end = { endSeconds: Math.floor(Date.now() / 1000) - 5 }
  const writer = { id: 'w', resource, finished: [makeSpan(end)], state: '{}', vitals: [] }
  store.commit({ writers: [writer], cursors: [], counters: {} })
  const none = { states: null, dead: 0, dropped: {}, resent: 0, notResent: 0, deadLetters: [] }
  store.acknowledge('otlp', [{ chunk: 1, complete: true, delivered: 1, ...none }])
  store.close()
})
afterEach(() => box.remove())

async function replay(
  columns: number | undefined,
  ...flags: [string, string][]
): Promise<{ code: number; printed: string; waiting: number }> {
  let printed = ''
  const terminal: Terminal = {
    print: (text) => {
      printed += text
      return true
    },
    complain: (text) => {
      throw new Error(text)
    },
    columns,
    style: (_, text) => text,
  }
  const loaded = loadConfig({ flags: new Map(), env: box.env, cwd: box.dir })
  const call = { words: [], flags: new Map(flags), json: false, loaded, terminal }
  const code = await run(call)
  const store = new Store(box.env.OFFPATH_STORE_DIR as string)
  store.exportersAsBefore()
  const waiting = store.backlog('otlp').chunks
  store.close()
  return { code, printed, waiting }
}

const when = 'be sent to otlp again, once the relay is started\n'

test('a terminal is told what would be sent, and how to send just that', async () => {
  const told = await replay(100, ['from', '10m'], ['service', 'shop'])
  expect(told).toMatchObject({ code: 0, waiting: 0 })
  expect(told.printed).toMatch(
    /^1 observation would be .*\nto send them: (?:npx )?offpath replay --from \S+Z --to \S+Z --service shop --yes\n$/,
  )
  const yes = await replay(100, ['from', '10m'], ['yes', ''])
  expect(yes).toEqual({ code: 0, printed: `1 observation will ${when}`, waiting: 1 })
})

test('--dry-run sends nothing, also with --yes or without a terminal', async () => {
  const dry = { code: 0, printed: `1 observation would ${when}`, waiting: 0 }
  expect(await replay(100, ['from', '10m'], ['dry-run', ''], ['yes', ''])).toEqual(dry)
  expect(await replay(undefined, ['from', '10m'], ['dry-run', ''])).toEqual(dry)
})
