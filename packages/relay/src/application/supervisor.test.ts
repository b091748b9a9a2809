import { expect, test } from 'vitest'
import { gone, relaysOf, usePlace } from './app.fixture.ts'

const place = usePlace()

test('what ends a whole service at once (systemd) loses nothing, whoever ends first', async () => {
  const app = place.start()
  await app.call('ready')
  const { pid } = await app.status()
  await app.call('record', 'before')
  await app.status()
  process.kill(pid as number, 'SIGTERM')
  await app.call('record', 'after')
  await app.status()
  await app.ended('SIGTERM')
  await gone(pid)
  const next = place.start()
  await next.call('ready')
  expect(await next.call('stop', 30_000)).toBe(true)
  expect(place.names()).toEqual(['after', 'before'])
})

test('a relay that dies is started again', async () => {
  const app = place.start()
  await app.call('ready')
  const { pid } = await app.status()
  process.kill(pid as number, 'SIGKILL')
  await expect.poll(async () => (await app.status()).state, { timeout: 30_000 }).toBe('restarting')
  await app.call('record', 'meanwhile')
  await place.langfuse.waitForSpans(1, 30_000)
  const status = await app.status()
  expect(status).toMatchObject({ state: 'running', restarts: 1 })
  expect(status.pid).not.toBe(pid)
  await app.leaves()
  expect(await app.stderr).toBe(
    '[offpath] warn the relay was ended by SIGKILL; it is started again in 1 s\n',
  )
})

test('stop is not told that nothing was left while no relay is there to read it', async () => {
  const app = place.start()
  await app.call('ready')
  process.kill((await app.status()).pid as number, 'SIGKILL')
  await expect.poll(async () => (await app.status()).state, { timeout: 30_000 }).toBe('restarting')
  await app.call('record', 'unread')
  expect(await app.call('stop')).toBe(false)
})

test('stop settles though the relay hears nothing, and nothing else keeps the application running', async () => {
  const app = place.start()
  await app.call('ready')
  process.kill((await app.status()).pid as number, 'SIGSTOP')
  app.child.stdin?.end(`${JSON.stringify(['stop', 0])}\n`)
  expect(await app.ended()).toBe(0)
})

test('of several processes one has the relay, and another takes over when that ends', async () => {
  const [first, second] = [place.start(), place.start()]
  expect(await Promise.all([first.call('ready'), second.call('ready')])).toEqual([true, true])
  const states = await Promise.all([first.status(), second.status()])
  expect(states.map(({ state }) => state).sort()).toEqual(['elsewhere', 'running'])
  expect(relaysOf(place.box)).toHaveLength(1)
  const [owner, other] = states[0].state === 'running' ? [first, second] : [second, first]
  await other.call('record', 'a')
  expect(await other.call('flush', 30_000)).toBe(true)
  await owner.ended('SIGKILL')
  await expect.poll(async () => (await other.status()).state, { timeout: 30_000 }).toBe('running')
  await other.call('record', 'b')
  expect(await other.call('flush', 30_000)).toBe(true)
  expect(place.names()).toEqual(['a', 'b'])
})

test('who shares but the store or the disk directory is told so, for nobody reads its spool', async () => {
  const first = place.start()
  await first.call('ready')
  const spool = (name: string) => ({ spool: { dir: `${place.box.dir}/spool-${name}` } })
  const second = place.start(spool('2'))
  const third = place.start({ ...spool('3'), store: { dir: `${place.box.dir}/store-3` } })
  for (const [app, fix] of [
    [second, 'store.dir'],
    [third, 'spool.disk-dir'],
  ] as const) {
    await expect
      .poll(async () => (await app.status()).state, { timeout: 30_000 })
      .toBe('restarting')
    expect((await app.status()).message).toMatch(
      new RegExp(`^another relay .* name another ${fix}; the relay ended with code 1; it is`),
    )
  }
})

test('workers of a cluster share one relay', async () => {
  const app = place.start({ workers: 2 })
  const ask = (worker: number, ...call: unknown[]): Promise<unknown> => app.ask(worker, ...call)
  expect([await ask(0, 'ready'), await ask(1, 'ready')]).toEqual([
    [0, true],
    [1, true],
  ])
  expect(relaysOf(place.box)).toHaveLength(1)
  await ask(0, 'record', 'zero')
  await ask(1, 'record', 'one')
  expect([await ask(0, 'flush', 30_000), await ask(1, 'flush', 30_000)]).toEqual([
    [0, true],
    [1, true],
  ])
  expect(await app.leaves()).toBe(0)
  expect(place.names()).toEqual(['one', 'zero'])
  await expect.poll(() => relaysOf(place.box), { timeout: 30_000 }).toEqual([])
})
