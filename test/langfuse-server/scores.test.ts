import { afterEach, beforeEach, expect, test } from 'vitest'
import { startLangfuseServer } from './server.ts'
import type { LangfuseServer } from './types.ts'

let server: LangfuseServer
beforeEach(async () => {
  server = await startLangfuseServer()
})
afterEach(() => server.close())

const score = (id: string, over: object = {}): object => ({
  id,
  traceId: 'a'.repeat(32),
  name: 'quality',
  value: 1,
  ...over,
})

async function post(body: unknown, keys = 'pk-lf-test:sk-lf-test'): Promise<[number, unknown]> {
  const answer = await fetch(`${server.url}/api/public/scores`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(keys).toString('base64')}` },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  return [answer.status, await answer.json()]
}
const ids = (): unknown[] => server.scores.all().map(({ id }) => id)

test('takes one as an object and several as an array; the same id replaces', async () => {
  expect(await post(score('a'))).toEqual([200, { id: 'a' }])
  expect(await post([score('b'), score('c')])).toEqual([202, { message: 'Accepted' }])
  expect(await post(score('a', { value: 2 }))).toEqual([200, { id: 'a' }])
  expect(ids()).toEqual(['a', 'b', 'c'])
  expect(server.scores.all()[0]).toMatchObject({ value: 2 })
  expect(server.scores.received).toBe(4)
  server.clear()
  expect([ids(), server.scores.requests, server.scores.received]).toEqual([[], [], 0])
})

test('what is rejected among others is a 207, alone a 400', async () => {
  server.scores.reject = ({ id }) => (id === 'bad' ? 'out of range' : undefined)
  const errors = [{ message: 'out of range' }]
  expect(await post([score('a'), score('bad')])).toEqual([
    207,
    { accepted: 1, rejected: 1, errors },
  ])
  expect(await post(score('bad'))).toEqual([400, errors[0]])
  expect(ids()).toEqual(['a'])
})

test.each<[string, object]>([
  ['no name', { name: undefined }],
  ['no value', { value: null }],
  ['a type that does not fit', { dataType: 'CATEGORICAL' }],
  ['an unknown type', { dataType: 'X' }],
  ['a time without a zone', { timestamp: '2026-11-24T10:00:00' }],
  ['nothing that is scored', { traceId: undefined }],
])('one with %s turns the whole request into a 400', async (_what, over) => {
  expect((await post([score('a'), score('b', over)]))[0]).toBe(400)
  expect(ids()).toEqual([])
})

test('wrong keys are a 401, a body above 1 MiB a 413, no JSON a 400', async () => {
  expect((await post(score('a'), 'pk-lf-test:wrong'))[0]).toBe(401)
  expect((await post(score('a', { comment: 'x'.repeat(1024 * 1024) })))[0]).toBe(413)
  expect((await post('{'))[0]).toBe(400)
  expect(ids()).toEqual([])
})

test('an older server takes objects alone', async () => {
  server.scores.arrays = false
  const [status, body] = await post([score('a')])
  expect([status, JSON.stringify(body)]).toEqual([
    400,
    expect.stringContaining('"received":"array"'),
  ])
  expect((await post(score('a')))[0]).toBe(200)
})

test('faults: stored or not, before the answer goes wrong', async () => {
  server.scores.faults = [
    { type: 'status', status: 503 },
    { type: 'status', status: 503, accept: true },
  ]
  expect((await post(score('a')))[0]).toBe(503)
  expect(ids()).toEqual([])
  expect((await post(score('a')))[0]).toBe(503)
  expect(ids()).toEqual(['a'])
})
