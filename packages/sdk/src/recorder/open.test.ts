import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import { testOptions } from '../testing/options.ts'
import { segmentsIn, temporaryDirectory } from '../testing/spool-files.ts'
import { openRecorder } from './open.ts'

function open(directories: { spoolDir?: string; diskDir?: string } = {}) {
  const base = temporaryDirectory()
  const memory = join(base, 'memory')
  const options = { ...testOptions, spoolDir: memory, diskDir: join(base, 'disk'), ...directories }
  const before = new Set(process.listeners('exit'))
  const opened = openRecorder(options)
  onTestFinished(() => {
    opened.recorder.close()
    for (const listener of process.listeners('exit'))
      if (!before.has(listener)) process.off('exit', listener)
  })
  const record = () => opened.recorder.event(null, null, 'e', 2, 0, undefined, undefined)
  return { ...opened, memory, record }
}

/** The writer's question, when it is there. */
async function question(memory: string): Promise<string> {
  while (true) {
    const name = existsSync(memory)
      ? readdirSync(memory).find((n) => n.endsWith('.flush'))
      : undefined
    if (name !== undefined) return join(memory, name)
    await delay(1)
  }
}

test('nothing recorded is delivered at once', async () => {
  const { delivered } = open()
  expect(await delivered(1000)).toBe(true)
})

test('delivered: asks the relay up to the last byte, and waits for its answer', async () => {
  const { delivered, memory, record } = open()
  record()
  const answer = delivered(10_000)
  const path = await question(memory)
  const [segment] = segmentsIn(memory)
  expect(path).toBe(join(memory, `${segment?.header.writer}.flush`))
  expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({ segment: 1, offset: segment?.length })
  expect(statSync(path).mode & 0o777).toBe(0o600)
  rmSync(path)
  expect(await answer).toBe(true)
})

test('delivered: no relay, no answer', async () => {
  const { delivered, memory, record } = open()
  record()
  expect(await delivered(50)).toBe(false)
  expect(readdirSync(memory).filter((name) => name.endsWith('.flush'))).toEqual([])
})

test('delivered: one that gives up is no answer for another that waits', async () => {
  const { delivered, memory, record } = open()
  record()
  const impatient = delivered(50)
  record()
  const patient = delivered(400)
  expect(await impatient).toBe(false)
  expect(existsSync(await question(memory))).toBe(true)
  expect(await patient).toBe(false)
  expect(readdirSync(memory).filter((name) => name.endsWith('.flush'))).toEqual([])
})

test('where there is no spool each problem is told once, and there is nobody to ask', async () => {
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  const { recorder, delivered } = open({
    spoolDir: '/dev/null/spool',
    diskDir: '/dev/null/disk',
  })
  for (let i = 0; i < 3; i++) {
    recorder.event(null, null, 'e', 2, 0, undefined, undefined)
    recorder.flush()
    // Until the writer tries again.
    await delay(120)
  }
  expect(await delivered(1000)).toBe(false)
  const unusable = { type: 'OffpathWarning', code: 'OFFPATH_SPOOL_UNUSABLE' }
  expect(warn.mock.calls).toEqual([
    [expect.stringContaining('cannot write to the spool /dev/null/spool'), unusable],
    [expect.stringContaining('cannot write to the spool /dev/null/disk'), unusable],
  ])
  warn.mockRestore()
})
