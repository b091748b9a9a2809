// Where a platform freezes all processes between two requests (AWS Lambda), or the application is process 1 of a container.
import { spawnSync } from 'node:child_process'
import { connect, createServer, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type App, gone, relaysOf, usePlace } from './app.fixture.ts'

const place = usePlace()

describe('a freeze', () => {
  /** In front of Langfuse: what was open there is gone after a freeze. */
  let proxy: ReturnType<typeof createServer>
  const sockets = new Set<Socket>()
  let held = false

  beforeEach(async () => {
    held = false
    proxy = createServer((socket) => {
      const target = connect(Number(new URL(place.langfuse.url).port), '127.0.0.1')
      for (const one of [socket, target]) {
        sockets.add(one.on('error', () => {}).on('close', () => sockets.delete(one)))
      }
      socket.pipe(target).pipe(socket)
      socket.on('close', () => target.destroy())
      target.on('close', () => socket.destroy())
      // The request is on its way, its answer never comes.
      if (held) target.pause()
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  })

  afterEach(() => {
    for (const socket of sockets) socket.destroy()
    proxy.close()
  })

  const startFunction = async (options: Record<string, unknown> = {}): Promise<App> => {
    const { port } = proxy.address() as { port: number }
    const app = place.start({ ...options, langfuse: { baseUrl: `http://127.0.0.1:${port}` } })
    expect(await app.call('ready')).toBe(true)
    return app
  }
  const signal = async (
    app: App,
    name: 'SIGSTOP' | 'SIGCONT',
    pid: number | null,
  ): Promise<void> => {
    for (const one of new Set([app.child.pid, pid ?? app.child.pid]))
      process.kill(one as number, name)
  }

  test.each([['child'], ['thread']])(
    'after the flush nothing is lost, though connections are gone after the thaw (%s)',
    async (where) => {
      const app = await startFunction({ in: where })
      const { pid } = await app.status()
      for (const name of ['first', 'second']) {
        await app.call('record', name)
        expect(await app.call('flush', 30_000)).toBe(true)
        await signal(app, 'SIGSTOP', pid)
        for (const socket of sockets) socket.destroy()
        await signal(app, 'SIGCONT', pid)
      }
      expect(place.names()).toEqual(['first', 'second'])
    },
  )

  test('what the flush could not wait for is delivered after the thaw', async () => {
    const app = await startFunction()
    const { pid } = await app.status()
    held = true
    await app.call('record', 'in flight')
    expect(await app.call('flush', 300)).toBe(false)
    await signal(app, 'SIGSTOP', pid)
    for (const socket of sockets) socket.destroy()
    held = false
    await signal(app, 'SIGCONT', pid)
    await app.call('record', 'next')
    expect(await app.call('flush', 10_000)).toBe(true)
    expect(place.names()).toEqual(['in flight', 'next'])
  })
})

const UNSHARE = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc']
const hasUnshare = spawnSync(UNSHARE[0] as string, [...UNSHARE.slice(1), 'true']).status === 0
if (!hasUnshare) console.warn('no pid namespaces can be had here: process 1 is not tested')

describe.skipIf(!hasUnshare)('as process 1', () => {
  test('process.exit waits until all is delivered, for it takes the relay along', async () => {
    const app = place.start({}, {}, UNSHARE)
    await app.call('ready')
    app.call('recordAndExit', 'last').catch(() => {})
    expect(await app.ended()).toBe(7)
    expect(place.names()).toEqual(['last'])
    expect(relaysOf(place.box)).toEqual([])
  })

  test('a natural end waits, too', async () => {
    const app = place.start({}, {}, UNSHARE)
    await app.call('ready')
    await app.call('record', 'last')
    expect(await app.leaves()).toBe(0)
    expect(place.names()).toEqual(['last'])
  })

  test('a kill takes the relay along, and the next start delivers what the volume kept', async () => {
    place.langfuse.faults = () => ({ type: 'status', status: 503 })
    const app = place.start({}, {}, UNSHARE)
    await app.call('ready')
    const [relay] = relaysOf(place.box)
    await app.call('record', 'kept')
    await app.status()
    await app.ended('SIGKILL')
    await gone(relay as number)
    place.langfuse.faults = () => undefined
    const next = place.start({}, {}, UNSHARE)
    await next.call('ready')
    await place.langfuse.waitForSpans(1, 30_000)
    expect(place.names()).toEqual(['kept'])
  })
})
