// The relay in a worker thread of the application.
import { expect, test } from 'vitest'
import { takeLease } from '../receivers/spool/lease.ts'
import { usePlace } from './app.fixture.ts'
import { startThread } from './carriers.ts'

const place = usePlace()

test('a relay in a thread delivers, survives nothing, and keeps nothing running', async () => {
  const app = place.start({ in: 'thread' })
  expect(await app.call('ready')).toBe(true)
  expect(await app.status()).toMatchObject({ state: 'running', in: 'thread', pid: null })
  expect((await app.status()).threadId).toBeGreaterThan(0)
  await app.call('record', 'a')
  expect(await app.call('flush', 30_000)).toBe(true)
  await app.call('record', 'b')
  expect(await app.call('stop', 30_000)).toBe(true)
  expect(place.names()).toEqual(['a', 'b'])
  expect(await app.leaves()).toBe(0)
  expect(await app.stderr).toBe('')
})

test('an application that nobody stops ends beside it, and what it recorded is delivered', async () => {
  const app = place.start({ in: 'thread' })
  await app.call('ready')
  await app.call('record', 'a')
  expect(await app.leaves()).toBe(0)
  expect(place.names()).toEqual(['a'])
})

test('process.exit waits for it; after a kill the next start delivers', async () => {
  const app = place.start({ in: 'thread' })
  await app.call('ready')
  app.call('recordAndExit', 'last').catch(() => {})
  expect(await app.ended()).toBe(7)
  expect(place.names()).toEqual(['last'])

  place.langfuse.faults = () => ({ type: 'status', status: 503 })
  const killed = place.start({ in: 'thread' })
  await killed.call('ready')
  await killed.call('record', 'kept')
  // A turn of its event loop later it is written.
  await killed.status()
  await killed.ended('SIGKILL')
  place.langfuse.faults = () => undefined
  await place.start({ in: 'thread' }).call('ready')
  await place.langfuse.waitForSpans(2, 30_000)
  expect(place.names()).toEqual(['kept', 'last'])
})

test('a thread that is ended in the middle leaves spool and store free', async () => {
  for (let i = 0; i < 2; i++) {
    const ready = Promise.withResolvers<void>()
    const ended = Promise.withResolvers<string>()
    const thread = startThread({
      node: '',
      env: place.box.env,
      start: { drainMs: 0, logs: true, cwd: place.box.dir },
      onMessage: ({ type }) => {
        if (type === 'ready') ready.resolve()
        else if (type !== 'log') ready.reject(new Error(type))
      },
      onEnd: ended.resolve,
    })
    await ready.promise
    expect(() => takeLease(place.box.env.OFFPATH_SPOOL_DIR as string)).toThrow('another relay')
    thread.kill()
    expect(await ended.promise).toBe('ended with code 1')
  }
  takeLease(place.box.env.OFFPATH_SPOOL_DIR as string).release()
})
