import { existsSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { takeLease } from '../receivers/spool/lease.ts'
import { turnIn } from './turn.ts'

let directory: string
let now = 0

beforeEach(() => {
  directory = join(mkdtempSync(join(tmpdir(), 'offpath-turn-')), 'spool')
})

afterEach(() => rmSync(join(directory, '..'), { recursive: true, force: true }))

const turn = (): ReturnType<typeof turnIn> => turnIn(directory, () => now)

test('one of several takes it, until it is done', () => {
  const [first, second] = [turn(), turn()]
  expect([first.take(), second.take()]).toEqual([true, false])
  second.done()
  expect(second.take()).toBe(false)
  first.done()
  expect(second.take()).toBe(true)
})

test('who took it and died holds nobody up for long', () => {
  turn().take()
  const old = new Date(Date.now() - 6000)
  utimesSync(join(directory, 'relay.starting'), old, old)
  const other = turn()
  expect([other.take(), other.take()]).toEqual([false, true])
})

test('where it cannot be told, everybody may: the lease decides', () => {
  writeFileSync(directory, 'no directory')
  expect([turn().take(), turn().take()]).toEqual([true, true])
})

test('the end of a relay that has lost the lease says nothing of the one that has it', () => {
  const waits = turn()
  const lost = takeLease(directory)
  rmSync(join(directory, 'relay.lease'))
  const lease = takeLease(directory)
  lost.release()
  expect(waits.looksTaken()).toBe(true)
  lease.release()
  expect(waits.looksTaken()).toBe(false)
})

test('an orderly end of the relay is seen at once, a death by its silence', async () => {
  const waits = turn()
  expect(waits.looksTaken()).toBe(false)
  const lease = takeLease(directory)
  expect(waits.looksTaken()).toBe(true)
  waits.wasTaken()
  expect(await waits.isFree()).toBe(false)
  now += 11_000
  lease.touch()
  expect(await waits.isFree()).toBe(false)
  lease.release()
  expect(await waits.isFree()).toBe(true)

  const next = takeLease(directory)
  waits.wasTaken()
  now += 11_000
  expect(await waits.isFree()).toBe(false)
  now += 2000
  expect(await waits.isFree()).toBe(true)
  next.release()
})

test('where the store is taken, and no lease, it is looked for again after a while', async () => {
  const waits = turn()
  waits.wasTaken()
  expect(existsSync(join(directory, 'relay.lease'))).toBe(false)
  expect(await waits.isFree()).toBe(false)
  now += 13_000
  expect(await waits.isFree()).toBe(true)
})
