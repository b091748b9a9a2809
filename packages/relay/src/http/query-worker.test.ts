import { afterEach, expect, test } from 'vitest'
import type { Query } from './query.ts'
import { type QueryWorker, type QueryWorkerOptions, queryWorker } from './query-worker.ts'

// A thread that does what the service's name says.
const source = `
  import { parentPort } from 'node:worker_threads'
  parentPort.on('message', ({ id, query }) => {
    if (query.service === 'hang') for (;;);
    if (query.service === 'throw') throw new Error('broken')
    const body = new TextEncoder().encode(JSON.stringify(query.service))
    parentPort.postMessage({ id, answer: { status: 200, body } }, [body.buffer])
  })`

let worker: QueryWorker
let errors: Error[]

afterEach(() => worker.close())

function open(options: Partial<QueryWorkerOptions> = {}): void {
  errors = []
  worker = queryWorker({
    storeDir: '/none',
    file: new URL(`data:text/javascript,${encodeURIComponent(source)}`),
    onError: (error) => errors.push(error),
    ...options,
  })
}

async function ask(service: string): Promise<[status: number, body: unknown]> {
  const query: Query = { type: 'traces', limit: 1, before: undefined, service }
  const { status, body } = await worker.ask(query)
  return [status, JSON.parse(new TextDecoder().decode(body))]
}

test('answers in the order of the questions', async () => {
  open()
  expect(await Promise.all([ask('a'), ask('b')])).toEqual([
    [200, 'a'],
    [200, 'b'],
  ])
})

test('gives up what takes too long, and answers the next', async () => {
  open({ timeoutMs: 200 })
  expect(await ask('hang')).toEqual([
    504,
    { error: { code: 'timeout', message: 'the query took longer than 200 ms' } },
  ])
  expect(await ask('a')).toEqual([200, 'a'])
})

test('bounds what waits', async () => {
  open({ timeoutMs: 200, maxWaiting: 2 })
  const [first, second, third] = await Promise.all([ask('hang'), ask('a'), ask('b')])
  expect([first![0], second![0], third![0]]).toEqual([504, 504, 503])
})

test('survives a thread that fails', async () => {
  open()
  expect((await ask('throw'))[0]).toBe(503)
  expect(errors.map(({ message }) => message)).toEqual(['broken'])
  expect(await ask('a')).toEqual([200, 'a'])
})

test('answers nothing after its end', async () => {
  open()
  const waiting = ask('hang')
  await worker.close()
  expect((await waiting)[0]).toBe(503)
  expect((await ask('a'))[0]).toBe(503)
})
